//! What a metric is, and a table of this crate's. Tables are what recorders, exporters and docs/metrics.md are told from.

use ::metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram};

/// A metric that is published, under the name that Prometheus knows it by: `addendum_<stage>_<what>_<unit>`.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// As Prometheus knows it.
    pub name: &'static str,
    /// How it moves.
    pub kind: Kind,
    /// What its values count or measure.
    pub unit: &'static str,
    /// The labels that it always has, each with what it tells.
    pub labels: &'static [(&'static str, &'static str)],
    /// A phrase.
    pub meaning: &'static str,
}

/// How a metric moves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Only upwards, from zero when the process starts.
    Counter,
    /// Both ways.
    Gauge,
    /// Observations, counted in buckets with these upper bounds.
    Histogram(&'static [f64]),
}

impl Kind {
    /// As the exposition format calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }
}

type Labels = &'static [(&'static str, &'static str)];

impl Metric {
    /// What only grows.
    pub const fn counter(name: &'static str, unit: &'static str, labels: Labels, meaning: &'static str) -> Self {
        Self { name, kind: Kind::Counter, unit, labels, meaning }
    }

    /// What goes up and down.
    pub const fn gauge(name: &'static str, unit: &'static str, labels: Labels, meaning: &'static str) -> Self {
        Self { name, kind: Kind::Gauge, unit, labels, meaning }
    }

    /// What is observed, counted in buckets with these upper bounds.
    pub const fn histogram(
        name: &'static str,
        unit: &'static str,
        labels: Labels,
        bounds: &'static [f64],
        meaning: &'static str,
    ) -> Self {
        Self { name, kind: Kind::Histogram(bounds), unit, labels, meaning }
    }

    /// The buckets of a histogram.
    pub fn bounds(&self) -> Option<&'static [f64]> {
        match self.kind {
            Kind::Histogram(bounds) => Some(bounds),
            Kind::Counter | Kind::Gauge => None,
        }
    }
}

/// Registers the metrics of a table with the installed recorder. Counters that have no labels are published at once: a rate
/// can tell that nothing happened from that nothing is known.
pub fn describe(table: &[Metric]) {
    for Metric { name, kind, unit, labels, meaning } in table {
        let unit = Unit::from_string(unit).unwrap_or(Unit::Count);
        match kind {
            Kind::Counter => {
                describe_counter!(*name, unit, *meaning);
                if labels.is_empty() {
                    counter!(*name).increment(0);
                }
            }
            Kind::Gauge => describe_gauge!(*name, unit, *meaning),
            Kind::Histogram(_) => describe_histogram!(*name, unit, *meaning),
        }
    }
}

const SERVER: (&str, &str) = ("server", "its address");
const CACHE: (&str, &str) = ("cache", "a back end's name; in a server `predict` or `analyze`");

/// Of reward back ends and the clients of reward services.
pub const METRICS: &[Metric] = &[
    Metric::counter(
        "addendum_reward_cache_lookups_total",
        "lookups",
        &[CACHE, ("outcome", "`hit` or `miss`")],
        "Texts looked up among those read before",
    ),
    Metric::gauge(
        "addendum_reward_cache_hit_ratio",
        "ratio",
        &[CACHE],
        "Share of the looked-up texts that were read before, since the process started",
    ),
    Metric::counter(
        "addendum_reward_failures_total",
        "calls",
        &[("component", "`labeller`, `entity extractor`, `graph extractor` or another back end")],
        "Failed calls of a reward back end, later attempts included",
    ),
    Metric::counter(
        "addendum_reward_service_failures_total",
        "requests",
        &[SERVER],
        "Failed requests to a server of a reward or edit service, later attempts included",
    ),
    Metric::gauge(
        "addendum_reward_service_up",
        "0 or 1",
        &[SERVER],
        "Whether the server of a reward or edit service answered as it should when it was asked last",
    ),
    Metric::gauge(
        "addendum_reward_service_in_flight_requests",
        "requests",
        &[SERVER],
        "Requests that the server of a reward or edit service is asked at the moment",
    ),
    Metric::gauge(
        "addendum_reward_service_speed_requests_per_second",
        "requests/s",
        &[SERVER],
        "Requests that the server of a reward or edit service answers while it is asked some",
    ),
];
