//! Whole pipelines over a policy that fits on a page. One program, because linking is most of what a test costs to build.

mod common;
mod determinism;
mod durability;
mod endurance;
mod failures;
mod recording;
mod resuming;
mod reward_failures;
mod stages;
