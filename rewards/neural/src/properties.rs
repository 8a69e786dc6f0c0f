//! What holds of the neural back ends for any reports: a list is annotated as its members alone are, bit for bit, a report is worth
//! the most compared with itself, and no text makes them fail.

use std::{
    ops::Range,
    sync::{Arc, LazyLock},
};

use candle_core::Device;
use proptest::prelude::*;

use super::{Chexbert, Radgraph, RateModels, testing::folder};
use addendum_rewards::{
    Backends, Entity, EntityExtractor, GraphExtractor, Label, Labeller, RewardConfig, Scorer, cosine,
};

static CHEXBERT: LazyLock<Arc<Chexbert>> = LazyLock::new(|| {
    let folder = folder("rewards/chexbert");
    Arc::new(Chexbert::load(&folder.join("chexbert.safetensors"), &folder, &Device::Cpu).unwrap())
});

static RADGRAPH: LazyLock<Arc<Radgraph>> = LazyLock::new(|| {
    let folder = folder("rewards/radgraph/xl");
    Arc::new(Radgraph::load(&folder.join("radgraph-xl.tar.gz"), &folder.join("bert"), &Device::Cpu).unwrap())
});

static RATE: LazyLock<Arc<RateModels>> = LazyLock::new(|| {
    RateModels::load(&folder("rewards/rate/ner"), &folder("rewards/rate/embedder"), &Device::Cpu).unwrap()
});

fn backends() -> Backends {
    Backends { labeller: CHEXBERT.clone(), entities: Arc::new(RATE.for_score()), graphs: RADGRAPH.clone() }
}

const SENTENCES: [&str; 12] = [
    "No pleural effusion or pneumothorax.",
    "The heart is mildly enlarged.",
    "Right lower lobe opacity may represent pneumonia.",
    "ET tube 4.2 cm above the carina.",
    "1. Stable edema.\n2. No change",
    "FINDINGS: lungs are clear",
    "\u{1F600}\u{1F468}\u{200D}\u{1F469}\u{200D}\u{1F467}",
    "肺野清晰。心影不大。",
    "e\u{301}panchement pleural à gauche",
    "\u{0}\u{7}\u{1b}[31m\u{85}\u{200B}\u{FEFF}\u{FFFD}",
    "قلب طبيعي",
    " \t\r\n\u{A0}\u{3000}",
];

/// Sentences of many kinds, any characters, nothing at all.
fn any_text(sentences: Range<usize>) -> impl Strategy<Value = String> {
    let given = prop::sample::select(SENTENCES.to_vec()).prop_map(str::to_owned);
    let sentence = prop_oneof![4 => given, 1 => any::<String>()];
    prop::collection::vec(sentence, sentences).prop_map(|sentences| sentences.join(" "))
}

/// Also reports of more than the 512 tokens that CheXbert and the tagger read.
fn any_report() -> impl Strategy<Value = String> {
    let long = (any_text(0..3), 105usize..110).prop_map(|(text, times)| text + &SENTENCES[0].repeat(times));
    prop_oneof![8 => any_text(0..6), 1 => long]
}

fn borrowed(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

/// Whether several entities of other types share their words, so that which of them is nearest is a matter of rounding.
fn ambiguous(entities: &[Entity]) -> bool {
    let alike = |a: &Entity, b: &Entity| a.kind != b.kind && cosine(&a.embedding, &b.embedding) > 1. - 1e-4;
    entities.iter().enumerate().any(|(i, a)| entities[..i].iter().any(|b| alike(a, b)))
}

fn scorer(metric: &str) -> Scorer {
    let config = RewardConfig { weights: [(metric.to_owned(), 1.)].into(), ..RewardConfig::default() };
    Scorer::new(backends(), &config).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn labels_and_graphs_of_a_list_are_those_of_its_reports(reports in prop::collection::vec(any_report(), 1..6)) {
        let reports = borrowed(&reports);
        let (labels, graphs) = (CHEXBERT.label(&reports).unwrap(), RADGRAPH.graph(&reports).unwrap());
        prop_assert_eq!((labels.len(), graphs.len()), (reports.len(), reports.len()));
        for (i, report) in reports.iter().enumerate() {
            prop_assert_eq!(&CHEXBERT.label(&[report]).unwrap()[0], &labels[i], "{:?}", report);
            prop_assert_eq!(&RADGRAPH.graph(&[report]).unwrap()[0], &graphs[i], "{:?}", report);
        }
    }

    #[test]
    fn entities_of_a_list_are_those_of_its_texts(texts in prop::collection::vec(any_report(), 1..6)) {
        let texts = borrowed(&texts);
        // New ones for each reading, because an extractor remembers what it has read.
        for extractor in [RateModels::for_score, RateModels::for_editing] {
            let together = extractor(&RATE).extract(&texts).unwrap();
            prop_assert_eq!(together.len(), texts.len());
            for (text, entities) in texts.iter().zip(&together) {
                prop_assert_eq!(&extractor(&RATE).extract(&[text]).unwrap()[0], entities, "{:?}", text);
            }
        }
    }

    #[test]
    fn scores_of_a_group_are_those_of_its_reports_and_bounded(
        reference in any_report(), reports in prop::collection::vec(any_report(), 1..5)
    ) {
        let reports = borrowed(&reports);
        for metric in ["chexbert", "radgraph", "rate"] {
            for (report, reward) in reports.iter().zip(scorer(metric).score(&reference, &reports).unwrap()) {
                prop_assert!((0. ..=1.).contains(&reward.total));
                prop_assert_eq!(&scorer(metric).score(&reference, &[report]).unwrap()[0], &reward);
            }
        }
    }

    #[test]
    fn a_report_compared_with_itself_scores_one_where_there_is_anything_to_find(report in any_report()) {
        let alone = [report.as_str()];
        let (labels, graph) = (&CHEXBERT.label(&alone).unwrap()[0], &RADGRAPH.graph(&alone).unwrap()[0]);
        let entities = &backends().entities(&alone).unwrap()[0];
        let positive = labels.iter().any(|label| matches!(label, Label::Positive | Label::Uncertain));
        let expected = [
            ("chexbert", Some(f64::from(positive))),
            ("radgraph", Some(f64::from(!graph.entities.is_empty()))),
            ("rate", if entities.is_empty() { Some(0.5) } else { (!ambiguous(entities)).then_some(1.) }),
        ];
        for (metric, expected) in expected {
            let got = scorer(metric).score(&report, &alone).unwrap()[0].total;
            prop_assert!(expected.is_none_or(|expected| (got - expected).abs() < 1e-5), "{metric}: {got}, {expected:?}");
        }
    }
}
