//! The one thing that flows: a rollout group.

use std::{collections::BTreeMap, sync::Arc};

use addendum_studies::Study;
use serde::{Deserialize, Serialize};

use crate::{PolicyVersion, RolloutId, Ticket};

/// One correction made by an editor, as plain data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EditOperation {
    /// What was done: `replace`, `delete` or `append`.
    pub operation: String,
    /// Which rule of the editor fired.
    pub rule: String,
    /// Index of the sentence in the source report.
    pub position: usize,
    /// The sentence that was replaced or deleted.
    pub source: Option<String>,
    /// The reference sentence that was put in.
    pub target: Option<String>,
    /// The entities that triggered the edit.
    pub triggers: Vec<String>,
}

/// How an edited report came from its source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EditRecord {
    /// Empty if the editor found nothing to correct.
    pub operations: Vec<EditOperation>,
}

/// Where a rollout comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Sampled from the policy.
    Sampled {
        /// Behaviour log-probabilities (nats), one per token.
        logprobs: Vec<f32>,
        /// The policy version that each token was sampled with.
        versions: Vec<PolicyVersion>,
    },
    /// An edited copy of the rollout `source` of the same group; it has no behaviour policy.
    Edited {
        /// The rollout that it was copied from.
        source: RolloutId,
        /// What the editor changed.
        record: EditRecord,
    },
    /// The whole reference report.
    Reference,
}

impl Origin {
    /// The policy version that each token was sampled with; nothing for what was not sampled.
    pub fn versions(&self) -> &[PolicyVersion] {
        match self {
            Self::Sampled { versions, .. } => versions,
            Self::Edited { .. } | Self::Reference => &[],
        }
    }

    /// The oldest version that any token was sampled with; `None` for what was not sampled.
    pub fn oldest_version(&self) -> Option<PolicyVersion> {
        self.versions().iter().min().copied()
    }
}

/// A reward with its parts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scored {
    /// What the advantage is computed from.
    pub total: f64,
    /// Every component by name, unweighted.
    pub components: BTreeMap<String, f64>,
}

/// One report for a study.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    /// Differs from those of all other rollouts of the group; see [`RolloutGroup::next_id`].
    pub id: RolloutId,
    /// Token ids of the report, end token included unless truncated. Empty while a fresh edit is not tokenized.
    pub tokens: Vec<u32>,
    /// The tokens as text, without the end token.
    pub text: String,
    /// Who wrote it.
    pub origin: Origin,
    /// Whether generation hit the length limit before the end token.
    pub truncated: bool,
    /// `None` until a reward stage has judged it.
    pub reward: Option<Scored>,
}

impl Rollout {
    /// Whether the policy wrote every token of it.
    pub fn is_sampled(&self) -> bool {
        matches!(self.origin, Origin::Sampled { .. })
    }

    /// The corrections of an edited copy; none of what is no copy.
    pub fn edits(&self) -> &[EditOperation] {
        match &self.origin {
            Origin::Edited { record, .. } => &record.operations,
            Origin::Sampled { .. } | Origin::Reference => &[],
        }
    }

    /// The rollout that this one is an edited copy of.
    pub fn source(&self) -> Option<RolloutId> {
        match self.origin {
            Origin::Edited { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// Why a selection left a rollout out of its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DropReason {
    /// An edited copy that the editor left as it was.
    Unedited,
    /// An edited copy that earns no more than its source.
    NoGain,
    /// A copy of a group whose samples earn different rewards already.
    Varied,
    /// A sample that no place was left for.
    Spare,
}

impl DropReason {
    /// As it is serialized.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unedited => "unedited",
            Self::NoGain => "no_gain",
            Self::Varied => "varied",
            Self::Spare => "spare",
        }
    }
}

/// A rollout that was judged, but is not trained on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dropped {
    /// As it was when it was left out.
    pub rollout: Rollout,
    /// Why it was left out.
    pub reason: DropReason,
}

