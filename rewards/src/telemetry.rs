//! The help texts of this crate's metrics, for whoever installs a recorder.

use ::metrics::{describe_counter, describe_gauge};

/// Registers them with the installed recorder.
pub fn describe() {
    describe_counter!(
        "addendum_reward_cache_lookups_total",
        "Texts looked up among those read before, by cache and outcome"
    );
    describe_gauge!("addendum_reward_cache_hit_ratio", "Share of the texts of a cache that were read before");
    describe_counter!("addendum_reward_failures_total", "Failed calls of a reward component, later attempts included");
    describe_counter!("addendum_reward_service_failures_total", "Failed requests to a reward service");
}
