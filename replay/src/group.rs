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
    Edited { source: RolloutId, record: EditRecord },
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
    pub text: String,
    pub origin: Origin,
    /// Whether generation hit the length limit before the end token.
    pub truncated: bool,
    pub reward: Option<Scored>,
}

impl Rollout {
    pub fn is_sampled(&self) -> bool {
        matches!(self.origin, Origin::Sampled { .. })
    }

    /// The rollout that this one is an edited copy of.
    pub fn source(&self) -> Option<RolloutId> {
        match self.origin {
            Origin::Edited { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// All rollouts for one study, with the ticket that admitted them. Dropping it returns the ticket.
#[derive(Debug)]
pub struct RolloutGroup {
    pub ticket: Ticket,
    pub study: Arc<Study>,
    pub rollouts: Vec<Rollout>,
}

impl RolloutGroup {
    /// The rollout with this id; `None` if a stage has removed it.
    pub fn rollout(&self, id: RolloutId) -> Option<&Rollout> {
        self.rollouts.iter().find(|rollout| rollout.id == id)
    }

    /// The id for a rollout that is about to join the group. Never one that an edited rollout refers to, even if its
    /// source was removed.
    pub fn next_id(&self) -> RolloutId {
        let known = self.rollouts.iter().flat_map(|rollout| [Some(rollout.id), rollout.source()]);
        RolloutId(known.flatten().max().map_or(0, |id| id.0 + 1))
    }

    /// What each edited rollout earned more than its source, where both are there and scored.
    pub fn edit_gains(&self) -> impl Iterator<Item = f64> + '_ {
        let total = |rollout: &Rollout| rollout.reward.as_ref().map(|reward| reward.total);
        self.rollouts.iter().filter_map(move |rollout| Some(total(rollout)? - total(self.rollout(rollout.source()?)?)?))
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
    pub fn redraw(self) -> Result<(), Self> {
        let Self { ticket, study, rollouts } = self;
        ticket.redraw().map_err(|ticket| Self { ticket, study, rollouts })
    }

    /// Gives the group up: its ticket returns to the gate with `error` as the reason.
    pub fn fail(self, error: impl ToString) {
        self.ticket.fail(error);
    }
}
