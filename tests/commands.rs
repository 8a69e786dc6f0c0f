//! The commands that work on reports, as a user calls them.

use std::{
    fs,
    process::{Command, Output},
};

use serde_json::Value;

fn addendum(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_addendum")).args(arguments).output().unwrap()
}

/// The standard output of a command that succeeds.
fn printed(arguments: &[&str]) -> String {
    let output = addendum(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The message of a command that fails.
fn refused(arguments: &[&str]) -> String {
    let output = addendum(arguments);
    assert!(!output.status.success(), "{arguments:?}");
    assert!(output.stdout.is_empty(), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// A file in the form of the paper's evaluation script.
fn responses() -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("responses.json");
    let items = serde_json::json!([
        {"id": "s1", "response": "Cardiomegaly. No effusion.", "answer": "The heart is enlarged. No pleural effusion."},
        {"id": "s2", "response": "Left pneumothorax.", "answer": "Left rib fracture."},
    ]);
    fs::write(&path, items.to_string()).unwrap();
    let path = path.display().to_string();
    (dir, path)
}

#[test]
fn score_prints_a_table_with_intervals_and_no_colours_where_there_is_no_terminal() {
    let (_dir, path) = responses();
    let table = printed(&["score", "--hyps", &path, "--metrics", "rouge_l,chexbert,rate"]);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines[0].split_whitespace().collect::<Vec<_>>(), ["2", "reports", "score", "95", "%", "interval"]);
    let labels = ["micro_f1_14", "macro_f1_14", "micro_f1_5", "macro_f1_5", "accuracy_5", "weighted_accuracy"];
    for (line, name) in lines[1..].iter().zip(["rouge_l"].into_iter().chain(labels).chain(["rate"])) {
        assert!(line.starts_with(name) && line.contains(" – "), "{line}");
    }
    assert!(!table.contains('\x1b'), "{table}");
    assert_eq!(table, printed(&["score", "--hyps", &path, "--metrics", "rouge_l,chexbert,rate"]), "twice the same");
}

#[test]
fn score_reads_findings_and_impression_of_whole_reports() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/studies/tests/fixtures/sections/wet-read.json");
    let rouge = |more: &[&str]| {
        let arguments = ["score", "--hyps", file, "--metrics", "rouge_l", "--format", "json", "--resamples", "0"];
        let scores: Value = serde_json::from_str(&printed(&[&arguments, more].concat())).unwrap();
        scores["scores"][0]["score"].as_f64().unwrap()
    };
    assert_eq!(rouge(&[]), 1.0);
    assert!(rouge(&["--whole"]) < 0.9);
}

#[test]
fn score_speaks_json_and_csv() {
    let (_dir, path) = responses();
    let json: Value =
        serde_json::from_str(&printed(&["score", "--hyps", &path, "--format", "json", "--explain"])).unwrap();
    assert_eq!(json["reports"], 2);
    assert_eq!(json["bootstrap"]["resamples"], 1000);
    let rate = json["scores"].as_array().unwrap().iter().find(|score| score["metric"] == "rate").unwrap();
    assert!(rate["low"].as_f64().unwrap() <= rate["score"].as_f64().unwrap());
    let second = &json["explanations"][1];
    assert_eq!(second["id"], "s2");
    assert_eq!(second["findings"]["missing"], serde_json::json!(["Fracture"]));
    assert_eq!(second["findings"]["spurious"], serde_json::json!(["Pneumothorax"]));
    assert_eq!(json["explanations"][0]["findings"]["matched"], serde_json::json!(["Cardiomegaly"]));

    let csv = printed(&["score", "--hyps", &path, "--format", "csv", "--metrics", "bleu", "--resamples", "0"]);
    let names: Vec<&str> = csv.lines().map(|line| line.split(',').next().unwrap()).collect();
    assert_eq!(names, ["metric", "bleu_1", "bleu_2", "bleu_3", "bleu_4"]);
    assert!(csv.lines().skip(1).all(|line| line.ends_with(",,")), "{csv}");
}

#[test]
fn score_refuses_more_resamples_than_it_can_hold() {
    let (_dir, path) = responses();
    let message = refused(&["score", "--hyps", &path, "--resamples", "200000000"]);
    assert!(message.contains("--resamples") && message.contains("200000000 is not in 0..=1000000"), "{message}");
}

#[test]
fn score_weighs_accuracy_by_the_frequencies_of_a_file() {
    let (dir, path) = responses();
    let file = dir.path().join("shares.json");
    let file = file.display().to_string();
    let score = |more: &[&str]| {
        let arguments =
            ["score", "--hyps", &path, "--format", "csv", "--resamples", "0", "--metrics", "weighted_accuracy"];
        printed(&[&arguments[..], more].concat())
    };
    let shares = |text: &str| fs::write(&file, text).unwrap();
    let seen = score(&[]);
    assert!(seen.lines().nth(1).unwrap().starts_with("weighted_accuracy,0."), "{seen}");
    // The two references' own share of one observation, and another one.
    shares(r#"{"Cardiomegaly": 0.5}"#);
    assert_eq!(score(&["--class-frequencies", &file]), seen);
    shares(r#"{"Pneumothorax": 0.1}"#);
    assert_ne!(score(&["--class-frequencies", &file]), seen);
    shares(r#"{"Cardiomegaly": 7}"#);
    let message = refused(&["score", "--hyps", &path, "--class-frequencies", &file]);
    assert!(message.contains("shares.json: share of Cardiomegaly is 7"), "{message}");
}

#[test]
fn score_prints_its_table_before_it_fails_for_a_grader_that_is_not_there() {
    let (_dir, path) = responses();
    // Nobody listens there: the port of a listener that is gone.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}/v1");
    let arguments = ["score", "--hyps", &path, "--metrics", "rate", "--green-url", &url, "--green-model", "green"];
    let output = addendum(&arguments);
    assert!(!output.status.success());
    let (table, message) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(table.contains("\nrate ") && !table.contains("green"), "{table}");
    assert!(message.contains("no report could be graded") && message.contains(&url), "{message}");
}

#[test]
fn a_folder_of_a_grader_gives_grades_or_names_the_feature() {
    let (_dir, path) = responses();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/rewards/green");
    let output = addendum(&["score", "--hyps", &path, "--metrics", "rate", "--green", folder]);
    let (table, message) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    if cfg!(feature = "green") {
        assert!(output.status.success() && table.contains("\ngreen               0.7500\n"), "{table}{message}");
    } else {
        assert!(message.contains("feature `green`") && message.contains(folder), "{message}");
    }
    let refused = refused(&["score", "--hyps", &path, "--green", folder, "--green-url", "http://x/v1"]);
    assert!(refused.contains("cannot be used with"), "{refused}");
}

#[test]
fn an_unreadable_file_is_told_once() {
    let (dir, path) = responses();
    let folder = dir.path().display().to_string();
    let message = refused(&["score", "--hyps", &folder, "--refs", &path]);
    assert_eq!(message.matches("directory").count(), 1, "{message}");
    let message = refused(&["edit", "--report", "@nofile", "--reference", "x"]);
    assert!(message.contains("--report @nofile") && message.contains("No such file"), "{message}");
}

#[test]
fn a_model_wants_the_bert_under_it_and_a_bert_its_model() {
    let (_dir, path) = responses();
    for (given, wanted) in [
        ("--bert", "--chexbert"),
        ("--chexbert", "--bert"),
        ("--radgraph-bert", "--radgraph"),
        ("--radgraph", "--radgraph-bert"),
    ] {
        let message = refused(&["score", "--hyps", &path, given, "x"]);
        assert!(message.contains(&format!("{wanted} <")), "{message}");
    }
}

#[test]
fn score_explains_each_report() {
    let (_dir, path) = responses();
    let text = printed(&["score", "--hyps", &path, "--explain", "--metrics", "rate"]);
    assert!(
        text.contains("report 2 (s2)\n  missing  findings: Fracture\n  spurious findings: Pneumothorax\n"),
        "{text}"
    );
}

#[test]
fn score_refuses_bad_input_by_its_place() {
    let (dir, path) = responses();
    let broken = dir.path().join("broken.jsonl");
    fs::write(&broken, "{\"response\": \"a\", \"answer\": \"b\"}\n{\"response\": 3, \"answer\": \"b\"}\n").unwrap();
    let message = refused(&["score", "--hyps", &broken.display().to_string()]);
    assert!(message.contains("broken.jsonl:2: field `response` is 3, expected text"), "{message}");
    assert!(refused(&["score", "--hyps", &path, "--metrics", "rogue"]).contains("metric `rogue` is unknown"));
    assert!(refused(&["score", "--hyps", &path, "--confidence", "95"]).contains("between 0 and 1"));
}

#[test]
fn edit_shows_entities_rule_and_difference() {
    let (dir, _) = responses();
    let reference = dir.path().join("reference.txt");
    fs::write(&reference, "Small left pleural effusion. Normal heart.\n").unwrap();
    let reference = format!("@{}", reference.display());
    let arguments = ["edit", "--report", "Normal heart. No pleural effusion.", "--reference", &reference];
    let text = printed(&arguments);
    assert!(text.contains("pleural effusion NON-DISEASE"), "{text}");
    assert!(text.contains("replace: rule (a), a sentence says the opposite of the reference"), "{text}");
    assert!(text.ends_with("  Normal heart.\n- No pleural effusion.\n+ Small left pleural effusion.\n"), "{text}");
    assert!(!text.contains('\x1b'), "{text}");

    let json: Value = serde_json::from_str(&printed(&[&arguments[..], &["--format", "json"]].concat())).unwrap();
    assert_eq!(json["text"], "Normal heart. Small left pleural effusion.");
    assert_eq!(json["edits"][0]["rule"], "conflict");
    let whole = printed(&[&arguments[..], &["--granularity", "report"]].concat());
    assert!(
        whole.ends_with("- Normal heart.\n- No pleural effusion.\n+ Small left pleural effusion. Normal heart.\n"),
        "{whole}"
    );
}

#[test]
fn edit_takes_its_settings_from_a_file_and_refuses_impossible_ones() {
    let (dir, _) = responses();
    let config = dir.path().join("edit.json");
    fs::write(&config, r#"{"extractor": "radgraph", "operations_per_report": 2}"#).unwrap();
    let config = config.display().to_string();
    let reports = ["edit", "--report", "The heart is enlarged.", "--reference", "Cardiomegaly."];
    assert!(printed(&reports).contains("none: rule (e)"));
    assert!(!printed(&[&reports[..], &["--config", &config]].concat()).contains("none: rule (e)"));
    assert!(refused(&[&reports[..], &["--tau", "7"]].concat()).contains("tau is 7, expected a number from 0 to 1"));
    assert!(refused(&[&reports[..], &["--extractor", "bert"]].concat()).contains("expected one of"));
}

/// What `bench pipeline` says of short runs over simulated devices.
fn outcomes(arguments: &[&str]) -> Vec<Value> {
    let common = ["bench", "pipeline", "--json", "--group-size", "4", "--steps", "5"];
    let report: Value = serde_json::from_str(&printed(&[&common, arguments].concat())).unwrap();
    assert_eq!(report["bench"], "pipeline");
    report["outcomes"].as_array().unwrap().clone()
}

#[test]
fn bench_pipeline_trains_on_every_ticket_once_at_the_age_it_was_given_and_no_faster_than_its_devices() {
    let times = ["--sample-time", "2ms", "--edit-time", "100us", "--reward-latency", "0,3ms"];
    let sweep = ["--samplers", "1,3", "--groups", "4", "--staleness", "0,2"];
    let outcomes = outcomes(&[&times[..], &sweep].concat());
    let number = |outcome: &Value, key: &str| outcome[key].as_f64().unwrap();
    let settings = outcomes.iter().map(|it| ["samplers", "reward_latency", "staleness"].map(|key| number(it, key)));
    let expected = [1., 3.].map(|samplers| [0., 3e-3].map(|latency| [0., 2.].map(|age| [samplers, latency, age])));
    assert!(settings.eq(expected.into_iter().flatten().flatten()));
    for outcome in &outcomes {
        let staleness = number(outcome, "staleness");
        // Five steps of four groups, after those that fill the pipeline.
        assert_eq!(number(outcome, "tickets"), 4. * (5. + staleness + 1.));
        assert_eq!(number(outcome, "staleness_max"), staleness);
        assert_eq!(number(outcome, "staleness_mean"), staleness, "measured steps are past the first ones");
        assert!(number(outcome, "in_flight_max") <= 4. * (staleness + 1.), "{outcome}");
        let share = number(outcome, "share_of_ideal");
        assert!(share > 0. && share <= 1., "{outcome}");
        for device in ["samplers", "editors", "learner"] {
            let busy = number(&outcome["busy"], device);
            assert!(busy > 0. && busy <= share, "{device}: {outcome}");
        }
        assert!(number(outcome, "wall_overhead") >= 0.);
        if staleness == 0. {
            assert_eq!(number(outcome, "speed"), 1.);
        }
    }
}

#[test]
fn bench_pipeline_without_devices_has_no_ideal_and_the_newest_mode_keeps_the_bound() {
    let outcomes = outcomes(&["--devices", "none", "--mode", "latest", "--samplers", "4", "--staleness", "3"]);
    let [outcome] = &outcomes[..] else { panic!("{outcomes:?}") };
    assert!(outcome["share_of_ideal"].is_null() && outcome["bottleneck"].is_null() && outcome["speed"].is_null());
    assert!(outcome["staleness_max"].as_u64().unwrap() <= 3);
    assert_eq!(outcome["tickets"], 8 * (5 + 3 + 1));
}

#[test]
fn bench_pipeline_prints_a_table_and_refuses_what_is_no_setting() {
    let table = printed(&["bench", "pipeline", "--devices", "none", "--groups", "2,3", "--steps", "2"]);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 2 + 4, "a head, a rule, and a row for each setting:\n{table}");
    assert!(lines[0].contains("| samplers |") && lines[1].starts_with("|--"));
    let width = lines[0].chars().count();
    assert!(lines.iter().all(|line| line.chars().count() == width), "{table}");
    for (arguments, message) in [
        (["--group-size", "3"], "an even number"),
        (["--sample-time", "20"], "is not a time such as"),
        (["--time-scale", "0"], "above 0"),
        (["--mode", "newest"], "newest"),
        (["--samplers", "2,0"], "0 is not at least 1"),
        (["--samplers", "300"], "at most 256"),
    ] {
        let refused = refused(&[&["bench", "pipeline"], &arguments[..]].concat());
        assert!(refused.contains(message), "{refused}");
    }
}
