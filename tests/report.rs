//! The run report: a page that is whole, small, the same every time, and safe from what it shows; and what a run keeps for
//! it.

use std::{fs, path::Path, process::Command, sync::Arc};

use addendum::{
    report::{
        page::{MOST_BYTES, Page, Place},
        run::Run,
        tested::{Tested, lines},
    },
    rewards::{Backends, evaluate::judge},
    studies::{ImageSource, Projection, Reference, Study, Timing, View},
};
use image::GrayImage;

const HOSTILE: &str = "\"><script>alert(1)</script><img src=x onerror='alert(2)'>";

/// A run folder of `steps` steps in which every text is `text`.
fn write(folder: &Path, seed: u64, steps: u64, text: &str) {
    let quoted = serde_json::to_string(text).unwrap();
    let config = format!("[run]\nsteps = {steps}\nseed = {seed}\nvariant = {quoted}\n[algorithm]\nname = {quoted}\n");
    fs::write(folder.join("config.toml"), config).unwrap();
    let (mut metrics, mut rollouts) = (String::new(), String::new());
    for step in 0..steps {
        let reward = 1.0 + step as f64 / steps as f64 + 0.1 * seed as f64;
        metrics += &format!(
            "{{\"step\":{step},\"seconds\":0.5,\"reward_sampled\":{reward},\"reward_edited\":{reward},\"kl\":null,\
             \"entropy\":0.2,\"reward_components\":{{{quoted}:0.5}},\"edits\":{{\"none\":3,{quoted}:1}},\
             \"edit_gains\":{{{quoted}:null}},\"tokens_per_second\":900}}\n"
        );
        for (id, source, edits) in [
            (0, "null".to_owned(), "[]".to_owned()),
            (
                1,
                "0".into(),
                format!(
                    "[{{\"operation\":{quoted},\"rule\":{quoted},\"position\":0,\"source\":null,\"target\":null,\"triggers\":[]}}]"
                ),
            ),
        ] {
            rollouts += &format!(
                "{{\"step\":{step},\"ticket\":{step},\"study\":{quoted},\"rollout\":{id},\"origin\":\"sampled\",\
                 \"source\":{source},\"versions\":[[0,5]],\"edits\":{edits},\"reward\":{id},\"components\":{{{quoted}:0.5}},\
                 \"text\":{quoted}}}\n"
            );
        }
    }
    fs::write(folder.join("metrics.jsonl"), metrics).unwrap();
    fs::write(folder.join("rollouts.jsonl"), rollouts).unwrap();
    let scores = format!("{{\"version\":0,\"scores\":{{{quoted}:0.5,\"val/average\":0.25}}}}\n");
    fs::write(folder.join("evaluations.jsonl"), scores).unwrap();
    let event = format!("{{\"kind\":{quoted},\"step\":1,\"seconds\":2,\"actor\":{quoted},\"text\":{quoted}}}\n");
    fs::write(folder.join("events.jsonl"), event.repeat(3)).unwrap();
    let judged =
        judge(&Backends::lexicon(), &["Clear.", "Cardiomegaly."], &["Cardiomegaly.", "Cardiomegaly."]).unwrap();
    let tests = (0..6).map(|study| {
        let mut tested = Tested::new(text, text, &judged[0]);
        tested.add("SFT", false, &judged[0]);
        tested.add(text, true, &judged[usize::from(study > 1)]);
        tested.reports.iter_mut().for_each(|report| report.report = text.into());
        Tested { reference: text.into(), ..tested }
    });
    fs::write(folder.join("tests.jsonl"), lines(&tests.collect::<Vec<_>>()).unwrap()).unwrap();
    let track = format!(
        "{{\"name\":\"thread_name\",\"ph\":\"M\",\"ts\":0,\"pid\":1,\"tid\":1,\"args\":{{\"name\":{quoted}}}}},\n"
    );
    let span = format!("{{\"name\":{quoted},\"ph\":\"X\",\"ts\":5,\"dur\":100000,\"pid\":1,\"tid\":1}},\n");
    fs::write(folder.join("timeline.json"), format!("[\n{track}{span}")).unwrap();
}

fn runs(texts: &[(u64, u64, &str)]) -> (Vec<Run>, tempfile::TempDir) {
    let parent = tempfile::tempdir().unwrap();
    let read = |(place, (seed, steps, text)): (usize, &(u64, u64, &str))| {
        let folder = parent.path().join(format!("run-{place}"));
        fs::create_dir(&folder).unwrap();
        write(&folder, *seed, *steps, text);
        Run::read(&folder).unwrap()
    };
    (texts.iter().enumerate().map(read).collect(), parent)
}

