//! `addendum metrics`: what every metric means, as docs/metrics.md has it.

use addendum::telemetry::document;
use anyhow::Result;

use super::output;

pub fn run() -> Result<()> {
    output::print(&document())
}
