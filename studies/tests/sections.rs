//! Reports as the field has them: of the whole report only findings and impression speak.

use std::{fs, path::Path};

use addendum_studies::sections::spoken;

#[test]
fn the_spoken_part_of_each_report_is_its_findings() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/sections");
    let mut seen = 0;
    for file in fs::read_dir(dir).unwrap() {
        let path = file.unwrap().path();
        let cases: Vec<serde_json::Value> = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        for case in cases {
            let [report, answer] = ["response", "answer"].map(|field| case[field].as_str().unwrap());
            assert_eq!(spoken(report), answer, "{}", path.display());
            seen += 1;
        }
    }
    assert_eq!(seen, 9);
}