fn gone(_: &Run, _: &Place) -> Result<Study, String> {
    Err("the dataset is <gone>".into())
}

fn html(runs: &[Run]) -> String {
    Page { title: None, runs, find: &gone }.html().unwrap()
}

#[test]
fn texts_of_others_are_text_wherever_they_stand() {
    let (runs, _parent) = runs(&[(1, 5, HOSTILE), (2, 5, "plain")]);
    let page = Page { title: Some(HOSTILE), runs: &runs, find: &gone }.html().unwrap();
    assert!(page.contains("&lt;script&gt;alert(1)") && page.contains("the dataset is &lt;gone&gt;"));
    for markup in ["<script", "<img", "onerror='", "javascript:"] {
        assert!(!page.contains(markup), "{markup} is markup");
    }
}

#[test]
fn a_page_asks_for_nothing_and_runs_nothing() {
    let (runs, _parent) = runs(&[(1, 5, "Clear.")]);
    let page = html(&runs);
    assert!(page.contains("default-src 'none'"));
    for foreign in ["http:", "https:", "<script", "<link", "@import", "url("] {
        assert!(!page.contains(foreign), "{foreign}");
    }
}

#[test]
fn the_same_folders_give_the_same_bytes() {
    let (first, parent) = runs(&[(1, 30, "Cardiomegaly."), (2, 30, "Cardiomegaly."), (1, 30, "Clear.")]);
    let again: Vec<Run> = first.iter().map(|run| Run::read(&run.path).unwrap()).collect();
    assert_eq!(html(&first), html(&again));
    drop(parent);
}

#[test]
fn seeds_are_one_arm_with_a_band_and_other_settings_are_another() {
    let (seeds, _parent) = runs(&[(1, 30, "x"), (2, 30, "x"), (3, 30, "x")]);
    let page = html(&seeds);
    assert!(page.contains("3 seeds") && page.contains("class=\"band"));
    let (two, _other) = runs(&[(1, 30, "x"), (1, 30, "y")]);
    let page = html(&two);
    assert!(
        page.contains("2 arms in 2 runs") && page.contains("What the arms differ by") && !page.contains("class=\"band")
    );
}

#[test]
fn no_run_makes_a_page_that_is_too_large() {
    let long = "Small left pleural effusion is seen. ".repeat(3000);
    let texts: Vec<String> = (0..7).map(|arm| format!("{arm} {long}")).collect();
    let list: Vec<(u64, u64, &str)> = texts.iter().map(|text| (1, 12, text.as_str())).collect();
    let (mut runs, _parent) = runs(&list);
    let (many, _other) = self::runs(&[(1, 3000, "x"), (2, 3000, "x")]);
    runs.extend(many);
    let noise = |run: &Run, _: &Place| {
        let pixels = GrayImage::from_fn(700, 700, |x, y| image::Luma([(x * x * 31 + y * 17 + x * y * y) as u8]));
        let view = |projection| View {
            projection,
            timing: Timing::Current,
            image: ImageSource::Pixels(Arc::new(pixels.clone())),
        };
        let id = run.tests[0].study.clone();
        let views = vec![view(Projection::Frontal), view(Projection::Lateral)];
        Ok(Study {
            id,
            views,
            indication: None,
            technique: None,
            comparison: None,
            reference: Reference::new(long.as_str()),
        })
    };
    let page = Page { title: None, runs: &runs, find: &noise }.html().unwrap();
    assert!(page.len() <= MOST_BYTES, "{} bytes", page.len());
    assert!(page.contains("data:image/jpeg;base64,"), "the pictures fit");
    let message = Page { title: None, runs: &vec![Run::default(); 25], find: &gone }.html().unwrap_err().to_string();
    assert!(message.contains("25 runs, expected 1 to 24"), "{message}");
}

