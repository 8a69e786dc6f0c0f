//! Whatever comes beside it, a pair gets its own scores, and a client its own answer.

use std::{sync::Arc, thread};

use addendum::{
    rewards::{Backends, Error, Labeller, Labels},
    serve::{ServerConfig, ServiceOptions},
};
use serde_json::{Value, json};

use crate::running::Running;

const PAIRS: [(&str, &str); 3] = [
    ("Cardiomegaly. No effusion.", "The heart is enlarged."),
    ("No pneumothorax.", "Small left pneumothorax."),
    ("Edema. Left effusion.", "Mild edema. No effusion."),
];

/// The body of a request for the scores of each pair; texts are JSON.
fn predict(pairs: &[(String, String)]) -> String {
    let list = |side: fn(&(String, String)) -> &str| pairs.iter().map(side).collect::<Vec<_>>().join(",");
    let (hyps, refs) = (list(|pair| &pair.0), list(|pair| &pair.1));
    format!(r#"{{"hyps":[{hyps}],"refs":[{refs}],"type":"free_form","per_pair":true}}"#)
}

fn analyze(pairs: &[(String, String)]) -> String {
    predict(pairs).replace("\"hyps\"", "\"generations\"").replace("\"refs\"", "\"ground_truth\"")
}

fn quoted(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(a, b)| (json!(a).to_string(), json!(b).to_string())).collect()
}

fn predictions(answer: &Value) -> &Value {
    &answer["data"]["predictions"]
}

/// Checks that the sound pairs are scored and analysed as if sent alone, and the one at `spoilt` not at all, with the
/// reason.
fn assert_isolated(server: &Running, pairs: &[(String, String)], spoilt: usize, reason: [&str; 2]) {
    let (status, answer) = server.post("/predict", &predict(pairs));
    assert_eq!(status, 200, "{answer}");
    let lists = predictions(&answer).as_object().unwrap();
    let (_, analyses) = server.post("/analyze", &analyze(pairs));
    let analyses = &predictions(&analyses)["analysis_results"];
    for (i, pair) in pairs.iter().enumerate() {
        if i == spoilt {
            assert!(lists.iter().all(|(name, list)| list[i].is_null() != (name == "errors")), "{answer}");
            assert!(lists["errors"][i].as_str().unwrap().contains(reason[0]), "{answer}");
            assert!(reason[1].is_empty() || analyses[i]["error"].as_str().unwrap().contains(reason[1]), "{analyses}");
            continue;
        }
        let alone = server.post("/predict", &predict(std::slice::from_ref(pair))).1;
        for (name, list) in predictions(&alone).as_object().unwrap() {
            assert!(list[0].is_number() && lists[name][i] == list[0], "{name} of pair {i}: {answer}");
        }
        let alone = server.post("/analyze", &analyze(std::slice::from_ref(pair))).1;
        assert_eq!(analyses[i], predictions(&alone)["analysis_results"][0]);
        assert!(analyses[i].get("error").is_none());
    }
}

