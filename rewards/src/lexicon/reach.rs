//! How far a cue reaches in its clause.
//!
//! A clause may be as long as its sentence and hold a cue at every word, so what all cues ask of it is looked up once
//! ([`Ground`]) and a cue walks only over words that can end its reach.

use std::ops::Range;

use super::{
    class,
    cues::Cue,
    parts::Part,
    scope::{Hit, Rules},
    words::Token,
};

/// How many words before a core may describe it.
const LEAD: usize = 8;

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
    /// Whether a body part of which something is said starts at a token ("heart enlarged").
    opens: Vec<bool>,
    /// Whether a core that can stand at the head of a list of what it may be ends before a token.
    headed: Vec<bool>,
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
        parts: &[Part],
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
        let mut opens = vec![false; len];
        for part in parts.iter().filter(|part| part.span.start < part.core.start) {
            if let Some(slot) = opens.get_mut(part.span.start.wrapping_sub(clause.start)) {
                *slot = true;
            }
        }
        let mut headed = vec![false; len];
        for core in cores.iter().filter(|core| self.heads(tokens, core, clause.start)) {
            if let Some(slot) = headed.get_mut(core.end.wrapping_sub(clause.start)) {
                *slot = true;
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
            if is(i, class::VERB | class::MODAL) {
                verb = Some(i);
            }
            (doubt_ends[at], next_verb[at]) = (doubt_end, verb);
        }
        let last_core = cores.iter().map(|core| core.start).max();
        Ground { tokens, clause, cores, starts, within, doubt_ends, next_verb, last_or, opens, headed, last_core }
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
                let before = |classes| hit.span.start > clause.start && self.is(&tokens[hit.span.start - 1], classes);
                let last = hit.span.end == clause.end;
                if before(class::COLON | class::COMMA) && last { backward() } else { forward() }
            }
            Cue::Silent | Cue::Condition => forward(),
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
                let mut sides: Vec<usize> = backward().into_iter().rev().take(1).filter(near).collect();
                if let Some(&last) = sides.first() {
                    sides.extend(self.listed(tokens, cores, last, clause.start));
                }
                sides.extend(forward().into_iter().take(2).filter(near));
                sides
            }
            Cue::DoubtList => {
                let next =
                    |i: usize, classes| tokens[..clause.end].get(i + 1).is_some_and(|next| self.is(next, classes));
                let ends = |i: usize| {
                    self.is(&tokens[i], class::VERB | class::WITH | class::DASH | class::EXPLAINS)
                        || self.is(&tokens[i], class::COMMA) && next(i, class::SIZE | class::CHANGE | class::DETERMINER)
                };
                let starts = |i: usize| matches!(ground.starts[i - clause.start], Some(Cue::Deny | Cue::DenyEither));
                let end = (hit.span.end..clause.end).find(|&i| ends(i) || starts(i)).unwrap_or(clause.end);
                (0..cores.len()).filter(|&i| hit.span.end <= cores[i].start && cores[i].start < end).collect()
            }
            Cue::Mask | Cue::Stop => Vec::new(),
        }
    }

    /// The cores before `last` in a list of alternatives ("A, B versus C"), without what stands at its head and is seen:
    /// "left basal opacity, A versus B".
    pub fn listed(&self, tokens: &[Token], cores: &[Range<usize>], last: usize, start: usize) -> Vec<usize> {
        let is = |i: usize, classes| self.is(&tokens[i], classes);
        let (mut listed, mut next) = (Vec::new(), last);
        while let Some(i) = (0..next).rev().find(|&i| cores[i].end <= cores[next].start) {
            let (core, between) = (&cores[i], cores[i].end..cores[next].start);
            let ends = class::VERB | class::WITH | class::AND | class::DASH | class::COLON | class::FORWARD;
            let joined = between.clone().next().is_some_and(|comma| is(comma, class::COMMA) && !is(comma, class::DASH));
            if !joined || between.skip(1).any(|i| is(i, ends | class::COMMA)) {
                break;
            }
            let mut lead = (start..core.start).rev().take(LEAD).take_while(|&i| !is(i, class::COMMA | class::OR));
            let sized = lead.any(|i| is(i, class::SIZE | class::CHANGE | class::DETERMINER));
            if sized || self.heads(tokens, core, start) {
                break;
            }
            listed.push(i);
            next = i;
        }
        listed
    }

    /// Whether a core can stand at the head of a list of what it may be: an appearance that is described.
    fn heads(&self, tokens: &[Token], core: &Range<usize>, start: usize) -> bool {
        let is = |i: usize, classes| self.is(&tokens[i], classes);
        let mut lead = (start..core.start).rev().take(LEAD).take_while(|&i| !is(i, class::COMMA | class::OR));
        is(core.end - 1, class::APPEARANCE) && lead.any(|i| !is(i, class::FUNCTION))
    }

    /// Where a cue's reach ends; nothing without a core after it.
    fn forward_end(&self, ground: &Ground, hit: &Hit) -> Option<usize> {
        let Ground { tokens, clause, cores, .. } = ground;
        let first = cores.iter().filter(|core| hit.span.end <= core.start).map(|core| core.end).min()?;
        if matches!(hit.cue, Cue::Silent | Cue::Condition) {
            return Some(clause.end);
        }
        let doubt = matches!(hit.cue, Cue::Doubt | Cue::DoubtBoth);
        // "A or, less likely, B"
        let aside = hit.span.start >= clause.start + 2
            && self.is(&tokens[hit.span.start - 1], class::COMMA)
            && self.is(&tokens[hit.span.start - 2], class::OR);
        let from = hit.span.end + usize::from(aside);
        let doubt_end = ground.doubt_ends.get(from - clause.start).filter(|_| doubt);
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
                    (Cue::Deny | Cue::DenyEither, Cue::Silent | Cue::Condition) => true,
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
            let opens = |i: usize| ground.opens.get(i - clause.start).is_some_and(|&opens| opens);
            let part = opens(i + 1) || is(i + 1, class::DETERMINER) && opens(i + 2);
            let starts = || is(i + 1, class::SIZE | class::CHANGE | class::DETERMINER) || new_predicate();
            let ends = if is(i, class::VERB | class::DASH)
                || doubt && is(i, class::EXPLAINS)
                || part && is(i, class::COMMA | class::AND)
            {
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
        // "given the opacity, pneumonia should be considered"
        let introduced = (clause.start..clause.end.min(clause.start + 3)).any(|i| is(i, class::EXPLAINS));
        let aside = (clause.start..last).find(|&i| introduced && is(i, class::COMMA));
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
            let doubt = matches!(hit.cue, Cue::Doubt | Cue::DoubtBack);
            if doubt && listed && is(i, class::COMMA) && ground.headed[i - clause.start] {
                return Some(i);
            }
            let relative = i + 2 < clause.end && (is(i + 1, class::PRONOUN) || is(i + 2, class::PRONOUN));
            if is(i, class::COMMA) && (!listed || relative || aside == Some(i)) || is(i, class::DASH) {
                return Some(i);
            }
            if matches!(ground.starts[i - clause.start], Some(Cue::Silent | Cue::Condition)) {
                return Some(i);
            }
        }
        Some(clause.start)
    }
}
