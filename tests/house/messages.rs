//! The errors that a user can meet, read from the sources: every text of `#[error("…")]` with the documentation of its
//! variant, the texts of `bail!`, `ensure!`, `anyhow!` and `context`, and whatever else says what was expected.
//!
//! `docs/troubleshooting.md` is made of them.

mod collect;
mod message;
mod page;
mod text;

use std::path::Path;

pub use message::{Area, Kind, Message};
pub use page::page;

use super::module;

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
