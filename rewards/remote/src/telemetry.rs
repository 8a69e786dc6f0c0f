//! What the servers of a service are at, for Prometheus. The table is `addendum_rewards::telemetry`'s.

use metrics::{counter, gauge};

const FAILURES: &str = "addendum_reward_service_failures_total";

/// A server is listed: it has not failed yet.
/// A failure that is the first one is seen as such only after a zero.
pub(super) fn asked(server: &str) {
    counter!(FAILURES, "server" => server.to_owned()).increment(0);
}

pub(super) fn up(server: &str, up: bool) {
    gauge!("addendum_reward_service_up", "server" => server.to_owned()).set(f64::from(u8::from(up)));
}

pub(super) fn load(server: &str, in_flight: usize, speed: f64) {
    gauge!("addendum_reward_service_in_flight_requests", "server" => server.to_owned()).set(in_flight as f64);
    gauge!("addendum_reward_service_speed_requests_per_second", "server" => server.to_owned()).set(speed);
}

pub(super) fn failed(server: &str) {
    counter!(FAILURES, "server" => server.to_owned()).increment(1);
}
