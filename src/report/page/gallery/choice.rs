//! Which studies are shown: by rules that do not depend on who looks, good and bad ones.

use std::collections::BTreeMap;

use addendum_actors::RolloutSample;

use crate::report::tested::Tested;

/// An edited report and the sampled one that it was copied from.
pub(super) struct Pair<'a> {
    pub source: &'a RolloutSample,
    pub copy: &'a RolloutSample,
}

impl Pair<'_> {
    fn gain(&self) -> f64 {
        self.copy.reward - self.source.reward
    }
}

/// A test study.
pub(super) struct Chosen<'a> {
    pub study: &'a Tested,
    /// Its place in its set.
    pub place: usize,
    /// What its score gained.
    pub change: f64,
}

/// Of each operation the edit that earned most and the one in the middle, then the one that did most harm; at most
/// `count`.
pub(super) fn pairs(rollouts: &[RolloutSample], count: usize) -> Vec<Pair<'_>> {
    let mut by_operation: BTreeMap<&str, Vec<Pair<'_>>> = BTreeMap::new();
    for group in rollouts.chunk_by(|a, b| (a.step, a.ticket, a.draw) == (b.step, b.ticket, b.draw)) {
        for copy in group.iter().filter(|copy| copy.dropped.is_none()) {
            let source = copy.source.and_then(|id| group.iter().find(|rollout| rollout.rollout == id));
            if let (Some(source), Some(edit)) = (source, copy.edits.first()) {
                by_operation.entry(&edit.operation).or_default().push(Pair { source, copy });
            }
        }
    }
    let (mut most, mut middle, mut least) = (Vec::new(), Vec::new(), Vec::new());
    for mut pairs in by_operation.into_values() {
        pairs.sort_by(|a, b| b.gain().total_cmp(&a.gain()));
        let half = pairs.len() / 2;
        let mut pairs = pairs.into_iter().map(Some).collect::<Vec<_>>();
        let mut take = |place: usize| pairs.get_mut(place).and_then(Option::take);
        most.extend(take(0));
        middle.extend(take(half));
        let last = pairs.len() - 1;
        least.extend(pairs[last].take());
    }
    least.sort_by(|a, b| a.gain().total_cmp(&b.gain()));
    least.truncate(1);
    // A single kind of edit must not take all places.
    most.truncate(count.div_ceil(2).max(1));
    let others = middle.into_iter().chain(least);
    let mut chosen: Vec<Pair<'_>> = most.into_iter().chain(others).collect();
    chosen.truncate(count);
    chosen
}

/// The mean of a report's RadGraph F1 and RaTEScore.
fn score(study: &Tested, place: usize) -> Option<f64> {
    let report = study.reports.get(place)?;
    let score = (report.radgraph + report.rate) / 2.0;
    score.is_finite().then_some(score)
}

/// Of each set those studies that gained most, one in the middle, and the one that lost most; about `count` in all.
pub(super) fn studies(tests: &[Tested], count: usize) -> Vec<Chosen<'_>> {
    let mut sets: Vec<(&str, Vec<Chosen<'_>>)> = Vec::new();
    for study in tests {
        let at = sets.iter().position(|(name, _)| *name == study.set).unwrap_or_else(|| {
            sets.push((&study.set, Vec::new()));
            sets.len() - 1
        });
        let place = sets[at].1.len();
        let last = study.reports.len().saturating_sub(1);
        let change = match (score(study, 0), score(study, last)) {
            (Some(before), Some(after)) => after - before,
            _ => f64::NEG_INFINITY,
        };
        sets[at].1.push(Chosen { study, place, change });
    }
    let share = (count / sets.len().max(1)).max(1);
    sets.truncate(count);
    sets.into_iter().flat_map(|(_, studies)| of_set(studies, share)).collect()
}

fn of_set(mut studies: Vec<Chosen<'_>>, count: usize) -> Vec<Chosen<'_>> {
    studies.retain(|chosen| chosen.change.is_finite());
    studies.sort_by(|a, b| b.change.total_cmp(&a.change).then(a.place.cmp(&b.place)));
    if studies.len() <= count {
        return studies;
    }
    let (last, middle) = (studies.len() - 1, studies.len() / 2);
    let best = count.saturating_sub(2).max(1);
    let mut places: Vec<usize> = (0..best).chain([last, middle]).take(count.max(1)).collect();
    places.sort_unstable();
    places.dedup();
    let chosen = studies.into_iter().enumerate().filter(|(place, _)| places.contains(place));
    chosen.map(|(_, chosen)| chosen).collect()
}

#[cfg(test)]
mod tests {
    use addendum_replay::EditOperation;
    use addendum_rewards::evaluate::judge;

    use super::*;

    fn rollout(ticket: u64, id: usize, source: Option<usize>, operation: Option<&str>, reward: f64) -> RolloutSample {
        let edit = operation.map(|operation| EditOperation {
            operation: operation.into(),
            rule: "a".into(),
            position: 0,
            source: None,
            target: None,
            triggers: Vec::new(),
        });
        RolloutSample {
            step: ticket,
            ticket,
            draw: 0,
            study: format!("s{ticket}"),
            rollout: id,
            origin: "sampled".into(),
            source,
            versions: Vec::new(),
            edits: edit.into_iter().collect(),
            reward,
            components: Default::default(),
            text: String::new(),
            dropped: None,
        }
    }

    #[test]
    fn the_best_a_middling_and_the_most_harmful_edit_are_shown() {
        let mut rollouts = Vec::new();
        for (ticket, gain) in [0.1, 0.9, -0.5, 0.3, 0.0].into_iter().enumerate() {
            rollouts.push(rollout(ticket as u64, 0, None, None, 1.0));
            rollouts.push(rollout(ticket as u64, 1, Some(0), Some("replace"), 1.0 + gain));
            // Copies without an edit are no example of one.
            rollouts.push(rollout(ticket as u64, 2, Some(0), None, 1.0));
        }
        let chosen: Vec<u64> = pairs(&rollouts, 8).iter().map(|pair| pair.copy.ticket).collect();
        assert_eq!(chosen, [1, 0, 2]);
        assert_eq!(pairs(&rollouts, 1).len(), 1);
        assert!(pairs(&[], 8).is_empty() && pairs(&rollouts[..1], 8).is_empty());
        assert_eq!(pairs(&rollouts[..2], 8).len(), 1, "a single edit is shown once");
    }

    #[test]
    fn studies_of_every_set_are_shown_with_the_place_that_they_have_in_it() {
        let judged = judge(&addendum_rewards::Backends::lexicon(), &["Clear."], &["Cardiomegaly."]).unwrap();
        let tested = |set: &str, study: usize, before: f64, after: f64| {
            let mut tested = Tested::new(set, &format!("s{study}"), &judged[0]);
            tested.add("SFT", false, &judged[0]);
            tested.add("after", false, &judged[0]);
            (tested.reports[0].rate, tested.reports[1].rate) = (before, after);
            tested
        };
        let mut tests: Vec<Tested> = (0..9).map(|study| tested("a", study, 0.5, 0.1 * study as f64)).collect();
        tests.push(tested("b", 0, 0.5, f64::NAN));
        tests.push(tested("b", 1, 0.5, 0.5));
        let chosen: Vec<(String, usize)> =
            studies(&tests, 8).iter().map(|chosen| (chosen.study.study.clone(), chosen.place)).collect();
        let expected = [("s8", 8), ("s7", 7), ("s4", 4), ("s0", 0), ("s1", 1)];
        assert_eq!(chosen, expected.map(|(study, place)| (study.to_owned(), place)));
        assert!(studies(&[], 8).is_empty());
    }
}
