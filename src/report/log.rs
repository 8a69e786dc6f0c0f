//! What a program says of itself on the standard error stream, as text or as JSON. Its results go elsewhere.

use std::{fmt, io};

use clap::ValueEnum;
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    subscriber::{SetGlobalDefaultError, set_global_default},
};
use tracing_subscriber::{
    Layer, Registry,
    filter::Targets,
    layer::{Context, SubscriberExt},
};

use super::progress::Progress;

/// The form of diagnostics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people, with progress bars where there is a terminal.
    #[default]
    Text,
    /// One JSON object per line, and no bars.
    Json,
}

impl LogFormat {
    /// Puts the diagnostics of the whole process into this form; the answer shows progress beside them. Call it once.
    ///
    /// # Errors
    /// The process has a subscriber already.
    pub fn install(self) -> Result<Progress, SetGlobalDefaultError> {
        let ours = Targets::new().with_target("addendum", Level::INFO);
        match self {
            Self::Text => {
                let progress = Progress::stderr();
                set_global_default(Registry::default().with(Notes(progress.clone()).with_filter(ours)))?;
                Ok(progress)
            }
            Self::Json => {
                let lines = tracing_subscriber::fmt::layer()
                    .json()
                    .flatten_event(true)
                    .with_current_span(false)
                    .with_span_list(false)
                    .log_internal_errors(false)
                    .with_writer(io::stderr);
                set_global_default(Registry::default().with(lines.with_filter(ours)))?;
                Ok(Progress::events())
            }
        }
    }
}

/// Messages as lines above whatever moves.
struct Notes(Progress);

impl<S: Subscriber> Layer<S> for Notes {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut message = Message(String::new());
        event.record(&mut message);
        self.0.note(message.0);
    }
}

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}
