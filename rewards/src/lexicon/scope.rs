//! Finds the concepts of one sentence and decides what the sentence says of each: present, absent, uncertain, or nothing.

use std::{collections::HashMap, ops::Range};

use super::{
    concepts::{self, Concept, Role},
    cues::{CLASSES, CUES, Cue, PREDICATES, SILENT_HEADINGS, SPEAKING_HEADINGS, class},
    words::{Token, Trie, UNKNOWN, Vocabulary},
};

/// What a sentence says of a concept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Present,
    Absent,
    Uncertain,
    /// Named but not asserted: asked for, or history.
    Silent,
}

/// A concept in a sentence.
#[derive(Clone, Debug)]
pub(super) struct Mention {
    pub concept: &'static Concept,
    /// All its words, as token indices; a body part and its predicate with what stands between.
    pub span: Range<usize>,
    /// The words whose scope decides.
    pub core: Range<usize>,
    pub status: Status,
    /// Whether the words themselves tell of health ("heart is normal"), so that the finding's absence is a statement.
    pub healthy: bool,
}

/// A sentence, read.
pub(super) struct Reading {
    pub tokens: Vec<Token>,
    /// Findings, devices and statements of normality, in order of their cores.
    pub mentions: Vec<Mention>,
    /// Body parts, as token indices with their concept.
    pub anatomy: Vec<(Range<usize>, &'static Concept)>,
    /// Which tokens are cues, or part of a phrase to ignore.
    pub cue: Vec<bool>,
}

/// The tables, compiled.
pub(super) struct Rules {
    pub vocabulary: Vocabulary,
    table: Vec<&'static Concept>,
    concepts: Trie,
    cues: Trie,
    pub predicates: Trie,
    headings: Trie,
    classes: Vec<u32>,
    pub named: HashMap<&'static str, &'static Concept>,
    out: u32,
    to: u32,
    rule: [u32; 2],
    early: Vec<u32>,
}

/// A cue in a sentence.
pub(super) struct Hit {
    pub cue: Cue,
    pub span: Range<usize>,
}

impl Rules {
    pub fn new() -> Self {
        let mut vocabulary = Vocabulary::default();
        let mut trie = |tables: &mut dyn Iterator<Item = (usize, &str)>| {
            let mut trie = Trie::default();
            for (value, phrases) in tables {
                for phrase in phrases.split('|') {
                    let words = vocabulary.intern(phrase);
                    if !words.is_empty() {
                        trie.insert(&words, value);
                    }
                }
            }
            trie
        };
        let table = concepts::all().collect();
        let concepts = trie(&mut concepts::all().map(|concept| concept.phrases).enumerate());
        let cues = trie(&mut CUES.iter().map(|(_, phrases)| *phrases).enumerate());
        let predicates = trie(&mut PREDICATES.iter().map(|(_, phrases)| *phrases).enumerate());
        let headings = trie(&mut [SILENT_HEADINGS, SPEAKING_HEADINGS].into_iter().enumerate());
        let mut marks = Vec::new();
        for (bit, words) in CLASSES {
            marks.extend(vocabulary.intern(words).into_iter().map(|id| (id, bit)));
        }
        let mut word = |word: &str| vocabulary.intern(word).first().copied().unwrap_or(UNKNOWN);
        let (out, to, rule) = (word("out"), word("to"), [word("rule"), word("ruled")]);
        let early = ["previously", "before", "earlier", "prior"].map(word).to_vec();
        let mut classes = vec![0; vocabulary.len()];
        for (id, bit) in marks {
            if let Some(slot) = classes.get_mut(id as usize) {
                *slot |= bit;
            }
        }
        let named = concepts::all().map(|concept| (concept.name, concept)).collect();
        Self { vocabulary, table, concepts, cues, predicates, headings, classes, named, out, to, rule, early }
    }

    /// Whether a word belongs to any of the classes.
    pub fn is(&self, token: &Token, classes: u32) -> bool {
        self.classes.get(token.id as usize).is_some_and(|has| has & classes != 0)
    }

