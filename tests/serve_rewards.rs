//! The reward server over loopback: the published exchanges, our own client, refusals, limits and hostile bodies.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use addendum::{
    rewards::{
        Backends, EntityExtractor, Labeller, Labels, RewardConfig, Scorer,
        neural::{Chexbert, Radgraph, RateModels},
        services::{ExtractorService, RewardService, Secret, ServiceConfig},
    },
    serve::{Endpoint, Server, ServerConfig, Service, ServiceOptions},
};
use candle_core::Device;
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::sync::oneshot;

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

/// A server on a free port, stopped in good order at the end.
struct Running {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    fn with(config: ServerConfig, backends: Backends, options: ServiceOptions) -> Self {
        let config = ServerConfig { listen: SocketAddr::from(([127, 0, 0, 1], 0)), ..config };
        let (stop, stopped) = oneshot::channel();
        let (tell, address) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let server = Server::bind(&config, Service::new(backends, options)).await.unwrap();
                tell.send(server.address()).unwrap();
                server.run(async { stopped.await.unwrap_or_default() }).await.unwrap();
            });
        });
        Self { address: address.recv().unwrap(), stop: Some(stop), thread: Some(thread) }
    }

    fn lexicon() -> Self {
        Self::with(ServerConfig::default(), Backends::lexicon(), ServiceOptions::default())
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Sends raw bytes and reads until the server closes.
    fn raw(&self, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(request).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8(answer).unwrap()
    }

    fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> (u16, String, String) {
        let length = body.len();
        let answer = self.raw(
            format!(
                "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
            )
            .as_bytes(),
        );
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), head.to_lowercase(), body.to_owned())
    }

    fn post(&self, path: &str, body: &str) -> (u16, Value) {
        let (status, _, body) = self.send("POST", path, "Content-Type: application/json\r\n", body);
        (status, serde_json::from_str(&body).unwrap_or_else(|error| panic!("{body}: {error}")))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking());
    }
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
            let answer: Value = serde_json::from_slice(&answer).unwrap();
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

#[test]
fn bodies_that_cannot_be_scored_are_refused_with_the_reason() {
    let options = ServiceOptions { most_pairs: 2, ..ServiceOptions::default() };
    let config = ServerConfig { most_body_bytes: 2000, ..ServerConfig::default() };
    let server = Running::with(config, Backends::lexicon(), options);
    let padding = "x".repeat(2500);
    let long = format!(r#"{{"hyps":["{padding}"],"refs":[""]}}"#);
    let cases = [
        ("/predict", "{", 400, "The body is not JSON"),
        ("/predict", "\u{feff}{}", 400, "The body is not JSON"),
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
    let deep = "[".repeat(1500);
    assert_eq!(server.post("/predict", &deep).0, 400);
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
    let _ = server.stop.take().unwrap().send(());
    server.stop = Some(oneshot::channel().0);
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
    let mut stream = TcpStream::connect(server.address).unwrap();
    let length = body.len();
    let head = format!(
        "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream
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
