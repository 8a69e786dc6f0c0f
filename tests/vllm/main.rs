//! Runs whose reports are sampled by vLLM servers, over a stand-in of one.

mod stand_in;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};

use addendum::{
    actors::RunConfig,
    policy::Policy,
    replay::Mode,
    train::{Settings, Training, data::PhantomConfig, sampler::Engine},
};
use candle_core::{DType, Device};
use serde_json::Value;

use stand_in::{Adapters, Fault, StandIn};

const WATCHDOG: Duration = Duration::from_secs(240);

fn checkpoint() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/checkpoints/phantom-tiny")
}

fn policy() -> Arc<Policy> {
    static POLICY: OnceLock<Arc<Policy>> = OnceLock::new();
    let load = || Arc::new(Policy::load(&checkpoint(), DType::F32, &Device::Cpu).unwrap());
    POLICY.get_or_init(load).clone()
}

fn settings(servers: &[&StandIn]) -> Settings {
    let mut settings = Settings {
        run: RunConfig { steps: 4, batch_groups: 2, group_size: 4, seed: 5, ..RunConfig::default() },
        ..Settings::default()
    };
    settings.data.phantoms =
        Some(PhantomConfig { seed: 7, supervised: 0, training: 40, held_out: 1, ..PhantomConfig::default() });
    settings.policy.path = checkpoint();
    settings.sampling.max_new_tokens = 24;
    settings.learner.schedule.learning_rate = 1e-2;
    settings.sampler.engine = Engine::Vllm;
    settings.sampler.urls = servers.iter().map(|server| server.url.clone()).collect();
    settings
}

/// The steps of a run; its error, if it ended with one.
fn run(settings: Settings) -> (Vec<Value>, tempfile::TempDir, anyhow::Result<()>) {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("run");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let ended = runtime.block_on(async {
        let run = Training::new(settings).out(&folder).prepare()?;
        tokio::time::timeout(WATCHDOG, run.train()).await.expect("the run stands still").map(drop)
    });
    let lines = std::fs::read_to_string(folder.join("metrics.jsonl")).unwrap_or_default();
    let steps = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (steps, parent, ended)
}

#[test]
fn a_server_samples_from_the_versions_that_the_learner_publishes() {
    let server = StandIn::start(policy(), &[], Adapters::Applied);
    let mut settings = settings(&[&server]);
    settings.run.steps = 12;
    // So that no version is far from the one before.
    settings.learner.schedule.learning_rate = 1e-3;
    let (steps, folder, ended) = run(settings);
    ended.unwrap();
    assert_eq!(steps.len(), 12);
    // What was sampled with the version that learns from it is as likely there as here.
    let first = steps[0]["logprob_difference"].as_f64().unwrap();
    assert!(first < 1e-5, "{first}");
    for step in &steps {
        let (mean, lag) = (step["importance_weight"].as_f64().unwrap(), step["staleness_max"].as_u64().unwrap());
        assert!((0.5..1.5).contains(&mean) && lag <= 1, "{step}");
    }
    assert_eq!(server.chats(), 24);
    // Of the eleven versions those that tickets can ask for, and some that are on their way out.
    assert!(server.most_loaded() <= 5, "{}", server.most_loaded());
    let published = folder.path().join("run/adapters-published").read_dir().unwrap().count();
    assert!(published <= 5, "{published} folders are left");
}

#[test]
fn what_servers_have_sampled_makes_the_same_adapter_again_without_them() {
    let server = StandIn::start(policy(), &[Fault::Cuts, Fault::Slow], Adapters::Applied);
    let latest = RunConfig { mode: Mode::Latest, samplers: 2, ..settings(&[]).run };
    let (_, folder, ended) = run(Settings { run: latest, ..settings(&[&server]) });
    ended.unwrap();
    let (recorded, chats) = (folder.path().join("run"), server.chats());
    let saved = Settings::given(&recorded.join("config.toml")).unwrap();
    let (steps, again, ended) = run(Settings::of_given(&saved).unwrap().replaying(&recorded));
    ended.unwrap();
    assert_eq!((steps.len(), server.chats()), (4, chats));
    let adapter = |run: &Path| std::fs::read(run.join("adapter/adapter_model.safetensors")).unwrap();
    assert_eq!(adapter(&recorded), adapter(&again.path().join("run")));
}

