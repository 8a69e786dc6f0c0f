//! `addendum train` as its users meet it.

mod common;
#[cfg(target_os = "linux")]
mod files;
mod lines;
mod replaying;
mod runs;
