//! The rules of the house, each of which can be broken.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use addendum_house::Graph;

/// The crates and the files they begin in. `tests/` and `examples/` are not listed: each file there stands alone.
const ROOTS: [&str; 13] = [
    "src/lib.rs",
    "src/main.rs",
    "actors/src/lib.rs",
    "editor/src/lib.rs",
    "kernels/src/lib.rs",
    "policy/src/lib.rs",
    "replay/src/lib.rs",
    "rewards/src/lib.rs",
    "rewards/neural/src/lib.rs",
    "rewards/remote/src/lib.rs",
    "studies/src/lib.rs",
    "tests/hostile/lib.rs",
    "tests/house/lib.rs",
];

fn house() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The Rust files below a folder, without build outputs.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        let hidden = entry.file_name().to_string_lossy().starts_with('.') || entry.file_name() == "target";
        if path.is_dir() && !hidden {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
    files
}

#[test]
fn no_modules_of_a_crate_use_each_other_in_a_circle() {
    let circles = |root: &&str| {
        let circles = Graph::read(&house().join(root)).circles();
        circles.into_iter().map(|circle| format!("{root}: {circle}")).collect::<Vec<_>>()
    };
    let found: Vec<String> = ROOTS.iter().flat_map(circles).collect();
    assert!(found.is_empty(), "circles of modules that use each other:\n{}", found.join("\n"));
}

#[test]
fn unsafe_code_is_forbidden_outside_the_kernels() {
    for root in ROOTS.iter().filter(|root| !root.starts_with("kernels/")) {
        let text = fs::read_to_string(house().join(root)).unwrap();
        assert!(text.contains("#![forbid(unsafe_code)]"), "{root} does not forbid unsafe code");
    }
}

#[test]
fn there_is_one_style_of_modules() {
    let old: Vec<PathBuf> = sources(&house())
        .into_iter()
        .filter(|file| file.ends_with("mod.rs") && file.components().any(|part| part.as_os_str() == "src"))
        .collect();
    assert!(old.is_empty(), "expected foo.rs beside foo/ in the place of {old:?}");
}

/// They write down when something happened, for people; nothing is decided by it.
const TELL_THE_TIME: [&str; 5] = [
    "actors/src/telling.rs",
    "src/report/events.rs",
    "src/report/tensorboard.rs",
    "src/watch/endpoint.rs",
    "src/watch/folder.rs",
];

#[test]
fn nothing_is_decided_by_the_time_of_day_so_a_clock_that_jumps_changes_nothing() {
    let place = |file: &Path| file.strip_prefix(house()).unwrap().to_owned();
    let asks = |file: &PathBuf| {
        let text = fs::read_to_string(file).unwrap();
        text.contains("SystemTime::now") || text.contains("UNIX_EPOCH")
    };
    let shipped = |file: &PathBuf| place(file).components().any(|part| part.as_os_str() == "src");
    let asking = sources(&house()).into_iter().filter(shipped).filter(asks).map(|file| place(&file));
    let asking: Vec<PathBuf> = asking.filter(|file| TELL_THE_TIME.iter().all(|told| file != Path::new(told))).collect();
    assert!(asking.is_empty(), "expected Instant in the place of SystemTime in {asking:?}");
}

#[test]
fn the_rewards_need_neither_tensors_nor_a_network() {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--package", "addendum-rewards", "--edges", "normal", "--prefix", "none"])
        .current_dir(house())
        .output()
        .unwrap();
    let tree = String::from_utf8(tree.stdout).unwrap();
    assert!(tree.contains("addendum-rewards"), "cargo tree printed: {tree}");
    for heavy in ["candle", "tokenizers", "ureq", "hyper", "rustls", "tokio"] {
        assert!(!tree.lines().any(|line| line.starts_with(heavy)), "addendum-rewards depends on {heavy}");
    }
}

#[test]
fn every_answer_of_where_to_change_something_is_a_folder() {
    let text = fs::read_to_string(house().join("CONTRIBUTING.md")).unwrap();
    let answers: Vec<&str> = text.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0)).collect();
    assert!(answers.len() >= 20, "{} answers", answers.len());
    for answer in answers {
        assert!(house().join(answer).is_dir(), "CONTRIBUTING.md names {answer}, which is no folder");
    }
}

#[test]
fn a_circle_is_found_through_a_re_export_and_a_macro() {
    let circles =
        |name: &str| Graph::read(&house().join("tests/house/tests/houses").join(name).join("lib.rs")).circles();
    assert_eq!(circles("circle"), ["crate::attic, crate::cellar"]);
    assert_eq!(circles("straight"), Vec::<String>::new());
}
