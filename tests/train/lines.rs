//! The files of lines in a run folder after kills: nothing is in them twice, nothing is torn, and whoever reads them can.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::common::{addendum, finished, resumed, train, wait_for_checkpoints};

const FILES: [&str; 5] = ["metrics.jsonl", "rollouts.jsonl", "evaluations.jsonl", "events.jsonl", "tests.jsonl"];

/// What `report` and `watch` make of the folder as it is.
fn is_read(run: &Path) {
    let page = run.with_extension("html");
    finished(addendum().arg("report").arg(run).arg("--out").arg(&page));
    assert!(fs::read_to_string(&page).unwrap().ends_with("</html>\n"));
    let watched = String::from_utf8(finished(addendum().arg("watch").arg(run)).stdout).unwrap();
    assert!(watched.contains("state ") && !watched.contains("cannot be read"), "{watched}");
}

/// As a kill in the middle of a write would leave them.
fn tear(run: &Path) {
    for name in FILES {
        let Ok(text) = fs::read(run.join(name)) else { continue };
        let last =
            text[..text.len().saturating_sub(1)].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        // Half of a line that is there already, as the next one would begin.
        let half = text[last..last + (text.len() - last) / 2].to_vec();
        fs::write(run.join(name), [text, half].concat()).unwrap();
    }
    let timeline = run.join("timeline.json");
    if let Ok(text) = fs::read(&timeline) {
        fs::write(&timeline, &text[..text.len() - text.len().min(7)]).unwrap();
    }
}

/// Waits until `there` is, and kills the process then.
fn kill_once(mut child: Child, there: impl Fn() -> bool) {
    let begun = Instant::now();
    while !there() {
        assert!(begun.elapsed() < Duration::from_secs(120), "what was waited for does not come");
        assert!(child.try_wait().unwrap().is_none(), "the run was over before it was killed");
        thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

fn quiet(command: &mut Command) -> &mut Command {
    command.stdout(Stdio::null()).stderr(Stdio::null())
}

fn lines(run: &Path, name: &str) -> Vec<Value> {
    let text = fs::read_to_string(run.join(name)).unwrap();
    assert!(text.ends_with('\n'), "{name} ends in the middle of a line");
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{name}: {line}"))).collect()
}

/// No two lines have all of these fields in common.
fn once(lines: &[Value], fields: &[&str]) {
    let mut seen = BTreeMap::<String, &Value>::new();
    for line in lines {
        let key = fields.iter().map(|field| format!("{} ", line[field])).collect();
        if let Some(other) = seen.insert(key, line) {
            panic!("{line}\nand\n{other}\nare about the same");
        }
    }
}

#[test]
fn after_kills_at_any_instant_no_line_is_doubled_or_torn_and_a_run_can_be_read_in_between() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, run) = (dir.path().join("whole"), dir.path().join("run"));
    let more = ["--set", "run.evaluate_every=1", "--set", "run.evaluate_first=true"];
    finished(&mut train(&whole, &more));

    // Within its steps, then before, in and after what is written; and while its tests are read.
    let mut child = quiet(&mut train(&run, &more)).args(["--fault", "learner=slow@1"]).spawn().unwrap();
    wait_for_checkpoints(1, &run, &mut child);
    kill_once(child, || true);
    is_read(&run);
    tear(&run);
    is_read(&run);
    for place in ["metrics=abort#1", "evaluator=abort#2", "checkpoint.rename=abort#2"] {
        let status = quiet(&mut resumed(&run)).args(["--fault", place]).status().unwrap();
        assert_eq!(status.code(), None, "{place}: {status}");
        tear(&run);
    }
    is_read(&run);
    let child = quiet(&mut resumed(&run)).spawn().unwrap();
    kill_once(child, || run.join("adapter/adapter_model.safetensors").exists());
    assert!(!run.join("tests.jsonl").exists(), "the run was over before it was killed");
    is_read(&run);
    finished(&mut resumed(&run));
    is_read(&run);

    let [metrics, rollouts, evaluations, events, tests] = FILES.map(|name| lines(&run, name));
    once(&metrics, &["step"]);
    once(&rollouts, &["step", "ticket", "rollout"]);
    once(&evaluations, &["version"]);
    once(&tests, &["set", "study"]);
    // What was done again is told again; between one start and the next it is told once.
    for life in events.split(|event| event["kind"] == "started") {
        once(life, &["kind", "step", "version", "text"]);
    }
    let count = |kind: &str| events.iter().filter(|event| event["kind"] == kind).count();
    assert_eq!((count("started"), count("ended")), (6, 2), "{events:?}");
    for (name, ours) in [("rollouts.jsonl", &rollouts), ("evaluations.jsonl", &evaluations), ("tests.jsonl", &tests)] {
        assert_eq!(ours, &lines(&whole, name), "{name} of a run that nothing happened to");
    }
    assert_eq!(metrics.len(), lines(&whole, "metrics.jsonl").len());
}
