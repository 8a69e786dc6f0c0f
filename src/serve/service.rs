//! From the bytes of a request to the bytes of its answer.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use addendum_rewards::{
    Backends, Entity, Observation,
    cache::{Cache, CacheCounts},
    labels::binary,
    metrics::rate,
};
use addendum_rewards_remote::wire::{Analyses, Analysis, PredictRequest, Predictions, Success};
use axum::http::StatusCode;
use serde::Serialize;

use super::{
    analyze,
    annotation::Annotation,
    predict,
    refused::Refused,
    request::{self, Most},
};

/// The two questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    Predict,
    Analyze,
}

/// What a [`Service`] needs besides its back ends.
#[derive(Clone, Debug)]
pub struct ServiceOptions {
    /// Positive shares for the inverse-frequency accuracy; those of the request's references where one is missing.
    pub frequencies: BTreeMap<Observation, f64>,
    /// Pairs per request.
    pub most_pairs: usize,
    /// Characters per report.
    pub most_report_chars: usize,
    /// References whose annotations are kept; one longer than 1 KiB counts as several.
    pub cached_references: usize,
}

impl Default for ServiceOptions {
    fn default() -> Self {
        Self { frequencies: BTreeMap::new(), most_pairs: 64, most_report_chars: 20_000, cached_references: 1024 }
    }
}

/// Reports annotated together; between such batches it is asked whether somebody still waits.
const AT_ONCE: usize = 8;

type Annotations = Vec<Arc<Annotation>>;
/// Whether somebody still waits for an answer.
type Waits<'a> = dyn Fn() -> bool + 'a;
type Analyzer = dyn Fn(&str) -> addendum_rewards::Result<Vec<Entity>> + Send + Sync;

/// Answers requests. Shared between threads; an answer depends on the request alone.
pub struct Service {
    backends: Backends,
    /// The entities of a report for `/analyze`, if they are found in another way.
    analyzer: Option<Box<Analyzer>>,
    options: ServiceOptions,
    rate: rate::Weights,
    references: Cache<Annotation>,
    ground_truths: Cache<Vec<Entity>>,
}

impl Service {
    pub fn new(backends: Backends, options: ServiceOptions) -> Self {
        Self {
            backends,
            analyzer: None,
            rate: rate::Weights::default(),
            references: Cache::new("predict", options.cached_references),
            ground_truths: Cache::new("analyze", options.cached_references),
            options,
        }
    }

    /// Takes the entities of `/analyze` from `find`: the EditGRPO code scores and edits with different decoders.
    pub fn analyzing_with(
        mut self,
        find: impl Fn(&str) -> addendum_rewards::Result<Vec<Entity>> + Send + Sync + 'static,
    ) -> Self {
        self.analyzer = Some(Box::new(find));
        self
    }

    /// The JSON of the answer to `body`.
    ///
    /// # Errors
    /// A 4xx for what is wrong with the body, a 500 for what is wrong with a back end.
    pub fn answer(&self, endpoint: Endpoint, body: &[u8]) -> Result<Vec<u8>, Refused> {
        self.answer_while(&|| true, endpoint, body)
    }

    /// [`Self::answer`], given up between reports once nobody `waits`.
    ///
    /// # Errors
    /// Those of [`Self::answer`], and a 504 for what was given up.
    pub fn answer_while(&self, waits: &Waits<'_>, endpoint: Endpoint, body: &[u8]) -> Result<Vec<u8>, Refused> {
        let most = Most { pairs: self.options.most_pairs, report_chars: self.options.most_report_chars };
        match endpoint {
            Endpoint::Predict => json(self.predict(waits, &request::predict(body, most)?)?),
            Endpoint::Analyze => {
                let request = request::analyze(body, most)?;
                let pairs = request.generations.iter().zip(&request.ground_truth);
                let analysis_results = pairs.map(|(g, t)| self.analyze(waits, g, t)).collect::<Result<_, _>>()?;
                json(Analyses { analysis_results })
            }
        }
    }

