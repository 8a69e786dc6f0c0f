//! Finds the concepts of one sentence and decides what the sentence says of each: present, absent, uncertain, or nothing.

use std::{collections::HashMap, ops::Range};

use super::{
    class,
    concepts::{Concept, Role},
    cues::{CUES, Cue, PREDICATES, SILENT_HEADINGS, SPEAKING_HEADINGS},
    tables,
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
    pub cues: Trie,
    pub predicates: Trie,
    pub headings: Trie,
    classes: Vec<u64>,
    pub named: HashMap<&'static str, &'static Concept>,
    pub out: u32,
    pub to: u32,
    pub rule: [u32; 2],
    pub early: Vec<u32>,
}

/// A cue in a sentence.
pub(super) struct Hit {
    pub cue: Cue,
    pub span: Range<usize>,
}

impl Hit {
    /// An end of scopes before token `at`.
    fn stop(at: usize) -> Self {
        Self { cue: Cue::Stop, span: at..at }
    }
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
        let table = tables::concepts().collect();
        let concepts = trie(&mut tables::concepts().map(|concept| concept.phrases).enumerate());
        let cues = trie(&mut CUES.iter().map(|(_, phrases)| *phrases).enumerate());
        let predicates = trie(&mut PREDICATES.iter().map(|(_, phrases)| *phrases).enumerate());
        let headings = trie(&mut [SILENT_HEADINGS, SPEAKING_HEADINGS].into_iter().enumerate());
        let mut marks = Vec::new();
        for (bit, words) in class::TABLE {
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
        let named = tables::concepts().map(|concept| (concept.name, concept)).collect();
        Self { vocabulary, table, concepts, cues, predicates, headings, classes, named, out, to, rule, early }
    }

    /// Whether a word belongs to any of the classes.
    pub fn is(&self, token: &Token, classes: u64) -> bool {
        self.classes.get(token.id as usize).is_some_and(|has| has & classes != 0)
    }

    /// Reads one sentence. `silent` says whether the section asserts nothing and is kept up to date at headings.
    pub fn read(&self, sentence: &str, silent: &mut bool) -> Reading {
        let tokens = self.vocabulary.tokens(sentence);
        let mut reading = Reading { cue: vec![false; tokens.len()], tokens, mentions: Vec::new(), anatomy: Vec::new() };
        let headings = self.headings(sentence, &reading.tokens);
        let body = match headings.first() {
            Some(first) if first.span.start == 0 && first.silent => first.span.end,
            _ => self.answered(&reading.tokens),
        };
        let mut found: Vec<(Range<usize>, &'static Concept)> =
            (self.concepts.find(&reading.tokens[body..]).into_iter())
                .filter_map(|(a, b, i)| Some((a + body..b + body, *self.table.get(i)?)))
                .collect();
        let mut hits = self.cues(&reading.tokens, body, &found);
        for (span, _) in found.iter().filter(|(_, concept)| concept.role == Role::Ignore) {
            reading.cue[span.clone()].fill(true);
        }
        found.retain(|(_, concept)| concept.role != Role::Ignore);
        for hit in &hits {
            reading.cue[hit.span.clone()].fill(true);
        }
        hits.extend(headings.iter().map(|heading| heading.span.start).filter(|&start| start > body).map(Hit::stop));
        hits.sort_by_key(|hit| hit.span.start);
        let mut start = body;
        let stops: Vec<usize> = hits.iter().filter(|hit| hit.cue == Cue::Stop).map(|hit| hit.span.start).collect();
        for end in stops.into_iter().chain([reading.tokens.len()]) {
            if start < end {
                self.clause(&mut reading, start..end, &found, &hits);
            }
            start = end;
        }
        for mention in &mut reading.mentions {
            let heading = headings.iter().rev().find(|heading| heading.span.start <= mention.core.start);
            if heading.map_or(*silent, |heading| heading.silent) {
                mention.status = Status::Silent;
            }
        }
        *silent = headings.last().map_or(*silent, |heading| heading.silent);
        reading.anatomy = (found.into_iter())
            .filter(|(_, concept)| matches!(concept.role, Role::Anatomy | Role::Subject(_)))
            .collect();
        reading.mentions.sort_by_key(|mention| (mention.core.start, mention.core.end));
        reading
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
            let ground = self.ground(&reading.tokens, clause.clone(), &hits, &cores, &parts);
            for hit in &hits {
                for reached in self.reach(&ground, hit) {
                    if let Some(mark) = marks.get_mut(reached) {
                        *mark = Some(Mark::join(*mark, hit.cue));
                    }
                }
            }
        }
        if !hits.iter().any(|hit| hit.cue == Cue::Mask) {
            self.alternatives(&reading.tokens, &findings, &mut marks, clause.start);
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

    /// "atelectasis or pneumonia", "edema, atelectasis, or pneumonia" without any other cue leave all open.
    fn alternatives(&self, tokens: &[Token], findings: &[Range<usize>], marks: &mut [Option<Mark>], start: usize) {
        for i in 1..findings.len() {
            let between = &tokens[findings[i - 1].end.min(findings[i].start)..findings[i].start];
            let or = between.iter().position(|token| self.is(token, class::OR));
            let ends = class::VERB | class::MODAL | class::COMMA;
            let broken = |words: &[Token]| words.iter().any(|token| self.is(token, ends));
            let listed = or == Some(1) && self.is(&between[0], class::COMMA);
            let last = match or {
                Some(_) if !broken(between) => vec![i - 1, i],
                Some(_) if listed && !broken(&between[1..]) => {
                    let others = self.listed(tokens, findings, i - 1, start);
                    if others.is_empty() { others } else { [others, vec![i - 1, i]].concat() }
                }
                _ => Vec::new(),
            };
            let open = |&i: &usize| marks[i].is_none() || marks[i] == Some(Mark::Doubted);
            if last.iter().all(open) {
                for i in last {
                    marks[i] = Some(Mark::Doubted);
                }
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
    Supposed,
}

impl Mark {
    /// A denial outweighs the rest ("no findings suspicious for pneumonia") but what is supposed before ("if an effusion was
    /// present, it has resolved"); silence outweighs doubt.
    fn join(before: Option<Self>, cue: Cue) -> Self {
        let mark = match cue {
            Cue::Deny | Cue::DenyBack | Cue::DenyEither => Self::Denied,
            Cue::Silent => Self::Silenced,
            Cue::Condition => Self::Supposed,
            _ => Self::Doubted,
        };
        match (before, mark) {
            (Some(Self::Supposed), _) if cue != Cue::Deny => Self::Supposed,
            (Some(Self::Denied), _) | (_, Self::Denied) => Self::Denied,
            (Some(Self::Supposed), _) | (_, Self::Supposed) => Self::Supposed,
            (Some(Self::Silenced), _) | (_, Self::Silenced) => Self::Silenced,
            _ => mark,
        }
    }

    fn status(self) -> Status {
        match self {
            Self::Denied => Status::Absent,
            Self::Doubted => Status::Uncertain,
            Self::Silenced | Self::Supposed => Status::Silent,
        }
    }
}
