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
            /// In the order of a command's help.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// As in a command line and in `conversion.json`.
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
        /// The findings; a study without any is left out.
        #[default]
        Findings = "findings",
        /// The impression; a study without one is left out.
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
        /// None.
        None = "none",
        /// One frontal.
        #[default]
        Frontal = "frontal",
        /// One frontal and one lateral, where there are any.
        Both = "both",
        /// All frontal and lateral ones.
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
        /// Every image is copied. The new folder can be moved to another machine.
        Copy = "copy",
    }
}

choices! {
    /// What becomes of the marks that stand for names and dates that were taken out (`___`, `XXXX`).
    Placeholders {
        /// They stay, as the dataset's owners left them.
        #[default]
        Keep = "keep",
        /// They go; the words around them stay.
        Remove = "remove",
    }
}

choices! {
    /// The language of the sentences of PadChest-GR.
    Language {
        /// Those that the dataset brings as translations.
        #[default]
        English = "en",
        /// Those of the hospital's own reports.
        Spanish = "es",
    }
}

/// What a conversion is asked to do, whatever the layout.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Options {
    /// Which part of the report becomes the reference.
    pub section: Section,
    /// Which radiographs of the study itself are kept.
    pub views: Views,
    /// Which radiographs of the prior study are added.
    pub priors: Priors,
    /// Who decides about training, validation and test.
    pub splits: Splits,
    /// How the images get into the new folder.
    pub images: Placement,
    /// What becomes of the marks of names and dates that were taken out.
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
