//! The composite reward: a weighted sum of clinical metrics, each kept.
//!
//! Reports are annotated by exchangeable back ends; the annotations of references are cached, because every rollout of
//! a group is scored against the same one. A back end that fails is an error, never a zero.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    CacheCounts, Entity, EntityExtractor, Error, Graph, GraphExtractor, Labeller, Labels, Lexicon, Result,
    cache::Cache,
    labels::binary,
    metrics::{
        chexbert,
        radgraph::{self, Level},
        rate,
    },
};

/// The metrics a reward can be made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Component {
    /// Micro F1 over the 14 observations.
    Chexbert,
    /// RadGraph F1, partial level.
    Radgraph,
    /// RaTEScore.
    Rate,
}

impl Component {
    const ALL: [Self; 3] = [Self::Chexbert, Self::Radgraph, Self::Rate];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Chexbert => "chexbert",
            Self::Radgraph => "radgraph",
            Self::Rate => "rate",
        }
    }

    fn known() -> String {
        Self::ALL.map(|component| format!("`{}`", component.name())).join(", ")
    }
}

/// What the reward is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RewardConfig {
    /// Weight of each component: `radgraph`, `chexbert`, `rate`. A component that is not named is not computed, one of
    /// weight 0 is computed and recorded but does not count.
    pub weights: BTreeMap<String, f64>,
    /// What an opposite presence leaves of a RaTEScore match.
    pub negation_weight: f64,
    /// How many references keep their annotations.
    pub cached_references: usize,
}

impl Default for RewardConfig {
    /// The paper's reward: the plain sum of the three.
    fn default() -> Self {
        Self {
            weights: Component::ALL.map(|component| (component.name().to_owned(), 1.)).into(),
            negation_weight: rate::Weights::default().negation,
            cached_references: 4096,
        }
    }
}

impl RewardConfig {
    /// The weights by component.
    pub(crate) fn checked_weights(&self) -> Result<BTreeMap<Component, f64>> {
        let mut weights = BTreeMap::new();
        for (name, &value) in &self.weights {
            let Some(component) = Component::ALL.into_iter().find(|component| component.name() == name) else {
                return Err(Error::UnknownComponent { name: name.clone(), known: Component::known() });
            };
            if !value.is_finite() || value < 0. {
                return Err(Error::Weight { name: name.clone(), value });
            }
            weights.insert(component, value);
        }
        if !weights.values().any(|&weight| weight > 0.) {
            return Err(Error::NoComponent { known: Component::known() });
        }
        Ok(weights)
    }
}

/// What annotates reports.
#[derive(Clone)]
pub struct Backends {
    pub labeller: Arc<dyn Labeller>,
    pub entities: Arc<dyn EntityExtractor>,
    pub graphs: Arc<dyn GraphExtractor>,
}

impl Backends {
    /// The lexicon for everything.
    pub fn lexicon() -> Self {
        let lexicon = Arc::new(Lexicon::new());
        Self { labeller: lexicon.clone(), entities: lexicon.clone(), graphs: lexicon }
    }

    /// The labels of each report. Fails when the back end does, or answers for another number of reports.
    pub fn labels(&self, reports: &[&str]) -> Result<Vec<Labels>> {
        counted("labeller", self.labeller.label(reports)?, reports.len())
    }

    /// The graph of each report. Fails when the back end does, or answers for another number of reports.
    pub fn graphs(&self, reports: &[&str]) -> Result<Vec<Graph>> {
        counted("graph extractor", self.graphs.graph(reports)?, reports.len())
    }

    /// The entities of whole reports: those of their sentences, in order. Fails as the others do.
    pub fn entities(&self, reports: &[&str]) -> Result<Vec<Vec<Entity>>> {
        let cut: Vec<Vec<&str>> = reports.iter().map(|report| self.entities.split(report)).collect();
        let flat: Vec<&str> = cut.iter().flatten().copied().collect();
        let mut found = counted("entity extractor", self.entities.extract(&flat)?, flat.len())?.into_iter();
        Ok(cut.iter().map(|sentences| found.by_ref().take(sentences.len()).flatten().collect()).collect())
    }
}

fn counted<T>(component: &'static str, annotations: Vec<T>, expected: usize) -> Result<Vec<T>> {
    match annotations.len() {
        got if got == expected => Ok(annotations),
        got => Err(Error::Count { component, expected, got }),
    }
}

/// The reward of one report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reward {
    /// The weighted sum: in [0, sum of weights].
    pub total: f64,
    /// Each named component, unweighted, in [0, 1].
    pub components: BTreeMap<String, f64>,
}

impl Reward {
    pub(crate) fn none() -> Self {
        Self { total: 0., components: BTreeMap::new() }
    }

