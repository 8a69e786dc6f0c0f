//! `addendum study`: what is wrong with a file is named with its place, nothing is done twice, tests are read last, and
//! a study that was killed ends in the same numbers.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use addendum::{
    report::progress::Progress,
    studies::{Dataset, Study as Chest},
    study::{Choice, Execution, Plan, Study, Summary, missing},
    train::data::{Data, DataConfig},
};
use anyhow::bail;
use serde_json::Value;

/// Two steps of two studies.
const SMALL: &str = r#"
name = "small"
seeds = [1, 2]
tests = { temperatures = [0.0, 1.0] }
watch = ["pleural effusion"]
baseline = "SFT"

[settings]
policy.path = "examples/checkpoints/phantom-tiny"
data.phantoms = { supervised = 4, training = 4, held_out = 4 }
run = { steps = 2, batch_groups = 2, group_size = 2, checkpoint_every = 1, evaluate_every = 1 }
evaluation.studies = 2
sampling.max_new_tokens = 24
"#;

const ARMS: &str = r#"
[[arm]]
name = "SFT"
method = "checkpoint"

[[arm]]
name = "EditGRPO"
grid = { "learner.schedule.learning_rate" = [1e-1, 1e-9] }

[[arm]]
name = "SFT continued"
method = "supervised"
"#;

fn plan(text: &str) -> Result<Plan, String> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("s.toml");
    fs::write(&file, text).unwrap();
    let told = |error: addendum::train::settings::SettingsError| {
        error.to_string().replace(&format!("{}/", dir.path().display()), "")
    };
    Study::read(&file).and_then(Plan::new).map_err(told)
}

fn execution(out: &Path) -> Execution {
    Execution { progress: Progress::plain(std::io::sink()), ..Execution::new(out) }
}

/// What was read, in order.
type Log = Arc<Mutex<Vec<&'static str>>>;

struct Told {
    inner: Arc<dyn Dataset>,
    name: &'static str,
    log: Log,
}

impl Dataset for Told {
    fn len(&self) -> usize {
        self.inner.len()
    }

    fn study(&self, index: usize) -> addendum::studies::Result<Chest> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).push(self.name);
        self.inner.study(index)
    }
}

/// Studies that tell when they are read.
fn told(log: &Log) -> impl Fn(&DataConfig) -> anyhow::Result<Data> + Send + Sync + use<> {
    let log = log.clone();
    move |config| {
        let mut data = Data::load(config)?;
        let wrap =
            |name, inner: Arc<dyn Dataset>| -> Arc<dyn Dataset> { Arc::new(Told { inner, name, log: log.clone() }) };
        data.supervised = wrap("teaching", data.supervised);
        data.training = wrap("training", data.training);
        for (sets, name) in [(&mut data.validation, "validation"), (&mut data.tests, "test")] {
            sets.iter_mut().for_each(|(_, set)| *set = wrap(name, set.clone()));
        }
        Ok(data)
    }
}

fn json(plan: &Plan, choice: &Choice, out: &Path) -> Value {
    let mut json = serde_json::to_value(Summary::new(plan, choice, out).unwrap()).unwrap();
    for level in json["levels"].as_array_mut().unwrap() {
        for arm in level["arms"].as_array_mut().unwrap() {
            arm["seconds"].take();
        }
    }
    json
}

