//! The trace of a run: readable at any moment, whole for every ticket, and without influence.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

use addendum_actors::{Event, RunConfig};
use serde_json::Value;

use crate::common::{First, Heard, Trouble, calm, config, finish, pipeline, run};

type Events = Vec<Value>;

fn read(path: &Path) -> Events {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// What a reader makes of a file whose end may be missing: every line that is complete.
fn read_unfinished(path: &Path) -> Events {
    let text = std::fs::read_to_string(path).unwrap();
    let complete = text.strip_prefix('[').unwrap().rsplit_once('\n').map_or("", |(complete, _)| complete);
    let lines = complete.lines().map(|line| line.trim_end_matches(',')).filter(|line| !line.is_empty() && *line != "]");
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn of<'a>(events: &'a Events, phase: &str) -> impl Iterator<Item = &'a Value> {
    events.iter().filter(move |event| event["ph"] == phase)
}

/// Spans of each track: name, begin and end.
fn spans(events: &Events) -> BTreeMap<String, Vec<(String, u64, u64)>> {
    let named = of(events, "M").filter(|event| event["name"] == "thread_name");
    let names: BTreeMap<u64, &str> =
        named.map(|event| (event["tid"].as_u64().unwrap(), event["args"]["name"].as_str().unwrap())).collect();
    let mut tracks = BTreeMap::<_, Vec<_>>::new();
    for span in of(events, "X") {
        let (begin, name) = (span["ts"].as_u64().unwrap(), span["name"].as_str().unwrap().to_string());
        let track = names[&span["tid"].as_u64().unwrap()].to_string();
        tracks.entry(track).or_default().push((name, begin, begin + span["dur"].as_u64().unwrap()));
    }
    tracks
}

/// What each ticket went through: the names of its events in the order of time, with how it ended.
fn ways(events: &Events) -> BTreeMap<u64, Vec<String>> {
    let mut ways = BTreeMap::<_, Vec<_>>::new();
    let mut begun = BTreeMap::<(u64, String), u64>::new();
    for event in events.iter().filter(|event| event["cat"] == "ticket") {
        let (id, name) = (event["id"].as_u64().unwrap(), event["name"].as_str().unwrap().to_string());
        let at = event["ts"].as_u64().unwrap();
        let way = ways.entry(id).or_default();
        match (event["ph"].as_str().unwrap(), name.as_str()) {
            ("b", "ticket") => way.push(format!("attempt {}", event["args"]["attempt"])),
            ("e", "ticket") => way.push(event["args"]["ending"].as_str().unwrap().to_string()),
            ("b", _) => drop(begun.insert((id, name), at)),
            (_, _) => {
                assert!(begun[&(id, name.clone())] <= at);
                way.push(name);
            }
        }
    }
    ways
}

