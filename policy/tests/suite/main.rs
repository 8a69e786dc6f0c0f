//! The policy from outside, and at parity with the reference implementations. One program, because linking is most of what
//! a test costs to build.

mod adapters;
mod batching;
mod common;
mod malformed;
mod not_finite;
mod packing;
mod parity_batches;
mod parity_fixtures;
mod parity_half;
mod parity_images;
mod parity_lora;
mod parity_losses;
mod parity_model;
mod parity_optim;
mod parity_sampling;
mod parity_sft;
mod sampling;
mod sft;
mod updates;
