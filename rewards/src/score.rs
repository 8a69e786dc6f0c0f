//! The composite reward: a weighted sum of clinical metrics, each kept.
//!
//! Reports are annotated by exchangeable back ends; the annotations of references are cached, because every rollout of
//! a group is scored against the same one. A back end that fails is an error, never a zero.

mod backends;
mod case;
mod component;
mod config;
mod registered;
mod reward;

use std::{collections::BTreeMap, sync::Arc};

use addendum_studies::Study;

pub use backends::Backends;
pub use case::{Case, Report, Score, ScoreError};
pub use component::{Backend, Component};
pub use config::RewardConfig;
pub use registered::{Components, Registered};
pub use reward::{Reward, RewardSource, Weighed};

use crate::{
    CacheCounts, Entity, Graph, Observation, Result,
    cache::Cache,
    labels::binary,
    metrics::{
        chexbert,
        radgraph::{self, Level},
        rate,
    },
};

/// What the components need to know of one report; empty where no component asks.
#[derive(Default)]
struct Annotation {
    row: chexbert::Row,
    graph: Graph,
    entities: Vec<Entity>,
}

/// The parameters of the metrics.
#[derive(Clone)]
struct Parameters {
    rate: rate::Weights,
    frequencies: BTreeMap<Observation, f64>,
}

/// The components of one back end.
struct Part {
    backend: Backend,
    weights: BTreeMap<Component, f64>,
    references: Cache<Annotation>,
}

/// Scores reports against references. Shared between threads; the score of a report depends on nothing but the two
/// texts. A back end is asked once for all components that need it.
pub struct Scorer {
    backends: Backends,
    parameters: Parameters,
    parts: Vec<Part>,
}

impl Scorer {
    /// Of a reward that weighs built-in components only.
    ///
    /// # Errors
    /// As [`RewardConfig::validate`].
    pub fn new(backends: Backends, config: &RewardConfig) -> Result<Self> {
        Self::built_in(backends, config, &Components::default())
    }

    /// The built-in components, maybe none, of a reward that may also weigh registered ones. Those need more than two
    /// texts: [`RewardConfig::registered`] gives them.
    ///
    /// # Errors
    /// As [`RewardConfig::validate`].
    pub fn built_in(backends: Backends, config: &RewardConfig, components: &Components) -> Result<Self> {
        config.validate(components)?;
        let weights = config.built_in(components)?;
        let of = |backend: Backend| Part {
            backend,
            weights: weights.iter().map(|(&c, &w)| (c, w)).filter(|(c, _)| c.backend() == backend).collect(),
            references: Cache::new(backend.name(), config.cached_references),
        };
        let rate = rate::Weights { negation: config.negation_weight, ..rate::Weights::default() };
        let parameters = Parameters { rate, frequencies: config.frequencies.clone() };
        Ok(Self { backends, parameters, parts: config.backends(components)?.into_iter().map(of).collect() })
    }

    /// One scorer for each back end. The sum of their totals, in this order, is the total of the whole, bit for bit.
    pub fn parts(self) -> Vec<(Backend, Self)> {
        let Self { backends, parameters, parts } = self;
        let alone = |part: Part| {
            let backend = part.backend;
            (backend, Self { backends: backends.clone(), parameters: parameters.clone(), parts: vec![part] })
        };
        parts.into_iter().map(alone).collect()
    }

    /// The back ends, for [`crate::evaluate::evaluate`].
    pub fn backends(&self) -> &Backends {
        &self.backends
    }

    /// Scores each hypothesis against the one reference, in order.
    ///
    /// # Errors
    /// Whatever a back end reports, and scores that are not finite.
    pub fn score(&self, reference: &str, hypotheses: &[&str]) -> Result<Vec<Reward>> {
        let mut values: Vec<Vec<Weighed>> = vec![Vec::new(); hypotheses.len()];
        for part in &self.parts {
            let reference = self.reference(part, reference)?;
            let hypotheses = annotate(&self.backends, part.backend, hypotheses)?;
            for (values, hypothesis) in values.iter_mut().zip(hypotheses) {
                let value = |component| self.parameters.value(component, &hypothesis, &reference);
                values.extend(part.weights.iter().map(|(&component, &weight)| (component, weight, value(component))));
            }
        }
        values.into_iter().map(Reward::of).collect()
    }