#[tokio::test(flavor = "multi_thread")]
async fn every_trained_ticket_has_its_whole_way() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.json");
    run(pipeline(RunConfig { samplers: 2, ..config() }, Trouble::default()).trace(&path)).await.unwrap();
    let events = read(&path);
    let ways = ways(&events);
    assert_eq!(ways.keys().copied().collect::<Vec<_>>(), (0..24).collect::<Vec<_>>());
    for (ticket, way) in ways {
        let whole = ["attempt 1", "sampler", "editor", "reward", "replay", "learner", "trained"];
        assert_eq!(way, whole, "ticket {ticket}");
    }
    let scored = of(&events, "b").find(|event| event["name"] == "reward").unwrap();
    assert_eq!(scored["args"]["rewards"], serde_json::json!(["brevity", "overlap"]));
    assert_eq!(scored["args"]["reports"], 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_actor_has_its_tracks_on_which_spans_nest() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.json");
    let trouble = Trouble { delay: Duration::from_millis(2), ..Trouble::default() };
    let chain = pipeline(RunConfig { samplers: 2, ..config() }, trouble).evaluator(|| Ok(First));
    run(chain.folder(folder.path().join("run")).trace(&path)).await.unwrap();
    let tracks = spans(&read(&path));
    let names: BTreeSet<&str> = tracks.keys().map(String::as_str).collect();
    for (actor, expected) in [
        ("sampler-0", vec!["waiting", "reading", "sampling"]),
        ("sampler-1", vec!["waiting", "reading", "sampling"]),
        ("editor-0", vec!["waiting", "processing"]),
        ("reward-1", vec!["waiting", "processing"]),
        ("learner", vec!["waiting", "step", "training", "publishing"]),
        ("evaluator", vec!["evaluating"]),
        ("recorder", vec!["step", "checkpoint"]),
    ] {
        assert!(names.contains(actor), "{actor} is not among {names:?}");
        let found: BTreeSet<&str> = tracks[actor].iter().map(|(name, ..)| name.as_str()).collect();
        assert!(expected.iter().all(|name| found.contains(name)), "{actor}: {found:?}");
    }
    for (track, spans) in tracks {
        let mut spans = spans;
        spans.sort_by_key(|(_, begin, end)| (*begin, std::cmp::Reverse(*end)));
        let mut open: Vec<(String, u64, u64)> = Vec::new();
        for span in spans {
            open.retain(|(.., end)| *end > span.1);
            assert!(open.iter().all(|outer| span.2 <= outer.2), "{track}: {span:?} leaves {open:?}");
            open.push(span);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_changes_no_bit_of_the_result() {
    for samplers in [1, 3] {
        let folder = tempfile::tempdir().unwrap();
        let config = RunConfig { samplers, ..config() };
        let traced = pipeline(config.clone(), Trouble::default()).trace(folder.path().join("trace.json"));
        assert_eq!(run(traced).await.unwrap().snapshot.bytes(), calm(config).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tickets_that_fail_and_die_end_so_and_those_that_come_back_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.json");
    let trouble = Trouble { reward_panics: vec![1], unreadable: vec!["study-3".into()], ..Trouble::default() };
    let summary = run(pipeline(config(), trouble).trace(&path)).await.unwrap();
    let ways = ways(&read(&path));
    assert!(!summary.dead_letters.is_empty());
    for id in summary.dead_letters.keys() {
        assert_eq!(ways[&id.0], ["attempt 1", "failed", "attempt 2", "failed", "attempt 3", "dead"]);
    }
    let failed_once = ["attempt 1", "sampler", "editor", "failed", "attempt 2", "sampler", "editor", "reward"];
    let again = ways.values().find(|way| way.starts_with(&failed_once.map(String::from)));
    assert_eq!(again.and_then(|way| way.last()).map(String::as_str), Some("trained"), "{ways:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_run_leaves_a_readable_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.json");
    let config = RunConfig { steps: 1000, ..config() };
    let trouble = Trouble { delay: Duration::from_millis(1), ..Trouble::default() };
    let running = pipeline(config, trouble).trace(&path).start().await.unwrap();
    while running.gate().version().0 < 5 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // As it would be if the process were gone now.
    let unfinished = read_unfinished(&path);
    let ended =
        |events: &Events| ways(events).values().filter(|way| way.last().is_some_and(|l| l == "trained")).count();
    assert!(ended(&unfinished) >= 9, "{}", ended(&unfinished));
    drop(running);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(ended(&read_unfinished(&path)) >= ended(&unfinished));
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_ends_the_trace_and_not_the_run() {
    let heard = Heard::default();
    let chain = pipeline(config(), Trouble::default()).trace("/dev/full").observer(heard.listen());
    let running = chain.start().await.unwrap();
    assert_eq!(finish(running).await.unwrap().snapshot.bytes(), calm(config()).await);
    let stopped = heard.events().into_iter().filter_map(|event| match event {
        Event::TraceStopped { path, reason } => Some((path, reason)),
        _ => None,
    });
    let stopped: Vec<_> = stopped.collect();
    assert!(matches!(&stopped[..], [(path, reason)] if path == Path::new("/dev/full") && reason.contains("space")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_made_is_refused_before_anything_is_computed() {
    let folder = tempfile::tempdir().unwrap();
    let error = run(pipeline(config(), Trouble::default()).trace(folder.path())).await.unwrap_err().to_string();
    assert!(error.contains(&folder.path().display().to_string()), "{error}");
}
