//! What a trace tells.

use std::time::Instant;

use addendum_replay::TicketId;
use serde_json::Value;

/// Something that happened in a run, told when it is over. Times count microseconds from the start of the trace, by a clock
/// that never goes back; `about` is an object with what there is to know, or null. None of it is text of a report.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Moment {
    /// The trace began. This comes before anything else.
    Began {
        /// When.
        at: Instant,
    },
    /// A track is used for the first time.
    Track {
        /// Its number.
        track: u32,
        /// The actor's, with a number if it does several things at a time.
        name: String,
    },
    /// An actor did something, or waited. What it did within that was told before.
    Span {
        /// The number of its track.
        track: u32,
        /// What it did.
        name: &'static str,
        /// When it began.
        since: u64,
        /// When it ended.
        until: u64,
        /// Of what.
        about: Value,
    },
    /// A ticket left the gate.
    Issued {
        /// Which one.
        ticket: TicketId,
        /// When.
        at: u64,
        /// Study, policy version, draw and attempt.
        about: Value,
    },
    /// A ticket's group has been through a stage, waiting included. What was done to it there was told before.
    Passed {
        /// Which one.
        ticket: TicketId,
        /// `sampler`, the name of a stage, `replay` or `learner`.
        stage: String,
        /// When the one before was over.
        since: u64,
        /// When it was over.
        until: u64,
        /// What the group holds by now.
        about: Value,
    },
    /// A ticket is back at the gate, or has ended.
    Ended {
        /// Which one.
        ticket: TicketId,
        /// When.
        at: u64,
        /// How, and the error if it was one.
        about: Value,
    },
}
