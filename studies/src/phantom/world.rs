//! The knobs of version 2.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// What the phantoms of version 2 and their reports are like. docs/phantoms.md gives the reasons of the defaults.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct World {
    /// Share of studies without a common finding, 0 to 1. Some of them have a rare one.
    pub normal: f64,
    /// Least and greatest contrast of a finding, 0 to 1, drawn uniformly for each: 1 is plain to see, 0.1 is lost in
    /// the noise. Devices have at least 0.4, rare findings at least 0.3.
    pub visibility: [f64; 2],
    /// Share of studies with the rarest of the ten rare findings and with the most frequent of them, 0 to 1; the others
    /// lie between, each by the same factor above the one before.
    pub tail: [f64; 2],
    /// Probability that a report names a rare finding that is there, 0 to 1.
    pub tail_named: f64,
    /// Probability that a report leaves out another finding that is there, devices excepted, 0 to 1.
    pub omitted: f64,
    /// Share of reports that tell of one common finding that is not there, 0 to 1.
    pub invented: f64,
    /// Equivalent phrasings in use, at least 1: with 1 a site always says its favourite. No list has more than 3.
    pub phrasings: usize,
    /// Fewest and most sentences of a report, 1 to 16: fewest of a bedside radiograph that comes with nothing, most of
    /// two views with an indication and a comparison study. A report with more to tell is longer.
    pub sentences: [usize; 2],
}

impl Default for World {
    fn default() -> Self {
        Self {
            normal: 0.6,
            visibility: [0.1, 1.],
            tail: [0.003, 0.03],
            tail_named: 1.,
            omitted: 0.1,
            invented: 0.05,
            phrasings: 3,
            sentences: [6, 12],
        }
    }
}

/// Longest reports that every study has enough regions for.
const MOST_SENTENCES: usize = 16;

impl World {
    /// # Errors
    /// [`Error::World`] with the first field out of its range.
    pub fn validate(&self) -> Result<()> {
        let refused = |field, value: String, expected| Err(Error::World { field, value, expected });
        let share = |x: f64| (0. ..=1.).contains(&x);
        for (field, value) in [
            ("normal", self.normal),
            ("tail_named", self.tail_named),
            ("omitted", self.omitted),
            ("invented", self.invented),
        ] {
            if !share(value) {
                return refused(field, value.to_string(), "0 to 1");
            }
        }
        let [least, greatest] = self.visibility;
        if !(0. <= least && least <= greatest && greatest <= 1.) {
            return refused("visibility", format!("{:?}", self.visibility), "two numbers from 0 to 1 in order");
        }
        let [rarest, commonest] = self.tail;
        let none = rarest == 0. && commonest == 0.;
        if !(none || (0. < rarest && rarest <= commonest && commonest <= 1.)) {
            let expected = "two numbers above 0 and up to 1 in order, or [0, 0] for no rare findings";
            return refused("tail", format!("{:?}", self.tail), expected);
        }
        if self.phrasings == 0 {
            return refused("phrasings", "0".into(), "at least 1");
        }
        let [fewest, most] = self.sentences;
        if !(1 <= fewest && fewest <= most && most <= MOST_SENTENCES) {
            return refused("sentences", format!("{:?}", self.sentences), "two numbers from 1 to 16 in order");
        }
        Ok(())
    }

    /// Share of studies with the tail kind of rank `rank` of `count`, the rarest first.
    pub fn tail_rate(&self, rank: usize, count: usize) -> f64 {
        let [rarest, commonest] = self.tail;
        if rarest == 0. {
            return 0.;
        }
        rarest * (commonest / rarest).powf(rank as f64 / (count.max(2) - 1) as f64)
    }
}
