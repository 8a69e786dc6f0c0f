//! The lines of a recording, and the file that they are written to.

use std::sync::Arc;

use addendum_replay::{Batch, Drawn, Origin, PolicyVersion, Rollout, TicketId};
use serde::{Deserialize, Serialize};

use crate::{Sampled, record::runs};

/// A step, before its groups.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StepLine {
    pub step: u64,
    /// Lines that follow.
    pub groups: usize,
    /// Places of a step; those of dead tickets are empty.
    pub batch_groups: u64,
}

/// A group that a step was trained on, as it was sampled.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GroupLine {
    pub step: u64,
    pub ticket: u64,
    pub draw: u32,
    pub study: String,
    /// Of the study in the training set.
    pub index: usize,
    pub reports: Vec<Report>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Report {
    tokens: Vec<u32>,
    /// At the sampling temperature, in nats.
    logprobs: Vec<f32>,
    /// The policy versions of the tokens, in runs: version and number of tokens.
    versions: Vec<(u64, usize)>,
    truncated: bool,
    text: String,
}

/// A step to be recorded.
pub(crate) struct RecordedStep {
    step: u64,
    batch_groups: u64,
    groups: Vec<RecordedGroup>,
}

/// What a group is recorded from; what was sampled is shared, not copied.
struct RecordedGroup {
    drawn: Drawn,
    study: String,
    sampled: Arc<[Rollout]>,
}

impl RecordedStep {
    /// What the groups of a batch, which has so many places, were sampled as.
    pub fn of_batch(batch: &Batch, batch_groups: u64) -> Self {
        let recorded = batch.groups().iter().map(|group| {
            let ticket = &group.ticket;
            RecordedGroup {
                drawn: Drawn { ticket: ticket.origin(), draw: ticket.draw(), study: ticket.study() },
                study: group.study.id.clone(),
                sampled: group.sampled.clone(),
            }
        });
        Self { step: batch.step(), batch_groups, groups: recorded.collect() }
    }

    /// Its lines in the file.
    pub fn lines(&self) -> serde_json::Result<Vec<u8>> {
        let Self { step, batch_groups, ref groups } = *self;
        let mut text = serde_json::to_vec(&StepLine { step, groups: groups.len(), batch_groups })?;
        text.push(b'\n');
        for group in groups {
            serde_json::to_writer(&mut text, &group.line(step))?;
            text.push(b'\n');
        }
        Ok(text)
    }
}

impl RecordedGroup {
    fn line(&self, step: u64) -> GroupLine {
        let Drawn { ticket, draw, study } = self.drawn;
        GroupLine {
            step,
            ticket: ticket.0,
            draw,
            study: self.study.clone(),
            index: study,
            reports: self.sampled.iter().map(Report::of).collect(),
        }
    }
}

impl GroupLine {
    /// What was drawn for the study.
    pub fn drawn(&self) -> Drawn {
        Drawn { ticket: TicketId(self.ticket), draw: self.draw, study: self.index }
    }

    /// What a learner could not use.
    pub fn check(&self, step: u64, vocabulary: usize, studies: usize) -> Result<(), String> {
        if self.step != step {
            return Err(format!("a group of step {} among those of step {step}", self.step));
        }
        if self.index >= studies {
            return Err(format!("study {} of {studies} training studies", self.index));
        }
        for (place, report) in self.reports.iter().enumerate() {
            report.check(step, vocabulary).map_err(|reason| format!("report {place}: {reason}"))?;
        }
        Ok(())
    }

    /// As the sampler gave them.
    pub fn into_reports(self) -> Vec<Sampled> {
        self.reports.into_iter().map(Report::into_sampled).collect()
    }
}

impl Report {
    fn of(rollout: &Rollout) -> Self {
        let logprobs = match &rollout.origin {
            Origin::Sampled { logprobs, .. } => logprobs.clone(),
            Origin::Edited { .. } | Origin::Reference => Vec::new(),
        };
        Self {
            tokens: rollout.tokens.clone(),
            logprobs,
            versions: runs(rollout.origin.versions()),
            truncated: rollout.truncated,
            text: rollout.text.clone(),
        }
    }

    fn check(&self, step: u64, vocabulary: usize) -> Result<(), String> {
        let (tokens, logprobs) = (self.tokens.len(), self.logprobs.len());
        // Checked one by one, so that no sum overflows.
        let versioned = self.versions.iter().try_fold(0usize, |sum, (_, run)| sum.checked_add(*run));
        if tokens == 0 || logprobs != tokens || versioned != Some(tokens) {
            let versioned = versioned.map_or("too many".to_string(), |versioned| versioned.to_string());
            return Err(format!("{tokens} tokens, {logprobs} log-probabilities and {versioned} policy versions"));
        }
        if let Some(token) = self.tokens.iter().find(|token| **token as usize >= vocabulary) {
            return Err(format!("the token {token} of a vocabulary of {vocabulary}"));
        }
        if let Some(logprob) = self.logprobs.iter().find(|logprob| !logprob.is_finite()) {
            return Err(format!("the log-probability {logprob}, expected a finite number"));
        }
        match self.versions.iter().find(|(version, _)| *version > step) {
            Some((version, _)) => Err(format!("tokens of version {version}, younger than step {step}")),
            None => Ok(()),
        }
    }

    fn into_sampled(self) -> Sampled {
        let versions = self.versions.into_iter().flat_map(|(version, run)| std::iter::repeat_n(version, run));
        Sampled {
            versions: versions.map(PolicyVersion).collect(),
            tokens: self.tokens,
            text: self.text,
            logprobs: self.logprobs,
            truncated: self.truncated,
        }
    }
}
