//! Lists of studies in every form: a byte that tells the name of the file, then its content.

use addendum::studies::{Dataset, Folder, Prompt, Split};
use serde_json::json;

use crate::files::{self, Files};

/// Names that tell a form; its content may tell another one.
const NAMES: [&str; 5] = ["train.json", "train.jsonl", "train.csv", "train.tsv", "studies.csv"];

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
    let chat = r#"{"id": "x", "images": ["a.png"], "messages": [{"role": "user", "content": "PA: <image> History: Cough."}, {"role": "assistant", "content": "Clear."}]}
{"messages": [{"role": "user", "content": [{"type": "text", "text": "Frontal:"}, {"type": "image_url", "image_url": {"url": "b.png"}}]},
    {"role": "assistant", "content": [{"type": "text", "text": "Edema."}]}]}
"#;
    let chat = chat.replace(",\n   ", ",");
    let table = "Study ID,Image Paths,ViewPosition,prior_images,Indication,report,subject_id\r\n1,a.png;b.png,PA|LL,c.png,nan,\"FINDINGS: A \"\"small\"\"\n                 effusion.\n\nIMPRESSION: Effusion.\",p1\r\n2,\"['a.png', 'c.png']\",,,Cough; fever.,Clear.,p2\r\n";
    let all = "\u{feff}id;image;split;findings\n1;a.png;Training;\"Clear; no edema.\"\n2;b.png;val;Edema.\n";
    let pretty = serde_json::to_vec_pretty(&plain).unwrap_or_default();
    let tabs = "id\timage\tfindings\n1\ta.png\tClear.\n";
    let seeds: [(u8, Vec<u8>); 7] = [
        (0, plain.to_string().into()),
        (0, pretty),
        (0, python.into()),
        (1, chat.into()),
        (2, table.into()),
        (3, tabs.into()),
        (4, all.into()),
    ];
    seeds.map(|(name, content)| [&[name], content.as_slice()].concat()).into()
}

pub fn read(input: &[u8]) -> bool {
    let files: Files = IMAGES.map(|name| (name.to_owned(), Vec::new())).into();
    let Some((name, content)) = input.split_first() else { return false };
    let name = NAMES[usize::from(*name) % NAMES.len()];
    files::with_content(&files, name, content, |folder| {
        let Ok(folder) = Folder::load(folder, Split::Train) else { return false };
        for i in 0..folder.len() {
            if let Ok(study) = folder.study(i) {
                let _ = Prompt::new(&study);
            }
        }
        true
    })
}
