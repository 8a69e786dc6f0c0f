//! What the writer of an image did against the standard, but without leaving a doubt of what was meant.
//!
//! Such images are read. [`decode::examine`](crate::decode::examine) hands its warnings back; whatever else reads
//! images tells them here, each kind once in the life of the process: a dataset's images mostly come from few devices,
//! each of which does the same wrong in all of its files.

use std::{
    collections::BTreeSet,
    fmt,
    path::Path,
    sync::{Mutex, OnceLock, PoisonError},
};

/// A deviation from the standard that does no harm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// What deviates, such as an attribute with its tag. This is the kind of the warning.
    pub about: &'static str,
    /// What was found and how it was read.
    pub what: String,
}

impl Warning {
    pub(crate) fn new(about: &'static str, what: impl Into<String>) -> Self {
        Self { about, what: what.into() }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.about, self.what)
    }
}

type Listener = Box<dyn Fn(&Path, &Warning) + Send + Sync>;

static LISTENER: OnceLock<Listener> = OnceLock::new();
static TOLD: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());

/// Sets who hears the warnings; without a listener they are lines of the standard error. Only the first listener is
/// taken; whether this one was is the answer.
pub fn listen(listener: impl Fn(&Path, &Warning) + Send + Sync + 'static) -> bool {
    LISTENER.set(Box::new(listener)).is_ok()
}

/// Tells those warnings about the file `path` whose kind has not been told yet.
pub fn tell(path: &Path, warnings: &[Warning]) {
    for warning in warnings {
        // A listener that panicked leaves a set that is still right.
        if !TOLD.lock().unwrap_or_else(PoisonError::into_inner).insert(warning.about) {
            continue;
        }
        match LISTENER.get() {
            Some(listener) => listener(path, warning),
            None => eprintln!("warning: {}: {warning} (said once; other files may have the same)", path.display()),
        }
    }
}
