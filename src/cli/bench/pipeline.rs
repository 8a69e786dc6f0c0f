//! Timing the actors: the real pipeline over simulated devices, which take a given time and compute nothing.
//!
//! It says how much of the devices' time the actors leave unused, and how much time they take themselves.

mod alarm;
mod devices;
mod lengths;
mod seconds;
mod table;
mod trial;

use std::str::FromStr;

use addendum::host;
use addendum_replay::Mode;
use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::json;

use super::counts::at_least_one;
use lengths::Lengths;
use seconds::Seconds;
use trial::{Outcome, Trial};

/// A sweep: every combination of samplers, groups, reward latency and staleness is a run of its own.
#[derive(Args, Clone, Debug, Serialize)]
pub struct Pipeline {
    /// Samplers; several numbers, with commas between them, are measured one after the other.
    #[arg(long, value_name = "LIST", default_value = "1", value_delimiter = ',', value_parser = at_least_one)]
    samplers: Vec<usize>,
    /// Groups of reports per step.
    #[arg(long, value_name = "LIST", default_value = "8", value_delimiter = ',', value_parser = at_least_one)]
    groups: Vec<usize>,
    /// Versions that a group may lag behind the step that trains on it.
    #[arg(long, value_name = "LIST", default_value = "0,1", value_delimiter = ',')]
    staleness: Vec<u64>,
    /// Time that the asynchronous reward stage takes for a group.
    #[arg(long, value_name = "TIMES", default_value = "0", value_delimiter = ',')]
    reward_latency: Vec<Seconds>,
    /// Groups that wait for their rewards at the same time.
    #[arg(long, default_value_t = 256, value_parser = at_least_one)]
    reward_in_flight: usize,
    /// Reports per group, an even number: half of them are sampled, half edited.
    #[arg(long, default_value_t = 8, value_parser = at_least_one)]
    group_size: usize,
    /// Groups that a sampler decodes at the same time, each as fast as if it were alone.
    #[arg(long, default_value_t = 1, value_parser = at_least_one)]
    slots: usize,
    #[command(flatten)]
    lengths: Lengths,
    /// Workers of the editor.
    #[arg(long, default_value_t = 1, value_parser = at_least_one)]
    editors: usize,
    /// Time to edit a group.
    #[arg(long, value_name = "TIME", default_value = "0")]
    edit_time: Seconds,
    /// Time of the learner for a step; `balanced` is the mean time in which all samplers have a step's groups ready.
    #[arg(long, value_name = "TIME", default_value = "balanced")]
    learn_time: LearnTime,
    /// Share of their times that the devices really take, so that long steps can be tried shortly; rates are those of the
    /// whole times. What the actors take is not shortened, so a small share makes it look larger than it is.
    #[arg(long, default_value_t = 1., value_parser = share)]
    time_scale: f64,
    /// `none` takes all times as 0: what is left is the time that the actors take themselves.
    #[arg(long, value_enum, default_value = "simulated")]
    devices: Devices,
    /// fixed_lag or latest.
    #[arg(long, default_value = "fixed_lag", value_parser = mode)]
    mode: Mode,
    /// Measured steps, after as many as fill the pipeline (staleness + 1).
    #[arg(long, default_value_t = 40, value_parser = at_least_one)]
    steps: usize,
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Print a JSON object instead of a Markdown table.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
enum Devices {
    Simulated,
    None,
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum LearnTime {
    Balanced,
    #[serde(untagged)]
    Given(Seconds),
}

impl FromStr for LearnTime {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "balanced" => Ok(Self::Balanced),
            time => time.parse().map(Self::Given),
        }
    }
}

impl Pipeline {
    /// Runs the benchmark; returns its report, a table or a JSON object.
    ///
    /// # Errors
    /// Settings that no run can have, a run that fails, or one that breaks a law of the pipeline.
    pub fn run(&self) -> Result<String> {
        if !self.group_size.is_multiple_of(2) {
            bail!("--group-size {}: expected an even number, half of a group is sampled", self.group_size);
        }
        // As in training.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let mut outcomes: Vec<Outcome> = Vec::new();
        for (&samplers, &groups, &latency) in self.settings() {
            let first = outcomes.len();
            for &staleness in &self.staleness {
                let outcome = runtime.block_on(self.trial(samplers, groups, latency, staleness).run())?;
                outcomes.push(outcome.unscaled(self.time_scale));
            }
            let of_setting = &mut outcomes[first..];
            let synchronous = of_setting.iter().find(|outcome| outcome.staleness == 0).map(|it| it.groups_per_second);
            for outcome in of_setting {
                outcome.speed = synchronous.map(|synchronous| outcome.groups_per_second / synchronous);
            }
        }
        Ok(match self.json {
            true => self.json(&outcomes),
            false => table::markdown(&outcomes),
        })
    }

    fn settings(&self) -> impl Iterator<Item = (&usize, &usize, &Seconds)> {
        let Self { samplers, groups, reward_latency, .. } = self;
        samplers.iter().flat_map(move |samplers| {
            groups.iter().flat_map(move |groups| reward_latency.iter().map(move |latency| (samplers, groups, latency)))
        })
    }

    fn trial(&self, samplers: usize, groups: usize, reward_latency: Seconds, staleness: u64) -> Trial {
        let scale = match self.devices {
            Devices::Simulated => self.time_scale,
            Devices::None => 0.,
        };
        let time = |time: Seconds| Seconds(scale * time.0);
        let learn = match self.learn_time {
            LearnTime::Balanced => {
                let group = self.lengths.mean_time(self.group_size / 2).0;
                Seconds(group * groups as f64 / (samplers * self.slots) as f64)
            }
            LearnTime::Given(time) => time,
        };
        Trial {
            samplers,
            slots: self.slots,
            groups: groups as u64,
            group_size: self.group_size,
            staleness,
            mode: self.mode,
            steps: self.steps as u64,
            lengths: self.lengths.scaled(scale),
            editors: self.editors,
            edit: time(self.edit_time),
            reward_latency: time(reward_latency),
            reward_in_flight: self.reward_in_flight,
            learn: time(learn),
            seed: self.seed,
        }
    }

    fn json(&self, outcomes: &[Outcome]) -> String {
        let report = json!({
            "bench": "pipeline",
            "outcomes": outcomes,
            "peak_rss_bytes": host::peak_resident(),
            "cpu": host::cpu_model(),
            "config": self,
        });
        format!("{report}\n")
    }
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if share > 0. && share <= 1. => Ok(share),
        Ok(share) => Err(format!("{share} is not above 0 and at most 1")),
        Err(error) => Err(format!("{error}")),
    }
}

/// By its name in settings files.
fn mode(name: &str) -> Result<Mode, String> {
    serde_json::from_value(name.into()).map_err(|error| error.to_string())
}
