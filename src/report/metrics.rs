//! Columns out of `metrics.jsonl`, by name. Knows nothing of what the names mean.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use serde_json::{Map, Value};

use super::{ReportError, not_json};

/// One value per step; NaN where a step has none.
pub type Column = Vec<f64>;

/// The lines of `metrics.jsonl`, one per step.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    lines: Vec<Map<String, Value>>,
}

impl Metrics {
    /// Reads a file of JSON objects, one per line. A last line that was cut off by an interruption is left out.
    ///
    /// # Errors
    /// The file cannot be read, or a line before the last is not a JSON object.
    pub fn read(path: &Path) -> Result<Self, ReportError> {
        let text = fs::read(path).map_err(ReportError::io(path))?;
        let mut lines = Vec::new();
        for (index, line) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
            match serde_json::from_slice(line) {
                Ok(object) => lines.push(object),
                // It may end within a character.
                Err(_) if !line.ends_with(b"\n") => {}
                Err(_) if line.trim_ascii().is_empty() => {}
                Err(error) => {
                    let (line, reason) = (index + 1, not_json(&error));
                    return Err(ReportError::Line { path: path.into(), line, reason });
                }
            }
        }
        Ok(Self { lines })
    }

    /// Number of steps.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether no step was recorded.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The value `name` of every step.
    pub fn column(&self, name: &str) -> Column {
        self.lines.iter().map(|line| number(line.get(name))).collect()
    }

    /// The values of every step inside the object `name`, by their own name.
    pub fn columns(&self, name: &str) -> BTreeMap<String, Column> {
        let inner = || self.lines.iter().map(|line| line.get(name).and_then(Value::as_object));
        let names: BTreeSet<&String> = inner().flatten().flat_map(Map::keys).collect();
        let column = |key: &String| inner().map(|object| number(object.and_then(|object| object.get(key)))).collect();
        names.into_iter().map(|key| (key.clone(), column(key))).collect()
    }
}

fn number(value: Option<&Value>) -> f64 {
    value.and_then(Value::as_f64).unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: impl AsRef<[u8]>) -> Result<Metrics, ReportError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        fs::write(&path, text).unwrap();
        Metrics::read(&path)
    }

    #[test]
    fn missing_and_null_values_are_gaps() {
        let metrics = read("{\"kl\":1,\"parts\":{\"a\":2}}\n{\"kl\":null}\n{\"parts\":{\"b\":3}}\n").unwrap();
        let kl = metrics.column("kl");
        assert_eq!(kl[0], 1.0);
        assert!(kl[1].is_nan() && kl[2].is_nan());
        let parts = metrics.columns("parts");
        assert_eq!(parts.keys().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(parts["a"][0], 2.0);
        assert!(parts["b"][0].is_nan());
        assert_eq!(parts["b"][2], 3.0);
    }

    #[test]
    fn only_an_unfinished_last_line_is_forgiven() {
        let text = "{\"step\":0}\n{\"größer\":1}".as_bytes();
        for end in 11..text.len() {
            assert_eq!(read(&text[..end]).unwrap().len(), 1);
        }
        let message = read("{\"step\":0}\nnonsense\n{\"step\":2}\n").unwrap_err().to_string();
        assert!(message.contains("metrics.jsonl, line 2: is not JSON") && !message.contains("line 1"), "{message}");
    }
}
