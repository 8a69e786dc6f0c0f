//! A dataset of the size of MIMIC-CXR: what listing it takes.

use std::{
    fs,
    io::{BufWriter, Write},
    path::Path,
    time::Instant,
};

use addendum_studies::{Dataset, Folder, Split};

const STUDIES: usize = 250_000;
const IMAGES: usize = 20_000;

/// The most memory that this process has had so far, in bytes.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

/// Listed in order; random access afterwards.
fn measured(dir: &Path) {
    let started = Instant::now();
    let folder = Folder::load(dir, Split::Train).unwrap();
    let listed = started.elapsed().as_secs_f64();
    assert_eq!(folder.len(), STUDIES);
    let started = Instant::now();
    for i in 0..1000 {
        let index = i * 7919 % STUDIES;
        assert_eq!(folder.study(index).unwrap().id, format!("s{index}"));
    }
    let each = started.elapsed().as_secs_f64() / 1000.;
    println!("{}: listed in {listed:.1} s; {:.0} µs a study; peak {} MB", dir.display(), each * 1e6, peak() >> 20);
    assert!(peak() < 1 << 30, "{} bytes", peak());
}

#[test]
#[ignore = "writes about 1 GB"]
fn a_quarter_of_a_million_studies_is_listed_within_a_gigabyte() {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("large");
    let _ = fs::remove_dir_all(&home);
    let images = home.join("images");
    for i in 0..IMAGES {
        let dir = images.join(format!("p{}", i / 100));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join(format!("view_{i}.png")), "").unwrap();
    }
    let image = |i: usize| format!("images/p{}/view_{}.png", i % IMAGES / 100, i % IMAGES);
    let report =
        "FINDINGS: The cardiomediastinal silhouette is within normal limits. No focal consolidation. ".repeat(7);
    for (name, file) in [("array", "train.json"), ("lines", "train.jsonl"), ("table", "train.csv")] {
        let dir = home.join(name);
        fs::create_dir_all(&dir).unwrap();
        std::os::unix::fs::symlink(&images, dir.join("images")).unwrap();
        let mut out = BufWriter::new(fs::File::create(dir.join(file)).unwrap());
        let head = match name {
            "array" => "[",
            "table" => "id,patient,image,view,indication,report\n",
            _ => "",
        };
        out.write_all(head.as_bytes()).unwrap();
        for i in 0..STUDIES {
            let (a, b) = (image(2 * i), image(2 * i + 1));
            if name == "table" {
                writeln!(out, "s{i},p{},{a};{b},PA;LL,Cough and fever.,\"{report}\"", i / 3).unwrap();
                continue;
            }
            let human = "Frontal: <image> Lateral: <image> Indication: Cough and fever. Write the findings.";
            let entry = serde_json::json!({"id": format!("s{i}"), "patient": i / 3, "image": [a, b], "conversations": [
                {"from": "human", "value": human}, {"from": "gpt", "value": report}]});
            let (before, after) = match name {
                "array" if i > 0 => (", ", ""),
                "array" => ("", ""),
                _ => ("", "\n"),
            };
            write!(out, "{before}{entry}{after}").unwrap();
        }
        out.write_all(if name == "array" { b"]" } else { b"" }).unwrap();
        out.flush().unwrap();
        measured(&dir);
        fs::remove_file(dir.join(file)).unwrap();
    }
    let _ = fs::remove_dir_all(&home);
}
