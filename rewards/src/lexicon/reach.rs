//! How far a cue reaches in its clause.
//!
//! A clause may be as long as its sentence and hold a cue at every word, so what all cues ask of it is looked up once
//! ([`Ground`]) and a cue walks only over words that can end its reach.

use std::ops::Range;

use super::{
    cues::{Cue, class},
    scope::{Hit, Rules},
    words::Token,
};

/// A clause as its cues see it. The vectors have one entry per token of the clause.
pub(super) struct Ground<'a> {
    tokens: &'a [Token],
    clause: Range<usize>,
    cores: &'a [Range<usize>],
    /// The cue that starts at a token.
    starts: Vec<Option<Cue>>,
    /// Whether a token is in a core and not its first.
    within: Vec<bool>,
    /// From a token on, where a doubt ends that has met no core yet.
    doubt_ends: Vec<usize>,
    /// From a token on, the next verb.
    next_verb: Vec<Option<usize>>,
    last_or: Option<usize>,
    /// Where the last core starts.
    last_core: Option<usize>,
}

impl Ground<'_> {
    fn joins(&self, from: usize) -> bool {
        self.last_or.is_some_and(|or| from <= or)
    }
}

impl Rules {
    /// Surveys a clause: its cues in order of their starts, and the words whose scope they decide.
    pub fn ground<'a>(
        &self,
        tokens: &'a [Token],
        clause: Range<usize>,
        hits: &[&Hit],
        cores: &'a [Range<usize>],
    ) -> Ground<'a> {
        let (len, end) = (clause.len(), clause.end);
        let is = |i: usize, classes| i < end && self.is(&tokens[i], classes);
        let mut starts = vec![None; len];
        for hit in hits.iter().rev() {
            if let Some(slot) = starts.get_mut(hit.span.start - clause.start) {
                *slot = Some(hit.cue);
            }
        }
        let mut within = vec![false; len];
        for core in cores {
            for i in core.start + 1..core.end {
                if let Some(slot) = within.get_mut(i - clause.start) {
                    *slot = true;
                }
            }
        }
        let last_or = clause.clone().rev().find(|&i| is(i, class::OR));
        let (mut doubt_ends, mut next_verb) = (vec![end; len], vec![None; len]);
        let (mut doubt_end, mut verb) = (end, None);
        for i in clause.clone().rev() {
            let at = i - clause.start;
            let listed = last_or.is_some_and(|or| i <= or);
            let parts = is(i, class::COMMA) && !listed || is(i, class::AND) && !is(i + 1, class::OR);
            if parts || starts[at] == Some(Cue::Deny) {
                doubt_end = i;
            }
            if is(i, class::VERB) {
                verb = Some(i);
            }
            (doubt_ends[at], next_verb[at]) = (doubt_end, verb);
        }
        let last_core = cores.iter().map(|core| core.start).max();
        Ground { tokens, clause, cores, starts, within, doubt_ends, next_verb, last_or, last_core }
    }

    /// The cores (by index) that a cue reaches in its clause.
    pub fn reach(&self, ground: &Ground, hit: &Hit) -> Vec<usize> {
        let Ground { tokens, clause, cores, .. } = ground;
        let forward = || {
            let Some(end) = self.forward_end(ground, hit) else {
                return Vec::new();
            };
            let reach = |core: &Range<usize>| hit.span.end <= core.start && core.start < end;
            (0..cores.len()).filter(|&i| reach(&cores[i])).collect::<Vec<_>>()
        };
        let backward = || {
            let Some(start) = self.backward_start(ground, hit) else {
                return Vec::new();
            };
            let reach = |core: &Range<usize>| start <= core.start && core.end <= hit.span.start;
            (0..cores.len()).filter(|&i| reach(&cores[i])).collect::<Vec<_>>()
        };
        let or = |first: Vec<usize>, second: &dyn Fn() -> Vec<usize>| if first.is_empty() { second() } else { first };
        match hit.cue {
            Cue::Deny => {
                let after_colon = hit.span.start > clause.start && self.is(&tokens[hit.span.start - 1], class::COLON);
                let last = hit.span.end == clause.end;
                if after_colon && last { backward() } else { forward() }
            }
            Cue::Silent => forward(),
            // "right effusion, none on the left"
            Cue::DenyBack if self.is(&tokens[hit.span.start], class::NONE) && hit.span.end < clause.end => {
                if self.is(&tokens[hit.span.end], class::FUNCTION | class::SIDE)
                    && !self.is(&tokens[hit.span.end], class::STOP)
                {
                    Vec::new()
                } else {
                    backward()
                }
            }
            Cue::DenyBack | Cue::DoubtBack => backward(),
            // "effusion, possibly loculated" doubts the attribute, not the effusion.
            Cue::Doubt if self.is(&tokens[hit.span.start], class::TENTATIVE) => or(forward(), &|| {
                let next = tokens[..clause.end].get(hit.span.end);
                let attribute = next.is_some_and(|next| !self.is(next, class::FUNCTION | class::PERCEIVE));
                if attribute { Vec::new() } else { backward() }
            }),
            Cue::DenyEither => or(backward(), &forward),
            Cue::Doubt if self.is(&tokens[hit.span.end - 1], class::TRANSITIVE) => forward(),
            Cue::Doubt => or(forward(), &backward),
            Cue::DoubtBoth => {
                let near = |i: &usize| {
                    let core = &cores[*i];
                    core.end + 6 >= hit.span.start && core.start < hit.span.end + 8
                };
                let (mut sides, mut after) = (backward(), forward());
                sides = sides.into_iter().rev().take(1).collect();
                after.truncate(2);
                sides.extend(after);
                sides.retain(near);
                sides
            }
            Cue::Mask | Cue::Stop => Vec::new(),
        }
    }

    /// Where a cue's reach ends; nothing without a core after it.
    fn forward_end(&self, ground: &Ground, hit: &Hit) -> Option<usize> {
        let Ground { tokens, clause, cores, .. } = ground;
        let first = cores.iter().filter(|core| hit.span.end <= core.start).map(|core| core.end).min()?;
        if hit.cue == Cue::Silent {
            return Some(clause.end);
        }
        let doubt = matches!(hit.cue, Cue::Doubt | Cue::DoubtBoth);
        let doubt_end = ground.doubt_ends.get(hit.span.end - clause.start).filter(|_| doubt);
        if let Some(&end) = doubt_end.filter(|&&end| end < first) {
            return Some(end);
        }
        let is = |i: usize, classes| i < clause.end && self.is(&tokens[i], classes);
        for i in first..clause.end {
            let at = i - clause.start;
            if let Some(next) = ground.starts[at] {
                let turns = match (hit.cue, next) {
                    (_, Cue::Stop) => false,
                    (Cue::Deny | Cue::Doubt, next) if next == hit.cue => true,
                    (Cue::Doubt | Cue::DoubtBoth, Cue::Deny) => true,
                    (_, Cue::Mask) => true,
                    // "No opacity suspicious for pneumonia" denies both; "no effusion, possible edema" one.
                    (Cue::Deny | Cue::DenyEither, Cue::Doubt) => {
                        is(i - 1, class::COMMA | class::AND | class::OR | class::VERB)
                    }
                    (Cue::Deny | Cue::DenyEither, Cue::Silent) => true,
                    _ => false,
                };
                if turns {
                    return Some(i);
                }
            }
            if ground.within[at] {
                continue;
            }
            let new_predicate = || {
                ground.next_verb[at].is_some_and(|j| !(j + 1..j + 5).any(|k| is(k, class::PERCEIVE)))
                    && ground.last_core.is_some_and(|start| i <= start)
            };
            let starts = || is(i + 1, class::SIZE | class::CHANGE | class::DETERMINER) || new_predicate();
            let ends = if is(i, class::VERB) {
                true
            } else if is(i, class::WITH) {
                !is(i - 1, class::ASSOCIATED)
            } else if is(i, class::CAUSE) {
                !doubt
            } else if is(i, class::COMMA) {
                !ground.joins(i) && (doubt || starts())
            } else if is(i, class::AND) {
                starts() && !is(i + 1, class::OR)
            } else {
                false
            };
            if ends {
                return Some(i);
            }
        }
        Some(clause.end)
    }

    /// Where a cue's reach to the left starts; nothing without a core before it.
    fn backward_start(&self, ground: &Ground, hit: &Hit) -> Option<usize> {
        let Ground { tokens, clause, cores, .. } = ground;
        let is = |i: usize, classes| self.is(&tokens[i], classes);
        let last = cores.iter().filter(|core| core.end <= hit.span.start).map(|core| core.start).max()?;
        let mut cut = None;
        let mut listed = false;
        for i in (clause.start..last).rev() {
            if is(i, class::VERB) {
                return Some(cut.unwrap_or(i));
            }
            if is(i, class::WITH) && !(i > clause.start && is(i - 1, class::ASSOCIATED)) {
                return Some(i);
            }
            if is(i, class::AND | class::OR) {
                listed = true;
                cut.get_or_insert(i);
            }
            if is(i, class::COMMA) && !listed {
                return Some(i);
            }
        }
        Some(clause.start)
    }
}
