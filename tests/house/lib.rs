//! What can be read off the sources and the pages: which module uses which, so that circles are seen; which messages users
//! may meet; which links lead where.
//!
//! A module is a file. It uses another one where a path of it leads there: in a `use` that is not a re-export, or
//! anywhere in its code. A path through a re-export (`pub use`) leads to the module that defines the item, so a parent
//! that only declares and re-exports its children is used by nobody and uses nobody. Tests don't count.

#![forbid(unsafe_code)]

mod graph;
mod links;
mod messages;
mod module;
mod paths;

pub use graph::Graph;
pub use links::Links;
pub use messages::{Area, Kind, Message, messages, page};
