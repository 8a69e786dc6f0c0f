//! The newest rollouts, each edited one with the report that it was made of.

use std::collections::VecDeque;

use addendum_actors::RolloutSample;

/// Rollouts that one can look back at.
const KEPT: usize = 1000;

/// A report to show.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// Counts all that were ever shown.
    pub number: u64,
    /// What it was before its edit; `None` of one that has no edit.
    pub before: Option<RolloutSample>,
    pub report: RolloutSample,
}

/// Those of the last groups: the edited ones, or a sampled one where nothing was edited.
#[derive(Clone, Debug, Default)]
pub struct Rollouts {
    shown: VecDeque<Shown>,
    group: Vec<RolloutSample>,
    count: u64,
}

impl Rollouts {
    /// The next one in the order of the file, where the rollouts of a group stand together and edited ones after their
    /// sources.
    pub fn add(&mut self, rollout: RolloutSample) {
        let of = |one: &RolloutSample| (one.step, one.ticket, one.draw);
        if self.group.first().is_some_and(|first| of(first) != of(&rollout)) {
            self.group.clear();
        }
        let source = rollout.source.and_then(|id| self.group.iter().find(|other| other.rollout == id));
        match source {
            Some(source) if !rollout.edits.is_empty() => {
                let before = Some(source.clone());
                self.show(before, rollout.clone());
            }
            // It stays only until its group has something to tell.
            _ if self.group.is_empty() => self.show(None, rollout.clone()),
            _ => {}
        }
        self.group.push(rollout);
    }

    fn show(&mut self, before: Option<RolloutSample>, report: RolloutSample) {
        if let Some(last) = self.shown.back()
            && (last.before.is_none() && last.report.ticket == report.ticket && last.report.step == report.step)
        {
            self.shown.pop_back();
        }
        self.shown.push_back(Shown { number: self.count, before, report });
        self.count += 1;
        if self.shown.len() > KEPT {
            self.shown.pop_front();
        }
    }

    pub fn clear(&mut self) {
        self.shown.clear();
        self.group.clear();
    }

    /// The one with a number, if it is still there; otherwise the newest.
    pub fn get(&self, number: Option<u64>) -> Option<&Shown> {
        number.and_then(|number| self.shown.iter().find(|one| one.number == number)).or(self.shown.back())
    }

    /// The number of the one that is so many before (or, above zero, after) another, within what is there.
    pub fn beside(&self, number: Option<u64>, steps: i64) -> Option<u64> {
        let here = self.get(number)?.number;
        let index = self.shown.iter().position(|one| one.number == here)? as i64 + steps;
        let index = index.clamp(0, self.shown.len() as i64 - 1) as usize;
        Some(self.shown[index].number)
    }

    /// The place of one among those that are there, from the newest.
    pub fn age(&self, number: u64) -> usize {
        self.shown.iter().filter(|one| one.number > number).count()
    }
}

#[cfg(test)]
mod tests {
    use addendum_replay::EditOperation;

    use super::*;

    fn rollout(ticket: u64, id: usize, source: Option<usize>, edits: usize) -> RolloutSample {
        let edit = EditOperation {
            operation: "delete".into(),
            rule: "spurious".into(),
            position: 0,
            source: None,
            target: None,
            triggers: Vec::new(),
        };
        serde_json::from_value(serde_json::json!({
            "step": 0, "ticket": ticket, "study": "a", "rollout": id, "source": source, "edits": vec![edit; edits],
            "origin": if source.is_some() { "edited" } else { "sampled" },
            "reward": 1.0, "components": {}, "text": "Clear.",
        }))
        .unwrap()
    }

    #[test]
    fn a_group_shows_its_edits_with_their_sources_or_else_one_sample() {
        let mut rollouts = Rollouts::default();
        assert!(rollouts.get(None).is_none() && rollouts.beside(None, -1).is_none());
        for (id, source, edits) in [(0, None, 0), (1, None, 0), (2, Some(0), 0), (3, Some(1), 1)] {
            rollouts.add(rollout(7, id, source, edits));
        }
        let shown = rollouts.get(None).unwrap();
        assert_eq!((shown.report.rollout, shown.before.as_ref().unwrap().rollout), (3, 1));
        assert_eq!(rollouts.age(shown.number), 0);
        assert_eq!(rollouts.beside(None, -5), Some(shown.number), "the group's sample gave way");
        // An id of another group is no source.
        rollouts.add(rollout(8, 4, Some(1), 1));
        assert_eq!(rollouts.get(None).unwrap().before, None);
    }

    #[test]
    fn one_can_look_back_as_far_as_rollouts_are_kept() {
        let mut rollouts = Rollouts::default();
        (0..2000).for_each(|ticket| rollouts.add(rollout(ticket, 0, None, 0)));
        let newest = rollouts.get(None).unwrap().number;
        let back = rollouts.beside(None, -3);
        assert_eq!(rollouts.get(back).unwrap().report.ticket, 1996);
        assert_eq!(rollouts.age(back.unwrap()), 3);
        assert_eq!(rollouts.beside(back, 9), Some(newest));
        assert_eq!(rollouts.beside(None, -5000), Some(newest + 1 - KEPT as u64));
        assert_eq!(rollouts.get(Some(0)).unwrap().number, newest, "it is gone");
    }
}