    fn reference(&self, part: &Part, text: &str) -> Result<Arc<Annotation>> {
        let annotate = || Ok(annotate(&self.backends, part.backend, &[text])?.pop().unwrap_or_default());
        part.references.get(text, annotate)
    }

    /// How many references were found annotated, and how many were not; each back end looks for itself.
    pub fn cache_counts(&self) -> CacheCounts {
        let counts = self.parts.iter().map(|part| part.references.counts());
        counts.fold(CacheCounts { hits: 0, misses: 0 }, |sum, one| CacheCounts {
            hits: sum.hits + one.hits,
            misses: sum.misses + one.misses,
        })
    }
}

impl RewardSource for Scorer {
    fn rewards(&self, case: &Case<'_>) -> Result<Vec<Reward>> {
        self.score(case.reference(), &case.texts())
    }

    /// Annotates the reference, as far as annotations are kept.
    fn foresee(&self, study: &Study) {
        for part in self.parts.iter().filter(|part| part.references.keeps()) {
            let _ = self.reference(part, study.reference.text());
        }
    }
}

fn annotate(backends: &Backends, backend: Backend, reports: &[&str]) -> Result<Vec<Annotation>> {
    let empty = Annotation::default;
    Ok(match backend {
        Backend::Chexbert => {
            let labels = backends.labels(reports)?;
            labels.iter().map(|labels| Annotation { row: binary(labels), ..empty() }).collect()
        }
        Backend::Radgraph => {
            let graphs = backends.graphs(reports)?;
            graphs.into_iter().map(|graph| Annotation { graph, ..empty() }).collect()
        }
        Backend::Rate => {
            let entities = backends.entities(reports)?;
            entities.into_iter().map(|entities| Annotation { entities, ..empty() }).collect()
        }
    })
}

