//! `addendum data check`, as a user calls it.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use addendum::studies::{Phantom, PhantomConfig, Split, folder};
use serde_json::Value;

fn check(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_addendum")).args(["data", "check"]).args(arguments).output().unwrap()
}

/// Two phantoms in every split.
fn phantoms(dir: &Path) {
    for split in Split::ALL {
        let phantoms = Phantom::new(PhantomConfig { split, count: 2, ..PhantomConfig::default() }).unwrap();
        folder::write(dir, split, &phantoms).unwrap();
    }
}

fn gray(path: &Path, level: u8) {
    image::GrayImage::from_pixel(80, 80, image::Luma([level])).save(path).unwrap();
}

fn all(found: &Value) -> Vec<String> {
    let told = |one: &Value| format!("{} {}:{} {}", one["kind"], one["split"], one["line"], one["reason"]);
    found.as_array().unwrap().iter().map(told).collect()
}

#[test]
fn a_sound_folder_is_described_and_accepted() {
    let dir = tempfile::tempdir().unwrap();
    phantoms(dir.path());
    let policy = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/checkpoints/phantom-tiny");
    let json = dir.path().join("check.json");
    let output = check(&[
        dir.path().to_str().unwrap(),
        "--json",
        json.to_str().unwrap(),
        "--policy",
        policy,
        "--max-new-tokens",
        "999",
    ]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("nothing is wrong with"), "{text}");
    let found: Value = serde_json::from_slice(&fs::read(json).unwrap()).unwrap();
    let train = &found["sets"][0];
    assert_eq!((&train["split"], &train["studies"], &train["bad_entries"]), (&"train".into(), &2.into(), &0.into()));
    let bars = train["report_words"]["histogram"].as_array().unwrap();
    assert_eq!(bars.iter().map(|bar| bar["count"].as_u64().unwrap()).sum::<u64>(), 2);
    assert_eq!(train["labels"].as_object().unwrap().len(), 14);
    assert!(train["prompt_tokens"]["least"].as_u64().unwrap() > 10 && train["report_tokens"].is_object(), "{train}");

    let output = check(&[dir.path().to_str().unwrap(), "--policy", policy, "--max-prompt-tokens", "9"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text.contains("train.json:2: entry 0: study `") && text.contains("tokens, expected at most 9"), "{text}");
}

#[test]
fn numbers_that_stand_in_for_ids_are_not_the_same_study_in_two_splits() {
    let dir = tempfile::tempdir().unwrap();
    phantoms(dir.path());
    for split in Split::ALL {
        let path = dir.path().join(format!("{}.json", split.name()));
        let mut entries: Vec<Value> = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        entries.iter_mut().for_each(|entry| drop(entry.as_object_mut().unwrap().remove("id")));
        fs::write(&path, serde_json::to_vec(&entries).unwrap()).unwrap();
    }
    let output = check(&[dir.path().to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn all_that_is_wrong_and_odd_is_told_with_its_line_and_ends_in_status_2() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    gray(&path("black.png"), 0);
    gray(&path("gray.png"), 90);
    image::GrayImage::from_fn(80, 80, |x, y| image::Luma([(x + y) as u8])).save(path("good.png")).unwrap();
    image::GrayImage::new(10, 10).save(path("small.png")).unwrap();
    fs::write(path("torn.png"), &fs::read(path("good.png")).unwrap()[..60]).unwrap();
    let train = "id,patient,image,findings\n1,p1,good.png,Small left effusion.\n2,p2,black.png,The lungs are clear.\n\
                 3,p3,none.png,\n4,p4,torn.png,Cardiomegaly is mild.\n1,p5,good.png,No pneumothorax seen.\n";
    fs::write(path("train.csv"), train).unwrap();
    let val = "{\"id\": \"5\", \"subject_id\": \"p1\", \"image\": \"gray.png\", \"report\": \"The lungs are clear.\"}\n\
               {\"id\": \"2\", \"image\": \"small.png\", \"report\": \"Clear.\"}\n";
    fs::write(path("val.jsonl"), val).unwrap();
    let json = path("check.json");
    let output = check(&[dir.path().to_str().unwrap(), "--json", json.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stdout).unwrap();
    let found: Value = serde_json::from_slice(&fs::read(json).unwrap()).unwrap();
    let expected = [
        ("\"entry\" \"train\":4", "field `report`: missing or empty"),
        ("\"entry\" \"train\":6", "already the id"),
        ("\"image\" \"train\":5", "torn.png"),
        ("\"split\" \"val\":2", "its id `2` is also in the train split"),
        ("\"split\" \"val\":1", "its patient `p1` is also in the train split"),
        ("\"file\" \"test\":null", "no test file"),
    ];
    let problems = all(&found["problems"]);
    for (start, part) in expected {
        assert!(
            problems.iter().any(|one| one.starts_with(start) && one.contains(part)),
            "{start} {part}: {problems:#?}"
        );
    }
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
    let warnings = all(&found["warnings"]);
    let expected = [
        ("\"blank\" \"train\":3", "is black"),
        ("\"blank\" \"val\":1", "gray of level 90"),
        ("\"small\" \"val\":2", "10 × 10"),
        ("\"short\" \"val\":2", "hardly a report"),
    ];
    for (start, part) in expected {
        assert!(
            warnings.iter().any(|one| one.starts_with(start) && one.contains(part)),
            "{start} {part}: {warnings:#?}"
        );
    }
    assert_eq!(warnings.len(), expected.len(), "{warnings:#?}");
    assert!(text.contains("6 problems") && text.contains("train.csv:6: entry 4: "), "{text}");
    let effusion = &found["sets"][0]["labels"]["Pleural Effusion"];
    assert_eq!((&effusion["positive"], &found["sets"][0]["patients"]), (&1.into(), &3.into()));
}
