//! A public dataset as its owners lay it out, through the documented commands to a trained and scored adapter.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

use addendum::studies::{Phantom, PhantomConfig, Split, folder};

const POLICY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/checkpoints/phantom-tiny");

fn addendum(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_addendum"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null()).args(arguments).output().unwrap()
}

fn printed(arguments: &[&str]) -> String {
    let output = addendum(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Six studies in Kaggle's form of IU X-ray, with the phantoms' pictures and invented words.
fn iu_xray(source: &Path) {
    let phantoms = Phantom::new(PhantomConfig { count: 6, ..PhantomConfig::default() }).unwrap();
    let pictures = source.join("pictures");
    folder::write(&pictures, Split::Train, &phantoms).unwrap();
    fs::create_dir_all(source.join("images/images_normalized")).unwrap();
    let mut reports = "uid,MeSH,Problems,image,indication,comparison,findings,impression\n".to_owned();
    let mut projections = "uid,filename,projection\n".to_owned();
    for uid in 1..=6 {
        let name = format!("{uid}_IM-000{uid}-1001.dcm.png");
        let picture = pictures.join(format!("images/train/{:06}_0.png", uid - 1));
        fs::copy(picture, source.join("images/images_normalized").join(&name)).unwrap();
        projections += &format!("{uid},{name},Frontal\n");
        reports += &format!("{uid},,,Xray Chest PA,XXXX with cough,None.,\"The lungs, XXXX, are clear.\",Normal.\n");
    }
    fs::remove_dir_all(pictures).unwrap();
    fs::write(source.join("indiana_reports.csv"), reports).unwrap();
    fs::write(source.join("indiana_projections.csv"), projections).unwrap();
}

#[test]
fn a_public_layout_becomes_a_dataset_a_run_and_an_evaluation() {
    let dir = tempfile::tempdir().unwrap();
    let [source, data, run] = ["source", "data", "run"].map(|name| dir.path().join(name));
    fs::create_dir(&source).unwrap();
    iu_xray(&source);
    let [source, data, run] = [&source, &data, &run].map(|path| path.to_str().unwrap());
    let summary = printed(&["data", "from-iu-xray", source, "--out", data, "--placeholders", "remove"]);
    assert!(
        summary.contains("iu-xray, splits by seed") && summary.contains("train 4 studies of 4 patients"),
        "{summary}"
    );

    let (folder, policy) = (format!("data.folder={data}"), format!("policy.path={POLICY}"));
    let mut train = vec!["train", "--config", "configs/iu-xray.toml", "--out", run];
    let short = [
        "policy.dtype=f32",
        "policy.device=cpu",
        "policy.pixels={min=12544,max=12544}",
        "run.steps=1",
        "run.batch_groups=1",
        "run.group_size=4",
        "lora.rank=4",
        "sampling.max_new_tokens=12",
        "learner.schedule.warmup_steps=0",
    ];
    for set in [&folder, &policy].map(String::as_str).into_iter().chain(short) {
        train.extend(["--set", set]);
    }
    printed(&train);
    let adapter = format!("{run}/adapter");
    let table = printed(&["eval", "--policy", POLICY, "--adapter", &adapter, "--data", data, "--max-new-tokens", "12"]);
    assert!(table.contains("test, 1 studies") || table.contains("test, 1 study"), "{table}");
}

#[test]
fn a_folder_that_is_no_such_dataset_is_refused_with_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let (source, out) = (dir.path().to_str().unwrap(), dir.path().join("out"));
    for (command, missing) in [
        ("from-mimic-cxr", "mimic-cxr-2.0.0-metadata.csv.gz"),
        ("from-iu-xray", "ecgen-radiology"),
        ("from-chexpert-plus", "df_chexpert_plus_240401.csv"),
        ("from-rexgradient", "train_metadata_view_position.json"),
        ("from-padchest-gr", "grounded_reports_20240819.json"),
    ] {
        let output = addendum(&["data", command, source, "--out", out.to_str().unwrap()]);
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && message.contains(missing), "{command}: {message}");
    }
    let output = addendum(&["data", "from-iu-xray", source, "--out", source, "--views", "oblique"]);
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("`oblique`: expected one of frontal, both, all"), "{message}");
}
