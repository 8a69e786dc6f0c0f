//! A run in a terminal, while it goes on or afterwards: `addendum watch`.
//!
//! A [`source`] (a run folder or a metrics endpoint) tells what is new, a [`View`] keeps what is worth showing, and
//! [`draw`] and [`plain`] make pictures of it and know nothing else. Files are only read, and no lock is taken: whoever is
//! watched does not notice.

mod change;
pub mod draw;
mod endpoint;
mod error;
mod exposition;
mod folder;
pub mod plain;
mod rollouts;
pub mod screen;
pub mod source;
mod tail;
pub mod ui;
pub mod view;

pub use error::SourceError;
pub use source::Source;
pub use ui::Ui;
pub use view::View;
