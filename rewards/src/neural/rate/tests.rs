use serde::Deserialize;

use super::*;
use crate::{
    Backends, RewardConfig, Scorer,
    metrics::rate::{self, Weights},
    neural::testing::{close, folder},
    testing::fixture,
};

#[derive(Deserialize)]
struct Fixture {
    pairs: Vec<Pair>,
}

type Found = Vec<Vec<(String, EntityType)>>;

#[derive(Deserialize)]
struct Pair {
    candidate: String,
    reference: String,
    score: Option<Vec<f64>>,
    candidate_entities: Option<Found>,
    reference_entities: Option<Found>,
}

#[derive(Deserialize)]
struct Split {
    sentences: Vec<String>,
}

fn models() -> Arc<RateModels> {
    RateModels::load(&folder("rewards/rate/ner"), &folder("rewards/rate/embedder"), &Device::Cpu).unwrap()
}

fn pairs() -> Vec<Pair> {
    let fixture: Fixture = serde_json::from_slice(&fixture("rewards/rate/scores.json")).unwrap();
    assert!(!fixture.pairs.is_empty());
    fixture.pairs
}

/// The scores of two entity lists. Where several entities are equally near (the same words with two types) the
/// reference's choice is not specified: then there is one score for the first and one for the last of them, per side.
fn scores(reference: &[Entity], hypothesis: &[Entity]) -> Vec<f64> {
    let weights = Weights::default();
    if reference.is_empty() || hypothesis.is_empty() {
        return vec![rate::score(reference, hypothesis, &weights)];
    }
    let directions = |from: &[Entity], to: &[Entity]| {
        let reversed: Vec<Entity> = to.iter().rev().cloned().collect();
        [rate::directed(from, to, &weights), rate::directed(from, &reversed, &weights)]
    };
    let harmonic = |p: f64, r: f64| if p + r == 0. { 0. } else { 2. * p * r / (p + r) };
    let (recalls, precisions) = (directions(reference, hypothesis), directions(hypothesis, reference));
    recalls.iter().flat_map(|&r| precisions.iter().map(move |&p| harmonic(p, r))).collect()
}

#[test]
fn parity_rate_score_of_report_pairs_end_to_end() {
    let extractor = models().for_score();
    let backends = Backends { entities: Arc::new(models().for_score()), ..Backends::lexicon() };
    let config = RewardConfig { weights: [("rate".to_owned(), 1.)].into(), ..RewardConfig::default() };
    let scorer = Scorer::new(backends, &config).unwrap();
    for pair in pairs() {
        let entities = |report: &str, expected: &Option<Found>| {
            let found = extractor.extract(&extractor.split(report)).unwrap().concat();
            if let Some(expected) = expected {
                let words: Vec<_> = found.iter().map(|entity| (entity.text.clone(), entity.kind)).collect();
                assert_eq!(words, expected.concat(), "{report:?}");
            }
            found
        };
        let reference = entities(&pair.reference, &pair.reference_entities);
        let candidate = entities(&pair.candidate, &pair.candidate_entities);
        // Where the reference fails there is no entity on a side.
        let expected = pair.score.as_ref().map_or(0.5, |score| score[0]);
        let possible = scores(&reference, &candidate);
        eprintln!("{expected} {possible:?}");
        assert!(possible.iter().any(|got| (got - expected).abs() < 1e-4), "{possible:?}, expected {expected}: {:?}", pair.candidate);
        let got = scorer.score(&pair.reference, &[&pair.candidate]).unwrap()[0].total;
        assert!((got - possible[0]).abs() < 1e-9, "{got}, expected {}: {:?}", possible[0], pair.candidate);
    }
}

#[test]
fn parity_entities_do_not_depend_on_the_other_sentences() {
    let cases: Vec<Split> = serde_json::from_slice(&fixture("rewards/rate/sentence_split.json")).unwrap();
    let sentences: Vec<&str> = cases.iter().flat_map(|case| &case.sentences).map(String::as_str).collect();
    for extractor in [models().for_score(), models().for_editing()] {
        let together = extractor.extract(&sentences).unwrap();
        assert!(together.iter().any(|entities| !entities.is_empty()));
        for (sentence, expected) in sentences.iter().zip(&together) {
            let alone = &extractor.extract(&[sentence]).unwrap()[0];
            assert_eq!(alone.len(), expected.len());
            for (a, b) in alone.iter().zip(expected) {
                assert_eq!((&a.text, a.kind), (&b.text, b.kind));
                close(&a.embedding, &b.embedding, 1e-5, sentence);
            }
        }
        assert!(extractor.extract(&[]).unwrap().is_empty());
        assert_eq!(extractor.extract(&[""]).unwrap().len(), 1);
    }
}

#[test]
fn reports_without_entities_score_one_half() {
    let extractor = models().for_score();
    let report = "The heart is mildly enlarged.";
    let entities = extractor.extract(&extractor.split(report)).unwrap().concat();
    assert!(!entities.is_empty());
    assert_eq!(rate::score(&entities, &[], &Weights::default()), 0.5);
    assert!(extractor.extract(&extractor.split("")).unwrap().concat().is_empty());
}