#[test]
fn runs_of_older_versions_unfinished_and_empty_ones_have_a_page() {
    let (_, parent) = runs(&[(1, 9, "Clear.")]);
    let folder = parent.path().join("run-0");
    for file in ["tests.jsonl", "events.jsonl", "timeline.json"] {
        fs::remove_file(folder.join(file)).unwrap();
    }
    let scores = |average: f64| serde_json::json!([{"average": average, "rate": 0.5}]);
    let summary = serde_json::json!([["SFT", scores(0.25)], ["EditGRPO", scores(0.375)]]);
    fs::write(folder.join("summary.json"), summary.to_string()).unwrap();
    let page = html(&[Run::read(&folder).unwrap()]);
    assert!(page.contains("+12.5") && page.contains("no results by study") && page.contains("recorded no timeline"));

    let metrics = fs::read_to_string(folder.join("metrics.jsonl")).unwrap();
    fs::write(folder.join("metrics.jsonl"), &metrics[..metrics.len() - 40]).unwrap();
    fs::remove_file(folder.join("summary.json")).unwrap();
    let page = html(&[Run::read(&folder).unwrap()]);
    assert!(page.contains("has made 8 of 9 steps"));

    for file in ["metrics.jsonl", "rollouts.jsonl", "evaluations.jsonl"] {
        fs::write(folder.join(file), "").unwrap();
    }
    let page = html(&[Run::read(&folder).unwrap()]);
    assert!(page.contains("has made no step yet") && !page.contains("NaN"));
    fs::remove_file(folder.join("config.toml")).unwrap();
    html(&[Run::read(&folder).unwrap()]);
}

#[test]
fn values_that_are_no_numbers_are_gaps() {
    let (_, parent) = runs(&[(1, 4, "Clear.")]);
    let folder = parent.path().join("run-0");
    let metrics = fs::read_to_string(folder.join("metrics.jsonl")).unwrap();
    fs::write(folder.join("metrics.jsonl"), metrics.replace("0.5", "null").replace("0.2", "null")).unwrap();
    let page = html(&[Run::read(&folder).unwrap()]);
    for text in ["NaN", "inf", "null"] {
        assert!(!page.contains(&format!(">{text}")) && !page.contains(&format!("{text}\"")), "{text}");
    }
}

fn addendum() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_addendum"));
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}

#[test]
fn a_run_keeps_what_its_report_needs_and_the_report_can_be_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let mut train = addendum();
    train.args(["train", "--config", "configs/phantoms.toml", "--out"]).arg(&run);
    for set in [
        "run.steps=4",
        "learner.schedule.warmup_steps=2",
        "run.batch_groups=2",
        "run.checkpoint_every=2",
        "data.phantoms.held_out=8",
    ] {
        train.args(["--set", set]);
    }
    let output = train.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains(&format!("The report of this run is {}", run.join("report.html").display())), "{said}");

    let read = Run::read(&run).unwrap();
    assert_eq!((read.steps.len(), read.tests.len()), (4, 16));
    let policies: Vec<&str> = read.tests[0].reports.iter().map(|report| report.policy.as_str()).collect();
    assert_eq!(policies, ["SFT", "EditGRPO"]);
    let kinds: Vec<&str> = read.events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!((kinds[0], kinds[kinds.len() - 1]), ("started", "ended"));
    assert!(kinds.contains(&"checkpoint"), "{kinds:?}");
    assert!(read.timeline.unwrap().tracks.iter().any(|track| track == "learner"));

    let first = fs::read_to_string(run.join("report.html")).unwrap();
    assert!(first.contains("data:image/jpeg") && first.contains("paired resamples"));
    let again = addendum().arg("report").arg(&run).output().unwrap();
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
    assert_eq!(fs::read_to_string(run.join("report.html")).unwrap(), first);

    // What was resumed goes on where the events end, and keeps the timeline that it began with.
    let timeline = fs::read(run.join("timeline.json")).unwrap();
    let resumed = addendum().args(["train", "--resume"]).arg(&run).output().unwrap();
    assert!(resumed.status.success(), "{}", String::from_utf8_lossy(&resumed.stderr));
    let read = Run::read(&run).unwrap();
    let resumed = read.events.iter().find(|event| event.kind == "resumed").unwrap();
    assert_eq!((resumed.step, resumed.version), (4, Some(4)));
    assert_eq!(fs::read(run.join("timeline.json")).unwrap(), timeline);
    assert_ne!(fs::read_to_string(run.join("report.html")).unwrap(), first);
}

#[test]
fn what_is_no_run_is_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("page.html");
    for (arguments, expected) in [
        (vec![dir.path().to_str().unwrap(), "--out", out.to_str().unwrap()], "holds no run"),
        (vec!["/nowhere", "--out", out.to_str().unwrap()], "/nowhere"),
        (vec!["a", "b"], "--out is not given"),
    ] {
        let output = addendum().arg("report").args(arguments).output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert!(message.contains(expected), "{message}");
    }
    assert!(!out.exists());
}
