//! What a message is, and where a reader looks for it.

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

impl Area {
    /// In the order of the page.
    pub const ALL: [Self; 9] = [
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

    /// That of a module of the crate that begins in the file `root`.
    pub fn of(root: &str, module: &[String]) -> Self {
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

    /// Its heading.
    pub fn title(self) -> &'static str {
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
