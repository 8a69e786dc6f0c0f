//! `addendum watch` as its users meet it: in a pipe, in a terminal, over runs that are over, under way, and none.

#[path = "../train/common.rs"]
#[allow(dead_code)]
mod common;
#[cfg(target_os = "linux")]
mod terminal;

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    path::Path,
    process::{Child, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use common::{addendum, bare, finished, train, wait_for_checkpoints};

/// So slow that it is not over while it is watched.
const SLOW: [&str; 4] = ["--fault", "learner=slow@1", "--set", "run.steps=400"];

/// A run under way, which is ended with the test.
struct Running(Child);

impl Running {
    fn start(run: &Path, more: &[&str]) -> Self {
        let mut child = bare(run, &SLOW).args(more).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait_for_checkpoints(2, run, &mut child);
        Self(child)
    }

    fn goes_on(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn watch(target: impl AsRef<std::ffi::OsStr>) -> Output {
    addendum().arg("watch").arg(target).output().unwrap()
}

/// What is printed of it in a pipe.
fn told(target: impl AsRef<std::ffi::OsStr>) -> String {
    let output = watch(target);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What is said of what cannot be watched.
fn refused(target: impl AsRef<std::ffi::OsStr>) -> String {
    let output = watch(target);
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).unwrap()
}

fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    let mut files: Vec<_> = entries
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn a_finished_run_is_told_in_lines_and_its_folder_stays_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    finished(&mut train(&run, &["--set", "run.evaluate_every=3"]));
    let before = files(&run);
    let text = told(&run);
    for line in [
        &format!("run        {}\n", run.display()),
        "state      finished\n",
        "method     EditGRPO\n",
        "step       6 of 6",
        "sampled    ",
        "rate       ",
        "held out   in-domain ",
        "rollout    step ",
        "event      ended at step 6",
    ] {
        assert!(text.contains(line), "{line} is missing from\n{text}");
    }
    assert!(!text.contains('\x1b'), "{text:?}");
    let once = finished(addendum().args(["watch", "--once"]).arg(&run));
    assert!(String::from_utf8(once.stdout).unwrap().contains("state      finished\n"));
    assert!(files(&run) == before, "watching changed the folder");
}

#[test]
fn a_run_under_way_is_told_from_its_folder_and_from_its_metrics_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut running = Running::start(&run, &["--set", &format!("telemetry.metrics_address=127.0.0.1:{port}")]);
    let folder = told(&run);
    let endpoint = told(format!("http://127.0.0.1:{port}"));
    for text in [&folder, &endpoint] {
        for line in ["state      running\n", " of 400", "actor      sampler-0 ", "tickets    "] {
            assert!(text.contains(line), "{line} is missing from\n{text}");
        }
    }
    // Texts are in files only.
    assert!(folder.contains("rollout    step ") && !endpoint.contains("rollout    step "), "{endpoint}");
    assert!(running.goes_on());
    drop(running);
    let begun = Instant::now();
    let silent = loop {
        let text = told(&run);
        if !text.contains("state      running") {
            break text;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{text}");
        thread::sleep(Duration::from_millis(200));
    };
    assert!(silent.contains("state      silent for ") && silent.contains("`addendum train --resume`"), "{silent}");
}

#[test]
fn a_run_that_has_only_begun_is_one_and_a_damaged_one_is_told_as_far_as_it_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/phantoms.toml"), dir.path().join("config.toml"))
        .unwrap();
    let text = told(dir.path());
    assert!(text.contains("state      running\n") && text.contains("step       0 of "), "{text}");
    fs::write(dir.path().join("metrics.jsonl"), "nonsense\n").unwrap();
    let text = told(dir.path());
    assert!(text.contains("alarm      ") && text.contains("metrics.jsonl"), "{text}");
}

#[test]
fn what_is_no_run_is_refused_with_what_was_expected() {
    let dir = tempfile::tempdir().unwrap();
    let missing = refused(dir.path().join("nowhere"));
    assert!(missing.contains("nowhere: No such file or directory"), "{missing}");
    let empty = refused(dir.path());
    assert!(empty.contains("holds no run: it has neither config.toml nor metrics.jsonl"), "{empty}");
    let run = dir.path().join("train-1");
    fs::create_dir(&run).unwrap();
    fs::write(run.join("config.toml"), "").unwrap();
    let parent = refused(dir.path());
    assert!(parent.contains(&format!("the newest run in it is {}", run.display())), "{parent}");

    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let unreachable = refused(format!("http://{nobody}"));
    assert!(unreachable.contains(&format!("http://{nobody}/metrics: ")), "{unreachable}");
    let stranger = answered("200 OK\r\n");
    assert!(stranger.contains("shows no metrics of a run"), "{stranger}");
    let other = answered("404 Not Found\r\n");
    assert!(other.contains("status 404"), "{other}");
    // Whoever is asked answers, or nobody.
    let elsewhere = answered(&format!("302 Found\r\nlocation: http://{nobody}/metrics\r\n"));
    assert!(elsewhere.contains("status 302"), "{elsewhere}");
}

/// What is said of an endpoint that answers so.
fn answered(head: &str) -> String {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap();
    let answer = format!("HTTP/1.1 {head}content-length: 5\r\nconnection: close\r\n\r\nhello");
    let answering = thread::spawn(move || {
        let (mut stream, _) = other.accept().unwrap();
        assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
        stream.write_all(answer.as_bytes()).unwrap();
    });
    let said = refused(format!("http://{address}"));
    answering.join().unwrap();
    said
}

#[test]
#[cfg(target_os = "linux")]
fn in_a_terminal_it_follows_a_run_answers_keys_and_leaves_everything_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let mut running = Running::start(&run, &[]);
    let mut terminal = terminal::Terminal::run(addendum().arg("watch").arg(&run).env("NO_COLOR", "1"), 30, 100);

    let first = terminal.wait_for(|screen| screen.contains("running") && screen.contains("sampler-0"));
    let step = |screen: &str| -> Option<u64> { screen.split(" step ").nth(1)?.split('/').next()?.parse().ok() };
    let begun = step(&first);
    assert!(begun >= Some(1) && first.contains("/400 "), "{first}");
    terminal.wait_for(|screen| step(screen) > begun);

    terminal.press("2");
    terminal.wait_for(|screen| !screen.contains("sampler-0"));
    terminal.press("3");
    terminal.wait_for(|screen| screen.contains("sampler-0"));
    terminal.press("?");
    terminal.wait_for(|screen| screen.contains("the run goes on"));
    // Escape first closes what it stands in.
    terminal.press("\x1b");
    terminal.wait_for(|screen| !screen.contains("the run goes on"));
    terminal.resize(12, 60);
    terminal.wait_for(|screen| screen.contains(" step ") && screen.lines().all(|line| line.chars().count() <= 60));
    terminal.press("p");
    terminal.wait_for(|screen| screen.contains("paused"));
    terminal.press("q");

    let status = terminal.ended();
    assert!(status.success(), "{status}");
    terminal.is_as_it_was();
    assert!(running.goes_on());
}
