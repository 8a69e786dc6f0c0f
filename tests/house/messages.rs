//! The errors that a user can meet, read from the sources: every text of `#[error("…")]` with the documentation of its
//! variant, the texts of `bail!`, `ensure!`, `anyhow!` and `context`, and whatever else says what was expected.
//!
//! `docs/troubleshooting.md` is made of them.

mod collect;
mod page;
mod text;

use std::path::Path;

pub use page::page;

use super::module;

/// An error as a user may read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What of Addendum tells it.
    pub area: Area,
    pub kind: Kind,
    /// With a name in braces wherever something of the case at hand stands.
    pub text: String,
    /// When it happens and what to do about it; `None` for texts that are written where they happen.
    pub meaning: Option<String>,
    /// The error type, or the module of a text that is written where it happens.
    pub home: String,
}

/// Where a text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// At a variant of an error type.
    Error,
    /// Where a command ends with it.
    Command,
    /// Where a value is refused; it ends up inside of one of the others.
    Reason,
}

/// A heading of the page, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Area {
    Settings,
    Data,
    Model,
    Editor,
    Rewards,
    Services,
    Run,
    Folder,
    Command,
}

/// The crates that tell users of errors, by the files they begin in.
const ROOTS: [&str; 10] = [
    "studies/src/lib.rs",
    "policy/src/lib.rs",
    "editor/src/lib.rs",
    "rewards/src/lib.rs",
    "rewards/neural/src/lib.rs",
    "rewards/remote/src/lib.rs",
    "replay/src/lib.rs",
    "actors/src/lib.rs",
    "src/lib.rs",
    "src/main.rs",
];

impl Area {
    const ALL: [Self; 9] = [
        Self::Settings,
        Self::Data,
        Self::Model,
        Self::Editor,
        Self::Rewards,
        Self::Services,
        Self::Run,
        Self::Folder,
        Self::Command,
    ];

    fn of(root: &str, module: &[String]) -> Self {
        let names: Vec<&str> = module.iter().map(String::as_str).collect();
        match (root.split_once("/src/").map_or("", |(folder, _)| folder), names.as_slice()) {
            ("studies", _) => Self::Data,
            ("policy", _) => Self::Model,
            ("editor", _) => Self::Editor,
            ("rewards/remote", _) | ("rewards", ["green", ..]) => Self::Services,
            ("rewards" | "rewards/neural", _) => Self::Rewards,
            ("replay" | "actors", _) => Self::Run,
            (_, ["train", "settings", ..]) => Self::Settings,
            (_, ["report", ..]) => Self::Folder,
            _ => Self::Command,
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Settings => "Settings",
            Self::Data => "Data: studies, images, public datasets",
            Self::Model => "Model, adapter, device",
            Self::Editor => "Editor",
            Self::Rewards => "Rewards",
            Self::Services => "Services over HTTP, GREEN",
            Self::Run => "Runs: actors, checkpoints, tickets",
            Self::Folder => "Run folders and what is written into them",
            Self::Command => "Commands",
        }
    }
}

/// All messages of the workspace in `house`, area by area, each area in the order of its files.
///
/// # Panics
/// A file that is not there or is no Rust.
pub fn messages(house: &Path) -> Vec<Message> {
    let mut messages = Vec::new();
    for root in ROOTS {
        for (name, module) in module::read(&house.join(root)) {
            messages.extend(collect::of(&module.items, Area::of(root, &name), &name));
        }
    }
    messages.sort_by_key(|message| message.area);
    messages
}