#[test]
fn a_study_chooses_on_validation_reads_tests_last_and_does_nothing_twice() {
    let dir = tempfile::tempdir().unwrap();
    let plan = plan(&format!("{SMALL}{ARMS}")).unwrap();
    let log = Log::default();
    let mut execution = Execution { load: Box::new(told(&log)), ..execution(dir.path()) };
    let choice = execution.run(&plan).unwrap();

    let read = log.lock().unwrap().clone();
    let first = read.iter().position(|name| *name == "test").unwrap();
    assert!(read[first..].iter().all(|name| *name == "test"), "{read:?}");
    assert!(read[..first].contains(&"training") && read[..first].contains(&"validation"));

    let summary = Summary::new(&plan, &choice, dir.path()).unwrap();
    let arms = &summary.levels[0].arms;
    let grid = &arms[1].grid;
    assert_ne!(grid[0].validation, grid[1].validation, "there was nothing to choose");
    let best = grid.iter().map(|point| point.validation).fold(f64::NEG_INFINITY, f64::max);
    assert_eq!(grid.iter().filter(|point| point.chosen).map(|point| point.validation).collect::<Vec<_>>(), [best]);
    assert_eq!((grid.len(), arms[0].seconds.len(), arms[1].seconds.len()), (2, 0, 2));
    let tests = &summary.levels[0].tests;
    let named: Vec<_> = tests.iter().map(|test| (test.set.as_str(), test.temperature, test.studies)).collect();
    assert_eq!(named, [("in-domain", 0., 4), ("in-domain", 1., 4), ("out-of-domain", 0., 4), ("out-of-domain", 1., 4)]);
    assert_eq!(tests[0].arms.iter().map(|arm| arm.scores["average"].len()).collect::<Vec<_>>(), [1, 2, 2]);
    assert_eq!(tests[0].arms[0].findings.last().unwrap().0, "pleural effusion");
    let differences: Vec<_> = tests[0].differences.iter().map(|difference| difference.arm.as_str()).collect();
    assert_eq!(differences, ["EditGRPO", "SFT continued"]);
    for curve in ["reward_sampled", "held_out/average", "sampled/recall", "zero_variance_share", "kl", "entropy"] {
        assert_eq!(arms[1].curves[curve].len(), 2, "{curve}");
    }
    assert_eq!(arms[1].curves["reward_sampled"][0].steps, [0., 1.]);
    let text = summary.markdown();
    for part in ["EditGRPO − SFT", "T = 1", "(chosen)", "a run", "| pleural effusion", "±"] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    summary.draw(dir.path()).unwrap();
    assert!(dir.path().join("plots/reward.svg").exists());

    execution.load = Box::new(|_| bail!("nothing is to be computed"));
    assert_eq!(execution.run(&plan).unwrap(), choice);
}

#[test]
fn levels_share_what_they_have_in_common_and_teach_what_they_have_not() {
    let dir = tempfile::tempdir().unwrap();
    let text = SMALL.replace("[1, 2]", "[1]").replace("policy.path", "# policy.path");
    let text = format!(
        r#"start = "site"
{text}
[teach.base]
from = "examples/checkpoints/phantom-tiny"
steps = 1
batch_size = 2

[teach.site]
from = "base"
steps = 2
batch_size = 2
lora = {{ rank = 2 }}

[[arm]]
name = "SFT"
method = "checkpoint"

[[level]]
name = "short"
set = {{ teach.site.steps = 1 }}

[[level]]
name = "long"
"#
    );
    let plan = plan(&text).unwrap();
    let jobs = missing(&plan.tests(&plan.first()), dir.path());
    let count = |kind: &str| jobs.iter().filter(|job| job.id.starts_with(kind)).count();
    assert_eq!((count("teach"), count("score"), jobs.len()), (3, 4, 7));
    let (log, mut execution) = (Log::default(), execution(dir.path()));
    execution.load = Box::new(told(&log));
    execution.places = vec![None, None];
    let choice = execution.run(&plan).unwrap();
    assert_eq!(log.lock().unwrap().iter().filter(|name| **name == "teaching").count(), 2 + 2 + 4);
    let summary = Summary::new(&plan, &choice, dir.path()).unwrap();
    assert_eq!(summary.levels.iter().map(|level| level.name.as_str()).collect::<Vec<_>>(), ["short", "long"]);
    assert!(summary.text().contains("## long"));
}

fn study(file: &Path, out: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_addendum"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.arg("study").arg(file).arg("--out").arg(out);
    command
}

fn checkpoints(out: &Path) -> Vec<PathBuf> {
    let jobs = fs::read_dir(out.join("jobs")).into_iter().flatten().flatten().map(|entry| entry.path());
    let within = jobs.flat_map(|job| fs::read_dir(job.join("checkpoints")).into_iter().flatten().flatten());
    within.map(|entry| entry.path()).filter(|path| path.join("manifest.json").exists()).collect()
}