    /// Records a component and adds its share.
    pub(crate) fn add(&mut self, component: Component, weight: f64, value: f64) -> Result<()> {
        if !value.is_finite() {
            return Err(Error::NotFinite { component: component.name(), value });
        }
        // Cosines of real embeddings may be negative or exceed 1 by rounding.
        let value = value.clamp(0., 1.);
        self.total += weight * value;
        self.components.insert(component.name().to_owned(), value);
        Ok(())
    }
}

/// What the components need to know of one report; empty where no component asks.
#[derive(Default)]
struct Annotation {
    row: chexbert::Row,
    graph: Graph,
    entities: Vec<Entity>,
}

/// Scores reports against references. Shared between threads; the score of a report depends on nothing but the two
/// texts.
pub struct Scorer {
    backends: Backends,
    weights: BTreeMap<Component, f64>,
    rate: rate::Weights,
    references: Cache<Annotation>,
}

impl Scorer {
    /// # Errors
    /// Unknown component names, negative or non-finite weights, and a reward without any positive weight.
    pub fn new(backends: Backends, config: &RewardConfig) -> Result<Self> {
        let weights = config.checked_weights()?;
        let negation = config.negation_weight;
        if !(0. ..=1.).contains(&negation) {
            return Err(Error::Weight { name: "negation_weight".into(), value: negation });
        }
        let rate = rate::Weights { negation, ..rate::Weights::default() };
        Ok(Self { backends, weights, rate, references: Cache::new(config.cached_references) })
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
        let reference =
            self.references.get(reference, || Ok(self.annotate(&[reference])?.pop().unwrap_or_default()))?;
        self.annotate(hypotheses)?.iter().map(|hypothesis| self.reward(hypothesis, &reference)).collect()
    }

    /// How many references were found annotated, and how many were not.
    pub fn cache_counts(&self) -> CacheCounts {
        self.references.counts()
    }

    fn annotate(&self, reports: &[&str]) -> Result<Vec<Annotation>> {
        let mut annotations: Vec<Annotation> = reports.iter().map(|_| Annotation::default()).collect();
        for component in self.weights.keys() {
            match component {
                Component::Chexbert => {
                    for (slot, labels) in annotations.iter_mut().zip(self.backends.labels(reports)?) {
                        slot.row = binary(&labels);
                    }
                }
                Component::Radgraph => {
                    for (slot, graph) in annotations.iter_mut().zip(self.backends.graphs(reports)?) {
                        slot.graph = graph;
                    }
                }
                Component::Rate => {
                    for (slot, entities) in annotations.iter_mut().zip(self.backends.entities(reports)?) {
                        slot.entities = entities;
                    }
                }
            }
        }
        Ok(annotations)
    }

    fn reward(&self, hypothesis: &Annotation, reference: &Annotation) -> Result<Reward> {
        let mut reward = Reward::none();
        for (&component, &weight) in &self.weights {
            let value = match component {
                Component::Chexbert => chexbert::micro_f1_14(&hypothesis.row, &reference.row),
                Component::Radgraph => radgraph::score(&hypothesis.graph, &reference.graph, Level::Partial).f1,
                Component::Rate => rate::score(&reference.entities, &hypothesis.entities, &self.rate),
            };
            reward.add(component, weight, value)?;
        }
        Ok(reward)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
    fn impossible_configurations_are_refused_by_name() {
        let refusal = |weights: &[(&str, f64)]| {
            let weights = weights.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
            let config = RewardConfig { weights, ..RewardConfig::default() };
            Scorer::new(Backends::lexicon(), &config).err().unwrap().to_string()
        };
        let unknown = refusal(&[("bleu", 1.)]);
        assert!(unknown.contains("`bleu`") && unknown.contains("`radgraph`"), "{unknown}");
        assert!(refusal(&[("rate", -1.)]).contains("-1"));
        assert!(refusal(&[("rate", f64::NAN)]).contains("NaN"));
        assert!(refusal(&[("rate", 0.)]).contains("positive weight"));
    }

    #[test]
    fn references_are_annotated_once_and_the_cache_is_bounded() {
        let config = RewardConfig { cached_references: 2, ..RewardConfig::default() };
        let scorer = scorer(&config);
        for reference in ["No effusion.", "No effusion.", "Edema.", "Normal heart.", "No effusion."] {
            scorer.score(reference, &["Edema."]).unwrap();
        }
        assert_eq!(scorer.cache_counts(), CacheCounts { hits: 1, misses: 4 });
        assert_eq!(scorer.references.len(), 2);
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
        assert_eq!(scorer.references.len(), 0);
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
    }
}
