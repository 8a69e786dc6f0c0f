//! What `monitoring/` asks for is what runs and servers publish, and docs/metrics.md says what each of it means.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::TcpListener,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use addendum::{
    rewards::telemetry::{Kind, Metric},
    telemetry::{TABLES, document},
};
use serde_json::Value;

/// What Prometheus adds.
const ADDED: [&str; 4] = ["job", "instance", "le", "alertname"];

fn file(path: &str) -> String {
    fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn metrics() -> BTreeMap<&'static str, &'static Metric> {
    TABLES.iter().flat_map(|(_, table)| *table).map(|metric| (metric.name, metric)).collect()
}

/// A series in a query: the function around it, its name, and the labels by which it is selected.
#[derive(Debug, PartialEq)]
struct Use<'a> {
    function: &'a str,
    name: &'a str,
    labels: Vec<&'a str>,
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Our series in a query, in order.
fn uses<'a>(query: &'a str) -> Vec<Use<'a>> {
    let series = query.match_indices("addendum_").filter(|(at, _)| !query[..*at].ends_with(is_word));
    series
        .map(|(at, _)| {
            let (before, rest) = query.split_at(at);
            let name = &rest[..rest.find(|c| !is_word(c)).unwrap_or(rest.len())];
            let inner = rest[name.len()..].strip_prefix('{').and_then(|labels| labels.split_once('}'));
            let labels = inner.map_or("", |(inner, _)| inner).split(", ").filter(|label| !label.is_empty());
            let before = before.strip_suffix('(').unwrap_or("");
            let function = &before[before.rfind(|c| !is_word(c)).map_or(0, |end| end + 1)..];
            let label = |label: &'a str| &label[..label.find(|c| !is_word(c)).unwrap_or(label.len())];
            Use { function, name, labels: labels.map(label).collect() }
        })
        .collect()
}

/// The labels that a query groups or matches by.
fn grouped(query: &str) -> Vec<&str> {
    let lists = query.split("by (").skip(1).chain(query.split("on (").skip(1));
    lists.filter_map(|rest| rest.split_once(')')).flat_map(|(list, _)| list.split(", ")).collect()
}

/// Everything that is wrong with a query and the labels that are shown beside its result.
fn problems(query: &str, shown: &[&str]) -> Vec<String> {
    let metrics = metrics();
    let mut labels: BTreeSet<&str> = ADDED.into();
    let mut problems = Vec::new();
    for Use { function, name, labels: selecting } in uses(query) {
        let whole = ["_bucket", "_sum", "_count"].iter().find_map(|ending| metrics.get(name.strip_suffix(ending)?));
        let Some(metric) = metrics.get(name).or(whole) else {
            problems.push(format!("{name} is published by nobody"));
            continue;
        };
        let rated = ["rate", "increase"].contains(&function);
        match metric.kind {
            Kind::Histogram(_) if whole.is_none() || !rated => problems.push(format!("{name} is no series to sum up")),
            Kind::Gauge if rated => problems.push(format!("{name} is a gauge, and has no rate")),
            _ => {}
        }
        let own: BTreeSet<&str> = metric.labels.iter().map(|(label, _)| *label).collect();
        let strange = selecting.into_iter().filter(|label| !ADDED.contains(label) && !own.contains(label));
        problems.extend(strange.map(|label| format!("{name} has no label {label}")));
        labels.extend(own);
    }
    let strange = grouped(query).into_iter().chain(shown.iter().copied()).filter(|label| !labels.contains(label));
    problems.extend(strange.map(|label| format!("nothing has the label {label}")));
    problems
}

/// The names between two marks.
fn between<'a>(text: &'a str, open: &'a str, close: &'a str) -> Vec<&'a str> {
    text.split(open).skip(1).filter_map(|rest| rest.split_once(close)).map(|(inner, _)| inner.trim()).collect()
}

#[test]
fn the_document_of_all_metrics_is_up_to_date() {
    assert!(file("docs/metrics.md") == document(), "`addendum metrics > docs/metrics.md` brings it up to date");
}

#[test]
fn every_panel_asks_for_what_is_published_and_says_what_it_shows() {
    let dashboard: Value = serde_json::from_str(&file("monitoring/grafana/dashboards/addendum.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len(), "two panels have one id");
    let mut asked = String::new();
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        let title = panel["title"].as_str().unwrap();
        assert!(!panel["description"].as_str().unwrap().is_empty(), "{title} does not say what it shows");
        assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{title} has no unit");
        for target in panel["targets"].as_array().unwrap() {
            let query = target["expr"].as_str().unwrap();
            let shown = between(target["legendFormat"].as_str().unwrap(), "{{", "}}");
            assert_eq!(problems(query, &shown), [""; 0], "{title}: {query}");
            asked += query;
        }
    }
    // What is measured is looked at.
    let unseen: Vec<&str> = metrics().into_keys().filter(|name| !asked.contains(name)).collect();
    assert_eq!(unseen, [""; 0], "no panel shows these");
    let variables = dashboard["templating"]["list"].as_array().unwrap().iter().filter(|v| v["type"] == "query");
    for definition in variables.map(|variable| variable["query"]["query"].as_str().unwrap()) {
        let inner = definition.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')')).unwrap();
        let (query, label) = inner.rsplit_once(", ").unwrap();
        assert_eq!(problems(query, &[label]), [""; 0], "{definition}");
    }
}