#[test]
fn a_study_that_was_killed_goes_on_and_ends_in_the_same_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("s.toml");
    let arm = "[[arm]]\nname = \"EditGRPO\"\n";
    let text = format!(
        "{}{arm}",
        SMALL
            .replace("[1, 2]", "[1]")
            .replace("steps = 2", "steps = 6")
            .replace("\"SFT\"", "\"EditGRPO\"")
            .replace("[settings]", "[settings]\nlearner.schedule.learning_rate = 1e-3")
    );
    fs::write(&file, &text).unwrap();
    let (whole, killed) = (dir.path().join("whole"), dir.path().join("killed"));
    let output = study(&file, &whole).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let mut first = study(&file, &killed).spawn().unwrap();
    let clock = Instant::now();
    while checkpoints(&killed).is_empty() {
        assert!(clock.elapsed() < Duration::from_secs(120), "no checkpoint");
        std::thread::sleep(Duration::from_millis(5));
    }
    first.kill().unwrap();
    first.wait().unwrap();
    assert!(!killed.join("results.json").exists());
    let output = study(&file, &killed).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let plan = plan(&text).unwrap();
    let numbers = [&whole, &killed].map(|out| json(&plan, &plan.first(), out));
    assert!(numbers[0]["levels"][0]["arms"][0]["curves"]["reward_sampled"].is_array());
    assert_eq!(numbers[0], numbers[1]);
    let adapter = |out: &Path| {
        let job = plan.runs(&plan.first())[0].folder(out);
        fs::read(job.join("adapter/adapter_model.safetensors")).unwrap()
    };
    assert!(adapter(&whole) == adapter(&killed), "another adapter");
}

#[test]
fn a_study_has_one_process_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let jobs = dir.path().join("jobs");
    fs::create_dir_all(&jobs).unwrap();
    let _held = addendum::actors::FolderLock::take(&jobs).unwrap();
    let error = execution(dir.path()).run(&plan(&format!("{SMALL}{ARMS}")).unwrap()).unwrap_err();
    assert!(error.to_string().contains("another process is at work in the folder"), "{error}");
}

#[test]
fn one_level_chooses_for_all_a_level_has_seeds_of_its_own_and_supervision_is_followed_on_held_out_studies() {
    let levels = "[[level]]\nname = \"near\"\n[[level]]\nname = \"far\"\nseeds = [3]\nset = { run.steps = 1 }\n";
    let text = format!("{SMALL}{ARMS}{levels}").replace("baseline =", "choose.level = \"near\"\nbaseline =");
    let plan = plan(&text).unwrap();
    assert_eq!(plan.candidates().len(), 2);
    let dir = tempfile::tempdir().unwrap();
    let choice = execution(dir.path()).run(&plan).unwrap();
    assert_eq!(choice[0], choice[1]);
    let summary = Summary::new(&plan, &choice, dir.path()).unwrap();
    for (level, seeds, steps, points) in [(0, &[1, 2][..], 2, 2), (1, &[3], 1, 0)] {
        let level = &summary.levels[level];
        assert_eq!(level.seeds, seeds);
        assert_eq!(level.arms[1].grid.len(), points);
        for arm in &level.arms[1..] {
            let curves = &arm.curves["held_out/average"];
            assert_eq!(curves.len(), seeds.len(), "{}", arm.name);
            assert_eq!(curves[0].steps.last(), Some(&f64::from(steps)), "{}", arm.name);
        }
    }
}

/// The targets of links.
fn links(markdown: &str) -> Vec<String> {
    let targets = markdown.split("](").skip(1).map(|rest| rest.split(')').next().unwrap().to_owned());
    targets.collect()
}

#[test]
fn every_run_and_every_level_has_a_page_that_the_results_lead_to() {
    let levels = "[[level]]\nname = \"near\"\n[[level]]\nname = \"far\"\nseeds = [3]\nset = { run.steps = 1 }\n";
    let other = "[[arm]]\nname = \"Dr. GRPO\"\nset = { run.variant = \"grpo\" }\n";
    let text = format!("{SMALL}{ARMS}{other}{levels}").replace("grid =", "#");
    let plan = plan(&text).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let execution = execution(dir.path());
    let choice = execution.run(&plan).unwrap();
    assert!(links(&Summary::new(&plan, &choice, dir.path()).unwrap().markdown()).is_empty());
    execution.pages(&plan, &choice);
    let summary = Summary::new(&plan, &choice, dir.path()).unwrap();
    assert!(links(&summary.text()).is_empty());
    let linked = links(&summary.markdown());
    let of_runs: Vec<&String> = linked.iter().filter(|link| link.starts_with("jobs/reinforce-")).collect();
    assert_eq!((of_runs.len(), linked.len()), (2 * 2 + 2, 2 * 2 + 2 + 2), "{linked:?}");
    for link in &linked {
        assert!(dir.path().join(link).is_file(), "{link} leads nowhere");
    }
    let page = fs::read_to_string(dir.path().join("report-level-1.html")).unwrap();
    for part in ["small, near", "SFT", "EditGRPO", "Dr. GRPO", "in-domain"] {
        assert!(page.contains(part), "{part} is missing");
    }
    // Runs keep theirs, and what is missing is made.
    let (kept, gone) = (dir.path().join(of_runs[0]), dir.path().join(of_runs[1]));
    fs::write(&kept, "mine").unwrap();
    fs::remove_file(&gone).unwrap();
    execution.pages(&plan, &choice);
    assert!(fs::read_to_string(&kept).unwrap() == "mine" && gone.is_file());
}

