//! The commands that work with a policy, as a user calls them, on the bundled checkpoint.

use std::{
    collections::HashMap,
    fs,
    path::Path,
    process::{Command, Output, Stdio},
    sync::Arc,
};

use addendum::{
    policy::{Adapter, Config, LoraConfig, Policy, SamplingConfig},
    qwen::Prompts,
    rewards::Backends,
    studies::{Phantom, PhantomConfig, Site, Split, folder},
    train::held_out::HeldOut,
};
use candle_core::{DType, Device, Tensor};
use serde_json::Value;

const POLICY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/checkpoints/phantom-tiny");

fn addendum(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_addendum"));
    command.args(arguments).env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
    command
}

fn output(arguments: &[&str]) -> Output {
    addendum(arguments).output().unwrap()
}

fn printed(arguments: &[&str]) -> String {
    let output = output(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The message of a command that is refused before it computes.
fn refused(arguments: &[&str]) -> String {
    let output = output(arguments);
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
    message
}

fn phantoms(site: Site, split: Split, count: usize) -> Phantom {
    Phantom::new(PhantomConfig { site, split, count, ..PhantomConfig::default() }).unwrap()
}

/// A dataset folder of `count` studies per split.
fn dataset(dir: &Path, count: usize) -> String {
    for split in Split::ALL {
        folder::write(dir, split, &phantoms(Site::A, split, count)).unwrap();
    }
    dir.display().to_string()
}

fn lines(path: &Path) -> Vec<Value> {
    fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn eval_says_of_every_set_what_the_library_says() {
    let dir = tempfile::tempdir().unwrap();
    let (json, reports) = (dir.path().join("scores.json"), dir.path().join("reports.jsonl"));
    let files = ["--json", json.to_str().unwrap(), "--reports", reports.to_str().unwrap()];
    let table =
        printed(&[&["eval", "--policy", POLICY, "--studies", "4", "--max-new-tokens", "64"], &files[..]].concat());
    assert!(table.contains("in-domain, 4 studies") && table.contains("out-of-domain, 4 studies"), "{table}");
    let (scores, reports): (Value, _) = (serde_json::from_slice(&fs::read(&json).unwrap()).unwrap(), lines(&reports));

    let policy = Arc::new(Policy::load(Path::new(POLICY), DType::F32, &Device::Cpu).unwrap());
    let prompts = Arc::new(Prompts::new(policy, 0));
    for (at, (set, site)) in [("in-domain", Site::A), ("out-of-domain", Site::B)].into_iter().enumerate() {
        let held_out = HeldOut {
            prompts: prompts.clone(),
            dataset: Arc::new(phantoms(site, Split::Test, 4)),
            studies: usize::MAX,
            sampling: SamplingConfig::greedy(64),
            metrics: Backends::lexicon(),
        };
        let expected = held_out.evaluate(None, |_| Ok(())).unwrap();
        assert_eq!(scores["sets"][set]["scores"], serde_json::to_value(expected.named()).unwrap());
        let mut radgraph = 0.;
        for (line, report) in reports[4 * at..].iter().zip(&expected.reports) {
            assert_eq!((&line["id"], &line["report"]), (&report.id.clone().into(), &report.text.clone().into()));
            assert_eq!((&line["set"], &line["truncated"]), (&set.into(), &report.truncated.into()));
            radgraph += line["scores"]["radgraph"].as_f64().unwrap() / 4.;
        }
        assert!((radgraph - expected.scores.radgraph_f1).abs() < 1e-9);
    }
    assert_eq!(reports.len(), 8);
}

#[test]
fn a_length_limit_cuts_reports_and_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("scores.json");
    let arguments = ["eval", "--policy", POLICY, "--studies", "2", "--max-new-tokens", "3", "--json"];
    printed(&[&arguments[..], &[json.to_str().unwrap()]].concat());
    let scores: Value = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
    assert_eq!(scores["sets"]["in-domain"]["truncated"], 2);
}

#[test]
fn generate_depends_on_its_seed_alone() {
    let dir = tempfile::tempdir().unwrap();
    let data = dataset(dir.path(), 3);
    let sampled = |seed| {
        let arguments = ["generate", "--policy", POLICY, "--data", &data, "--temperature", "1.5", "--samples", "2"];
        printed(&[&arguments[..], &["--max-new-tokens", "24", "--seed", seed]].concat())
    };
    assert_eq!(sampled("1"), sampled("1"));
    assert_ne!(sampled("1"), sampled("2"));
    assert_eq!(sampled("1").lines().count(), 6);
    let line: Value = serde_json::from_str(sampled("1").lines().nth(1).unwrap()).unwrap();
    assert_eq!(line["sample"], 1);
    let message = refused(&["generate", "--policy", POLICY, "--data", &data, "--samples", "2"]);
    assert!(message.contains("--temperature above 0"), "{message}");
}

#[test]
fn one_image_gives_one_report_as_text() {
    let dir = tempfile::tempdir().unwrap();
    dataset(dir.path(), 1);
    let image = dir.path().join("images/test/000000_0.png");
    let image = image.to_str().unwrap();
    let text = printed(&["generate", "--policy", POLICY, "--image", image, "--indication", "Cough."]);
    assert!(text.trim().len() > 10 && !text.starts_with('{'), "{text}");
    let message = refused(&["generate", "--policy", POLICY, "--image", image, "--image", image]);
    assert!(message.contains("0 for 2 images"), "{message}");
}

#[test]
fn an_adapter_that_sft_wrote_names_its_base_and_is_read_by_eval() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("adapter");
    let out = out.to_str().unwrap();
    let short = ["--steps", "2", "--batch-size", "2", "--studies", "4", "--validation-studies", "2"];
    let sft = [&["sft", "--policy", POLICY, "--lora", "--lora-rank", "4", "--out", out], &short[..]].concat();
    assert!(printed(&sft).contains("the weights of step 2"));
    let config: Value = serde_json::from_slice(&fs::read(Path::new(out).join("adapter_config.json")).unwrap()).unwrap();
    assert_eq!(config["base_model_name_or_path"], POLICY);
    assert_eq!(config["r"], 4);
    assert!(printed(&["eval", "--policy", POLICY, "--adapter", out, "--studies", "2"]).contains("in-domain"));
    assert!(refused(&sft).contains("adapter_config.json is there already"), "a second run overwrites nothing");
    let run = dir.path().to_str().unwrap();
    for command in [&["eval", "--policy", POLICY][..], &["merge", "--model", POLICY, "--out", "unused"]] {
        let message = refused(&[command, &["--adapter", run]].concat());
        assert!(message.contains(&format!("that of this run is in {out}")), "{message}");
    }
}

#[test]
fn sft_of_all_weights_writes_a_checkpoint_that_generate_reads() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("full");
    let out = out.to_str().unwrap();
    let short = ["--steps", "1", "--batch-size", "2", "--studies", "4", "--validation-studies", "2"];
    printed(&[&["sft", "--policy", POLICY, "--out", out], &short[..]].concat());
    let data = dataset(&dir.path().join("data"), 1);
    assert!(!printed(&["generate", "--policy", out, "--data", &data]).is_empty());
    assert!(Path::new(out).join("sft.jsonl").exists());
    let bf16 = refused(&["sft", "--policy", POLICY, "--dtype", "bf16", "--out", "unused"]);
    assert!(bf16.contains("trained in f32"), "{bf16}");
}

