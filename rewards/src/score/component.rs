//! The metrics a reward can be made of, by name, and the back end that each of them needs. Knows no texts.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// What annotates reports. Components of one back end share its annotations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// Labels of the 14 observations.
    Chexbert,
    /// Graphs of entities and relations.
    Radgraph,
    /// Entities with embeddings.
    Rate,
}

impl Backend {
    /// In the order of settings and metrics.
    pub const ALL: [Self; 3] = [Self::Chexbert, Self::Radgraph, Self::Rate];

    /// As in configuration files and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Chexbert => "chexbert",
            Self::Radgraph => "radgraph",
            Self::Rate => "rate",
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Backend {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let known = || quoted(Self::ALL.map(Self::name));
        let found = Self::ALL.into_iter().find(|backend| backend.name() == name);
        found.ok_or_else(|| Error::UnknownBackend { name: name.into(), known: known() })
    }
}

/// A metric of a reward. Ordered by back end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Component {
    /// Micro F1 over the 14 observations.
    Chexbert,
    /// Micro F1 over the five.
    ChexbertFive,
    /// Inverse-frequency weighted accuracy over the 14, at most 0.5.
    ChexbertWeighted,
    /// RadGraph F1, partial level.
    Radgraph,
    /// RadGraph F1, simple level: words and label.
    RadgraphSimple,
    /// RadGraph F1, complete level: words, label and relations with their objects.
    RadgraphComplete,
    /// RaTEScore.
    Rate,
}

impl Component {
    /// In the order of their back ends.
    pub const ALL: [Self; 7] = [
        Self::Chexbert,
        Self::ChexbertFive,
        Self::ChexbertWeighted,
        Self::Radgraph,
        Self::RadgraphSimple,
        Self::RadgraphComplete,
        Self::Rate,
    ];

    /// Those of the paper's reward.
    pub const PAPER: [Self; 3] = [Self::Chexbert, Self::Radgraph, Self::Rate];

    /// The component of that name.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|component| component.name() == name)
    }

    /// As in settings, records and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Chexbert => "chexbert",
            Self::ChexbertFive => "chexbert_5",
            Self::ChexbertWeighted => "chexbert_weighted",
            Self::Radgraph => "radgraph",
            Self::RadgraphSimple => "radgraph_simple",
            Self::RadgraphComplete => "radgraph_complete",
            Self::Rate => "rate",
        }
    }

    /// What annotates the reports for it.
    pub fn backend(self) -> Backend {
        match self {
            Self::Chexbert | Self::ChexbertFive | Self::ChexbertWeighted => Backend::Chexbert,
            Self::Radgraph | Self::RadgraphSimple | Self::RadgraphComplete => Backend::Radgraph,
            Self::Rate => Backend::Rate,
        }
    }
}

/// Names in backticks, with commas between them.
pub(super) fn quoted<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_components_is_that_of_their_back_ends() {
        let backends = Component::ALL.map(Component::backend);
        assert!(backends.is_sorted() && Component::ALL.is_sorted());
        assert!(Backend::ALL.iter().all(|backend| backends.contains(backend)));
    }

    #[test]
    fn back_ends_are_named_as_in_files() {
        for backend in Backend::ALL {
            assert_eq!(serde_json::to_value(backend).unwrap(), backend.name());
            assert_eq!(backend.name().parse::<Backend>().unwrap(), backend);
        }
        let message = "bert".parse::<Backend>().unwrap_err().to_string();
        assert!(message.contains("`bert`") && message.contains("`chexbert`"), "{message}");
    }
}