#[test]
fn what_is_wrong_with_a_study_is_named_with_its_place_and_what_was_expected() {
    let refused = |text: String| plan(&text).map(|_| ()).unwrap_err();
    let with = |from: &str, to: &str| {
        let whole = format!("{SMALL}{ARMS}");
        assert!(whole.contains(from), "{from}");
        refused(whole.replacen(from, to, 1))
    };
    for (from, to, parts) in [
        ("seeds = [1, 2]", "seeds = [1, 1]", &["s.toml:3:1: seeds", "differ"][..]),
        ("seeds = [1, 2]", "seeds = []", &["s.toml:3:1: seeds", "at least one"]),
        ("seeds =", "seed =", &["s.toml:3:1: ", "unknown field `seed`", "`seeds`"]),
        ("[0.0, 1.0]", "[-1.0]", &["s.toml:4:11: tests.temperatures", "from 0 on"]),
        ("baseline = \"SFT\"", "baseline = \"DPO\"", &["s.toml:6:1: baseline", "`DPO`", "SFT, EditGRPO"]),
        ("baseline =", "choose.metric = \"bleu\"\nbaseline =", &["s.toml:6:8: choose.metric", "radgraph_f1"]),
        ("baseline =", "choose.level = \"far\"\nbaseline =", &["s.toml:6:8: choose.level", "`far`"]),
        ("[[arm]]", "[[level]]\nname = \"a\"\nseeds = [2, 2]\n[[arm]]", &["s.toml:17:1: level.0.seeds", "differ"]),
        ("baseline =", "start = \"site\"\nbaseline =", &["s.toml:6:1: start", "[teach.NAME]"]),
        ("baseline =", "budget = {}\nbaseline =", &["s.toml:6:1: budget", "one of steps, rollouts and minutes"]),
        ("group_size = 2", "group_size = 3", &["s.toml:11:", "run.group_size: is 3", "even"]),
        ("group_size", "groupsize", &["s.toml:11:", "run.groupsize: unknown key", "`run.group_size`"]),
        ("method = \"checkpoint\"", "method = \"dpo\"", &["s.toml:17:10: ", "`checkpoint`"]),
        ("[1e-1, 1e-9]", "1e-3", &["s.toml:21:10: arm.1.grid.learner.schedule.learning_rate", "list of values"]),
        ("[1e-1, 1e-9]", "[7.0]", &["s.toml:21:10: learner.schedule.learning_rate: 7", "(arm `EditGRPO`)"]),
        ("grid =", "sft.steps = 3\ngrid =", &["s.toml:21:1: arm.1.sft", "supervised"]),
        ("name = \"EditGRPO\"", "name = \"SFT\"", &["s.toml:20:1: arm.1.name", "of its own"]),
        ("[[arm]]", "[teach.a]\nfrom = \"a\"\n[[arm]]", &["s.toml:16:1: teach.a.from", "leads back to itself"]),
        ("[[arm]]", "[teach.a]\nstep = 1\n[[arm]]", &["s.toml:15:8: teach.a", "unknown field `step`"]),
        ("phantom-tiny", "nothing", &["s.toml:9:8: policy.path", "nothing"]),
    ] {
        let message = with(from, to);
        assert!(parts.iter().all(|part| message.contains(part)), "{to}: {message}");
    }
}

#[test]
fn every_study_that_comes_with_the_program_can_be_planned() {
    let files: Vec<PathBuf> = fs::read_dir("configs/studies").unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() >= 2);
    for file in files {
        let plan = Study::read(&file).and_then(Plan::new).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(Some(plan.study.name.as_str()), file.file_stem().and_then(|stem| stem.to_str()));
        assert!(!plan.runs(&plan.first()).is_empty() && !plan.tests(&plan.first()).is_empty());
    }
}
