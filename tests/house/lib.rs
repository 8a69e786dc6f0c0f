//! Which module of a crate uses which: read from the sources, so that circles are seen.
//!
//! A module is a file. It uses another one where a path of it leads there: in a `use` that is not a re-export, or
//! anywhere in its code. A path through a re-export (`pub use`) leads to the module that defines the item, so a parent
//! that only declares and re-exports its children is used by nobody and uses nobody. Tests don't count.

#![forbid(unsafe_code)]

mod graph;
mod module;
mod paths;

pub use graph::Graph;
