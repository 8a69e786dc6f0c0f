//! Several servers that do the same: which there are, which of them is asked, and which is left alone for a while.
//!
//! Knows nothing of what is asked, and never waits: samplers wait for vLLM servers, and rewards for services, each in a way
//! of their own.

mod addresses;
mod credit;
mod health;
mod listing;
mod roster;

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

pub use addresses::{Addresses, Form, Unusable};
pub use health::{Health, Pauses};
pub use roster::{Member, Roster, Seat, Wanted};

/// How often a file of addresses is read, and whoever waits for a server looks whether a pause is over.
pub const LOOK: Duration = Duration::from_millis(250);

/// What a thread that panicked left behind is as good as before: nothing here is half done while locked.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
