//! How often an actor may be replaced, and how soon.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// So many replacements in a row happen at once: a worker may die of one study several times.
const AT_ONCE: u32 = 10;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Replacements of each actor since the last training step.
#[derive(Default)]
pub(crate) struct Restarts(Mutex<BTreeMap<String, u32>>);

impl Restarts {
    fn all(&self) -> MutexGuard<'_, BTreeMap<String, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more; how many in a row that makes.
    pub fn count(&self, actor: &str) -> u32 {
        let mut all = self.all();
        let count = all.entry(actor.to_string()).or_default();
        *count += 1;
        *count
    }

    /// A training step was done: the run gets somewhere.
    pub fn forget(&self) {
        self.all().clear();
    }
}

/// How long to wait before the n-th replacement in a row, counted from one; twice as long as before the one before it.
pub(crate) fn pause(n: u32) -> Duration {
    match n.checked_sub(AT_ONCE + 1) {
        None => Duration::ZERO,
        Some(doublings) => FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(doublings)).min(LONGEST_PAUSE),
    }
}

/// The same where the replacement itself could not be started.
pub(crate) fn pause_after_failure(n: u32) -> Duration {
    pause(n).max(FIRST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_ones_are_at_once_and_the_others_ever_later() {
        let pauses: Vec<_> = (1..=40).map(pause).collect();
        assert!(pauses[..10].iter().all(Duration::is_zero));
        assert_eq!(pauses[10..13], [100, 200, 400].map(Duration::from_millis));
        assert!(pauses.is_sorted() && pauses[39] == LONGEST_PAUSE && pause(u32::MAX) == LONGEST_PAUSE);
        assert_eq!(pause_after_failure(1), FIRST_PAUSE);
    }

    #[test]
    fn each_actor_is_counted_by_itself_and_a_step_forgets() {
        let restarts = Restarts::default();
        assert_eq!(["a", "a", "b"].map(|actor| restarts.count(actor)), [1, 2, 1]);
        restarts.forget();
        assert_eq!(restarts.count("a"), 1);
    }
}
