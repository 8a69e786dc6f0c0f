//! What a run under way tells of itself every second, in its gauges and in `status.json` in its folder, for whoever watches
//! it. Nothing is decided by it.

use serde::{Deserialize, Serialize};

/// The file of a run folder that holds a [`RunStatus`].
pub const STATUS: &str = "status.json";

/// A run at an instant. Of a process that was killed it tells for ever what was true a second before.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunStatus {
    /// Whether it goes on, and how it ended if not.
    pub state: RunState,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When this was written: seconds since the beginning of 1970, UTC.
    pub time: f64,
    /// The process that trains.
    pub process: u32,
    /// For how many seconds that process has been training.
    pub seconds: f64,
    /// The newest published policy version, which is the number of steps done.
    pub version: u64,
    /// Steps of the whole run.
    pub steps: u64,
    /// For how many seconds nothing has moved.
    pub still_seconds: f64,
    /// In the order of the flow.
    pub actors: Vec<ActorStatus>,
    /// Where the tickets are that are out of the gate, in the order of the flow.
    pub tickets: Vec<PlaceStatus>,
    /// The most tickets that may be out at a time.
    pub tickets_at_most: u64,
}

/// Whether a run goes on, or how it ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    #[default]
    /// It goes on.
    Running,
    /// All steps are done.
    Finished,
    /// Somebody stopped it; it can be resumed.
    Stopped,
    /// It ended with an error, which is beside it.
    Failed,
}

/// How an actor, or the workers of a stage, spent the last second: three shares of its time, which add up to 1.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ActorStatus {
    /// Such as `sampler-0`, `learner`, or that of a stage.
    pub name: String,
    /// Those who work under this name: the workers of a stage, or one.
    pub workers: usize,
    /// Tickets, or other things, that it is at.
    pub tickets: usize,
    /// At work.
    pub busy: f64,
    /// Without input: a sampler whose studies are being read, a stage without groups, a learner without a batch.
    pub starved: f64,
    /// Kept from work by something else: a sampler for which the gate has no ticket until training has caught up, a stage
    /// whose workers are being restarted while groups wait.
    pub blocked: f64,
}

/// How many tickets are at a place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PlaceStatus {
    /// `sampler`, the name of a stage, `replay` or `learner`.
    pub place: String,
    /// Those that wait: for their study to be read, for a worker of the stage, for the other groups of their step.
    pub waiting: usize,
    /// Those that are worked at.
    pub inside: usize,
}