#[test]
fn what_is_missing_is_refused_by_name_with_status_2() {
    for arguments in [
        &["eval", "--policy", "no-such-folder"][..],
        &["eval", "--policy", POLICY, "--data", "no-such-folder"],
        &["eval", "--policy", POLICY, "--adapter", "no-such-folder"],
        &["eval", "--policy", POLICY, "--json", "no-such-folder/scores.json"],
        &["generate", "--policy", POLICY, "--image", "no-such-folder/x.png"],
        &["sft", "--policy", "no-such-folder", "--out", "unused"],
        &["score", "--hyps", "no-such-folder/x.json"],
        &["merge", "--model", "no-such-folder", "--adapter", "x", "--out", "unused"],
    ] {
        let message = refused(arguments);
        assert!(message.contains("no-such-folder"), "{arguments:?}: {message}");
    }
    assert!(refused(&["eval"]).contains("--policy"));
}

/// B of a fresh adapter is zero: it changes nothing yet, and moves first.
#[test]
fn a_probe_of_a_fresh_adapter_finds_the_reference_and_gradients_of_b_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name).display().to_string();
    let config = Config::load(&Path::new(POLICY).join("config.json")).unwrap();
    let adapter = Adapter::new(&config, LoraConfig::default(), 1, &Device::Cpu).unwrap();
    adapter.save_peft(&dir.path().join("adapter"), POLICY).unwrap();
    let mut given = HashMap::from([
        ("prompt", Tensor::new(&[5i64, 6, 7], &Device::Cpu).unwrap()),
        ("responses", Tensor::new(&[[1i64, 2], [3, 4], [5, 6]], &Device::Cpu).unwrap()),
        ("rewards", Tensor::new(&[1f32, 0.0, 0.5], &Device::Cpu).unwrap()),
    ]);
    candle_core::safetensors::save(&given, file("given")).unwrap();
    let (adapter_dir, given_file, out) = (file("adapter"), file("given"), file("out"));
    let options = ["probe", "--policy", POLICY, "--adapter", &adapter_dir, "--given", &given_file, "--out", &out];
    printed(&options);

    let found = candle_core::safetensors::load(&out, &Device::Cpu).unwrap();
    let log_probs = found["log_probs"].to_vec2::<f32>().unwrap();
    assert_eq!((log_probs.len(), log_probs[0].len()), (3, 2));
    assert!(log_probs.iter().flatten().all(|value| *value < 0.0), "{log_probs:?}");
    assert_eq!(log_probs, found["reference"].to_vec2::<f32>().unwrap());
    for (name, factor) in adapter.tensors() {
        let gradient = &found[&format!("gradient.{name}")];
        assert_eq!(gradient.dims(), factor.dims(), "{name}");
        let largest = gradient.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        assert_eq!(largest > 0.0, name.contains("lora_B"), "{name}: {largest}");
    }
    assert_eq!(found.len(), adapter.tensors().len() + 2);

    given.remove("rewards");
    candle_core::safetensors::save(&given, file("given")).unwrap();
    let message = refused(&options);
    assert!(message.contains(&given_file) && message.contains("rewards: missing, expected F32 [G]"), "{message}");
}