    /// How many references of `/predict` were found annotated, and how many were not.
    pub fn cache_counts(&self) -> CacheCounts {
        self.references.counts()
    }

    fn predict(&self, waits: &Waits<'_>, request: &PredictRequest) -> Result<Predictions, Refused> {
        let reports: Vec<String> = request.hyps.iter().map(|hyp| predict::scored_part(hyp, &request.kind)).collect();
        let [hypotheses, references] = self.known(waits, &request.refs, &reports)?;
        let pairs: Vec<predict::Pair> = (request.hyps.iter().zip(&hypotheses).zip(&references))
            .map(|((written, hypothesis), reference)| predict::Pair { written, hypothesis, reference })
            .collect();
        let predict = |pairs: &[predict::Pair]| {
            predict::predictions(pairs, request, &self.options.frequencies, &self.rate).map_err(Refused::from)
        };
        if !request.per_pair {
            return predict(&pairs);
        }
        let mut all = Predictions::default();
        for pair in pairs.chunks(1) {
            go_on(waits)?;
            predict::append(&mut all, predict(pair)?);
        }
        Ok(all)
    }

    /// The annotations of reports and references, in order; references that are known are not annotated again.
    fn known(&self, waits: &Waits<'_>, references: &[String], reports: &[String]) -> Result<[Annotations; 2], Refused> {
        let distinct: BTreeSet<&str> = references.iter().map(String::as_str).collect();
        let mut known: BTreeMap<&str, Arc<Annotation>> =
            distinct.iter().filter_map(|&text| Some((text, self.references.find(text)?))).collect();
        let unknown: Vec<&str> = distinct.into_iter().filter(|text| !known.contains_key(text)).collect();
        let texts: Vec<&str> = reports.iter().map(String::as_str).chain(unknown.iter().copied()).collect();
        let mut annotations = self.annotate(waits, &texts)?;
        for (text, annotation) in unknown.into_iter().zip(annotations.split_off(reports.len())) {
            self.references.keep(text, annotation.clone());
            known.insert(text, annotation);
        }
        let references = references.iter().filter_map(|text| known.get(text.as_str()).cloned()).collect();
        Ok([annotations, references])
    }

    fn annotate(&self, waits: &Waits<'_>, texts: &[&str]) -> Result<Annotations, Refused> {
        let mut annotations = Annotations::new();
        for texts in texts.chunks(AT_ONCE) {
            go_on(waits)?;
            let labels = self.backends.labels(texts)?.into_iter();
            let graphs = self.backends.graphs(texts)?.into_iter();
            let entities = self.backends.entities(texts)?.into_iter();
            let all = labels.zip(graphs).zip(entities);
            annotations.extend(all.map(|((labels, graph), entities)| {
                let row = binary(&labels);
                Arc::new(Annotation { row, graph, entities })
            }));
        }
        Ok(annotations)
    }

    fn analyze(&self, waits: &Waits<'_>, generation: &str, truth: &str) -> Result<Analysis, Refused> {
        go_on(waits)?;
        let entities = |text: &str| match &self.analyzer {
            Some(find) => find(text),
            None => Ok(self.backends.entities(&[text])?.pop().unwrap_or_default()),
        };
        let reference = self.ground_truths.get(truth, || entities(truth))?;
        Ok(analyze::analysis(generation, &entities(generation)?, truth, &reference))
    }
}

fn go_on(waits: &Waits<'_>) -> Result<(), Refused> {
    if waits() { Ok(()) } else { Err(Refused::new(StatusCode::GATEWAY_TIMEOUT, "Nobody waits for the scores")) }
}

fn json(predictions: impl Serialize) -> Result<Vec<u8>, Refused> {
    let failed = |error: serde_json::Error| Refused::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string());
    serde_json::to_vec(&Success::new(predictions)).map_err(failed)
}
