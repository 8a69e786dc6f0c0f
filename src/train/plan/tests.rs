use std::path::{Path, PathBuf};

use addendum_replay::Mode;
use addendum_studies::{Phantom, PhantomConfig, Split};
use serde_json::Value;

use super::*;
use crate::train::Settings;

fn checkpoint() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/checkpoints/phantom-tiny")
}

/// A folder with `count` phantoms in each split.
fn studies(count: usize) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for split in Split::ALL {
        let phantoms = Phantom::new(PhantomConfig { count, split, ..Default::default() }).unwrap();
        addendum_studies::folder::write(dir.path(), split, &phantoms).unwrap();
    }
    dir
}

fn settings(data: &Path) -> Settings {
    let mut settings = Settings::phantoms();
    settings.run.steps = 400;
    (settings.data.folder, settings.data.phantoms) = (Some(data.into()), None);
    settings.policy.path = checkpoint();
    settings
}

fn planned(settings: Settings, data: &Path) -> Plan {
    Training::new(settings).out(data.join("run")).plan()
}

/// Changes the entries of a split.
fn edit(data: &Path, split: &str, change: impl FnOnce(&mut Vec<Value>)) {
    let path = data.join(split);
    let mut entries: Vec<Value> = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut entries);
    std::fs::write(&path, serde_json::to_vec(&entries).unwrap()).unwrap();
}

fn told(found: &[Problem]) -> Vec<String> {
    found.iter().map(ToString::to_string).collect()
}

