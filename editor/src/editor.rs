//! Edits reports as text: splits both, asks the extractor for entities, applies the rule, carries its edits into the text.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use addendum_rewards::sentences::split;
use addendum_rewards::{Backends, EntityExtractor, Lexicon};
use rand::RngCore;
use serde::{Deserialize, Serialize};

use crate::annotated::Annotated;
use crate::config::{EditConfig, Extractor, Granularity};
use crate::error::{Error, Result};
use crate::graph_entities::GraphEntities;
use crate::log::{Edit, Operation};
use crate::{reference_code, rule, splice};

/// References whose annotations are kept. A group's reports are edited close together, so few are enough.
const CACHED_REFERENCES: usize = 64;

/// A report after the rule, and what was done to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edited {
    /// The source byte for byte where no edit applies; empty where everything was deleted and nothing could take its place.
    pub text: String,
    /// At most as many edits as [`EditConfig::operations`] allows; empty when rule (e) left the report as it was.
    pub log: Vec<Edit>,
}

/// The post-rollout editor. Shareable between threads; the result depends on the arguments alone.
pub struct Editor {
    config: EditConfig,
    extractor: Arc<dyn EntityExtractor>,
    references: Mutex<VecDeque<(String, Arc<[Annotated]>)>>,
}

impl Editor {
    /// Fails with [`Error::Config`] when a value of `config` is out of range.
    pub fn new(config: EditConfig, extractor: Arc<dyn EntityExtractor>) -> Result<Self> {
        config.validate()?;
        Ok(Self { config, extractor, references: Mutex::default() })
    }

    /// An editor with the extractor that `config` names.
    ///
    /// Fails as [`Editor::new`] does.
    pub fn from_backends(config: EditConfig, backends: &Backends) -> Result<Self> {
        let extractor: Arc<dyn EntityExtractor> = match config.extractor {
            Extractor::Rate => backends.entities.clone(),
            Extractor::Radgraph => Arc::new(GraphEntities(backends.graphs.clone())),
            Extractor::Lexicon => Arc::new(Lexicon::new()),
        };
        Self::new(config, extractor)
    }

    /// Corrects `report` towards `reference` (EditGRPO, section 2). All choices come from `rng`.
    ///
    /// ```
    /// use addendum_editor::{EditConfig, Editor, Operation};
    /// use addendum_rewards::Backends;
    /// use rand::SeedableRng;
    /// use rand_chacha::ChaCha8Rng;
    ///
    /// let editor = Editor::from_backends(EditConfig::default(), &Backends::lexicon())?;
    /// let (report, reference) = ("The lungs are clear. No pleural effusion.", "Small left pleural effusion. Lungs clear.");
    /// let edited = editor.edit(report, reference, &mut ChaCha8Rng::seed_from_u64(0))?;
    /// assert_eq!(edited.text, "The lungs are clear. Small left pleural effusion.");
    /// assert_eq!(edited.log[0].operation, Operation::Replace);
    /// # Ok::<(), addendum_editor::Error>(())
    /// ```
    ///
    /// Fails when the extractor does.
    pub fn edit(&self, report: &str, reference: &str, rng: &mut dyn RngCore) -> Result<Edited> {
        let annotated = self.reference(reference)?;
        let sentences = self.split(report);
        let generated = self.annotate("report", &sentences)?;
        let log = match self.config.reference_code {
            true => reference_code::edit(&generated, &annotated, &self.config, rng),
            false => rule::edit(&generated, &annotated, &self.config, rng),
        };
        Ok(match log.is_empty() {
            true => Edited { text: report.to_owned(), log },
            false => self.carry_out(report, reference, &sentences, log),
        })
    }

    /// Annotates a reference ahead of the reports that will be corrected towards it; they are corrected as without.
    ///
    /// Fails when the extractor does.
    pub fn foresee(&self, reference: &str) -> Result<()> {
        self.reference(reference).map(drop)
    }

    /// The sentences of a report with their entities, as the rule sees them.
    ///
    /// Fails when the extractor does.
    pub fn annotated(&self, report: &str) -> Result<Vec<Annotated>> {
        self.annotate("report", &self.split(report))
    }

    fn carry_out(&self, report: &str, reference: &str, sentences: &[&str], mut log: Vec<Edit>) -> Edited {
        let whole = reference.trim();
        match self.config.granularity {
            Granularity::Sentence if self.config.reference_code => Edited { text: joined(sentences, &log), log },
            Granularity::Sentence => Edited { text: splice::apply(report, sentences, &log), log },
            Granularity::Report if whole.is_empty() => Edited { text: report.to_owned(), log: Vec::new() },
            Granularity::Report => {
                log.truncate(1);
                for edit in &mut log {
                    edit.operation = Operation::Replace;
                    edit.position = 0;
                    edit.source = Some(report.trim().to_owned()).filter(|report| !report.is_empty());
                    edit.target = Some(whole.to_owned());
                }
                Edited { text: whole.to_owned(), log }
            }
        }
    }

    fn split<'a>(&self, report: &'a str) -> Vec<&'a str> {
        if self.config.reference_code { reference_code::sentences(report) } else { split(report) }
    }

    fn reference(&self, text: &str) -> Result<Arc<[Annotated]>> {
        let cached = || self.references.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, annotated)) = cached().iter().find(|(key, _)| key == text) {
            return Ok(Arc::clone(annotated));
        }
        let annotated: Arc<[Annotated]> = self.annotate("reference", &self.split(text))?.into();
        let mut references = cached();
        references.truncate(CACHED_REFERENCES - 1);
        references.push_front((text.to_owned(), Arc::clone(&annotated)));
        Ok(annotated)
    }

    fn annotate(&self, of: &'static str, sentences: &[&str]) -> Result<Vec<Annotated>> {
        let lists = self.extractor.extract(sentences).map_err(|reason| Error::Extract { of, reason })?;
        if lists.len() != sentences.len() {
            return Err(Error::Lists { of, lists: lists.len(), sentences: sentences.len() });
        }
        let annotated = |(&text, entities): (&&str, _)| Annotated { text: text.to_owned(), entities };
        let mut report: Vec<Annotated> = sentences.iter().zip(lists).map(annotated).collect();
        if self.config.reference_code {
            reference_code::attribute(&mut report);
        }
        Ok(report)
    }
}

/// The sentences after `edits`, as the paper's published code joins them: by single blanks, white space collapsed.
fn joined(sentences: &[&str], edits: &[Edit]) -> String {
    let mut sentences: Vec<&str> = sentences.to_vec();
    for edit in edits {
        let target = edit.target.as_deref().unwrap_or_default();
        match edit.operation {
            Operation::Replace => sentences[edit.position] = target,
            Operation::Delete => drop(sentences.remove(edit.position)),
            Operation::Append => sentences.push(target),
        }
    }
    sentences.join(" ").split_whitespace().collect::<Vec<_>>().join(" ")
}
