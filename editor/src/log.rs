//! What an edit did and why: the record that travels with an edited report.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What happened to one sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// A sentence gives its place to one of the reference.
    Replace,
    /// A sentence leaves the report.
    Delete,
    /// A sentence of the reference is put behind all others.
    Append,
}

/// Which rule of EditGRPO (section 2) asked for an edit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rule {
    /// (a) A sentence contradicts a reference sentence, which takes its place.
    Conflict,
    /// (b) The spurious entities of a sentence are near those of a reference sentence, which takes its place.
    Similar,
    /// (c) A sentence with spurious entities is deleted.
    Spurious,
    /// (d) A reference sentence with a missing entity is appended.
    Missing,
    /// (e) Rule (c) deleted the only sentence, so a reference sentence takes its place.
    Empty,
}

/// One sentence operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edit {
    /// What was done to the sentence.
    pub operation: Operation,
    /// Why it was done.
    pub rule: Rule,
    /// Index of the sentence in the report as it was before this edit; the number of sentences for [`Operation::Append`].
    pub position: usize,
    /// The sentence that left the report.
    pub source: Option<String>,
    /// The sentence that entered it, word for word from the reference.
    pub target: Option<String>,
    /// Words of the entities that asked for the edit: the generated entity in conflict (a), the spurious entities (b, c, e),
    /// the missing reference entities of the appended sentence (d).
    pub triggers: Vec<String>,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Replace => "replace",
            Self::Delete => "delete",
            Self::Append => "append",
        })
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Conflict => "conflict",
            Self::Similar => "similar",
            Self::Spurious => "spurious",
            Self::Missing => "missing",
            Self::Empty => "empty",
        })
    }
}

impl fmt::Display for Edit {
    /// One line for run logs: `replace sentence 2 (conflict: effusion): "No effusion." -> "Small effusion."`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operation, rule, position, .. } = self;
        write!(f, "{operation} sentence {} ({rule}: {})", position + 1, self.triggers.join(", "))?;
        match (&self.source, &self.target) {
            (Some(source), Some(target)) => write!(f, ": {source:?} -> {target:?}"),
            (Some(sentence), None) | (None, Some(sentence)) => write!(f, ": {sentence:?}"),
            (None, None) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_reads_as_one_line_and_survives_json() {
        let edit = Edit {
            operation: Operation::Replace,
            rule: Rule::Conflict,
            position: 1,
            source: Some("No effusion.".into()),
            target: Some("Small effusion.".into()),
            triggers: vec!["effusion".into()],
        };
        assert_eq!(edit.to_string(), r#"replace sentence 2 (conflict: effusion): "No effusion." -> "Small effusion.""#);
        let json = serde_json::to_string(&edit).unwrap();
        assert!(json.contains(r#""operation":"replace","rule":"conflict""#), "{json}");
        assert_eq!(serde_json::from_str::<Edit>(&json).unwrap(), edit);
    }
}