    /// Reads one sentence. `silent` says whether the section asserts nothing and is kept up to date at headings.
    pub fn read(&self, sentence: &str, silent: &mut bool) -> Reading {
        let tokens = self.vocabulary.tokens(sentence);
        let mut reading = Reading { cue: vec![false; tokens.len()], tokens, mentions: Vec::new(), anatomy: Vec::new() };
        let body = self.heading(&reading.tokens, silent);
        let mut found: Vec<(Range<usize>, &'static Concept)> =
            (self.concepts.find(&reading.tokens[body..]).into_iter())
                .filter_map(|(a, b, i)| Some((a + body..b + body, *self.table.get(i)?)))
                .collect();
        let hits = self.cues(&reading.tokens, body, &found);
        for (span, _) in found.iter().filter(|(_, concept)| concept.role == Role::Ignore) {
            reading.cue[span.clone()].fill(true);
        }
        found.retain(|(_, concept)| concept.role != Role::Ignore);
        for hit in &hits {
            reading.cue[hit.span.clone()].fill(true);
        }
        let mut start = body;
        let stops: Vec<usize> = hits.iter().filter(|hit| hit.cue == Cue::Stop).map(|hit| hit.span.start).collect();
        for end in stops.into_iter().chain([reading.tokens.len()]) {
            if start < end {
                self.clause(&mut reading, start..end, &found, &hits);
            }
            start = end;
        }
        if *silent {
            for mention in &mut reading.mentions {
                mention.status = Status::Silent;
            }
        }
        reading.anatomy = (found.into_iter())
            .filter(|(_, concept)| matches!(concept.role, Role::Anatomy | Role::Subject(_)))
            .collect();
        reading.mentions.sort_by_key(|mention| (mention.core.start, mention.core.end));
        reading
    }

    /// Whether a sentence starts with a heading whose section asserts what it says ("FINDINGS:").
    pub fn speaks(&self, sentence: &str) -> bool {
        sentence.contains(':') && matches!(self.leading(&self.vocabulary.tokens(sentence)), Some((_, false)))
    }

    /// The length of the heading that a sentence starts with, colon included, and whether its section is silent.
    fn leading(&self, tokens: &[Token]) -> Option<(usize, bool)> {
        let (len, kind) = self.headings.longest(tokens)?;
        tokens.get(len).filter(|token| self.is(token, class::COLON))?;
        Some((len + 1, kind == 0))
    }

    /// The first token that counts: after a silent heading, but with a speaking one ("Lungs: clear").
    fn heading(&self, tokens: &[Token], silent: &mut bool) -> usize {
        let Some((len, hushed)) = self.leading(tokens) else {
            return 0;
        };
        *silent = hushed;
        if hushed { len } else { 0 }
    }

    fn cues(&self, tokens: &[Token], body: usize, found: &[(Range<usize>, &'static Concept)]) -> Vec<Hit> {
        let mut hits = self.composed(tokens, body, found);
        let mut taken = vec![false; tokens.len()];
        for hit in &hits {
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
        hits.sort_by_key(|hit| hit.span.start);
        hits
    }

    /// Cues with words between their parts: "cannot be entirely excluded", "not clearly seen", "no significant change".
    fn composed(&self, tokens: &[Token], body: usize, found: &[(Range<usize>, &'static Concept)]) -> Vec<Hit> {
        let mut named = vec![false; tokens.len()];
        for (span, _) in found {
            named[span.clone()].fill(true);
        }
        let concept_at = |i: usize| named[i];
        let is = |i: usize, classes| tokens.get(i).is_some_and(|token| self.is(token, classes));
        let mut hits: Vec<Hit> = Vec::new();
        let mut at = body;
        while at < tokens.len() {
            let id = tokens[at].id;
            let rule_out = self.rule.contains(&id) && tokens.get(at + 1).is_some_and(|next| next.id == self.out);
            let mut hit = None;
            if rule_out || is(at, class::EXCLUDE) {
                let end = at + 1 + usize::from(rule_out);
                let floor = hits.last().map_or(body, |hit| hit.span.end).max(at.saturating_sub(7));
                let back = (floor..at).rev().take_while(|&i| !concept_at(i) && !is(i, class::COMMA));
                let negator = back.clone().find(|&i| is(i, class::NEGATOR));
                let verb = back.clone().find(|&i| is(i, class::VERB)).or(back.clone().find(|&i| i + 1 == at));
                hit = Some(match negator {
                    Some(start) => Hit { cue: Cue::Doubt, span: start..end },
                    None if at > body && tokens[at - 1].id == self.to => Hit { cue: Cue::Silent, span: at - 1..end },
                    None if rule_out && id == self.rule[0] => Hit { cue: Cue::Silent, span: at..end },
                    None => Hit { cue: Cue::DenyEither, span: verb.unwrap_or(at)..end },
                });
            } else if is(at, class::NEGATOR) {
                let change = (at + 1..tokens.len().min(at + 8))
                    .take_while(|&i| i == at + 1 || is(i - 1, class::CHANGE_FILLER))
                    .find(|&i| is(i, class::CHANGE_NOUN));
                let longer = 1 + usize::from(is(at + 1, class::FILLER));
                let perceived = (at + 1..tokens.len().min(at + 4 + longer))
                    .take_while(|&i| !concept_at(i) && !is(i, class::VERB | class::COMMA | class::AND | class::OR))
                    .find(|&i| is(i, class::PERCEIVE));
                if let Some(i) = change {
                    hit = Some(Hit { cue: Cue::Mask, span: at..i + 1 });
                } else if let Some(i) = perceived.filter(|_| !self.forward_only(&tokens[at])) {
                    let past = |i: usize| tokens.get(i).is_some_and(|token| self.early.contains(&token.id));
                    let mask = (at + 1..i + 4).any(past);
                    hit = Some(Hit { cue: if mask { Cue::Mask } else { Cue::DenyEither }, span: at..i + 1 });
                }
            }
            at = match hit {
                Some(hit) => {
                    let end = hit.span.end;
                    hits.push(hit);
                    end
                }
                None => at + 1,
            };
        }
        hits
    }

    /// "no" and "without" look forward only: "no visible pneumothorax" is no "not visible".
    fn forward_only(&self, token: &Token) -> bool {
        self.is(token, class::OR) || self.is(token, class::FORWARD)
    }

    fn clause(
        &self,
        reading: &mut Reading,
        clause: Range<usize>,
        found: &[(Range<usize>, &'static Concept)],
        hits: &[Hit],
    ) {
        let inside = |span: &Range<usize>| clause.start <= span.start && span.end <= clause.end;
        let first = reading.mentions.len();
        for (span, concept) in found.iter().filter(|(span, _)| inside(span)) {
            if matches!(concept.role, Role::Finding | Role::Device | Role::Removal | Role::Normal) {
                let (span, core) = (span.clone(), span.clone());
                reading.mentions.push(Mention {
                    concept,
                    span,
                    core,
                    status: Status::Present,
                    healthy: concept.role == Role::Normal,
                });
            }
        }
        let findings: Vec<Range<usize>> = reading.mentions[first..].iter().map(|m| m.core.clone()).collect();
        let parts = self.parts(reading, &clause, found, &findings);
        let cores: Vec<Range<usize>> = findings.iter().chain(parts.iter().map(|part| &part.core)).cloned().collect();
        let hits: Vec<&Hit> = hits.iter().filter(|hit| inside(&hit.span)).collect();
        let mut marks: Vec<Option<Mark>> = vec![None; cores.len()];
        if !cores.is_empty() {
            let ground = self.ground(&reading.tokens, clause.clone(), &hits, &cores);
            for hit in &hits {
                for reached in self.reach(&ground, hit) {
                    if let Some(mark) = marks.get_mut(reached) {
                        *mark = Some(Mark::join(*mark, hit.cue));
                    }
                }
            }
        }
        if !hits.iter().any(|hit| hit.cue == Cue::Mask) {
            self.alternatives(&reading.tokens, &findings, &mut marks);
        }
        for (mention, mark) in reading.mentions[first..].iter_mut().zip(&marks) {
            mention.status = match (mention.concept.role, mark) {
                (Role::Removal, None) => Status::Absent,
                _ => mark.map_or(Status::Present, Mark::status),
            };
        }
        if reading.mentions.len() == first && parts.is_empty() {
            self.refer_back(reading, &clause, &hits);
        }
        let statuses = marks.iter().skip(findings.len()).map(|mark| mark.map_or(Status::Present, Mark::status));
        for (part, status) in parts.iter().zip(statuses) {
            self.state(reading, part, status);
        }
    }

    /// "atelectasis or pneumonia" without any other cue leaves both open.
    fn alternatives(&self, tokens: &[Token], findings: &[Range<usize>], marks: &mut [Option<Mark>]) {
        for i in 1..findings.len() {
            let between = &tokens[findings[i - 1].end.min(findings[i].start)..findings[i].start];
            let or = between.iter().any(|token| self.is(token, class::OR));
            let broken = between.iter().any(|token| self.is(token, class::VERB | class::COMMA));
            if or && !broken && marks[i - 1].is_none() && marks[i].is_none() {
                marks[i - 1] = Some(Mark::Doubted);
                marks[i] = Some(Mark::Doubted);
            }
        }
    }

    /// A clause that names no concept speaks of the last one: "..., although a small one cannot be excluded".
    fn refer_back(&self, reading: &mut Reading, clause: &Range<usize>, hits: &[&Hit]) {
        let said = &reading.tokens[clause.clone()];
        // "..., but it has resolved", "..., but is not seen now"
        let pronoun = said.iter().any(|token| self.is(token, class::PRONOUN))
            || said.get(1).is_some_and(|token| self.is(token, class::VERB));
        let Some(hit) = hits.iter().find(|hit| !matches!(hit.cue, Cue::Mask | Cue::Stop)) else {
            return;
        };
        let Some(mention) = reading.mentions.last_mut() else {
            return;
        };
        match hit.cue {
            Cue::Doubt | Cue::DoubtBack if mention.status == Status::Absent => mention.status = Status::Uncertain,
            Cue::DenyBack | Cue::DenyEither if pronoun && mention.status == Status::Present => {
                mention.status = Status::Absent;
            }
            _ => {}
        }
    }
}

/// What the cues of a clause make of one concept.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    Denied,
    Doubted,
    Silenced,
}

impl Mark {
    /// A denial outweighs the rest ("no findings suspicious for pneumonia"), silence outweighs doubt.
    fn join(before: Option<Self>, cue: Cue) -> Self {
        let mark = match cue {
            Cue::Deny | Cue::DenyBack | Cue::DenyEither => Self::Denied,
            Cue::Silent => Self::Silenced,
            _ => Self::Doubted,
        };
        match (before, mark) {
            (Some(Self::Denied), _) | (_, Self::Denied) => Self::Denied,
            (Some(Self::Silenced), _) | (_, Self::Silenced) => Self::Silenced,
            _ => mark,
        }
    }

    fn status(self) -> Status {
        match self {
            Self::Denied => Status::Absent,
            Self::Doubted => Status::Uncertain,
            Self::Silenced => Status::Silent,
        }
    }
}
