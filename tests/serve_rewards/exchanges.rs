//! The published exchanges, and our own client.

use std::{path::PathBuf, slice::from_ref, sync::Arc};

use addendum::{
    rewards::{
        Backends, Entity, EntityExtractor, RewardConfig, Scorer, cosine,
        metrics::rate::{TIE, Weights, directed},
        neural::{Chexbert, Radgraph, RateModels},
        services::{ExtractorService, RewardService, ServiceConfig},
    },
    serve::{Endpoint, Service, ServiceOptions},
};
use candle_core::Device;
use serde_json::{Value, json};

use crate::running::Running;

fn folder(path: &str) -> PathBuf {
    let root = std::env::var("ADDENDUM_FIXTURES")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures").into());
    PathBuf::from(root).join(path)
}

fn fixture(path: &str) -> Value {
    let file = folder(path);
    let text = std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    serde_json::from_slice(&text).unwrap()
}

/// The lists and members of a document, with every leaf replaced by its kind.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(members) => members.iter().map(|(key, value)| (key.clone(), shape(value))).collect(),
        Value::Array(items) => items.iter().map(shape).collect(),
        Value::Number(_) => json!("number"),
        Value::String(_) => json!("string"),
        other => other.clone(),
    }
}

/// The service over the models that gave the samples.
fn sample_service() -> Service {
    let models = folder("rewards");
    let chexbert = models.join("chexbert");
    let rate = RateModels::load(&models.join("rate/ner"), &models.join("rate/embedder"), &Device::Cpu).unwrap();
    let archive = models.join("radgraph/xl/radgraph-xl.tar.gz");
    let backends = Backends {
        labeller: Arc::new(Chexbert::load(&chexbert.join("chexbert.pth"), &chexbert, &Device::Cpu).unwrap()),
        entities: Arc::new(rate.for_score()),
        graphs: Arc::new(Radgraph::load(&archive, &models.join("radgraph/xl/bert"), &Device::Cpu).unwrap()),
    };
    let frequencies = serde_json::from_value(fixture("rewards/http/class_frequencies.json")).unwrap();
    let options = ServiceOptions { frequencies, ..ServiceOptions::default() };
    Service::new(backends, options).analyzing_with(move |report| rate.analyse(report))
}

/// Panics at the first place where two documents differ: numbers by more than the tolerance, anything else at all.
fn assert_close(got: &Value, expected: &Value, place: &str) {
    match (got, expected) {
        (Value::Object(a), Value::Object(b)) => {
            assert!(a.keys().eq(b.keys()), "{place}: {:?} {:?}", a.keys(), b.keys());
            a.iter().zip(b.values()).for_each(|((key, a), b)| assert_close(a, b, &format!("{place}.{key}")));
        }
        (Value::Array(a), Value::Array(b)) => {
            assert_eq!(a.len(), b.len(), "{place}: {got} {expected}");
            a.iter().zip(b).enumerate().for_each(|(i, (a, b))| assert_close(a, b, &format!("{place}[{i}]")));
        }
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            assert!((a - b).abs() <= 2e-4, "{place}: {a}, expected {b}");
        }
        _ => assert_eq!(got, expected, "{place}"),
    }
}

/// Puts a sample's RaTEScore, and the sum that holds it, in the place of ours where it comes from another choice among
/// equally near entities, which the reference does not specify.
fn take_tied_scores(answer: &mut Value, exchange: &Value) {
    let expected = &exchange["response"]["body"]["data"]["predictions"];
    let predictions = &mut answer["data"]["predictions"];
    let request: Value = serde_json::from_str(&body(&exchange["request"])).unwrap_or_default();
    let count = expected["rate_scores"].as_array().map_or(0, Vec::len);
    for i in 0..count {
        let (Some(ours), Some(theirs)) = (predictions["rate_scores"][i].as_f64(), expected["rate_scores"][i].as_f64())
        else {
            continue;
        };
        let texts = ["refs", "hyps"].map(|side| request[side][i].as_str().unwrap_or_default().to_owned());
        if (ours - theirs).abs() > 2e-4 && tied_scores(&texts).iter().any(|tied| (tied - theirs).abs() <= 2e-4) {
            for field in ["rate_scores", "final_scores"] {
                predictions[field][i] = expected[field][i].clone();
            }
        }
    }
}