#[test]
fn every_alert_asks_for_what_is_published_is_tried_both_ways_and_explained() {
    let (rules, tests, readme) =
        (file("monitoring/rules.yml"), file("monitoring/rules_test.yml"), file("monitoring/README.md"));
    let alerts: Vec<&str> = rules.split("- alert: ").skip(1).collect();
    assert!(alerts.len() >= 15, "{} alerts", alerts.len());
    for alert in alerts {
        let (name, rest) = alert.split_once('\n').unwrap();
        let (query, rest) = rest.split_once("labels:").unwrap();
        assert_eq!(problems(query, &between(rest, "$labels.", " ")), [""; 0], "{name}: {query}");
        assert!(
            tests.contains(&format!("alertname: {name}, exp_alerts: []")),
            "{name} is not tried where it is silent"
        );
        assert!(
            tests.contains(&format!("alertname: {name}\n        exp_alerts:\n          - exp_labels: {{severity: ")),
            "{name} is not tried where it fires"
        );
        assert!(readme.contains(&format!("| `{name}` | ")), "README.md does not say what to do at {name}");
    }
}

#[test]
fn a_query_for_what_is_not_there_is_found_out() {
    let query = r#"sum by (le, stage) (rate(addendum_stage_queue_wait_seconds_bucket{stage=~"a|b", job!="c"}[5m]))"#;
    let name = "addendum_stage_queue_wait_seconds_bucket";
    assert_eq!(uses(query), [Use { function: "rate", name, labels: vec!["stage", "job"] }]);
    assert_eq!(problems(query, &["stage", "instance"]), [""; 0]);
    for (query, problem) in [
        ("rate(addendum_learner_steps[5m])", "addendum_learner_steps is published by nobody"),
        ("addendum_stage_queue_wait_seconds", "addendum_stage_queue_wait_seconds is no series to sum up"),
        ("rate(addendum_learner_busy_ratio[5m])", "addendum_learner_busy_ratio is a gauge, and has no rate"),
        (r#"addendum_run_info{name="x"}"#, "addendum_run_info has no label name"),
        ("sum by (component) (addendum_run_info)", "nothing has the label component"),
    ] {
        assert_eq!(problems(query, &[]), [problem]);
    }
}

/// A process that does not outlive its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The metrics of a run that has done a step and an evaluation.
fn live() -> String {
    let dir = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("telemetry.metrics_address=127.0.0.1:{port}");
    let mut train = Command::new(env!("CARGO_BIN_EXE_addendum"));
    train.current_dir(env!("CARGO_MANIFEST_DIR")).args(["train", "--config", "configs/phantoms.toml", "--out"]);
    train.arg(dir.path().join("run")).args(["--set", &address]);
    for setting in [
        "run.batch_groups=1",
        "run.evaluate_every=1",
        "data.phantoms.held_out=8",
        "evaluation.studies=1",
        "evaluation.tests=false",
    ] {
        train.args(["--set", setting]);
    }
    let mut run = Running(train.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let deadline = Instant::now() + Duration::from_secs(300);
    loop {
        assert!(Instant::now() < deadline && run.0.try_wait().unwrap().is_none(), "no step and no evaluation was seen");
        let answer = ureq::get(format!("http://127.0.0.1:{port}/metrics")).call();
        let text = answer.ok().and_then(|mut answer| answer.body_mut().read_to_string().ok()).unwrap_or_default();
        if ["addendum_evaluation_best_score{", "addendum_learner_entropy_nats "].iter().all(|part| text.contains(part))
        {
            return text;
        }
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_live_run_publishes_what_the_tables_say_with_its_labels() {
    let (text, metrics) = (live(), metrics());
    let mut metric = None;
    for line in text.lines().filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words.as_slice() {
            ["#", "TYPE", name, kind] => {
                metric = metrics.get(name);
                assert_eq!(metric.map(|metric| metric.kind.name()), Some(*kind), "{name}");
            }
            ["#", "HELP", name, help] => {
                assert_eq!(metrics.get(name).map(|metric| metric.meaning), Some(*help), "{name}")
            }
            _ => {
                // No value of this run has a brace or a comma.
                let inner = between(line, "{", "}").concat();
                let labels = inner.split(',').filter_map(|label| Some(label.split_once('=')?.0));
                let labels: BTreeSet<&str> = labels.filter(|label| *label != "le").collect();
                let expected = metric.unwrap().labels.iter().map(|(label, _)| *label).collect();
                assert_eq!(labels, expected, "{line}");
            }
        }
    }
    for part in [
        r#"addendum_run_info{run="run",method="EditGRPO",algorithm="dr-grpo",mode="fixed_lag",version=""#,
        "addendum_run_disk_free_bytes ",
        "addendum_run_disk_size_bytes ",
        "addendum_replay_staleness_bound_versions 1\n",
        r#"addendum_reward_cache_hit_ratio{cache=""#,
        r#"addendum_learner_diverging{sign="reward_collapse"} 0"#,
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}
