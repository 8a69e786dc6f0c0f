//! Prometheus' text format, as far as our own endpoint and vLLM's write it: a name, labels, a number.
//!
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>

use std::collections::BTreeMap;

/// A number at an instant.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

/// All samples of an exposition; lines that are none are left out.
#[derive(Clone, Debug, Default)]
pub struct Exposition(Vec<Sample>);

impl Exposition {
    pub fn parse(text: &str) -> Self {
        Self(text.lines().filter_map(sample).collect())
    }

    /// The samples of a name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Sample> {
        self.0.iter().filter(move |sample| sample.name == name)
    }

    /// The first sample of a name; NaN if there is none.
    pub fn value(&self, name: &str) -> f64 {
        self.all(name).next().map_or(f64::NAN, |sample| sample.value)
    }

    /// The first sample of a name with a label; NaN if there is none.
    pub fn labelled(&self, name: &str, label: &str, value: &str) -> f64 {
        self.all(name).find(|sample| sample.label(label) == value).map_or(f64::NAN, |sample| sample.value)
    }

    /// The sum over all labels.
    pub fn sum(&self, name: &str) -> f64 {
        self.all(name).map(|sample| sample.value).sum()
    }

    /// Values by a label.
    pub fn by(&self, name: &str, label: &str) -> BTreeMap<String, f64> {
        self.all(name).map(|sample| (sample.label(label).to_owned(), sample.value)).collect()
    }
}

impl Sample {
    /// The value of a label; empty, as Prometheus has it, if there is none.
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

fn sample(line: &str) -> Option<Sample> {
    let line = line.trim();
    let end = line.find(|c: char| c == '{' || c.is_whitespace())?;
    let (name, rest) = line.split_at(end);
    if name.is_empty() || name.starts_with('#') {
        return None;
    }
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (BTreeMap::new(), rest),
    };
    let value = rest.split_whitespace().next()?;
    Some(Sample { name: name.to_owned(), labels, value: value.parse().ok()? })
}

/// Labels up to the closing brace, and what follows it.
fn labels(mut text: &str) -> Option<(BTreeMap<String, String>, &str)> {
    let mut labels = BTreeMap::new();
    loop {
        text = text.trim_start_matches([',', ' ']);
        if let Some(rest) = text.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, rest) = text.split_once("=\"")?;
        let (mut value, mut characters) = (String::new(), rest.char_indices());
        let end = loop {
            match characters.next()? {
                (end, '"') => break end,
                (_, '\\') => value.push(match characters.next()?.1 {
                    'n' => '\n',
                    other => other,
                }),
                (_, other) => value.push(other),
            }
        };
        labels.insert(name.trim().to_owned(), value);
        text = &rest[end + 1..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_read_with_their_labels_and_everything_else_is_left_out() {
        let text = "# HELP a What.\n# TYPE a gauge\na 1.5\na{x=\"1\",y=\"q\\\"\\\\\\n{},\"} -2e3 1700000000\n\nb_sum{} +Inf\nb NaN\nbad\nbad{x=\"\nbad{x=\"1\"} much\n";
        let read = Exposition::parse(text);
        assert_eq!(read.0.len(), 4);
        assert_eq!(read.value("a"), 1.5);
        assert_eq!(read.labelled("a", "x", "1"), -2000.0);
        assert_eq!(read.0[1].label("y"), "q\"\\\n{},");
        assert_eq!(read.value("b_sum"), f64::INFINITY);
        assert!(read.value("b").is_nan() && read.value("none").is_nan());
        assert_eq!(read.by("a", "x"), [(String::new(), 1.5), ("1".to_string(), -2000.0)].into());
        assert_eq!(read.sum("a"), -1998.5);
    }

    #[test]
    fn a_line_that_ends_anywhere_is_no_sample() {
        let line = "name{label=\"value\"} 17";
        for end in 0..line.len() - 2 {
            let read = Exposition::parse(&line[..end]);
            assert!(read.0.is_empty(), "{:?}", &line[..end]);
        }
    }
}
