//! Which modifiers and body parts of a sentence belong to which mention.

use std::ops::Range;

use super::{
    class,
    scope::{Mention, Reading, Rules},
    words::UNKNOWN,
};

/// What surrounds one mention.
#[derive(Clone, Debug, Default)]
pub(super) struct Surroundings {
    /// Words that describe it (size, side, zone, change, form, unknown adjectives), as token indices in order.
    pub modifiers: Vec<usize>,
    /// Indices into [`Reading::anatomy`].
    pub anatomy: Vec<usize>,
}

/// How many words may stand between a modifier and the mention it precedes.
const REACH: usize = 5;

impl Rules {
    /// One entry per mention of the reading.
    pub fn surroundings(&self, reading: &Reading) -> Vec<Surroundings> {
        let mut all = vec![Surroundings::default(); reading.mentions.len()];
        for at in 0..reading.tokens.len() {
            let taken = reading.mentions.iter().any(|mention| mention.core.contains(&at));
            if !taken
                && !reading.cue[at]
                && self.modifies(reading, at)
                && let Some(owner) = self.owner(reading, at..at + 1)
            {
                all[owner].modifiers.push(at);
            }
        }
        for (i, (span, _)) in reading.anatomy.iter().enumerate() {
            if let Some(owner) = self.owner(reading, span.clone()) {
                all[owner].anatomy.push(i);
            }
        }
        all
    }

    fn modifies(&self, reading: &Reading, at: usize) -> bool {
        let token = &reading.tokens[at];
        let described = class::SIZE | class::CHANGE | class::SIDE | class::ZONE | class::SHAPE;
        let body = reading.anatomy.iter().any(|(span, _)| span.contains(&at));
        if self.is(token, described) {
            return !body || self.is(token, class::SIDE);
        }
        // Unknown words count when they stand right before a mention ("fluffy spiculated mass"); before what is said of a
        // body part only the last does.
        let run = reading.tokens[at..].iter().take(REACH).take_while(|token| token.id == UNKNOWN).count();
        let described = |m: &Mention| m.core.start == at + run && (run == 1 || m.core == m.span);
        run > 0 && reading.mentions.iter().any(described)
    }

    /// The mention that a word or body part belongs to: the next one of its phrase, else the last one of its clause.
    fn owner(&self, reading: &Reading, span: Range<usize>) -> Option<usize> {
        let ends = class::COMMA | class::VERB | class::STOP | class::AND | class::OR | class::WITH;
        let open = |mut range: Range<usize>, ends: u64| !range.any(|i| self.is(&reading.tokens[i], ends));
        let within = reading.mentions.iter().position(|m| m.span.start <= span.start && span.end <= m.span.end);
        let ahead = || {
            reading.mentions.iter().position(|m| {
                span.end <= m.core.start && m.core.start <= span.end + REACH && open(span.end..m.core.start, ends)
            })
        };
        let behind = || {
            let stop = (0..span.start).rev().find(|&i| self.is(&reading.tokens[i], class::STOP));
            let clause = stop.map_or(0, |stop| stop + 1);
            reading.mentions.iter().rposition(|m| clause <= m.core.end && m.core.end <= span.start)
        };
        within.or_else(ahead).or_else(behind)
    }
}

/// The first token of the words right before a mention that describe it.
pub(super) fn phrase_start(mention: Range<usize>, modifiers: &[usize]) -> usize {
    (0..mention.start).rev().take_while(|i| modifiers.contains(i)).last().unwrap_or(mention.start)
}