#[test]
fn a_sound_run_has_no_problem_and_leaves_nothing_behind() {
    let data = studies(20);
    let mut settings = settings(data.path());
    settings.run.evaluate_every = 100;
    settings.evaluation.keep_best = Some("validation/rate".into());
    let plan = planned(settings, data.path());
    assert_eq!((told(&plan.problems), told(&plan.warnings)), (vec![], vec![]));
    assert!(!data.path().join("run").exists());
    assert_eq!((plan.work.groups, plan.work.rollouts, plan.work.sampled), (3200, 25_600, 12_800));
    assert_eq!((plan.work.epochs, plan.work.evaluations), (Some(160.0), 5));
    let sets: Vec<_> = plan.sets.iter().map(|set| (set.name.as_str(), set.studies, set.sampled)).collect();
    assert_eq!(sets, [("train", 20, 16), ("val", 20, 16), ("test", 20, 16)]);
    let text = plan.to_string();
    for part in ["25600, 12800 of them sampled", "phantom-tiny", "memory of cpu", "nothing is in the way"] {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
    assert_eq!(serde_json::to_value(&plan).unwrap()["work"]["steps"], 400);
}

#[test]
fn a_score_that_no_validation_set_gives_is_a_problem_of_the_plan() {
    let data = studies(3);
    for (name, why) in
        [("bleu", "`bleu` is no score"), ("test/rate", "`test` is no validation set; there are validation")]
    {
        let mut settings = settings(data.path());
        settings.evaluation.keep_best = Some(name.into());
        let problems = told(&planned(settings, data.path()).problems);
        assert!(
            problems.len() == 1 && problems[0].starts_with(&format!("evaluation.keep_best: {why}")),
            "{problems:?}"
        );
    }
}

#[test]
fn a_run_that_records_what_is_sampled_says_how_much_that_may_come_to() {
    let data = studies(3);
    let recorded = |change: fn(&mut Settings)| {
        let mut settings = settings(data.path());
        change(&mut settings);
        let plan = planned(settings, data.path());
        (plan.disk.unwrap().recording, told(&plan.warnings))
    };
    assert_eq!(recorded(|_| ()), (None, vec![]));
    // 3,200 groups of four reports of 160 tokens.
    assert_eq!(recorded(|s| s.run.mode = Mode::Latest), (Some(3200 * 4 * 160 * 30), vec![]));
    let (_, warnings) = recorded(|s| {
        s.run.mode = Mode::Latest;
        (s.run.steps, s.learner.schedule.total_steps) = (100_000_000_000, 100_000_000_000);
    });
    assert!(warnings.iter().any(|warning| warning.starts_with("run.record_sampled: may write up to ")), "{warnings:?}");
}

#[test]
fn a_plan_counts_the_tokens_that_the_policy_is_given() {
    let data = studies(3);
    let plan = planned(settings(data.path()), data.path());
    let policy =
        addendum_policy::Policy::load(&checkpoint(), candle_core::DType::F32, &candle_core::Device::Cpu).unwrap();
    let mut longest = 0;
    for split in Split::ALL {
        let folder = addendum_studies::Folder::load(data.path(), split).unwrap();
        for index in 0..3 {
            let study = addendum_studies::Dataset::study(&folder, index).unwrap();
            longest = longest.max(policy.encode(&(&study).into()).unwrap().tokens.ids.len());
        }
    }
    assert_eq!(plan.prompts.unwrap().longest, longest);
    let weights: usize =
        policy.weights().unwrap().tensors().values().map(|t| t.elem_count() * t.dtype().size_in_bytes()).sum();
    assert_eq!(plan.devices[0].weights, weights as u64);
}

#[test]
fn every_broken_image_is_named_by_set_study_and_file() {
    let data = studies(3);
    let mut broken = Vec::new();
    for split in ["train.json", "test.json"] {
        edit(data.path(), split, |entries| {
            let image = entries[1]["image"][0].as_str().unwrap();
            std::fs::write(data.path().join(image), "no image").unwrap();
            broken.push((
                split.trim_end_matches(".json"),
                entries[1]["id"].as_str().unwrap().to_string(),
                image.to_string(),
            ));
        });
    }
    let problems = told(&planned(settings(data.path()), data.path()).problems);
    assert_eq!(problems.len(), 2, "{problems:?}");
    for (problem, (set, study, image)) in problems.iter().zip(broken) {
        assert!(problem.starts_with(&format!("data: {set}: study `{study}`: ")), "{problem}");
        assert!(problem.contains(&image) && problem.contains("cannot decode"), "{problem}");
    }
}

#[test]
fn a_reference_longer_than_any_sampled_report_is_a_warning() {
    let data = studies(3);
    edit(data.path(), "train.json", |entries| {
        let long = "The lungs are clear. ".repeat(100);
        entries[2]["conversations"][1]["value"] = long.trim().into();
    });
    let plan = planned(settings(data.path()), data.path());
    assert_eq!(told(&plan.problems), Vec::<String>::new());
    let warnings = told(&plan.warnings);
    let expected = format!(
        "sampling.max_new_tokens: is 160; 1 of 9 sampled references are longer, the longest has {} tokens",
        plan.references.unwrap().longest
    );
    assert_eq!(warnings, [expected]);
}

#[test]
fn an_empty_reference_is_a_problem() {
    let data = studies(1);
    let mut own = crate::train::data::Data::of_folder(data.path(), false).unwrap();
    let mut study = own.training.study(0).unwrap();
    study.reference = addendum_studies::Reference::new(" \n");
    let id = study.id.clone();
    own.training = std::sync::Arc::new(vec![study]);
    let plan = Training::new(settings(data.path())).data(own).out(data.path().join("run")).plan();
    assert_eq!(told(&plan.problems), [format!("data: training: study `{id}`: its reference is empty")]);
}

#[test]
fn all_problems_are_told_together() {
    let data = studies(1);
    std::fs::remove_file(data.path().join("val.json")).unwrap();
    std::fs::create_dir(data.path().join("run")).unwrap();
    std::fs::write(data.path().join("run/thesis.tex"), "").unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut settings = settings(data.path());
    settings.telemetry.metrics_address = Some(port.local_addr().unwrap().to_string());
    settings.learner.memory_limit = Some(1 << 20);
    settings.learner.temperature = 0.0;
    settings.policy.sampler_devices = vec!["cuda:99".into()];
    settings.reward_models.bert = Some("nowhere".into());
    let plan = planned(settings, data.path());
    let keys: Vec<&str> = plan.problems.iter().map(|problem| problem.key.as_str()).collect();
    for key in [
        "learner.temperature",
        "out",
        "data.folder",
        "policy.device",
        "learner.memory_limit",
        "reward_models.chexbert",
        "telemetry.metrics_address",
    ] {
        assert_eq!(keys.iter().filter(|found| **found == key).count(), 1, "{key}: {keys:?}");
    }
    assert!(plan.to_string().contains("7 problems"), "{plan}");
}

#[test]
fn the_sampler_s_cache_is_counted_and_one_too_small_for_a_study_is_a_problem() {
    let data = studies(3);
    let sampling = |change: fn(&mut Settings)| {
        let mut settings = settings(data.path());
        change(&mut settings);
        let plan = planned(settings, data.path());
        (plan.devices[0].sampling, told(&plan.problems))
    };
    let (few, none) = sampling(|settings| settings.sampler.max_sequences = 4);
    let (more, _) = sampling(|settings| settings.sampler.max_sequences = 32);
    assert!(none.is_empty() && few < more, "{none:?}: {few} and {more}");
    let (bounded, _) = sampling(|settings| settings.sampler.cache_bytes = Some(1 << 30));
    assert!(bounded > more && bounded > 1 << 30, "{bounded}");
    let (_, problems) = sampling(|settings| settings.sampler.cache_bytes = Some(1000));
    assert!(
        problems.len() == 1 && problems[0].starts_with("sampler.cache_bytes: is 1000; a prompt of "),
        "{problems:?}"
    );
}

#[test]
fn weights_of_another_shape_than_the_config_says_are_told_without_reading_them() {
    let (data, other) = (studies(1), tempfile::tempdir().unwrap());
    for entry in std::fs::read_dir(checkpoint()).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, other.path().join(path.file_name().unwrap())).unwrap();
    }
    let weights = other.path().join("model.safetensors");
    let bytes = std::fs::read(&weights).unwrap();
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    // Values that no load would accept.
    let mut damaged = bytes;
    damaged[header..].fill(0xff);
    std::fs::write(&weights, damaged).unwrap();
    let mut settings = settings(data.path());
    settings.policy.path = other.path().into();
    assert_eq!(told(&planned(settings.clone(), data.path()).problems), Vec::<String>::new());

    let config = other.path().join("config.json");
    let mut json: Value = serde_json::from_slice(&std::fs::read(&config).unwrap()).unwrap();
    let layers = json["num_hidden_layers"].as_u64().unwrap();
    json["num_hidden_layers"] = (layers + 1).into();
    std::fs::write(&config, json.to_string()).unwrap();
    let problems = told(&planned(settings, data.path()).problems);
    assert!(problems[0].contains(&format!("tensor model.layers.{layers}.")) && problems[0].contains("is missing"));
    assert!(problems.last().unwrap().contains("more tensors"), "{problems:?}");
}
