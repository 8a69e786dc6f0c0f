//! The cues of a sentence: phrases of the table, and cues with other words between their parts ("cannot be entirely
//! excluded", "the absence of an effusion cannot be confirmed").

use std::ops::Range;

use super::{
    class,
    concepts::Concept,
    cues::{CUES, Cue},
    scope::{Hit, Rules},
    words::Token,
};

/// How many words two parts of a cue may be apart, so that long sentences are read in linear time.
const REACH: usize = 14;

/// A sentence in which cues are looked for.
struct Scan<'a> {
    rules: &'a Rules,
    tokens: &'a [Token],
    /// The first token that counts.
    body: usize,
    /// Which tokens belong to a concept.
    named: Vec<bool>,
}

impl Rules {
    /// All cues from token `body` on, in order, without overlap.
    pub fn cues(&self, tokens: &[Token], body: usize, found: &[(Range<usize>, &'static Concept)]) -> Vec<Hit> {
        let mut named = vec![false; tokens.len()];
        for (span, _) in found {
            named[span.clone()].fill(true);
        }
        let scan = Scan { rules: self, tokens, body, named };
        let mut hits: Vec<Hit> = Vec::new();
        let mut at = body;
        while at < tokens.len() {
            let floor = hits.last().map_or(body, |hit| hit.span.end);
            if at < floor {
                at = floor;
                continue;
            }
            let composed = scan.composed(at, floor);
            at = composed.last().map_or(at + 1, |_| composed.first().map_or(at + 1, |first| first.span.end));
            hits.extend(composed);
        }
        self.add_phrases(tokens, body, &mut hits);
        hits.sort_by_key(|hit| hit.span.start);
        hits
    }

    /// Adds the phrases of the table among the words that no hit has taken.
    fn add_phrases(&self, tokens: &[Token], body: usize, hits: &mut Vec<Hit>) {
        let mut taken = vec![false; tokens.len()];
        for hit in hits.iter() {
            taken[hit.span.clone()].fill(true);
        }
        let mut at = body;
        while at < tokens.len() {
            let free = taken[at..].iter().take_while(|&&taken| !taken).count();
            let cue = self.cues.longest(&tokens[at..at + free]);
            match cue.and_then(|(len, i)| Some((len, CUES.get(i)?.0))) {
                Some((len, cue)) => {
                    hits.push(Hit { cue, span: at..at + len });
                    at += len;
                }
                None => at += 1,
            }
        }
    }
}

impl Scan<'_> {
    /// The cues whose first part stands at `at`, in order; those before `floor` are known.
    fn composed(&self, at: usize, floor: usize) -> Vec<Hit> {
        let one = |hit: Hit| vec![hit];
        (self.exclusion(at, floor).map(one))
            .or_else(|| self.taken_back(at).map(one))
            .or_else(|| self.unsure_of_denial(at))
            .or_else(|| self.denial_unsure(at))
            .or_else(|| self.left_out(at).map(one))
            .or_else(|| self.bracketed(at).map(one))
            .or_else(|| self.named_causes(at, floor))
            .or_else(|| self.explaining(at).map(one))
            .or_else(|| self.considered(at).map(one))
            .or_else(|| self.condition(at).map(one))
            .or_else(|| self.negated(at).map(one))
            .unwrap_or_default()
    }

    fn is(&self, at: usize, classes: u64) -> bool {
        self.tokens.get(at).is_some_and(|token| self.rules.is(token, classes))
    }

    fn ends_clause(&self, at: usize) -> bool {
        self.is(at, class::STOP | class::COMMA)
    }

    /// The phrase of the table at `at`: its length and cue.
    fn phrase(&self, at: usize) -> Option<(usize, Cue)> {
        let (len, i) = self.rules.cues.longest(self.tokens.get(at..)?)?;
        Some((len, CUES.get(i)?.0))
    }

    fn denial(&self, at: usize) -> Option<Range<usize>> {
        let (len, cue) = self.phrase(at)?;
        matches!(cue, Cue::Deny | Cue::DenyBack | Cue::DenyEither).then_some(at..at + len)
    }

    /// The first token from `from` on that starts a concept, within reach and its clause.
    fn concept(&self, from: usize) -> Option<usize> {
        (from..self.tokens.len().min(from + REACH)).take_while(|&i| !self.ends_clause(i)).find(|&i| self.named[i])
    }

    /// "cannot be entirely excluded", "rule out", "was excluded".
    fn exclusion(&self, at: usize, floor: usize) -> Option<Hit> {
        let id = self.tokens[at].id;
        let rule_out =
            self.rules.rule.contains(&id) && self.tokens.get(at + 1).is_some_and(|next| next.id == self.rules.out);
        if !rule_out && !self.is(at, class::EXCLUDE) {
            return None;
        }
        let end = at + 1 + usize::from(rule_out);
        let back =
            (floor.max(at.saturating_sub(7))..at).rev().take_while(|&i| !self.named[i] && !self.is(i, class::COMMA));
        let negator = back.clone().find(|&i| self.is(i, class::NEGATOR | class::UNABLE));
        let verb = back.clone().find(|&i| self.is(i, class::VERB)).or(back.clone().find(|&i| i + 1 == at));
        let open = negator.or(back.clone().find(|&i| self.is(i, class::MUST)));
        // "the exclusion of an effusion is not possible"
        let impossible = || {
            let concept = self.concept(end).filter(|_| self.is(end, class::OF_FOR))?;
            let rest = (concept..self.tokens.len().min(concept + REACH)).take_while(|&i| !self.ends_clause(i));
            rest.into_iter().find(|&i| self.is(i, class::NEGATOR))
        };
        Some(match open {
            Some(start) if self.is_after_concept(start) && self.causal(end).is_some() => {
                Hit { cue: Cue::DoubtBack, span: start..end }
            }
            Some(start) => Hit { cue: Cue::Doubt, span: start..end },
            None if impossible().is_some() => Hit { cue: Cue::Doubt, span: at..end },
            None if at > self.body && self.tokens[at - 1].id == self.rules.to => {
                Hit { cue: Cue::Silent, span: at - 1..end }
            }
            None if rule_out && id == self.rules.rule[0] => Hit { cue: Cue::Silent, span: at..end },
            None => Hit { cue: Cue::DenyEither, span: verb.unwrap_or(at)..end },
        })
    }

    /// A denial that another one takes back: "not absent", "no longer free of", "not without".
    fn taken_back(&self, at: usize) -> Option<Hit> {
        let no = self.is(at, class::NO) && self.is(at, class::FORWARD);
        if !self.is(at, class::PLAIN_NOT) || no && !self.is(at + 1, class::LONGER | class::DENIAL_NOUN) {
            return None;
        }
        let bridge = (at + 1..at + 7).take_while(|&i| self.is(i, class::BRIDGE)).count();
        let repeated = |i: usize| i == at + 1 && self.tokens.get(i).is_some_and(|next| next.id == self.tokens[at].id);
        let denied = (at + 1..=at + 1 + bridge)
            // "cannot exclude" leaves open.
            .filter(|&i| !repeated(i) && !self.is(i, class::EXCLUDE))
            .find_map(|i| self.denial(i))?;
        Some(Hit { cue: Cue::Mask, span: at..denied.end })
    }

    /// Words that deny certainty: "cannot be confirmed", "is not certain", "unclear".
    fn unsure(&self, at: usize) -> Option<Range<usize>> {
        if self.is(at, class::UNSURE) {
            return Some(at..at + 1);
        }
        if !self.is(at, class::NEGATOR) {
            return None;
        }
        let certain = (at + 1..at + 5)
            .take_while(|&i| i < self.tokens.len() && !self.named[i] && !self.ends_clause(i))
            .find(|&i| self.is(i, class::CERTAIN))?;
        Some(at..certain + 1)
    }

    /// "it cannot be confirmed that there is no effusion", "unclear whether the effusion has resolved".
    fn unsure_of_denial(&self, at: usize) -> Option<Vec<Hit>> {
        let unsure = self.unsure(at)?;
        if !self.is(unsure.end, class::CONTENT | class::DETERMINER | class::DENIAL_NOUN) {
            return None;
        }
        let denied = (unsure.end..self.tokens.len().min(unsure.end + REACH))
            .take_while(|&i| !self.ends_clause(i))
            .find_map(|i| self.denial(i))?;
        Some(vec![Hit { cue: Cue::Doubt, span: unsure }, Hit { cue: Cue::Mask, span: denied }])
    }

    /// "the absence of an effusion cannot be confirmed", "resolution of the effusion is uncertain".
    fn denial_unsure(&self, at: usize) -> Option<Vec<Hit>> {
        if !self.is(at, class::DENIAL_NOUN) {
            return None;
        }
        let denied = self.denial(at)?;
        let concept = self.concept(denied.end)?;
        let unsure = (concept..self.tokens.len().min(concept + REACH))
            .take_while(|&i| !self.ends_clause(i))
            .find_map(|i| self.unsure(i))?;
        Some(vec![Hit { cue: Cue::Mask, span: denied }, Hit { cue: Cue::DoubtBack, span: unsure }])
    }

    /// "an effusion is seen, a pneumothorax is not"
    fn left_out(&self, at: usize) -> Option<Hit> {
        let negated = at > self.body
            && self.is(at, class::PLAIN_NOT)
            && !self.is(at, class::FORWARD)
            && self.is(at - 1, class::VERB);
        let last = at + 1 == self.tokens.len() || self.ends_clause(at + 1);
        (negated && last).then(|| Hit { cue: Cue::DenyBack, span: at..at + 1 })
    }

    /// "pneumothorax (no)", "pneumothorax: no, effusion: yes"
    fn bracketed(&self, at: usize) -> Option<Hit> {
        let opened = at > self.body && self.is(at - 1, class::COLON | class::COMMA) && self.is(at, class::NO);
        let closed = self.is(at + 1, class::COMMA);
        (opened && closed).then(|| Hit { cue: Cue::DenyBack, span: at..at + 1 })
    }

    /// "possible causes of the opacity are pneumonia and edema", "unclear whether the opacity is pneumonia": the opacity
    /// is there.
    fn named_causes(&self, at: usize, floor: usize) -> Option<Vec<Hit>> {
        let names = self.is(at, class::NAMES) && self.is(at + 1, class::OF_FOR);
        let whether = at > self.body && self.is(at, class::WHETHER) && self.is(at - 1, class::UNSURE | class::CERTAIN);
        if !names && !whether {
            return None;
        }
        let concept = self.concept(at + 1 + usize::from(names))?;
        let verb = (concept..self.tokens.len().min(concept + REACH))
            .take_while(|&i| !self.ends_clause(i))
            .find(|&i| !self.named[i] && self.is(i, class::VERB | class::MODAL | class::INCLUDES))?;
        let first = self.concept(verb + 1)?;
        let doubt = |i: usize| matches!(self.phrase(i), Some((_, Cue::Doubt | Cue::DoubtList)));
        let end = (verb + 1..first).rev().find(|&i| doubt(i)).map_or(verb + 1, |i| i + 1);
        // "the most likely cause"
        let likely = |&i: &usize| matches!(self.phrase(i), Some((_, Cue::Doubt)));
        let start = (floor..at).rev().take_while(likely).last().unwrap_or(at);
        Some(vec![Hit { cue: Cue::Mask, span: start..at + 1 }, Hit { cue: Cue::DoubtList, span: verb..end }])
    }

    /// "pneumonia may explain the opacity", "edema is a possible cause of the opacities": the opacity is there.
    fn explaining(&self, at: usize) -> Option<Hit> {
        let (len, cue) = self.phrase(at)?;
        if !matches!(cue, Cue::Doubt | Cue::DoubtBack) || !self.is_after_concept(at) {
            return None;
        }
        Some(Hit { cue: Cue::DoubtBack, span: at..self.causal(at + len)? + 1 })
    }

    /// Soon from `from` on, a word that leads to what would be explained ("the cause of"), not from it ("caused by").
    fn causal(&self, from: usize) -> Option<usize> {
        let near = (from..self.tokens.len().min(from + 4)).take_while(|&i| !self.named[i] && !self.ends_clause(i));
        let causal = near.into_iter().find(|&i| self.is(i, class::CAUSAL))?;
        self.concept(causal + 1).filter(|_| !self.is(causal + 1, class::BY)).map(|_| causal)
    }

    /// "pneumonia is the leading consideration"
    fn considered(&self, at: usize) -> Option<Hit> {
        if !self.is(at, class::VERB) || !self.is(at + 1, class::DETERMINER) || !self.is_after_concept(at) {
            return None;
        }
        let noun = (at + 2..at + 5).take_while(|&i| !self.named.get(i).is_none_or(|&named| named));
        let noun = noun.take_while(|&i| !self.is(i, class::NEGATOR)).find(|&i| self.is(i, class::CONSIDERED))?;
        Some(Hit { cue: Cue::DoubtBack, span: at..noun + 1 })
    }

    fn is_after_concept(&self, at: usize) -> bool {
        let back = (self.body.max(at.saturating_sub(REACH))..at).rev();
        back.take_while(|&i| !self.ends_clause(i)).any(|i| self.named[i])
    }

    /// "if present, the effusion is small"; "were there an effusion".
    fn condition(&self, at: usize) -> Option<Hit> {
        if self.is(at, class::WERE) && at == self.body {
            return Some(Hit { cue: Cue::Condition, span: at..at + 1 });
        }
        let perceived = self.is(at, class::IF) && self.is(at + 1, class::PERCEIVE) && self.is(at + 2, class::COMMA);
        perceived.then(|| Hit { cue: Cue::Doubt, span: at..at + 3 })
    }

    /// "no significant change", "not clearly seen".
    fn negated(&self, at: usize) -> Option<Hit> {
        if !self.is(at, class::NEGATOR) {
            return None;
        }
        let change = (at + 1..self.tokens.len().min(at + 8))
            .take_while(|&i| i == at + 1 || self.is(i - 1, class::CHANGE_FILLER))
            .find(|&i| self.is(i, class::CHANGE_NOUN));
        if let Some(i) = change {
            return Some(Hit { cue: Cue::Mask, span: at..i + 1 });
        }
        // "no" and "without" look forward only: "no visible pneumothorax" is no "not visible".
        if self.is(at, class::OR | class::FORWARD) {
            return None;
        }
        let longer = 1 + usize::from(self.is(at + 1, class::FILLER));
        let perceived = (at + 1..self.tokens.len().min(at + 4 + longer))
            .take_while(|&i| !self.named[i] && !self.is(i, class::VERB | class::COMMA | class::AND | class::OR))
            .find(|&i| self.is(i, class::PERCEIVE))?;
        let past = |i: usize| self.tokens.get(i).is_some_and(|token| self.rules.early.contains(&token.id));
        let mask = (at + 1..perceived + 4).any(past);
        Some(Hit { cue: if mask { Cue::Mask } else { Cue::DenyEither }, span: at..perceived + 1 })
    }
}
