//! From the bytes of a request to the bytes of its answer.

use std::{
    collections::{BTreeMap, BTreeSet},
    slice::from_ref,
    sync::Arc,
};

use addendum_rewards::{
    Backends, Entity, Observation,
    cache::{Cache, CacheCounts},
    labels::binary,
    metrics::rate,
};
use addendum_rewards_remote::wire::{Analyses, Analysis, Predictions};
use axum::http::StatusCode;

use super::{
    analyze,
    annotation::Annotation,
    answer, predict,
    refused::Refused,
    request::{self, Most, Predict, Texts},
};

/// The two questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `POST /predict`: scores.
    Predict,
    /// `POST /analyze`: entities, and how they differ.
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
    /// Bytes of an answer.
    pub most_answer_bytes: usize,
    /// References whose annotations are kept; one longer than 1 KiB counts as several.
    pub cached_references: usize,
}

impl Default for ServiceOptions {
    fn default() -> Self {
        Self {
            frequencies: BTreeMap::new(),
            most_pairs: 64,
            most_report_chars: 20_000,
            most_answer_bytes: 64 << 20,
            cached_references: 1024,
        }
    }
}

/// Reports annotated together; between such batches it is asked whether somebody still waits.
const AT_ONCE: usize = 8;

/// What is known of a report, or why nothing is.
type Annotated = Result<Arc<Annotation>, Refused>;
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
    /// A service over these back ends; nothing is computed before the first request.
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
        let most_bytes = self.options.most_answer_bytes;
        match endpoint {
            Endpoint::Predict => answer::json(self.predict(waits, &request::predict(body, most)?)?, most_bytes),
            Endpoint::Analyze => answer::json(self.analyses(waits, &request::analyze(body, most)?)?, most_bytes),
        }
    }

    /// How many references of `/predict` were found annotated, and how many were not.
    pub fn cache_counts(&self) -> CacheCounts {
        self.references.counts()
    }

    fn predict(&self, waits: &Waits<'_>, request: &Predict) -> Result<Predictions, Refused> {
        let pairs = self.annotated(waits, request)?;
        let predict = |pairs: &[predict::Pair]| {
            predict::predictions(pairs, request, &self.options.frequencies, &self.rate).map_err(Refused::from)
        };
        if !request.per_pair {
            return predict(&pairs.into_iter().collect::<Result<Vec<_>, _>>()?);
        }
        let mut scored = Vec::new();
        for pair in pairs {
            go_on(waits)?;
            scored.push(pair.and_then(|pair| predict(from_ref(&pair))));
        }
        answer::each(scored).map(answer::joined)
    }

    /// The pairs with what is known of both reports.
    fn annotated<'a>(
        &self,
        waits: &Waits<'_>,
        request: &'a Predict,
    ) -> Result<Vec<Result<predict::Pair<'a>, Refused>>, Refused> {
        let sound = || request.pairs.iter().flatten();
        let reports: Vec<String> = sound().map(|(hyp, _)| predict::scored_part(hyp, &request.kind)).collect();
        let references: Vec<&str> = sound().map(|(_, reference)| reference.as_str()).collect();
        let [hypotheses, references] = self.known(waits, &references, &reports)?;
        let mut annotations = hypotheses.into_iter().zip(references);
        let pair = |texts: &'a Texts| -> Result<predict::Pair<'a>, Refused> {
            let (written, _) = texts.as_ref().map_err(Refused::clone)?;
            let (hypothesis, reference) = annotations.next().expect("there are as many as sound pairs");
            Ok(predict::Pair { written, hypothesis: hypothesis?, reference: reference? })
        };
        Ok(request.pairs.iter().map(pair).collect())
    }

    /// The annotations of reports and references, in order; references that are known are not annotated again.
    fn known(
        &self,
        waits: &Waits<'_>,
        references: &[&str],
        reports: &[String],
    ) -> Result<[Vec<Annotated>; 2], Refused> {
        let distinct: BTreeSet<&str> = references.iter().copied().collect();
        let mut known: BTreeMap<&str, Annotated> =
            distinct.iter().filter_map(|&text| Some((text, Ok(self.references.find(text)?)))).collect();
        let unknown: Vec<&str> = distinct.into_iter().filter(|text| !known.contains_key(text)).collect();
        let texts: Vec<&str> = reports.iter().map(String::as_str).chain(unknown.iter().copied()).collect();
        let mut annotations = self.annotate(waits, &texts)?;
        for (text, annotation) in unknown.into_iter().zip(annotations.split_off(reports.len())) {
            if let Ok(annotation) = &annotation {
                self.references.keep(text, annotation.clone());
            }
            known.insert(text, annotation);
        }
        let references = references.iter().filter_map(|text| known.get(text).cloned()).collect();
        Ok([annotations, references])
    }

    fn annotate(&self, waits: &Waits<'_>, texts: &[&str]) -> Result<Vec<Annotated>, Refused> {
        let mut annotations = Vec::new();
        for texts in texts.chunks(AT_ONCE) {
            go_on(waits)?;
            if let Ok(all) = self.together(texts) {
                annotations.extend(all.into_iter().map(Ok));
                continue;
            }
            // Each alone, so that one which cannot be annotated spoils no other.
            for text in texts {
                go_on(waits)?;
                match self.together(from_ref(text)) {
                    Ok(one) => annotations.extend(one.into_iter().map(Ok)),
                    Err(error) => annotations.push(Err(error)),
                }
            }
        }
        Ok(annotations)
    }

    /// The annotations of some texts, in order.
    fn together(&self, texts: &[&str]) -> Result<Vec<Arc<Annotation>>, Refused> {
        let labels = self.backends.labels(texts)?.into_iter();
        let graphs = self.backends.graphs(texts)?.into_iter();
        let entities = self.backends.entities(texts)?.into_iter();
        let all = labels.zip(graphs).zip(entities);
        let annotation = |((labels, graph), entities)| Arc::new(Annotation { row: binary(&labels), graph, entities });
        Ok(all.map(annotation).collect())
    }

    fn analyses(&self, waits: &Waits<'_>, pairs: &[Texts]) -> Result<Analyses, Refused> {
        let mut analyses = Vec::new();
        let mut bytes = 0;
        for pair in pairs {
            go_on(waits)?;
            let analysis =
                pair.as_ref().map_err(Refused::clone).and_then(|(generation, truth)| self.analyze(generation, truth));
            bytes += analysis.as_ref().map_or(0, analyze::least_bytes);
            answer::fits(bytes, self.options.most_answer_bytes)?;
            analyses.push(analysis);
        }
        let spoilt = |error: Refused| Analysis { error: Some(error.message), ..Analysis::default() };
        let analyses = answer::each(analyses)?.into_iter();
        Ok(Analyses { analysis_results: analyses.map(|analysis| analysis.unwrap_or_else(spoilt)).collect() })
    }

    fn analyze(&self, generation: &str, truth: &str) -> Result<Analysis, Refused> {
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