/// All rollouts for one study, with the ticket that admitted them. Dropping it returns the ticket.
#[derive(Debug)]
pub struct RolloutGroup {
    /// The right to train on the group; it ends with it.
    pub ticket: Ticket,
    /// With the reference report, for editor and rewards.
    pub study: Arc<Study>,
    /// Those that are trained on.
    pub rollouts: Vec<Rollout>,
    /// Those that a selection left out, for the record.
    pub dropped: Vec<Dropped>,
    /// What was sampled, as it was sampled, where a run records it; empty elsewhere.
    pub sampled: Arc<[Rollout]>,
}

impl RolloutGroup {
    /// A group of these rollouts, none of them dropped.
    pub fn new(ticket: Ticket, study: Arc<Study>, rollouts: Vec<Rollout>) -> Self {
        Self { ticket, study, rollouts, dropped: Vec::new(), sampled: Arc::default() }
    }

    /// The rollout with this id; `None` if a stage has removed it.
    pub fn rollout(&self, id: RolloutId) -> Option<&Rollout> {
        self.rollouts.iter().find(|rollout| rollout.id == id)
    }

    /// The id for a rollout that is about to join the group. Never one that an edited rollout refers to, even if its
    /// source was removed.
    pub fn next_id(&self) -> RolloutId {
        let dropped = self.dropped.iter().map(|dropped| &dropped.rollout);
        let known = self.rollouts.iter().chain(dropped).flat_map(|rollout| [Some(rollout.id), rollout.source()]);
        RolloutId(known.flatten().max().map_or(0, |id| id.0 + 1))
    }

    /// What an edited rollout, of the group or dropped, earned more than its source; `None` unless both are there and
    /// scored.
    pub fn gain(&self, edited: &Rollout) -> Option<f64> {
        let total = |rollout: &Rollout| rollout.reward.as_ref().map(|reward| reward.total);
        Some(total(edited)? - total(self.rollout(edited.source()?)?)?)
    }

    /// What each edited rollout earned more than its source, where both are there and scored.
    pub fn edit_gains(&self) -> impl Iterator<Item = f64> + '_ {
        self.rollouts.iter().filter_map(|rollout| self.gain(rollout))
    }

    /// The copies as the editor made them, whether a selection kept them, undid their edit or dropped them.
    pub fn copies(&self) -> impl Iterator<Item = &Rollout> {
        let dropped = || self.dropped.iter().map(|dropped| &dropped.rollout);
        let as_made = move |rollout: &&Rollout| dropped().all(|other| other.id != rollout.id);
        self.rollouts.iter().filter(as_made).chain(dropped()).filter(|rollout| rollout.source().is_some())
    }

    /// Places of the group that a selection gave from copies to further samples.
    pub fn fresh_samples(&self) -> usize {
        let gone = |dropped: &&Dropped| !dropped.rollout.is_sampled() && self.rollout(dropped.rollout.id).is_none();
        self.dropped.iter().filter(gone).count()
    }

    /// The oldest version that any token of the group was sampled with; the ticket's if none was sampled.
    pub fn oldest_version(&self) -> PolicyVersion {
        let versions = self.rollouts.iter().filter_map(|rollout| rollout.origin.oldest_version());
        versions.min().unwrap_or(self.ticket.snapshot())
    }

    /// Gives the group's place to another draw; see [`Ticket::redraw`].
    ///
    /// # Errors
    /// This is the last draw that the place has: here is the group again, to be trained on as it is.
    pub fn redraw(self) -> Result<(), Box<Self>> {
        let Self { ticket, study, rollouts, dropped, sampled } = self;
        ticket.redraw().map_err(|ticket| Box::new(Self { ticket, study, rollouts, dropped, sampled }))
    }

    /// Gives the group up: its ticket returns to the gate with `error` as the reason.
    pub fn fail(self, error: impl ToString) {
        self.ticket.fail(error);
    }
}
