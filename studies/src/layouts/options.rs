//! What a conversion is asked to do.

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};

/// Defines an enum whose variants have names, as in a command line and in `conversion.json`.
macro_rules! choices {
    ($(#[$about:meta])* $name:ident { $($(#[$what:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
        pub enum $name { $($(#[$what])* $variant,)+ }

        impl $name {
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(name: &str) -> Result<Self, String> {
                let names = [$($text),+].join(", ");
                let found = Self::ALL.iter().find(|choice| choice.name() == name);
                found.copied().ok_or_else(|| format!("`{name}`: expected one of {names}"))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }
    };
}

choices! {
    /// Which part of the report is the reference.
    Section {
        #[default]
        Findings = "findings",
        Impression = "impression",
        /// Both, each behind its heading; a study that lacks one of them is left out.
        Both = "findings+impression",
    }
}

choices! {
    /// Which of a study's radiographs are kept.
    Views {
        /// One frontal: PA before AP before others.
        Frontal = "frontal",
        /// One frontal and one lateral, where there are any.
        #[default]
        Both = "both",
        /// All frontal and lateral ones.
        All = "all",
    }
}

choices! {
    /// Which radiographs of the most recent prior study are added.
    Priors {
        None = "none",
        #[default]
        Frontal = "frontal",
        Both = "both",
        All = "all",
    }
}

choices! {
    /// Who decides which study is for training, validation and test.
    Splits {
        /// The dataset's owners; where they left it open, as `Seeded`.
        #[default]
        Official = "official",
        /// The seed: 7 of 10 patients are for training, 1 for validation, 2 for tests.
        Seeded = "seeded",
    }
}

choices! {
    /// How the new folder gets its images.
    Placement {
        /// `images` is a symbolic link to the source. Takes no space and no time; the source must stay where it is.
        #[default]
        Link = "link",
        /// Every image is a hard link. Takes no space; source and new folder must be on one file system.
        HardLink = "hard-link",
        Copy = "copy",
    }
}

choices! {
    /// What becomes of the marks that stand for names and dates that were taken out (`___`, `XXXX`).
    Placeholders {
        #[default]
        Keep = "keep",
        Remove = "remove",
    }
}

choices! {
    /// The language of the sentences of PadChest-GR.
    Language {
        #[default]
        English = "en",
        Spanish = "es",
    }
}

/// What a conversion is asked to do, whatever the layout.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Options {
    pub section: Section,
    pub views: Views,
    pub priors: Priors,
    pub splits: Splits,
    pub images: Placement,
    pub placeholders: Placeholders,
    /// Whether text that stands under no heading is taken for findings where a report names none.
    pub unheaded: bool,
    /// Whether a radiograph of which no view position is known counts as frontal; else it is left out.
    pub unknown_is_frontal: bool,
    /// Most studies of each split, chosen by the seed.
    pub limit: Option<usize>,
    /// Of everything that is drawn.
    pub seed: u64,
}
