//! Whole pipelines over a policy that fits on a page. One program, because linking is most of what a test costs to build.

mod ahead;
mod batching;
mod common;
mod determinism;
mod draws;
mod durability;
mod endurance;
mod failures;
mod files;
#[cfg(unix)]
mod killing;
mod latest;
mod recording;
mod replaying;
mod resuming;
mod reward_failures;
mod sampling;
mod selection;
mod soak;
mod stages;
mod telling;
mod tracing;
mod watching;
