//! A run's traces, as a collector gets them; and collectors that are away or do not answer.

#![cfg(feature = "otlp")]

use std::{
    collections::{BTreeMap, BTreeSet},
    net::TcpListener,
    path::Path,
    process::Command,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use addendum::{
    actors::{Moment, RunConfig},
    otlp::{Exporter, Sent},
    replay::TicketId,
    train::{Settings, Training, data::PhantomConfig},
};
use axum::{Router, body::Bytes, extract::State, http::StatusCode, routing::post};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    resource::v1::Resource,
    trace::v1::Span,
};
use prost::Message;
use serde_json::json;

const WATCHDOG: Duration = Duration::from_secs(240);

/// A collector that keeps what it gets, after so many answers of status 503.
struct Collector {
    url: String,
    got: Arc<Got>,
}

#[derive(Default)]
struct Got {
    refusals: Mutex<u32>,
    requests: Mutex<Vec<ExportTraceServiceRequest>>,
}

async fn take(State(got): State<Arc<Got>>, body: Bytes) -> StatusCode {
    let mut refusals = got.refusals.lock().unwrap();
    if *refusals > 0 {
        *refusals -= 1;
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    got.requests.lock().unwrap().push(ExportTraceServiceRequest::decode(body).unwrap());
    StatusCode::OK
}

impl Collector {
    fn start(refusals: u32) -> Self {
        let got = Arc::new(Got { refusals: Mutex::new(refusals), ..Got::default() });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        listener.set_nonblocking(true).unwrap();
        let router = Router::new().route("/v1/traces", post(take)).with_state(got.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                axum::serve(tokio::net::TcpListener::from_std(listener).unwrap(), router).await.unwrap();
            });
        });
        Self { url, got }
    }

    fn spans(&self) -> Vec<Span> {
        let requests = self.got.requests.lock().unwrap();
        let resources = requests.iter().flat_map(|request| &request.resource_spans);
        resources.flat_map(|resource| &resource.scope_spans).flat_map(|scope| scope.spans.clone()).collect()
    }

    fn resource(&self) -> Resource {
        self.got.requests.lock().unwrap()[0].resource_spans[0].resource.clone().unwrap()
    }
}

/// What an attribute says, as text; `[a, b]` for several.
fn said(attributes: &[KeyValue], key: &str) -> Option<String> {
    fn text(value: &Value) -> String {
        match value {
            Value::StringValue(text) => text.clone(),
            Value::IntValue(number) => number.to_string(),
            Value::DoubleValue(number) => number.to_string(),
            Value::BoolValue(is) => is.to_string(),
            Value::ArrayValue(array) => {
                let values = array.values.iter().filter_map(|value| value.value.as_ref()).map(text);
                format!("[{}]", values.collect::<Vec<_>>().join(", "))
            }
            other => panic!("{other:?}"),
        }
    }
    let key = if key.contains('.') { key.to_owned() } else { format!("addendum.{key}") };
    attributes.iter().find(|own| own.key == key)?.value.as_ref()?.value.as_ref().map(text)
}

fn seconds(span: &Span) -> f64 {
    assert!(span.end_time_unix_nano >= span.start_time_unix_nano, "{span:?}");
    (span.end_time_unix_nano - span.start_time_unix_nano) as f64 / 1e9
}

fn settings(otlp: Option<&str>) -> Settings {
    let mut settings = Settings {
        run: RunConfig { steps: 4, batch_groups: 2, group_size: 4, seed: 5, ..RunConfig::default() },
        ..Settings::default()
    };
    settings.data.phantoms =
        Some(PhantomConfig { seed: 7, supervised: 0, training: 40, held_out: 1, ..PhantomConfig::default() });
    settings.policy.path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/checkpoints/phantom-tiny");
    settings.sampling.max_new_tokens = 24;
    settings.learner.schedule.learning_rate = 1e-2;
    settings.telemetry.otlp = otlp.map(str::to_owned);
    settings
}

/// Trains, and gives the adapter's file.
fn adapter(settings: Settings) -> Vec<u8> {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("traced");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let run = Training::new(settings).out(&folder).prepare().unwrap();
        tokio::time::timeout(WATCHDOG, run.train()).await.expect("the run stands still").unwrap();
    });
    std::fs::read(folder.join("adapter/adapter_model.safetensors")).unwrap()
}