/// Every RaTEScore that a reference and a hypothesis may have.
fn tied_scores(texts: &[String; 2]) -> Vec<f64> {
    let models = folder("rewards");
    let rate =
        RateModels::load(&models.join("rate/ner"), &models.join("rate/embedder"), &Device::Cpu).unwrap().for_score();
    let entities = |text: &String| rate.extract(&rate.split(text)).unwrap().concat();
    let [reference, hypothesis] = texts.each_ref().map(entities);
    if reference.is_empty() || hypothesis.is_empty() {
        return vec![0.5];
    }
    let harmonic = |p: f64, r: f64| if p + r == 0. { 0. } else { 2. * p * r / (p + r) };
    let (recalls, precisions) = (tied_directions(&reference, &hypothesis), tied_directions(&hypothesis, &reference));
    recalls.iter().flat_map(|&r| precisions.iter().map(move |&p| harmonic(p, r))).collect()
}

fn tied_directions(from: &[Entity], to: &[Entity]) -> Vec<f64> {
    let weights = Weights::default();
    let mut sums = vec![(0., 0.)];
    for entity in from {
        let similarity = |other: &Entity| cosine(&entity.embedding, &other.embedding);
        let nearest = to.iter().map(similarity).fold(f64::MIN, f64::max);
        let mut choices: Vec<(f64, f64)> = (to.iter().filter(|other| similarity(other) > nearest - TIE))
            .map(|other| {
                let weight = weights.affinity[entity.kind as usize][other.kind as usize];
                (weight, weight * directed(from_ref(entity), from_ref(other), &weights))
            })
            .collect();
        choices.sort_by(|a, b| a.partial_cmp(b).unwrap());
        choices.dedup();
        sums = sums.iter().flat_map(|&(w, s)| choices.iter().map(move |&(dw, ds)| (w + dw, s + ds))).collect();
    }
    sums.into_iter().map(|(weight, sum)| sum / weight).collect()
}

#[test]
fn parity_answers_over_the_sample_models_are_the_sample_answers() {
    let service = sample_service();
    for (file, endpoint) in [("predict", Endpoint::Predict), ("analyze", Endpoint::Analyze)] {
        let exchanges = fixture(&format!("rewards/http/{file}.json"));
        let exchanges = exchanges.as_array().unwrap();
        let scored: Vec<&Value> = exchanges.iter().filter(|exchange| exchange["response"]["status"] == 200).collect();
        assert!(!scored.is_empty());
        for exchange in scored {
            let answer = service.answer(endpoint, body(&exchange["request"]).as_bytes()).unwrap();
            let mut answer: Value = serde_json::from_slice(&answer).unwrap();
            take_tied_scores(&mut answer, exchange);
            assert_close(&answer, &exchange["response"]["body"], exchange["name"].as_str().unwrap());
        }
    }
}

fn body(request: &Value) -> String {
    match &request["body"] {
        Value::String(raw) => raw.clone(),
        other => other.to_string(),
    }
}

#[test]
fn sample_requests_of_predict_get_answers_of_the_sample_shape() {
    let server = Running::lexicon();
    for exchange in fixture("rewards/http/predict.json").as_array().unwrap() {
        let (name, request) = (exchange["name"].as_str().unwrap(), &exchange["request"]);
        let kind = request["content_type"].as_str().unwrap();
        let headers = format!("Content-Type: {kind}\r\n");
        let (status, _, answer) = server.send("POST", "/predict", &headers, &body(request));
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let expected = &exchange["response"];
        match expected["status"].as_u64().unwrap() {
            200 => {
                assert_eq!((status, shape(&answer)), (200, shape(&expected["body"])), "{name}");
                let format = &answer["data"]["predictions"]["format_scores"];
                assert_eq!(format, &expected["body"]["data"]["predictions"]["format_scores"], "{name}");
            }
            // The sample's crash; the README asks for scores instead.
            500 if name == "empty_hypothesis" => {
                let predictions = &answer["data"]["predictions"];
                assert_eq!(predictions["rate_scores"], json!([0.5]));
                assert_eq!(predictions["f1_radgraph_scores"], json!([0.0]));
            }
            code => {
                let code = if code == 500 { 400 } else { code };
                assert_eq!((u64::from(status), &answer["result"]), (code, &json!("error")), "{name}");
                let message = answer["data"]["message"].as_str().unwrap();
                let sample = expected["body"]["data"]["message"].as_str().filter(|_| expected["status"] == 400);
                assert!(sample.is_none_or(|sample| sample == message), "{name}: {message}");
                assert!(!message.is_empty());
            }
        }
    }
}

