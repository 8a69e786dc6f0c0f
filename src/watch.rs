//! A run in a terminal, while it goes on or afterwards: `addendum watch`.
//!
//! A `source` (a run folder or a metrics endpoint) tells what is new, a `View` keeps what is worth showing, and
//! `draw` and `plain` make pictures of it and know nothing else. Files are only read, and no lock is taken: whoever is
//! watched does not notice.

mod change;
mod draw;
mod endpoint;
mod error;
mod folder;
mod plain;
mod rollouts;
mod screen;
mod source;
mod tail;
mod ui;
mod view;

pub use draw::Theme;
pub use error::SourceError;
pub use screen::show;
pub use source::Source;

use view::View;

/// What there is to see at the moment, as plain text.
pub fn snapshot(source: &mut Source) -> String {
    let mut view = View::new(source.to_string());
    source.news().into_iter().for_each(|update| view.apply(update));
    plain::snapshot(&view)
}