#[test]
fn whatever_a_server_fails_at_is_asked_again_and_no_study_is_lost() {
    use Fault::{Broken, Cuts, Forgets, NoLogprob, Refuses, Slow, TooFew};
    let server = StandIn::start(
        policy(),
        &[Broken, Cuts, Forgets, TooFew, Slow, NoLogprob, Refuses, Forgets],
        Adapters::Applied,
    );
    let (steps, _folder, ended) = run(settings(&[&server]));
    ended.unwrap();
    assert_eq!(server.faults_left(), 0);
    assert_eq!(steps.len(), 4);
    assert!(steps.iter().all(|step| step["groups"] == 2 && step["dead_letters"] == 0), "{steps:?}");
    // Only the refusal cost an attempt.
    assert_eq!(steps[3]["retries"], 1);
}

#[test]
fn a_server_that_answers_from_the_base_is_found_out_in_the_first_step_that_moved() {
    let server = StandIn::start(policy(), &[], Adapters::Ignored);
    let mut settings = settings(&[&server]);
    settings.run.max_dead_in_a_row = 2;
    let (steps, folder, ended) = run(settings);
    assert!(ended.is_err());
    // Version 0 changes nothing, so nobody can tell; version 1 does.
    assert!(steps.len() <= 2, "{} steps were trained", steps.len());
    let letters = std::fs::read_to_string(folder.path().join("run/dead_letters/train.json")).unwrap();
    assert!(letters.contains("does not answer from this adapter"), "{letters}");
}

#[test]
fn an_adapter_that_lay_there_by_the_name_of_another_is_replaced() {
    let server = StandIn::start(policy(), &[], Adapters::Mistaken);
    let (steps, _folder, ended) = run(settings(&[&server]));
    ended.unwrap();
    assert!(steps.len() == 4 && steps.iter().all(|step| step["retries"] == 0), "{steps:?}");
}

#[test]
fn a_plan_says_which_servers_are_not_there() {
    let server = StandIn::start(policy(), &[], Adapters::Applied);
    let mut settings = settings(&[&server]);
    assert!(Training::new(settings.clone()).plan().warnings.iter().all(|warning| warning.key != "sampler.urls"));
    settings.sampler.urls.push("http://127.0.0.1:1".into());
    let plan = Training::new(settings).plan();
    assert!(plan.problems.is_empty(), "a server may come up later: {:?}", plan.problems);
    let said: Vec<_> = plan.warnings.iter().filter(|warning| warning.key == "sampler.urls").collect();
    assert!(said.len() == 1 && said[0].reason.contains("http://127.0.0.1:1"), "{said:?}");
}

#[test]
fn a_run_goes_on_with_the_servers_that_are_left() {
    let (one, other) =
        (StandIn::start(policy(), &[], Adapters::Applied), StandIn::start(policy(), &[], Adapters::Ignored));
    let mut settings = settings(&[&one, &other]);
    // Nobody listens there.
    settings.sampler.urls.push("http://127.0.0.1:9".into());
    let (steps, _folder, ended) = run(settings);
    ended.unwrap();
    assert!(steps.len() == 4 && steps.iter().all(|step| step["dead_letters"] == 0), "{steps:?}");
    assert!(one.chats() >= 4);
}

#[test]
fn a_prompt_that_is_read_as_other_tokens_is_shown_beside_ours() {
    let server = StandIn::start(policy(), &[Fault::OtherPrompt; 100], Adapters::Applied);
    let (_, folder, ended) = run(settings(&[&server]));
    assert!(ended.is_err());
    let letters = std::fs::read_to_string(folder.path().join("run/dead_letters/train.json")).unwrap();
    assert!(letters.contains("from token 1 on [0, ") && letters.contains(", here ["), "{letters}");
}

#[test]
fn one_more_line_in_the_file_is_one_more_server() {
    let (first, second) =
        (StandIn::start(policy(), &[], Adapters::Applied), StandIn::start(policy(), &[], Adapters::Applied));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("servers.txt");
    std::fs::write(&file, format!("{}\n", first.url)).unwrap();
    let mut settings = settings(&[]);
    settings.sampler.urls_file = Some(file.clone());
    settings.run.steps = 12;
    let both = format!("{}\n{} # joins\n", first.url, second.url);
    let writer = std::thread::spawn({
        let chats = move || first.chats();
        move || {
            while chats() < 4 {
                std::thread::sleep(Duration::from_millis(5));
            }
            std::fs::write(&file, both).unwrap();
        }
    });
    let (steps, _folder, ended) = run(settings);
    ended.unwrap();
    writer.join().unwrap();
    assert_eq!(steps.len(), 12);
    assert!(second.chats() > 0);
}
