//! `addendum train` as its users meet it.

mod common;
#[cfg(target_os = "linux")]
mod files;
mod replaying;
mod runs;
