//! Headings, and answers to a question in the sentence before.

use std::ops::Range;

use super::{
    class,
    cues::Cue,
    scope::{Reading, Rules, Status},
    words::Token,
};

/// A heading in a sentence.
pub(super) struct Heading {
    /// Its tokens, colon included.
    pub span: Range<usize>,
    /// Whether its section asserts nothing.
    pub silent: bool,
}

impl Rules {
    /// The headings of a sentence, in order; a report on one line has several. Within a sentence they start with a capital.
    pub fn headings(&self, sentence: &str, tokens: &[Token]) -> Vec<Heading> {
        let mut headings = Vec::new();
        let mut at = if sentence.contains(':') { 0 } else { tokens.len() };
        while at < tokens.len() {
            let capital = sentence.get(tokens[at].start..).is_some_and(|rest| rest.starts_with(char::is_uppercase));
            let heading = if at == 0 || capital { self.heading(tokens, at) } else { None };
            at = heading.as_ref().map_or(at + 1, |heading| heading.span.end);
            headings.extend(heading);
        }
        headings
    }

    fn heading(&self, tokens: &[Token], at: usize) -> Option<Heading> {
        let (len, kind) = self.headings.longest(&tokens[at..])?;
        let colon = at + len;
        tokens.get(colon).filter(|token| self.is(token, class::COLON))?;
        Some(Heading { span: at..colon + 1, silent: kind == 0 })
    }

    /// Whether a sentence holds a heading whose section asserts what it says ("FINDINGS:").
    pub fn speaks(&self, sentence: &str) -> bool {
        let headings = || self.headings(sentence, &self.vocabulary.tokens(sentence));
        sentence.contains(':') && headings().iter().any(|heading| !heading.silent)
    }

    /// The tokens of an answer that opens a sentence: "No, pneumonia" denies what was asked.
    pub fn answered(&self, tokens: &[Token]) -> usize {
        let is = |at: usize, classes| tokens.get(at).is_some_and(|token| self.is(token, classes));
        let answer = is(0, class::YES) && !is(0, class::PERCEIVE) || is(0, class::NO) && is(0, class::FORWARD);
        if answer && is(1, class::COMMA) && !is(1, class::DASH) { 2 } else { 0 }
    }

    /// What a sentence answers to the question before it; nothing if it says something of its own first.
    pub fn answer(&self, reading: &Reading) -> Option<Status> {
        let first = |classes| reading.tokens.iter().position(|token| self.is(token, classes));
        let end = first(class::STOP | class::COMMA).unwrap_or(reading.tokens.len());
        let said = &reading.tokens[..end];
        let spans = reading.mentions.iter().map(|mention| &mention.span).chain(reading.anatomy.iter().map(|(s, _)| s));
        let end = spans.map(|span| span.start).min().unwrap_or(end).min(end);
        let yes = said.first().is_some_and(|first| self.is(first, class::YES));
        if end < said.len() && !yes {
            return None;
        }
        let hits = self.cues(&said[..end], 0, &[]);
        let open = |i: usize| !self.is(&said[i], class::ANSWER | class::PERCEIVE | class::SIZE | class::CHANGE_FILLER);
        if (0..end).any(|i| open(i) && !hits.iter().any(|hit| hit.span.contains(&i))) {
            return None;
        }
        let is = |cues: &[Cue]| hits.iter().any(|hit| cues.contains(&hit.cue));
        if is(&[Cue::Deny, Cue::DenyBack, Cue::DenyEither]) {
            Some(Status::Absent)
        } else if is(&[Cue::Doubt, Cue::DoubtBack]) {
            Some(Status::Uncertain)
        } else {
            (yes || end == 2).then_some(Status::Present)
        }
    }
}

impl Reading {
    /// Takes the answer to what the sentence asked.
    pub fn settle(&mut self, answer: Status) {
        for mention in self.mentions.iter_mut().filter(|mention| mention.status == Status::Uncertain) {
            mention.status = answer;
        }
    }
}