/// Spans by the trace that they are of, in the order of time.
fn traces(spans: &[Span]) -> Vec<Vec<&Span>> {
    let mut traces = BTreeMap::<&[u8], Vec<&Span>>::new();
    spans.iter().for_each(|span| traces.entry(&span.trace_id).or_default().push(span));
    traces.values_mut().for_each(|trace| trace.sort_by_key(|span| span.start_time_unix_nano));
    traces.into_values().collect()
}

#[test]
fn a_run_is_a_trace_per_ticket_and_per_step_and_the_adapter_is_that_of_a_run_without() {
    let collector = Collector::start(1);
    let traced = adapter(settings(Some(&collector.url)));
    assert!(traced == adapter(settings(None)), "the traces changed the adapter");

    let resource = collector.resource().attributes;
    let facts = [("service.name", "addendum"), ("run", "traced"), ("mode", "fixed_lag"), ("method", "EditGRPO")];
    for (key, value) in facts {
        assert_eq!(said(&resource, key).as_deref(), Some(value), "{resource:?}");
    }

    let spans = collector.spans();
    let ids: BTreeSet<&[u8]> = spans.iter().map(|span| span.span_id.as_slice()).collect();
    assert_eq!(ids.len(), spans.len(), "an id is used twice");
    assert!(ids.iter().all(|id| id.len() == 8 && id.iter().any(|byte| *byte != 0)));
    let of = |trace: &[&Span], parent: &Span| -> Vec<String> {
        let children = trace.iter().filter(|span| span.parent_span_id == parent.span_id);
        children.map(|span| span.name.clone()).collect()
    };
    let (mut tickets, mut steps) = (BTreeMap::new(), BTreeMap::new());
    for trace in traces(&spans) {
        let roots: Vec<&&Span> = trace.iter().filter(|span| span.parent_span_id.is_empty()).collect();
        let [root] = roots[..] else { panic!("{} roots in {trace:?}", roots.len()) };
        for span in &trace {
            assert!(span.parent_span_id.is_empty() || ids.contains(span.parent_span_id.as_slice()), "{span:?}");
            assert!(seconds(span) <= seconds(root) && span.start_time_unix_nano >= root.start_time_unix_nano);
        }
        let number = |key| said(&root.attributes, key).map(|text| text.parse::<u64>().unwrap());
        match root.name.as_str() {
            "ticket" => tickets.insert(number("ticket").unwrap(), trace.clone()),
            "step" => steps.insert(number("step").unwrap(), trace.clone()),
            other => panic!("a trace of {other}"),
        };
    }
    assert_eq!(steps.keys().copied().collect::<Vec<_>>(), [0, 1, 2, 3]);
    // Tickets of steps that were not to be are out when the run ends.
    tickets.retain(|_, trace| trace.iter().any(|span| said(&span.attributes, "ending").as_deref() == Some("trained")));
    assert_eq!(tickets.keys().copied().collect::<Vec<_>>(), (0..8).collect::<Vec<_>>());

    for (ticket, trace) in &tickets {
        let root = trace.iter().find(|span| span.parent_span_id.is_empty()).unwrap();
        let step = ticket / 2;
        let expected = [
            ("step", step.to_string()),
            ("version", step.saturating_sub(1).to_string()),
            ("reports", "4".into()),
            ("attempt", "1".into()),
            ("rewards", "[chexbert, radgraph, rate]".into()),
        ];
        for (key, value) in expected {
            assert_eq!(said(&root.attributes, key), Some(value), "{key} of {root:?}");
        }
        assert!(said(&root.attributes, "study").unwrap().starts_with("phantom-"));
        let stages = of(trace, root);
        assert_eq!([&stages[0], &stages[1]], ["sampler", "editor"], "{stages:?}");
        assert!(stages.ends_with(&["replay".into(), "learner".into()]), "{stages:?}");
        let sampler = trace.iter().find(|span| span.name == "sampler").unwrap();
        let inside = of(trace, sampler);
        assert!(inside.ends_with(&["reading".into(), "sampling".into()]), "{inside:?}");
        let sampling = trace.iter().find(|span| span.name == "sampling").unwrap();
        assert!(seconds(sampling) > 0.0 && said(&sampling.attributes, "actor").unwrap().starts_with("sampler-"));
        let editor = trace.iter().find(|span| span.name == "editor").unwrap();
        assert!(of(trace, editor).contains(&"processing".into()), "{:?}", of(trace, editor));
        // The step that it was part of, which knows it too.
        let learner = trace.iter().find(|span| span.name == "learner").unwrap();
        let own = &steps[&step];
        assert_eq!(learner.links[0].trace_id, own[0].trace_id);
        let whole = own.iter().find(|span| span.name == "step").unwrap();
        assert!(whole.links.iter().any(|link| link.span_id == root.span_id));
        assert_eq!(of(own, whole), ["training", "publishing"]);
    }
}

