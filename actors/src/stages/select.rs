//! The selection stage: which of the candidates for a group the learner sees.

use addendum_replay::{DropReason, Dropped, EditRecord, Origin, Rollout, RolloutGroup};

use crate::{Keep, RunConfig, Stage, StageError, Unedited, When, spread::deviation};

/// Chooses the G members of a group by [`RunConfig::select`], once all rewards are there: the last stage.
///
/// The first samples, those without a place in common with a copy, always stay, so every copy keeps its source. The place
/// of a copy that does not stay goes to its source once more, or to the next sample; either way the group has G members.
pub struct SelectStage {
    run: RunConfig,
}

impl SelectStage {
    /// A stage for a run of this configuration.
    pub fn new(run: RunConfig) -> Self {
        Self { run }
    }

    /// Why a copy should not stay.
    fn objection(&self, copy: &Rollout, sampled: &[Rollout], varied: bool) -> Result<Option<DropReason>, StageError> {
        let select = &self.run.select;
        Ok(match copy.origin {
            _ if varied => Some(DropReason::Varied),
            Origin::Edited { .. } if copy.edits().is_empty() => {
                (select.unedited == Unedited::Fresh).then_some(DropReason::Unedited)
            }
            Origin::Edited { .. } if select.keep == Keep::Improving => {
                let gains = reward(copy)? > reward(source(copy, sampled)?)?;
                (!gains).then_some(DropReason::NoGain)
            }
            Origin::Edited { .. } | Origin::Sampled { .. } | Origin::Reference => None,
        })
    }
}

impl Stage for SelectStage {
    /// # Errors
    /// A report without a reward; samples that an earlier stage has removed.
    fn process(&mut self, group: &mut RolloutGroup) -> Result<(), StageError> {
        let (ticket, select) = (group.ticket.origin(), self.run.select);
        let (copies, wanted) = (self.run.edited(ticket), self.run.sampled(ticket));
        if copies == 0 || !select.is_on() {
            return Ok(());
        }
        let (mut sampled, copied): (Vec<_>, Vec<_>) =
            std::mem::take(&mut group.rollouts).into_iter().partition(Rollout::is_sampled);
        if (sampled.len(), copied.len()) != (wanted, copies) {
            let (samples, others) = (sampled.len(), copied.len());
            return Err(format!(
                "{samples} sampled reports and {others} others to select from, expected {wanted} and {copies}"
            )
            .into());
        }
        let rewards = sampled.iter().map(reward).collect::<Result<Vec<_>, _>>()?;
        let varied = select.when == When::LowVariance && deviation(&rewards) >= select.std_below;
        let spares = sampled.split_off(self.run.group_size - copies);
        let mut spares = spares.into_iter();
        let mut chosen = Vec::with_capacity(copies);
        for copy in copied {
            let Some(reason) = self.objection(&copy, &sampled, varied)? else {
                chosen.push(copy);
                continue;
            };
            chosen.push(match varied || select.unedited == Unedited::Fresh {
                true => spares.next().ok_or("there are fewer spare samples than copies")?,
                false => undone(&copy, &sampled)?,
            });
            group.dropped.push(Dropped { rollout: copy, reason });
        }
        group.dropped.extend(spares.map(|rollout| Dropped { rollout, reason: DropReason::Spare }));
        sampled.extend(chosen);
        group.rollouts = sampled;
        Ok(())
    }
}

fn reward(rollout: &Rollout) -> Result<f64, StageError> {
    let reward = rollout.reward.as_ref().ok_or("selection comes after the rewards")?;
    Ok(reward.total)
}

fn source<'a>(copy: &Rollout, sampled: &'a [Rollout]) -> Result<&'a Rollout, StageError> {
    let source = sampled.iter().find(|rollout| Some(rollout.id) == copy.source());
    source.ok_or_else(|| format!("the source of {} is no longer there", copy.id).into())
}

/// The copy as it was before its edit.
fn undone(copy: &Rollout, sampled: &[Rollout]) -> Result<Rollout, StageError> {
    let source = source(copy, sampled)?;
    let origin = Origin::Edited { source: source.id, record: EditRecord::default() };
    Ok(Rollout { id: copy.id, origin, ..source.clone() })
}

#[cfg(test)]
mod tests;