impl Parameters {
    fn value(&self, component: Component, hypothesis: &Annotation, reference: &Annotation) -> f64 {
        let radgraph = |level| radgraph::score(&hypothesis.graph, &reference.graph, level).f1;
        match component {
            Component::Chexbert => chexbert::micro_f1_14(&hypothesis.row, &reference.row),
            Component::ChexbertFive => chexbert::micro_f1_5(&hypothesis.row, &reference.row),
            Component::ChexbertWeighted => {
                chexbert::weighted_accuracy(&[hypothesis.row], &[reference.row], &self.frequencies).mean
            }
            Component::Radgraph => radgraph(Level::Partial),
            Component::RadgraphSimple => radgraph(Level::Simple),
            Component::RadgraphComplete => radgraph(Level::Complete),
            Component::Rate => rate::score(&reference.entities, &hypothesis.entities, &self.rate),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use proptest::prelude::*;

    use super::*;
    use crate::{Error, Labeller, Labels, Lexicon};

    fn scorer(config: &RewardConfig) -> Scorer {
        Scorer::new(Backends::lexicon(), config).unwrap()
    }

    const REFERENCE: &str = "The heart is enlarged. Small left pleural effusion. No pneumothorax.";

    #[test]
    fn the_reference_itself_scores_one_in_each_component() {
        let reward = &scorer(&RewardConfig::default()).score(REFERENCE, &[REFERENCE]).unwrap()[0];
        assert_eq!(reward.components.keys().collect::<Vec<_>>(), ["chexbert", "radgraph", "rate"]);
        assert!(reward.components.values().all(|value| (value - 1.).abs() < 1e-6), "{reward:?}");
        assert!((reward.total - 3.).abs() < 1e-6);
    }

    #[test]
    fn a_better_report_earns_more() {
        let hypotheses = [
            "Cardiomegaly. Small left pleural effusion. No pneumothorax.",
            "Small left pleural effusion. The heart is normal.",
            "The heart is normal. The lungs are clear. Moderate right pneumothorax.",
        ];
        let rewards = scorer(&RewardConfig::default()).score(REFERENCE, &hypotheses).unwrap();
        let totals: Vec<f64> = rewards.iter().map(|reward| reward.total).collect();
        assert!(totals[0] > totals[1] && totals[1] > totals[2], "{rewards:#?}");
    }

    #[test]
    fn weights_choose_and_scale_components() {
        let config: RewardConfig = serde_json::from_str(r#"{"weights": {"chexbert": 2.0, "rate": 0.0}}"#).unwrap();
        let reward = &scorer(&config).score(REFERENCE, &["No pneumothorax."]).unwrap()[0];
        assert_eq!(reward.components.keys().collect::<Vec<_>>(), ["chexbert", "rate"]);
        assert_eq!(reward.total, 2. * reward.components["chexbert"]);
    }

    #[test]
    fn references_are_annotated_once_and_the_cache_is_bounded() {
        let config = RewardConfig { cached_references: 2, ..RewardConfig::default() };
        let scorer = scorer(&config);
        for reference in ["No effusion.", "No effusion.", "Edema.", "Normal heart.", "No effusion."] {
            scorer.score(reference, &["Edema."]).unwrap();
        }
        assert_eq!(scorer.cache_counts(), CacheCounts { hits: 6, misses: 9 });
        assert!(scorer.parts.iter().all(|part| part.references.len() == 2));
    }

    struct Broken;

    impl Labeller for Broken {
        fn label(&self, _: &[&str]) -> Result<Vec<Labels>> {
            Err(Error::Component { component: "labeller", reason: "out of memory".into() })
        }
    }

    #[test]
    fn a_failing_back_end_is_an_error_and_not_a_zero() {
        let backends = Backends { labeller: Arc::new(Broken), ..Backends::lexicon() };
        let scorer = Scorer::new(backends, &RewardConfig::default()).unwrap();
        assert!(scorer.score(REFERENCE, &[REFERENCE]).unwrap_err().to_string().contains("out of memory"));
        assert!(scorer.parts.iter().all(|part| part.references.is_empty()));
    }

    /// Counts what it is asked.
    struct Counting<T>(T, AtomicUsize);

    impl Labeller for Counting<Lexicon> {
        fn label(&self, reports: &[&str]) -> Result<Vec<Labels>> {
            self.1.fetch_add(reports.len(), Ordering::SeqCst);
            self.0.label(reports)
        }
    }

    #[test]
    fn a_reference_that_was_foreseen_is_not_annotated_again_and_scores_the_same() {
        let counting = Arc::new(Counting(Lexicon::new(), AtomicUsize::new(0)));
        let backends = Backends { labeller: counting.clone(), ..Backends::lexicon() };
        let study = |reference: &str| Study {
            id: "s".into(),
            views: Vec::new(),
            indication: None,
            technique: None,
            comparison: None,
            reference: addendum_studies::Reference::new(reference),
        };
        let ready = Scorer::new(backends.clone(), &RewardConfig::default()).unwrap();
        ready.foresee(&study(REFERENCE));
        assert_eq!(counting.1.load(Ordering::SeqCst), 1);
        let rewards = ready.score(REFERENCE, &["Edema."]).unwrap();
        assert_eq!(counting.1.load(Ordering::SeqCst), 2, "only the report was left to read");
        assert_eq!(rewards, scorer(&RewardConfig::default()).score(REFERENCE, &["Edema."]).unwrap());

        let forgetful = RewardConfig { cached_references: 0, ..RewardConfig::default() };
        Scorer::new(backends, &forgetful).unwrap().foresee(&study(REFERENCE));
        assert_eq!(counting.1.load(Ordering::SeqCst), 2, "annotated to be thrown away");
    }

    #[test]
    fn a_back_end_that_fails_ahead_fails_again_when_it_counts() {
        let backends = Backends { labeller: Arc::new(Broken), ..Backends::lexicon() };
        let scorer = Scorer::new(backends, &RewardConfig::default()).unwrap();
        let reference = addendum_studies::Reference::new(REFERENCE);
        let study =
            Study { id: "s".into(), views: vec![], indication: None, technique: None, comparison: None, reference };
        scorer.foresee(&study);
        assert!(scorer.score(REFERENCE, &[REFERENCE]).is_err());
    }

    /// Every component, with weights that make sums round.
    fn everything() -> RewardConfig {
        let names = "chexbert chexbert_5 chexbert_weighted radgraph radgraph_simple radgraph_complete rate";
        let weights = names.split(' ').enumerate().map(|(i, name)| (name.to_owned(), 1. / (3. + i as f64)));
        let frequencies = Observation::ALL.map(|class| (class, 0.05 * (1. + class.index() as f64))).into();
        RewardConfig { weights: weights.collect(), frequencies, ..RewardConfig::default() }
    }

    #[test]
    fn components_of_one_back_end_share_its_annotations() {
        let counting = Arc::new(Counting(Lexicon::new(), AtomicUsize::new(0)));
        let backends = Backends { labeller: counting.clone(), ..Backends::lexicon() };
        let scorer = Scorer::new(backends, &everything()).unwrap();
        let reward = scorer.score(REFERENCE, &["No pneumothorax.", "Edema."]).unwrap().remove(0);
        assert_eq!(reward.components.len(), 7);
        assert_eq!(counting.1.load(Ordering::SeqCst), 3);
    }

    #[test]
    fn the_other_components_are_the_metrics_of_their_names() {
        let hypothesis = "The heart is normal. Small pleural effusion at the right base. Moderate pneumothorax.";
        let config = everything();
        let components = scorer(&config).score(REFERENCE, &[hypothesis]).unwrap().remove(0).components;
        let backends = Backends::lexicon();
        let rows = |report| [binary(&backends.labels(&[report]).unwrap()[0])];
        let (h, r) = (rows(hypothesis), rows(REFERENCE));
        let five = chexbert::report(&h, &r, &Observation::FIVE).micro.f1;
        assert_eq!(components["chexbert_5"], five);
        assert_eq!(
            components["chexbert_weighted"],
            chexbert::weighted_accuracy(&h, &r, &config.frequencies).total / 14.
        );
        let graph = |report| backends.graphs(&[report]).unwrap().remove(0);
        for (name, level) in [("radgraph_simple", Level::Simple), ("radgraph_complete", Level::Complete)] {
            assert_eq!(components[name], radgraph::score(&graph(hypothesis), &graph(REFERENCE), level).f1, "{name}");
        }
        assert!(0. < five && five < 1. && components["radgraph_complete"] != components["radgraph_simple"]);
    }

    const SENTENCES: [&str; 8] = [
        "No pleural effusion or pneumothorax.",
        "The heart is mildly enlarged.",
        "Right lower lobe opacity may represent pneumonia.",
        "Evaluate for edema.",
        "ET tube 4.2 cm above the carina.",
        "Pneumonia cannot be excluded.",
        "The lungs are clear.",
        "Ünbekannt 正常。",
    ];

    fn any_report() -> impl Strategy<Value = String> {
        prop::collection::vec(prop::sample::select(SENTENCES.to_vec()), 0..5).prop_map(|sentences| sentences.join(" "))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn rewards_are_bounded_and_independent_of_their_batch(
            reference in any_report(), a in any_report(), b in any::<String>()
        ) {
            let scorer = scorer(&RewardConfig::default());
            let together = scorer.score(&reference, &[&a, &b]).unwrap();
            let reversed = scorer.score(&reference, &[&b, &a]).unwrap();
            let alone = scorer.score(&reference, &[&b]).unwrap();
            prop_assert_eq!(&together[0], &reversed[1]);
            prop_assert_eq!(&together[1], &alone[0]);
            for reward in together {
                prop_assert!(reward.components.values().all(|value| (0. ..=1.).contains(value)));
            }
        }

        #[test]
        fn the_totals_of_the_parts_add_up_to_the_whole_bit_for_bit(
            reference in any_report(), reports in prop::collection::vec(any_report(), 1..4), paper in any::<bool>()
        ) {
            let config = if paper { RewardConfig::default() } else { everything() };
            let reports: Vec<&str> = reports.iter().map(String::as_str).collect();
            let whole = scorer(&config).score(&reference, &reports).unwrap();
            let parts = scorer(&config).parts();
            prop_assert_eq!(parts.len(), 3);
            let mut sums = vec![Reward { total: 0., components: BTreeMap::new() }; reports.len()];
            for (backend, part) in parts {
                for (sum, share) in sums.iter_mut().zip(part.score(&reference, &reports).unwrap()) {
                    prop_assert!(share.components.keys().all(|name| name.starts_with(backend.name())));
                    sum.total += share.total;
                    sum.components.extend(share.components);
                }
            }
            prop_assert_eq!(sums, whole);
        }
    }
}