/// What is told of a ticket that is trained on.
fn ticket(exporter: &Exporter, id: u64) {
    let tell = exporter.listener();
    tell(&Moment::Issued { ticket: TicketId(id), at: id, about: json!({"ticket": id}) });
    let about = json!({"study": "a"});
    tell(&Moment::Passed { ticket: TicketId(id), stage: "sampler".into(), since: id, until: id + 5, about });
    tell(&Moment::Ended { ticket: TicketId(id), at: id + 9, about: json!({"ending": "trained"}) });
}

#[test]
fn a_collector_that_is_away_or_never_answers_holds_nobody_up() {
    // One that takes no connection, and one that takes them and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let away = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for address in [away, silent.local_addr().unwrap()] {
        let exporter = Exporter::start(&format!("http://{address}"), &[]).unwrap();
        let begun = Instant::now();
        (0..20_000).for_each(|id| ticket(&exporter, id));
        let told = begun.elapsed();
        let Sent { taken, lost } = exporter.finish();
        assert!(taken == 0 && lost >= 20_000, "{taken} {lost}");
        assert!(told < Duration::from_secs(10) && begun.elapsed() < Duration::from_secs(15), "{told:?}");
    }
}

#[test]
fn a_run_whose_traces_nobody_takes_says_so_once_and_ends_in_the_same_adapter() {
    let away = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let parent = tempfile::tempdir().unwrap();
    let (file, out) = (parent.path().join("settings.toml"), parent.path().join("run"));
    let mut traced = settings(Some(&format!("http://{away}/")));
    traced.evaluation.tests = false;
    traced.run.steps = 30;
    std::fs::write(&file, traced.text().unwrap()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_addendum"));
    // The learner takes so long that several requests fail.
    command.args(["train", "--fault", "learner=slow@1", "--config"]).arg(&file).arg("--out").arg(&out);
    let ended = command.output().unwrap();
    let told = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{told}");
    assert_eq!(told.matches("spans are lost until it takes them").count(), 1, "{told}");
    let lost = told.lines().find(|line| line.contains("spans did not reach the collector"));
    let lost: u64 = lost.unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    assert!(lost > 60 * 8, "{lost} for 60 tickets of eight stages: {told}");
    let written = std::fs::read(out.join("adapter/adapter_model.safetensors")).unwrap();
    traced.telemetry.otlp = None;
    assert!(written == adapter(traced));
}

#[test]
fn what_a_collector_refuses_for_a_while_arrives_later() {
    let collector = Collector::start(2);
    let exporter = Exporter::start(&format!("{}/v1/traces", collector.url), &[]).unwrap();
    (0..600).for_each(|id| ticket(&exporter, id));
    // The first request is under way, and is made again.
    let begun = std::time::Instant::now();
    while collector.spans().is_empty() {
        assert!(begun.elapsed() < WATCHDOG, "no span arrives");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(exporter.finish(), Sent { taken: 1200, lost: 0 });
    let spans = collector.spans();
    assert_eq!(spans.len(), 1200);
    assert!(spans.iter().all(|span| [5, 9].contains(&((span.end_time_unix_nano - span.start_time_unix_nano) / 1000))));
}

#[test]
fn an_address_that_is_none_is_refused_with_the_name_of_the_setting() {
    for url in ["127.0.0.1:4318", "http://", "ftp://collector:4318"] {
        let error = settings(Some(url)).validate().unwrap_err().to_string();
        assert!(error.starts_with(&format!("telemetry.otlp: is {url}, expected http(s)://HOST:PORT")), "{error}");
    }
    let error = settings(Some("http://me:secret@collector:4318")).validate().unwrap_err().to_string();
    assert!(error.starts_with("telemetry.otlp: has a user or password") && !error.contains("secret"), "{error}");
    settings(Some("https://collector:4318/v1/traces")).validate().unwrap();
}
