//! The lexicon back end: a radiology word list with rules for negation, uncertainty and scope.
//!
//! It labels the CheXpert observations, extracts RaTEScore-style entities and RadGraph-style graphs without any weights,
//! in well under a millisecond per report. It reads words, not meaning: what no phrase or rule covers it does not see.
//!
//! Known limits: a pronoun finds only the last finding of its own sentence; a finding before a comma list without "or"
//! may be denied together with the list; misspelt words are unknown; measurements are not read; findings outside the
//! fourteen observations (emphysema, scoliosis) do not speak against No Finding.

mod body;
mod class;
mod composed;
mod concepts;
mod cues;
mod embed;
mod findings;
mod graph;
mod parts;
mod phrases;
mod reach;
mod scope;
mod sections;
mod tables;
mod words;

use scope::{Reading, Rules, Status};

use crate::{Entity, EntityExtractor, Graph, GraphExtractor, Label, Labeller, Labels, Observation, Result, sentences};

/// The lexicon, compiled; build it once and share it.
pub struct Lexicon {
    rules: Rules,
}

impl Default for Lexicon {
    fn default() -> Self {
        Self::new()
    }
}

impl Lexicon {
    /// Compiles the rules, which takes some milliseconds.
    pub fn new() -> Self {
        Self { rules: Rules::new() }
    }

    /// The sentences of a report, read in order. A heading like "INDICATION:" silences what follows up to the next
    /// heading, or its own sentence alone in a report without headings that end it.
    fn read<'a>(&self, report: &'a str) -> Vec<(&'a str, Reading)> {
        let cut = sentences::split(report);
        let sections = cut.iter().any(|sentence| self.rules.speaks(sentence));
        let mut silent = false;
        let read = |sentence| {
            silent &= sections;
            (sentence, self.rules.read(sentence, &mut silent))
        };
        let mut readings: Vec<(&str, Reading)> = cut.into_iter().map(read).collect();
        for i in 1..readings.len() {
            let asked = readings[i - 1].0.ends_with('?');
            if let Some(answer) = self.rules.answer(&readings[i].1).filter(|_| asked) {
                readings[i - 1].1.settle(answer);
            }
        }
        readings
    }

    fn labels(&self, report: &str) -> Labels {
        let mut labels = Labels::default();
        let mut asserted = false;
        for mention in self.read(report).iter().flat_map(|(_, reading)| &reading.mentions) {
            let label = match mention.status {
                Status::Present => Label::Positive,
                Status::Absent => Label::Negative,
                Status::Uncertain => Label::Uncertain,
                Status::Silent => continue,
            };
            asserted = true;
            for observation in mention.concept.labels {
                let slot = &mut labels[observation.index()];
                if rank(label) > rank(*slot) {
                    *slot = label;
                }
            }
        }
        let finding = Observation::ALL[..12].iter().any(|o| rank(labels[o.index()]) > rank(Label::Negative));
        if asserted && !finding {
            labels[Observation::NoFinding.index()] = Label::Positive;
        }
        labels
    }
}

/// What wins when a report says several things of one observation: present, then uncertain, then absent.
fn rank(label: Label) -> u8 {
    match label {
        Label::Blank => 0,
        Label::Negative => 1,
        Label::Uncertain => 2,
        Label::Positive => 3,
    }
}

/// No Finding is positive when something is asserted and none of the twelve findings is positive or uncertain; support
/// devices do not count. A report that asserts nothing is blank throughout.
impl Labeller for Lexicon {
    fn label(&self, reports: &[&str]) -> Result<Vec<Labels>> {
        Ok(reports.iter().map(|report| self.labels(report)).collect())
    }
}

/// See the module `embed` for what the embeddings mean. An uncertain finding counts as present, one that is only asked
/// for as no entity.
impl EntityExtractor for Lexicon {
    fn extract(&self, sentences: &[&str]) -> Result<Vec<Vec<Entity>>> {
        Ok(sentences.iter().map(|sentence| self.rules.entities(sentence)).collect())
    }
}

impl GraphExtractor for Lexicon {
    fn graph(&self, reports: &[&str]) -> Result<Vec<Graph>> {
        let annotate = |report: &&str| {
            let mut graph = Graph::default();
            for (sentence, reading) in self.read(report) {
                self.rules.add_to_graph(&mut graph, sentence, &reading);
            }
            graph
        };
        Ok(reports.iter().map(annotate).collect())
    }
}

#[cfg(test)]
mod grammar;
#[cfg(test)]
mod tests;