#[test]
fn a_closed_standard_output_is_no_error_and_loses_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("scores.json");
    let arguments = ["eval", "--policy", POLICY, "--studies", "1", "--json", json.to_str().unwrap()];
    let mut child = addendum(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(json.exists());
}

#[test]
fn completions_name_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = printed(&["completions", shell]);
        assert!(["eval", "generate", "sft", "serve-rewards"].iter().all(|name| script.contains(name)), "{shell}");
    }
}

#[test]
fn no_color_wins_over_whatever_asks_for_colours() {
    for arguments in [&["--help"][..], &["eval", "--policy", POLICY, "--studies", "1"]] {
        let coloured = |no_color: &str| {
            let output = addendum(arguments).env("CLICOLOR_FORCE", "1").env("NO_COLOR", no_color).output().unwrap();
            assert!(output.status.success());
            [output.stdout, output.stderr].concat().contains(&0x1b)
        };
        assert!(coloured("") && !coloured("1"), "{arguments:?}");
    }
}

#[test]
fn diagnostics_as_json_are_one_object_per_line() {
    let output = output(&["eval", "--policy", POLICY, "--studies", "1", "--log-format", "json"]);
    let text = String::from_utf8(output.stderr).unwrap();
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(events.iter().any(|event| event["done"] == 1 && event["message"] == "evaluating in-domain"), "{text}");
    let message = refused(&["eval", "--policy", "no-such-folder", "--log-format", "json"]);
    let error: Value = serde_json::from_str(message.trim()).unwrap();
    assert_eq!((&error["level"], &error["status"]), (&"ERROR".into(), &2.into()));
}

#[cfg(unix)]
#[test]
fn a_signal_ends_an_evaluation_soon_with_its_status_and_keeps_complete_reports() {
    use std::io::{BufRead, BufReader};

    use addendum::train::interrupt::ignores_hangup;

    for (signal, status) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        // Under `nohup` it goes on, and so do the tests.
        if signal == "HUP" && ignores_hangup() {
            continue;
        }
        let dir = tempfile::tempdir().unwrap();
        let reports = dir.path().join("reports.jsonl");
        let arguments = ["eval", "--policy", POLICY, "--studies", "320", "--reports", reports.to_str().unwrap()];
        let mut child = addendum(&arguments).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
        // The first tenth is done.
        assert!(said.next().unwrap().unwrap().starts_with("evaluating in-domain"));
        let sent = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let rest: Vec<String> = said.map(Result::unwrap).collect();
        assert_eq!(child.wait().unwrap().code(), Some(status), "{rest:?}");
        assert!(rest.iter().any(|line| line.contains("stopping in good order")), "{rest:?}");
        let kept = lines(&reports).len();
        assert!((16..320).contains(&kept), "{kept}");
    }
}

#[test]
fn entries_that_are_no_studies_are_left_out_only_when_asked_and_listed_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let data = dataset(dir.path(), 3);
    for split in Split::ALL {
        fs::remove_file(dir.path().join(format!("images/{split}/000001_0.png"))).unwrap();
    }
    let (json, out) = (dir.path().join("scores.json"), dir.path().join("sft"));
    let (json, out) = (json.to_str().unwrap(), out.to_str().unwrap());
    let short = ["--steps", "1", "--batch-size", "2", "--max-new-tokens", "2"];
    for command in [
        &["eval", "--policy", POLICY, "--data", &data, "--max-new-tokens", "2", "--json", json][..],
        &["generate", "--policy", POLICY, "--data", &data, "--max-new-tokens", "2"],
        &[&["sft", "--policy", POLICY, "--lora", "--data", &data, "--out", out], &short[..]].concat(),
    ] {
        let message = refused(command);
        assert!(message.contains("entry 1: field `image`: no file"), "{message}");
        assert!(message.contains("--skip-bad, leaves such entries out"), "{message}");
        let output = output(&[command, &["--skip-bad"]].concat());
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && message.contains("entry 1: field `image`: no file"), "{message}");
    }
    let scores: Value = serde_json::from_slice(&fs::read(json).unwrap()).unwrap();
    assert_eq!((&scores["skipped"], &scores["sets"]["test"]["studies"]), (&1.into(), &2.into()));
}
