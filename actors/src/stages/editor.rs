//! The editor stage: one edited copy of each sampled report (EditGRPO, section 2).

use std::sync::Arc;

use addendum_editor::{Edit, Editor};
use addendum_replay::{EditOperation, EditRecord, Origin, Rollout, RolloutGroup, RolloutId, Stream};
use rand::Rng;

use crate::{RunConfig, Stage, StageError, Tokenize, Variant};

/// Adds an edited copy of each of a group's first reports, as many as [`RunConfig::edited`] says.
pub struct EditStage {
    editor: Arc<Editor>,
    tokenizer: Arc<dyn Tokenize>,
    run: RunConfig,
}

impl EditStage {
    /// A stage for a run of this configuration; `tokenizer` is the policy's own, so that the tokens of edits can be
    /// trained on.
    pub fn new(editor: Arc<Editor>, tokenizer: Arc<dyn Tokenize>, run: RunConfig) -> Self {
        Self { editor, tokenizer, run }
    }

    fn edited(&self, group: &RolloutGroup, sampled: &Rollout, id: RolloutId) -> Result<Rollout, StageError> {
        let mut rng = group.ticket.stream(Stream::Edit, sampled.id.0);
        let edited = self.editor.edit(&sampled.text, group.study.reference.text(), &mut rng)?;
        let tokens = match edited.log.is_empty() {
            true => sampled.tokens.clone(),
            false => self.tokenizer.splice(&sampled.tokens, &edited.text)?,
        };
        Ok(Rollout {
            id,
            tokens,
            text: edited.text,
            truncated: edited.log.is_empty() && sampled.truncated,
            origin: Origin::Edited {
                source: sampled.id,
                record: EditRecord { operations: edited.log.iter().map(operation).collect::<Result<_, _>>()? },
            },
            reward: None,
        })
    }

    fn reference(&self, group: &RolloutGroup, id: RolloutId) -> Result<Rollout, StageError> {
        let text = group.study.reference.text();
        Ok(Rollout {
            id,
            tokens: self.tokenizer.report(text)?,
            text: text.to_string(),
            origin: Origin::Reference,
            truncated: false,
            reward: None,
        })
    }
}

impl Stage for EditStage {
    fn process(&mut self, group: &mut RolloutGroup) -> Result<(), StageError> {
        let ids = (group.next_id().0..).map(RolloutId).take(self.run.edited(group.ticket.origin()));
        let copies = group.rollouts.iter().zip(ids).map(|(sampled, id)| self.edited(group, sampled, id));
        let mut copies = copies.collect::<Result<Vec<_>, _>>()?;
        if self.run.variant == Variant::EditGrpoPara && !copies.is_empty() {
            let replaced = group.ticket.stream(Stream::Group, 0).random_range(0..copies.len());
            copies[replaced] = self.reference(group, copies[replaced].id)?;
        }
        group.rollouts.extend(copies);
        Ok(())
    }
}

/// The editor's log entry as plain data; its names are those of the editor's own serialization.
fn operation(edit: &Edit) -> Result<EditOperation, StageError> {
    let name = |value: serde_json::Value| value.as_str().map(str::to_string).unwrap_or_else(|| value.to_string());
    Ok(EditOperation {
        operation: name(serde_json::to_value(edit.operation)?),
        rule: name(serde_json::to_value(edit.rule)?),
        position: edit.position,
        source: edit.source.clone(),
        target: edit.target.clone(),
        triggers: edit.triggers.clone(),
    })
}
