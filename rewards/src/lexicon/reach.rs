//! How far a cue reaches in its clause.

use std::ops::Range;

use super::{
    cues::{Cue, class},
    scope::{Hit, Rules},
    words::Token,
};

impl Rules {
    /// The cores (by index) that a cue reaches in its clause.
    pub fn reach(
        &self,
        tokens: &[Token],
        clause: &Range<usize>,
        hit: &Hit,
        later: &[&Hit],
        cores: &[Range<usize>],
    ) -> Vec<usize> {
        let forward = || {
            let end = self.forward_end(tokens, clause, hit, later, cores);
            let reach = |core: &Range<usize>| hit.span.end <= core.start && core.start < end;
            (0..cores.len()).filter(|&i| reach(&cores[i])).collect::<Vec<_>>()
        };
        let backward = || {
            let start = self.backward_start(tokens, clause, hit, cores);
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

    fn forward_end(
        &self,
        tokens: &[Token],
        clause: &Range<usize>,
        hit: &Hit,
        later: &[&Hit],
        cores: &[Range<usize>],
    ) -> usize {
        let doubt = matches!(hit.cue, Cue::Doubt | Cue::DoubtBoth);
        let is = |i: usize, classes| i < clause.end && self.is(&tokens[i], classes);
        let first = cores.iter().filter(|core| hit.span.end <= core.start).map(|core| core.end).min();
        for i in hit.span.end..clause.end {
            let passed = first.is_some_and(|end| end <= i);
            if let Some(next) = later.iter().find(|next| next.span.start == i) {
                let turns = match (hit.cue, next.cue) {
                    (Cue::Silent, _) | (_, Cue::Stop) => false,
                    (Cue::Deny, Cue::Deny) | (Cue::Doubt, Cue::Doubt) => passed,
                    (Cue::Doubt | Cue::DoubtBoth, Cue::Deny) => true,
                    (_, Cue::Mask) => passed,
                    // "No opacity suspicious for pneumonia" denies both; "no effusion, possible edema" one.
                    (Cue::Deny | Cue::DenyEither, Cue::Doubt) => {
                        passed && is(i - 1, class::COMMA | class::AND | class::OR | class::VERB)
                    }
                    (Cue::Deny | Cue::DenyEither, Cue::Silent) => passed,
                    _ => false,
                };
                if turns {
                    return i;
                }
            }
            let joins = |from: usize| (from..clause.end).any(|j| is(j, class::OR));
            if !passed && doubt && (is(i, class::COMMA) && !joins(i) || is(i, class::AND) && !is(i + 1, class::OR)) {
                return i;
            }
            let within = || cores.iter().any(|core| core.start < i && i < core.end);
            if !passed || hit.cue == Cue::Silent || within() {
                continue;
            }
            let new_predicate = |from: usize| {
                let verb = (from..clause.end).find(|&j| is(j, class::VERB));
                verb.is_some_and(|j| !(j + 1..j + 5).any(|k| is(k, class::PERCEIVE)))
                    && cores.iter().any(|core| from <= core.start)
            };
            let ends = if is(i, class::VERB) {
                true
            } else if is(i, class::WITH) {
                !is(i - 1, class::ASSOCIATED)
            } else if is(i, class::CAUSE) {
                !doubt
            } else if is(i, class::COMMA) {
                let starts = is(i + 1, class::SIZE | class::CHANGE | class::DETERMINER) || new_predicate(i);
                if doubt { !joins(i) } else { starts && !joins(i) }
            } else if is(i, class::AND) {
                let starts = is(i + 1, class::SIZE | class::CHANGE | class::DETERMINER);
                (starts || new_predicate(i)) && !is(i + 1, class::OR)
            } else {
                false
            };
            if ends {
                return i;
            }
        }
        clause.end
    }

    fn backward_start(&self, tokens: &[Token], clause: &Range<usize>, hit: &Hit, cores: &[Range<usize>]) -> usize {
        let is = |i: usize, classes| self.is(&tokens[i], classes);
        let last = cores.iter().filter(|core| core.end <= hit.span.start).map(|core| core.start).max();
        let mut cut = None;
        let mut listed = false;
        for i in (clause.start..hit.span.start).rev() {
            if last.is_none_or(|start| start <= i) {
                continue;
            }
            if is(i, class::VERB) {
                return cut.unwrap_or(i);
            }
            if is(i, class::WITH) && !(i > clause.start && is(i - 1, class::ASSOCIATED)) {
                return i;
            }
            if is(i, class::AND | class::OR) {
                listed = true;
                cut.get_or_insert(i);
            }
            if is(i, class::COMMA) && !listed {
                return i;
            }
        }
        clause.start
    }
}