#[test]
fn nan_spoils_its_own_pair_only() {
    let server = Running::lexicon();
    for at in 0..PAIRS.len() {
        let mut pairs = quoted(&PAIRS);
        pairs[at].0 = "NaN".into();
        let place = [format!("`hyps[{at}]` is null"), format!("`generations[{at}]` is null")];
        assert_isolated(&server, &pairs, at, place.each_ref().map(String::as_str));
        pairs[at] = (r#""Edema.""#.into(), "-Infinity".into());
        let place = [format!("`refs[{at}]` is null"), format!("`ground_truth[{at}]` is null")];
        assert_isolated(&server, &pairs, at, place.each_ref().map(String::as_str));
    }
    // Means of a batch have no place for a pair that is none.
    let whole = predict(&[quoted(&PAIRS), vec![("NaN".into(), "\"\"".into())]].concat()).replace("true", "false");
    let (status, answer) = server.post("/predict", &whole);
    assert_eq!((status, &answer["data"]["message"]), (400, &json!("`hyps[3]` is null, expected a string")));
    let extra = predict(&quoted(&PAIRS)).replacen('{', r#"{"temperature":NaN,"#, 1);
    assert_eq!(server.post("/predict", &extra).1, server.post("/predict", &predict(&quoted(&PAIRS))).1);
}

#[test]
fn half_a_surrogate_pair_is_an_unknown_character_of_its_own_report() {
    let server = Running::lexicon();
    let mut pairs = quoted(&PAIRS);
    pairs[1].0 = r#""No pneumothorax \ud83d.""#.into();
    pairs[2].1 = r#""\udc00 Mild edema.""#.into();
    let nobody = pairs.len();
    assert_isolated(&server, &pairs, nobody, ["", ""]);
    let unknown: Vec<_> = pairs
        .iter()
        .map(|(a, b)| [a, b].map(|text| text.replace(r"\ud83d", "\u{fffd}").replace(r"\udc00", "\u{fffd}")))
        .map(|[a, b]| (a, b))
        .collect();
    assert_eq!(server.post("/predict", &predict(&pairs)).1, server.post("/predict", &predict(&unknown)).1);
}

#[test]
fn a_report_that_a_back_end_fails_at_spoils_its_own_pair_only() {
    struct Choosy;
    impl Labeller for Choosy {
        fn label(&self, reports: &[&str]) -> addendum::rewards::Result<Vec<Labels>> {
            if reports.iter().any(|report| report.contains("unlabelled")) {
                return Err(Error::NotFinite { component: "chexbert", value: f64::NAN });
            }
            Backends::lexicon().labeller.label(reports)
        }
    }
    let backends = Backends { labeller: Arc::new(Choosy), ..Backends::lexicon() };
    let server = Running::with(ServerConfig::default(), backends, ServiceOptions::default());
    let mut pairs = quoted(&PAIRS);
    pairs[1].1 = r#""An unlabelled report.""#.into();
    assert_isolated(&server, &pairs, 1, ["chexbert", ""]);
    assert_eq!(server.post("/predict", &predict(&pairs[1..2])).0, 500);
    assert_eq!(server.post("/predict", &predict(&pairs).replace("true", "false")).0, 500);
}

#[test]
fn under_load_every_valid_request_is_answered_as_if_alone_and_every_other_refused() {
    let server = Running::with(
        ServerConfig { threads: 2, ..ServerConfig::default() },
        Backends::lexicon(),
        ServiceOptions::default(),
    );
    let valid = |i: usize| {
        let pair = PAIRS[i % PAIRS.len()];
        let pairs = quoted(&[(&format!("{} Day {}.", pair.0, i % 7), pair.1), pair]);
        if i.is_multiple_of(3) { ("/analyze", analyze(&pairs)) } else { ("/predict", predict(&pairs)) }
    };
    let malformed = [
        ("/predict", "{".to_owned(), 400),
        ("/predict", "[".repeat(100_000), 400),
        ("/predict", r#"{"hyps":[1],"refs":["a"]}"#.into(), 400),
        ("/analyze", r#"{"generations":["a"],"ground_truth":[]}"#.into(), 400),
        ("/analyze", "\u{0}".into(), 400),
        ("/predict", json!({"hyps": vec![""; 65], "refs": vec![""; 65]}).to_string(), 413),
        ("/analyze", json!({"generations": ["x".repeat(20_001)], "ground_truth": [""]}).to_string(), 413),
        ("/elsewhere", "{}".into(), 404),
    ];
    let alone: Vec<_> = (0..42).map(|i| server.post(valid(i).0, &valid(i).1)).collect();
    assert!(alone.iter().all(|(status, _)| *status == 200));
    thread::scope(|scope| {
        for first in 0..4 {
            let (server, alone, malformed) = (&server, &alone, &malformed);
            scope.spawn(move || {
                for i in (0..60).map(|i| (7 * i + 11 * first) % alone.len()) {
                    let (path, body) = valid(i);
                    assert!(server.post(path, &body) == alone[i], "request {i}");
                }
            });
            scope.spawn(move || {
                for (path, body, expected) in malformed.iter().cycle().skip(first).take(60) {
                    let (status, answer) = server.post(path, body);
                    assert_eq!((status, &answer["result"]), (*expected, &json!("error")), "{path}");
                }
            });
        }
    });
}
