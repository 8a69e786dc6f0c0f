//! The readers of untrusted bytes, each with valid inputs to damage: `fuzz/` damages them without end, the tests beside this
//! file for a while.
//!
//! A reader takes any bytes and ends, without a panic and within its memory. What it makes of them is the matter of its
//! own crate's tests.

#![forbid(unsafe_code)]

mod dataset;
mod dicom;
mod files;
mod http;
mod pickle;
mod policy;
mod run;
mod sections;
mod settings;
mod template;

/// What reads one kind of input, and what it may cost.
pub struct Reader {
    /// Valid inputs.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Reads an input as the program does; whether it is taken, as every seed is.
    pub read: fn(&[u8]) -> bool,
    /// The most memory at a time, in bytes: for each byte of an input, and beside that.
    pub memory: (usize, usize),
}

/// Settings of a run and of a study, in TOML.
pub const SETTINGS: Reader = Reader { seeds: settings::seeds, read: settings::read, memory: (1_000, 16 << 20) };

/// The list of a dataset's studies, in any form but Parquet.
pub const DATASET: Reader = Reader { seeds: dataset::seeds, read: dataset::read, memory: (200, 16 << 20) };

/// Reports, their sections and sentences.
pub const SECTIONS: Reader = Reader { seeds: sections::seeds, read: sections::read, memory: (200, 1 << 20) };

/// Each file of a policy's folder, the others whole.
pub const POLICY: Reader = Reader { seeds: policy::seeds, read: policy::read, memory: (200, 64 << 20) };

/// Chat templates; what they may put together, see SECURITY.md.
pub const TEMPLATE: Reader = Reader { seeds: template::seeds, read: template::read, memory: (200, 256 << 20) };

/// Each file of an adapter's folder, the others whole.
pub const ADAPTER: Reader =
    Reader { seeds: policy::adapter_seeds, read: policy::read_adapter, memory: (200, 16 << 20) };

/// Each file of a run's checkpoint, the others whole.
pub const RUN: Reader = Reader { seeds: run::seeds, read: run::read, memory: (200, 16 << 20) };

/// Radiographs; 16 bytes for each pixel that an image may have.
pub const DICOM: Reader = Reader { seeds: dicom::seeds, read: dicom::read, memory: (200, 1 << 30) };

/// Checkpoints of PyTorch: what a pickle describes, and whole files.
pub const PICKLE: Reader = Reader { seeds: pickle::seeds, read: pickle::read, memory: (200, 16 << 20) };

/// Bodies of requests to the reward server.
pub const HTTP: Reader = Reader { seeds: http::seeds, read: http::read, memory: (1_000, 80 << 20) };

/// All of them, by the names of their targets in `fuzz/`.
pub const ALL: [(&str, Reader); 10] = [
    ("settings", SETTINGS),
    ("dataset", DATASET),
    ("sections", SECTIONS),
    ("policy", POLICY),
    ("template", TEMPLATE),
    ("adapter", ADAPTER),
    ("run", RUN),
    ("dicom", DICOM),
    ("pickle", PICKLE),
    ("http", HTTP),
];
