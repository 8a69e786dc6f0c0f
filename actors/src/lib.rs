//! The actors of Addendum: samplers, stage pools, learner, evaluator and recorder under one supervision tree.
//!
//! A [`Pipeline`] is given a dataset, a way to build samplers, a learner and a chain of [`Stage`]s; it runs
//! asynchronous training until all steps are done, somebody stops it, or the learner fails. What the actors compute
//! with is behind the traits of [`engine`]; which study is sampled when and what a step trains on is decided by
//! `addendum-replay`.
//!
//! Handlers only route. Every computation runs on an OS thread of its own ([`compute`]), and whatever panics there
//! costs at most one attempt at one study.

#![forbid(unsafe_code)]

mod ahead;
mod board;
pub mod checkpoint;
mod composition;
pub mod compute;
mod config;
mod context;
mod dead_letters;
mod disk;
mod divergence;
mod endurance;
pub mod engine;
mod error;
mod evaluator;
mod event;
mod faults;
mod identity;
mod learner;
mod lines;
mod lock;
mod mailbox;
mod messages;
mod meter;
mod outcome;
mod pipeline;
mod pool;
mod record;
mod recorder;
mod recording;
mod restarts;
mod run_log;
mod running;
mod sampler;
mod shared;
mod shelf;
mod sign;
mod slot;
mod snapshots;
mod spread;
mod stage;
pub mod stages;
mod stall;
mod start;
pub mod status;
mod supervisor;
mod suspects;
pub mod telemetry;
mod telling;
mod trace;
mod trainer;
mod workers;
mod writer;

pub use config::{DivergenceConfig, Keep, RunConfig, SelectConfig, StallConfig, Threads, Unedited, Variant, When};
pub use engine::{
    AsyncSampler, BatchSampler, EngineError, Evaluate, Learner, Load, Request, Sampled, Sampler, Scores, StepStats,
    Tokenize, Versioned,
};
pub use error::RunError;
pub use event::Event;
pub use faults::Faults;
pub use identity::{Difference, Identity};
pub use lock::FolderLock;
pub use pipeline::Pipeline;
pub use pool::Pool;
pub use record::{RolloutSample, StepRecord};
pub use recording::{Recording, SAMPLED};
pub use running::{RunSummary, Running};
pub use sign::{Diverging, Sign};
pub use stage::{AsyncStage, Stage, StageError};
pub use trace::{Moment, Span, Track};
