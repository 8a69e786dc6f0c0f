//! Refusals, limits, failures and hostile bodies.

use std::{
    cell::Cell,
    io::Read,
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use addendum::{
    remote::{RewardService, Secret, ServiceConfig},
    rewards::{Backends, Labeller, Labels, RewardConfig},
    serve::{Endpoint, Server, ServerConfig, Service, ServiceOptions},
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::running::Running;

#[test]
fn bodies_that_cannot_be_scored_are_refused_with_the_reason() {
    let options = ServiceOptions { most_pairs: 2, ..ServiceOptions::default() };
    let config = ServerConfig { most_body_bytes: 2000, ..ServerConfig::default() };
    let server = Running::with(config, Backends::lexicon(), options);
    let padding = "x".repeat(2500);
    let long = format!(r#"{{"hyps":["{padding}"],"refs":[""]}}"#);
    let cases = [
        ("/predict", "{", 400, "The body is not JSON"),
        ("/predict", "\u{feff}{}", 400, "Missing 'hyps' or 'refs'"),
        ("/predict", "[1]", 400, "Expected a JSON object"),
        ("/predict", "{}", 400, "Missing 'hyps' or 'refs'"),
        ("/predict", r#"{"hyps":["a",3],"refs":["b","c"]}"#, 400, "`hyps[1]` is 3, expected a string"),
        ("/predict", r#"{"hyps":["a"],"refs":{"0":"b"}}"#, 400, "'hyps' and 'refs' should be lists"),
        ("/predict", r#"{"hyps":["a"],"refs":["b","c"]}"#, 400, "Mismatch between hyps (1) and refs (2)"),
        ("/predict", r#"{"hyps":["a"],"refs":["b"],"type":7}"#, 400, "`type` is 7"),
        (
            "/predict",
            r#"{"hyps":["a"],"refs":["b"],"requested_reward_components":"all"}"#,
            400,
            "`requested_reward_components`",
        ),
        (
            "/predict",
            r#"{"hyps":["a"],"refs":["b"],"per_pair":"yes"}"#,
            400,
            "`per_pair` is a string, expected true or false",
        ),
        ("/predict", r#"{"hyps":["","",""],"refs":["","",""]}"#, 413, "3 pairs in one request, at most 2"),
        ("/predict", &long, 413, "longer than 2000 bytes"),
        ("/analyze", r#"{"generations":"a","ground_truth":"b"}"#, 400, "`generations` is a string, expected a list"),
        ("/analyze", r#"{"generations":["a"],"ground_truth":[null]}"#, 400, "`ground_truth[0]` is null"),
        ("/analyze", r#"{"generations":["","",""],"ground_truth":["","",""]}"#, 413, "at most 2"),
        ("/nowhere", "{}", 404, "Unknown path"),
    ];
    for (path, body, status, reason) in cases {
        let (got, answer) = server.post(path, body);
        let message = answer["data"]["message"].as_str().unwrap();
        assert_eq!((got, &answer["result"]), (status, &json!("error")), "{path} {body}");
        assert!(message.contains(reason), "{path} {body}: {message}");
    }
    let (status, _, answer) = server.send("GET", "/predict", "", "");
    assert!(status == 405 && answer.contains(r#""result":"error""#), "{answer}");
    for deep in ["[".repeat(1500), r#"{"hyps":"#.repeat(200), format!(r#"{{"hyps":{}"#, "[".repeat(1500))] {
        assert_eq!(server.post("/predict", &deep).0, 400);
    }
    // Not HTTP at all.
    assert!(server.raw(b"\x16\x03\x01\x02 hello\r\n\r\n").starts_with("HTTP/1.1 400"));
    assert_eq!(server.post("/predict", r#"{"hyps":["a"],"refs":["b"]}"#).0, 200);
}

#[test]
fn only_the_token_opens_the_server_and_health_is_for_all() {
    let token = Some(Secret::new("s3cret-token").unwrap());
    let server = Running::with(
        ServerConfig { token, ..ServerConfig::default() },
        Backends::lexicon(),
        ServiceOptions::default(),
    );
    let ask = |header: &str, path: &str| {
        let headers = format!("Content-Type: application/json\r\n{header}");
        server.send("POST", path, &headers, r#"{"hyps":["a"],"refs":["b"]}"#)
    };
    for wrong in [
        "",
        "Authorization: Bearer s3cret-toke\r\n",
        "Authorization: Bearer s3cret-tokem\r\n",
        "Authorization: Basic s3cret-token\r\n",
        "Authorization: s3cret-token\r\n",
    ] {
        let (status, head, body) = ask(wrong, "/predict");
        assert_eq!(status, 401, "{wrong}");
        assert!(head.contains("www-authenticate: bearer") && body.contains(r#""result":"error""#));
        assert!(!body.contains("s3cret"));
    }
    assert_eq!(ask("Authorization: Bearer s3cret-token\r\n", "/predict").0, 200);
    assert_eq!(ask("authorization: bearer s3cret-token\r\n", "/predict").0, 200);
    assert_eq!(server.send("GET", "/metrics", "", "").0, 401);
    let (status, _, body) = server.send("GET", "/health", "", "");
    assert!(status == 200 && body.contains(r#""status":"ok""#), "{body}");

    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, "s3cret-token\n").unwrap();
    let service = ServiceConfig { token_file: Some(file), ..ServiceConfig::at(server.url("/predict")) };
    assert!(RewardService::new(&service, &RewardConfig::default()).unwrap().score("b", &["a"]).is_ok());
}

#[test]
fn an_address_that_others_can_reach_needs_a_token() {
    let bind = |config: ServerConfig| -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let config = ServerConfig { listen: SocketAddr::from(([0, 0, 0, 0], 0)), ..config };
            Server::bind(&config, Service::new(Backends::lexicon(), ServiceOptions::default())).await.map(drop)
        })
    };
    assert!(bind(ServerConfig::default()).unwrap_err().to_string().contains("set a token"));
    let token = Some(Secret::new("t").unwrap());
    assert!(bind(ServerConfig { token, ..ServerConfig::default() }).is_ok());
}

#[test]
fn metrics_count_requests_and_cached_references() {
    let server = Running::lexicon();
    for hypothesis in ["Edema.", "No edema.", "Effusion."] {
        let body = json!({"hyps": [hypothesis], "refs": ["A reference of its own."], "type": "free_form"});
        assert_eq!(server.post("/predict", &body.to_string()).0, 200);
    }
    let (status, head, text) = server.send("GET", "/metrics", "", "");
    assert!(status == 200 && head.contains("text/plain"));
    for name in [
        r#"addendum_serve_requests_total{endpoint="predict",status="200"}"#,
        "addendum_serve_request_duration_seconds_bucket",
        "addendum_serve_queue_jobs",
        r#"addendum_reward_cache_lookups_total{cache="predict",outcome="hit"}"#,
        "addendum_reward_cache_hit_ratio",
    ] {
        assert!(text.contains(name), "{name} is not in\n{text}");
    }
}

#[test]
fn reports_beyond_the_limit_are_refused_and_those_at_the_limit_scored() {
    let options = ServiceOptions { most_report_chars: 10, ..ServiceOptions::default() };
    let server = Running::with(ServerConfig::default(), Backends::lexicon(), options);
    let (short, long) = ("é".repeat(10), "é".repeat(11));
    for (path, ours, theirs) in [("/predict", "hyps", "refs"), ("/analyze", "generations", "ground_truth")] {
        assert_eq!(server.post(path, &json!({ours: [short], theirs: [short]}).to_string()).0, 200);
        for (name, body) in [
            (format!("`{ours}[1]`"), json!({ours: ["a", long], theirs: ["a", "b"]})),
            (format!("`{theirs}[0]`"), json!({ours: ["a"], theirs: [long]})),
        ] {
            let (status, answer) = server.post(path, &body.to_string());
            assert_eq!((status, &answer["result"]), (413, &json!("error")), "{path} {name}");
            assert_eq!(answer["data"]["message"], format!("{name} has 11 characters, at most 10"));
        }
    }
    assert_eq!(ServiceOptions::default().most_report_chars, 20_000);
}

#[test]
fn an_answer_beyond_the_limit_is_refused_and_one_at_the_limit_given() {
    let body = json!({"generations": ["No edema."], "ground_truth": ["Edema. Effusion."]}).to_string();
    let whole = service().answer(Endpoint::Analyze, body.as_bytes()).unwrap();
    for (most_answer_bytes, fits) in [(whole.len(), true), (whole.len() - 1, false), (1000, false)] {
        let options = ServiceOptions { most_answer_bytes, ..ServiceOptions::default() };
        let answer = Service::new(Backends::lexicon(), options).answer(Endpoint::Analyze, body.as_bytes());
        match answer {
            Ok(answer) => assert!(fits && answer == whole),
            Err(refused) => assert_eq!(
                (fits, refused.status.as_u16(), refused.message),
                (
                    false,
                    413,
                    format!(
                        "The answer would have more than {most_answer_bytes} bytes; ask for fewer or shorter reports"
                    )
                )
            ),
        }
    }
}

#[test]
fn scoring_that_nobody_waits_for_is_given_up_between_reports() {
    /// Counts the reports it labels.
    struct Counting(Arc<AtomicUsize>);
    impl Labeller for Counting {
        fn label(&self, reports: &[&str]) -> addendum::rewards::Result<Vec<Labels>> {
            self.0.fetch_add(reports.len(), Ordering::Relaxed);
            Backends::lexicon().labeller.label(reports)
        }
    }
    let labelled = Arc::new(AtomicUsize::new(0));
    let backends = Backends { labeller: Arc::new(Counting(labelled.clone())), ..Backends::lexicon() };
    let service = Service::new(backends, ServiceOptions::default());
    let reports = vec!["Edema."; 60];
    let predict = json!({"hyps": reports, "refs": reports, "type": "free_form"}).to_string();
    let analyze = json!({"generations": reports, "ground_truth": reports}).to_string();
    for (endpoint, body) in [(Endpoint::Predict, predict), (Endpoint::Analyze, analyze)] {
        let asked = Cell::new(0);
        let waits = || asked.replace(asked.get() + 1) < 2;
        let refused = service.answer_while(&waits, endpoint, body.as_bytes()).unwrap_err();
        assert_eq!((refused.status.as_u16(), asked.get()), (504, 3), "{endpoint:?}");
        assert!(service.answer(endpoint, body.as_bytes()).is_ok());
    }
    // Twice eight of the request given up, and all of the other: 60 hypotheses and one reference.
    assert_eq!(labelled.load(Ordering::Relaxed), 16 + 61);
}

/// Labels only when let.
struct Held(std::sync::Mutex<std::sync::mpsc::Receiver<()>>);

impl Labeller for Held {
    fn label(&self, reports: &[&str]) -> addendum::rewards::Result<Vec<Labels>> {
        let _ = self.0.lock().unwrap().recv();
        Backends::lexicon().labeller.label(reports)
    }
}

#[test]
fn overload_is_answered_503_and_a_stopped_server_ends_what_it_began() {
    let (release, held) = std::sync::mpsc::channel();
    let backends = Backends { labeller: Arc::new(Held(std::sync::Mutex::new(held))), ..Backends::lexicon() };
    let config = ServerConfig { threads: 1, queue: 1, ..ServerConfig::default() };
    let mut server = Running::with(config, backends, ServiceOptions::default());
    let body = r#"{"hyps":["Edema."],"refs":["Edema."],"type":"free_form"}"#;
    let (begun, waiting) = (connect(&server, body), connect(&server, body));
    // One is being scored, one waits. Until both have arrived, a third may take a place and is given up.
    let mut overloaded = None;
    for _ in 0..200 {
        let mut third = connect(&server, body);
        third.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let mut answer = [0; 1024];
        if let Ok(count @ 1..) = third.read(&mut answer) {
            overloaded = Some(String::from_utf8_lossy(&answer[..count]).to_lowercase());
            break;
        }
    }
    let overloaded = overloaded.expect("a full queue is answered at once");
    assert!(overloaded.starts_with("http/1.1 503") && overloaded.contains("retry-after: 1"), "{overloaded}");
    server.stop();
    drop(release);
    for mut stream in [begun, waiting] {
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        // The second may have lost its place to one of those that probed.
        assert!(answer.starts_with("HTTP/1.1 200") || answer.starts_with("HTTP/1.1 503"), "{answer}");
    }
}

fn connect(server: &Running, body: &str) -> TcpStream {
    let length = body.len();
    let head = "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
    server.open(format!("{head}Content-Length: {length}\r\n\r\n{body}").as_bytes())
}

#[test]
fn late_scores_and_crashing_back_ends_are_errors_and_not_zeros() {
    struct Panicking;
    impl Labeller for Panicking {
        fn label(&self, _: &[&str]) -> addendum::rewards::Result<Vec<Labels>> {
            panic!("as this test wants")
        }
    }
    let body = r#"{"hyps":["Edema."],"refs":["Edema."]}"#;
    let backends = Backends { labeller: Arc::new(Panicking), ..Backends::lexicon() };
    let server = Running::with(ServerConfig::default(), backends, ServiceOptions::default());
    for _ in 0..2 {
        let (status, answer) = server.post("/predict", body);
        assert_eq!((status, answer["data"]["message"].as_str()), (500, Some("Scoring failed")));
    }
    let (release, held) = std::sync::mpsc::channel::<()>();
    let backends = Backends { labeller: Arc::new(Held(std::sync::Mutex::new(held))), ..Backends::lexicon() };
    let config = ServerConfig { time: Duration::from_millis(50), ..ServerConfig::default() };
    let server = Running::with(config, backends, ServiceOptions::default());
    assert_eq!(server.post("/predict", body).0, 504);
    // A body that does not come.
    let answer = server.raw(
        b"POST /predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{",
    );
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    drop(release);
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(|x| json!(x)),
        any::<String>().prop_map(Value::from),
        Just(json!(r"\boxed{No effusion.} }{ \boxed{")),
    ];
    let key = prop_oneof![
        prop::sample::select(vec![
            "hyps",
            "refs",
            "type",
            "requested_reward_components",
            "generations",
            "ground_truth"
        ])
        .prop_map(str::to_owned),
        any::<String>(),
    ];
    leaf.prop_recursive(3, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key.clone(), inner, 0..5).prop_map(|map| map.into_iter().collect::<Value>()),
        ]
    })
}

fn service() -> &'static Service {
    static SERVICE: std::sync::OnceLock<Service> = std::sync::OnceLock::new();
    SERVICE.get_or_init(|| Service::new(Backends::lexicon(), ServiceOptions::default()))
}

fn check(endpoint: Endpoint, body: &[u8]) -> Result<(), TestCaseError> {
    match service().answer(endpoint, body) {
        Ok(answer) => {
            let answer: Value = serde_json::from_slice(&answer).unwrap();
            prop_assert_eq!(&answer["result"], "success");
        }
        Err(refused) => prop_assert!(refused.status.is_client_error(), "{}", refused.message),
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_body_makes_the_service_panic_or_blame_itself(
        bytes in prop::collection::vec(any::<u8>(), 0..200), document in any_json(), cut in 0usize..400
    ) {
        let text = document.to_string();
        let cut = &text.as_bytes()[..cut.min(text.len())];
        for endpoint in [Endpoint::Predict, Endpoint::Analyze] {
            for body in [&bytes, text.as_bytes(), cut] {
                check(endpoint, body)?;
            }
        }
    }

    #[test]
    fn any_reports_are_scored(
        hyps in prop::collection::vec(any::<String>(), 1..4), reference in any::<String>(), kind in "free_form|short|cot|x"
    ) {
        let refs = vec![reference; hyps.len()];
        let predict = json!({"hyps": hyps, "refs": refs, "type": kind, "per_pair": true}).to_string();
        let answer: Value = serde_json::from_slice(&service().answer(Endpoint::Predict, predict.as_bytes()).unwrap()).unwrap();
        for list in answer["data"]["predictions"].as_object().unwrap().values() {
            prop_assert_eq!(list.as_array().unwrap().len(), hyps.len());
            prop_assert!(list.as_array().unwrap().iter().all(Value::is_number));
        }
        let analyze = json!({"generations": hyps, "ground_truth": refs}).to_string();
        prop_assert!(service().answer(Endpoint::Analyze, analyze.as_bytes()).is_ok());
    }
}
