//! The fixture folders are complete: every file, and every tensor, that their READMEs name is there and can be read.

use std::collections::BTreeMap;

use crate::common::{bytes, json};

const FOLDERS: [&str; 7] = ["image_processor", "losses", "lora", "optim", "qwen2_5_vl_tiny", "sampling", "sft"];

/// A row of a README's table, ``| file : `tensor` | … | shape |``.
struct Row {
    file: String,
    tensor: Option<String>,
    shape: String,
}

fn rows(folder: &str) -> Vec<Row> {
    let text = String::from_utf8(bytes(&format!("{folder}/README.md"))).unwrap();
    let table = text.lines().filter(|line| line.starts_with("| ")).skip(2);
    let rows: Vec<Row> = table
        .map(|line| {
            let cells: Vec<&str> = line.split(" | ").map(|cell| cell.trim_matches(['|', ' '])).collect();
            let (file, tensor) = match cells[0].split_once(" : ") {
                Some((file, tensor)) => (file, tensor.split('`').nth(1).map(str::to_string)),
                None => (cells[0], None),
            };
            Row { file: format!("{folder}/{file}"), tensor, shape: cells[2].to_string() }
        })
        .collect();
    assert!(!rows.is_empty(), "{folder}/README.md has no table");
    rows
}

/// Names and shapes of a safetensors file.
fn shapes(file: &str) -> BTreeMap<String, Vec<usize>> {
    let bytes = bytes(file);
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap_or_else(|error| panic!("{file}: {error}"));
    file.iter().map(|(name, tensor)| (name.to_string(), tensor.shape().to_vec())).collect()
}

#[test]
fn parity_every_file_and_tensor_that_a_readme_names_is_there() {
    for folder in FOLDERS {
        for row in rows(folder) {
            if row.file.ends_with(".json") {
                json::<serde_json::Value>(&row.file);
                continue;
            }
            if !row.file.ends_with(".safetensors") {
                assert!(!bytes(&row.file).is_empty(), "{} is empty", row.file);
                continue;
            }
            let shapes = shapes(&row.file);
            let Some(name) = row.tensor else {
                assert!(!shapes.is_empty(), "{} holds no tensor", row.file);
                continue;
            };
            match name.split_once('*') {
                Some((start, _)) => {
                    assert!(shapes.keys().any(|n| n.starts_with(start)), "{} lacks {name}", row.file);
                }
                None => {
                    let shape = shapes.get(&name).unwrap_or_else(|| panic!("{} lacks {name}", row.file));
                    assert_eq!(format!("{shape:?}"), row.shape, "{}, {name}", row.file);
                }
            }
        }
    }
}
