use std::slice::from_ref;

use serde::Deserialize;

use super::*;
use crate::testing::{close, folder};
use addendum_fixtures::fixture;
use addendum_rewards::{
    Backends, RewardConfig, Scorer, cosine,
    metrics::rate::{self, Weights},
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
    extractor_candidate_entities: Option<Vec<Analysed>>,
    extractor_reference_entities: Option<Vec<Analysed>>,
}

#[derive(Deserialize)]
struct Exchange {
    name: String,
    request: serde_json::Value,
    response: serde_json::Value,
}

#[derive(Deserialize)]
struct Analysed {
    text_span: String,
    r#type: EntityType,
    embedding: Option<Vec<f32>>,
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

/// What a direction of the score may be: where several entities are equally near (the same words with two types) the
/// reference's choice among them is not specified.
fn directions(from: &[Entity], to: &[Entity]) -> Vec<f64> {
    let weights = Weights::default();
    let mut sums = vec![(0., 0.)];
    for entity in from {
        let similarity = |other: &Entity| cosine(&entity.embedding, &other.embedding);
        let nearest = to.iter().map(similarity).fold(f64::MIN, f64::max);
        let near = to.iter().filter(|other| similarity(other) > nearest - rate::TIE);
        let mut choices: Vec<(f64, f64)> = near
            .map(|other| {
                let weight = weights.affinity[entity.kind as usize][other.kind as usize];
                (weight, weight * rate::directed(from_ref(entity), from_ref(other), &weights))
            })
            .collect();
        choices.sort_by(|a, b| a.partial_cmp(b).unwrap());
        choices.dedup();
        sums = sums.iter().flat_map(|&(w, s)| choices.iter().map(move |&(dw, ds)| (w + dw, s + ds))).collect();
    }
    sums.into_iter().map(|(weight, sum)| sum / weight).collect()
}

/// The possible scores of two entity lists.
fn scores(reference: &[Entity], hypothesis: &[Entity]) -> Vec<f64> {
    if reference.is_empty() || hypothesis.is_empty() {
        return vec![rate::score(reference, hypothesis, &Weights::default())];
    }
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
        assert!(
            possible.iter().any(|got| (got - expected).abs() < 1e-4),
            "{}, expected {expected}: {:?}",
            possible[0],
            pair.candidate
        );
        let got = scorer.score(&pair.reference, &[&pair.candidate]).unwrap()[0].total;
        assert!(
            possible.iter().any(|one| (got - one).abs() < 1e-9),
            "{got} is no possible score of {:?}",
            pair.candidate
        );
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
fn sentences_are_remembered_only_where_their_batch_does_not_matter() {
    let extract = |memory: bool| {
        let mut models = models();
        Arc::get_mut(&mut models).unwrap().memory = memory;
        let extractor = models.for_score();
        let entities = extractor.extract(&["No pleural effusion.", "Small right pneumothorax."]).unwrap();
        assert!(!entities.concat().is_empty());
        (entities, extractor.sentences.len(), extractor.words.is_empty())
    };
    let (remembered, forgotten) = (extract(true), extract(false));
    assert_eq!((remembered.1, remembered.2), (2, false));
    assert_eq!((forgotten.1, forgotten.2), (0, true));
    assert_eq!(remembered.0, forgotten.0);
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

#[test]
fn parity_edit_service_entities_of_whole_reports() {
    let models = models();
    let mut seen = 0;
    for pair in pairs() {
        for (report, expected) in [
            (&pair.candidate, &pair.extractor_candidate_entities),
            (&pair.reference, &pair.extractor_reference_entities),
        ] {
            let Some(expected) = expected else { continue };
            let found = models.analyse(report).unwrap();
            let found: Vec<_> = found.iter().map(|entity| (entity.text.as_str(), entity.kind)).collect();
            let expected: Vec<_> = expected.iter().map(|entity| (entity.text_span.as_str(), entity.r#type)).collect();
            assert_eq!(found, expected, "{report:?}");
            seen += found.len();
        }
    }
    assert!(seen > 0);
}

#[test]
fn parity_edit_service_embeddings_of_its_answers() {
    let models = models();
    let exchanges: Vec<Exchange> = serde_json::from_slice(&fixture("rewards/http/analyze.json")).unwrap();
    let mut seen = 0;
    for exchange in exchanges {
        let Some(results) = exchange.response["body"]["data"]["predictions"]["analysis_results"].as_array() else {
            continue;
        };
        for (i, result) in results.iter().enumerate() {
            let truth = &exchange.request["body"]["ground_truth"];
            let Some(reference) = truth.as_str().or_else(|| truth[i].as_str()) else { continue };
            let found = models.analyse(reference).unwrap();
            let answers = result["ref_entities_grouped_by_sentence"].as_object().unwrap().values();
            for answer in answers.flat_map(|list| list.as_array().unwrap()) {
                let answer: Analysed = serde_json::from_value(answer.clone()).unwrap();
                let embedding = answer.embedding.unwrap();
                let alike = |entity: &&Entity| entity.text == answer.text_span && entity.kind == answer.r#type;
                let own = found.iter().find(alike).unwrap_or_else(|| panic!("{}: {}", exchange.name, answer.text_span));
                close(&own.embedding, &embedding, 2e-4, &exchange.name);
                seen += 1;
            }
        }
    }
    assert!(seen > 0);
}
