//! Lists of studies.

use addendum::studies::{Dataset, Folder, Prompt, Split};
use serde_json::json;

use crate::files::{self, Files};

/// The names of the images; nothing is decoded.
const IMAGES: [&str; 3] = ["a.png", "b.png", "c.png"];

pub fn seeds() -> Vec<Vec<u8>> {
    let turns =
        |human: &str, report: &str| json!([{"from": "human", "value": human}, {"from": "gpt", "value": report}]);
    let plain = json!([
        {"id": "a", "image": "a.png", "conversations": turns("<image>\nIndication: Cough.", "The lungs are clear.")},
        {"id": "b", "images": ["b.png", "c.png"], "views": [{"projection": "frontal", "timing": "current"}, {"projection": "frontal", "timing": "prior"}],
            "conversations": turns("<image> prior <image> Comparison: ___.", "FINDINGS: No effusion.\nIMPRESSION: Normal.")},
    ]);
    let python = r#"[{"id": 7, "image": NaN, "images": "a.png", "indication": NaN, "score": [Infinity],
        "conversations": [{"from": "human", "value": "<image>"}, {"from": "gpt", "value": "Edema \ud83d."}]}]"#;
    vec![plain.to_string().into(), serde_json::to_vec_pretty(&plain).unwrap_or_default(), python.into()]
}

pub fn read(input: &[u8]) -> bool {
    let files: Files = IMAGES.map(|name| (name.to_owned(), Vec::new())).into();
    files::with_content(&files, "train.json", input, |folder| {
        let Ok(folder) = Folder::load(folder, Split::Train) else { return false };
        for i in 0..folder.len() {
            if let Ok(study) = folder.study(i) {
                let _ = Prompt::new(&study);
            }
        }
        true
    })
}
