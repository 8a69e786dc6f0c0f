//! Edits reports as text: splits both, asks the extractor for entities, applies the rule, splices the result.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use addendum_rewards::EntityExtractor;
use addendum_rewards::sentences::split;
use rand::RngCore;
use serde::{Deserialize, Serialize};

use crate::rule::{self, Annotated};
use crate::{Edit, EditConfig, Error, Result, splice};

/// References whose annotations are kept. A group's reports are edited close together, so few are enough.
const CACHED_REFERENCES: usize = 64;

/// A report after the rule, and what was done to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edited {
    /// The source byte for byte where no edit applies; empty where everything was deleted and nothing could take its place.
    pub text: String,
    /// At most `operations` edits; empty when rule (e) left the report as it was.
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

    /// Corrects `report` towards `reference` (EditGRPO, section 2). All choices come from `rng`.
    ///
    /// Fails when the extractor does.
    pub fn edit(&self, report: &str, reference: &str, rng: &mut dyn RngCore) -> Result<Edited> {
        let reference = self.reference(reference)?;
        let sentences = split(report);
        let generated = self.annotate("report", &sentences)?;
        let log = rule::edit(&generated, &reference, &self.config, rng);
        let text = if log.is_empty() { report.to_owned() } else { splice::apply(report, &sentences, &log) };
        Ok(Edited { text, log })
    }

    fn reference(&self, text: &str) -> Result<Arc<[Annotated]>> {
        let cached = || self.references.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, annotated)) = cached().iter().find(|(key, _)| key == text) {
            return Ok(Arc::clone(annotated));
        }
        let annotated: Arc<[Annotated]> = self.annotate("reference", &split(text))?.into();
        let mut references = cached();
        references.truncate(CACHED_REFERENCES - 1);
        references.push_front((text.to_owned(), Arc::clone(&annotated)));
        Ok(annotated)
    }

    fn annotate(&self, of: &'static str, sentences: &[&str]) -> Result<Vec<Annotated>> {
        let lists = self.extractor.extract(sentences).map_err(|source| Error::Extract { of, source })?;
        if lists.len() != sentences.len() {
            return Err(Error::Lists { of, lists: lists.len(), sentences: sentences.len() });
        }
        let annotated = |(&text, entities): (&&str, _)| Annotated { text: text.to_owned(), entities };
        Ok(sentences.iter().zip(lists).map(annotated).collect())
    }
}