#[test]
fn sample_requests_of_analyze_get_answers_of_the_sample_shape() {
    let server = Running::lexicon();
    let entity = |entity: &Value| {
        let embedding = entity["embedding"].as_array().unwrap();
        assert!(!embedding.is_empty() && embedding.iter().all(Value::is_number));
        let members: Vec<&String> = entity.as_object().unwrap().keys().collect();
        assert_eq!(members, ["embedding", "original_label", "sentence", "text_span", "type"]);
    };
    for exchange in fixture("rewards/http/analyze.json").as_array().unwrap() {
        let (name, request) = (exchange["name"].as_str().unwrap(), &exchange["request"]);
        let kind = request["content_type"].as_str().unwrap();
        let (status, _, answer) = server.send("POST", "/analyze", &format!("Content-Type: {kind}\r\n"), &body(request));
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let expected = &exchange["response"];
        if expected["status"] != 200 {
            // What crashes the sample's service is the request's fault.
            assert!((400..500).contains(&status), "{name}: {status}");
            assert_eq!(answer["result"], "error");
            let sample = expected["body"]["data"]["message"].as_str();
            assert!(sample.is_none_or(|sample| answer["data"]["message"] == sample), "{name}: {answer}");
            continue;
        }
        assert_eq!((status, &answer["result"]), (200, &json!("success")), "{name}");
        let results = |body: &Value| body["data"]["predictions"]["analysis_results"].as_array().unwrap().clone();
        let (ours, theirs) = (results(&answer), results(&expected["body"]));
        assert_eq!(ours.len(), theirs.len(), "{name}");
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert!(ours.as_object().unwrap().keys().eq(theirs.as_object().unwrap().keys()), "{name}");
            for list in ["false_positives", "false_negatives"] {
                ours[list].as_array().unwrap().iter().for_each(entity);
            }
            for group in ours["ref_entities_grouped_by_sentence"].as_object().unwrap().values() {
                group.as_array().unwrap().iter().for_each(entity);
            }
            for contradiction in ours["contradictions"].as_array().unwrap() {
                let members: Vec<&String> = contradiction.as_object().unwrap().keys().collect();
                assert_eq!(members, ["effective_score_for_match_debug", "gen_entity", "ref_entity", "similarity"]);
                entity(&contradiction["gen_entity"]);
                entity(&contradiction["ref_entity"]);
            }
        }
    }
}

const REFERENCE: &str = "The heart is enlarged. Small left pleural effusion. No pneumothorax.";
const HYPOTHESES: [&str; 5] = [
    "Cardiomegaly. Small left pleural effusion. No pneumothorax.",
    "The heart is normal. Moderate right pneumothorax.\n\nRibs ≥ 2 fractured.",
    "",
    "Cardiomegaly.",
    "Left pleural effusion, small. No focal consolidation is seen.",
];

#[test]
fn our_client_gets_the_rewards_of_the_local_back_end() {
    let server = Running::lexicon();
    let config = RewardConfig::default();
    let expected = Scorer::new(Backends::lexicon(), &config).unwrap().score(REFERENCE, &HYPOTHESES).unwrap();
    for (batch, parallel) in [(1, 1), (1, 4), (2, 2), (16, 1)] {
        let service = ServiceConfig { batch, parallel, ..ServiceConfig::at(server.url("/predict")) };
        let rewards = RewardService::new(&service, &config).unwrap().score(REFERENCE, &HYPOTHESES).unwrap();
        for (remote, local) in rewards.iter().zip(&expected) {
            assert!((remote.total - local.total).abs() < 1e-12, "{remote:?} {local:?}");
            assert!(remote.components.keys().eq(local.components.keys()));
        }
        assert_eq!(rewards.len(), expected.len());
    }
}

#[test]
fn entities_from_our_server_are_those_of_the_local_extractor() {
    let server = Running::lexicon();
    let sentences = ["The heart is enlarged.", "", "No pleural effusion or pneumothorax.", "Ünbekannt 正常。"];
    let local = Backends::lexicon().entities.extract(&sentences).unwrap();
    for batch in [1, 3] {
        let service = ServiceConfig { batch, ..ServiceConfig::at(server.url("/analyze")) };
        let remote: Arc<dyn EntityExtractor> = Arc::new(ExtractorService::new(&service).unwrap());
        assert_eq!(remote.extract(&sentences).unwrap(), local);
        // As the extractor of a reward, it gives the same rewards.
        let scorer = |backends| Scorer::new(backends, &RewardConfig::default()).unwrap();
        let mixed = scorer(Backends { entities: remote, ..Backends::lexicon() });
        let expected = scorer(Backends::lexicon()).score(REFERENCE, &HYPOTHESES).unwrap();
        assert_eq!(mixed.score(REFERENCE, &HYPOTHESES).unwrap(), expected);
    }
}
