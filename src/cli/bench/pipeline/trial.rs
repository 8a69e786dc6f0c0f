//! One run of the actors over simulated devices, and what it says.

use std::sync::{Arc, Mutex, PoisonError};

use addendum_actors::{Event, Pipeline, Pool, RunConfig, StepRecord, Variant};
use addendum_replay::Mode;
use addendum_studies::{Reference, Study};
use anyhow::{Context, Result, ensure};
use serde::Serialize;

use super::{
    alarm::Alarm,
    devices::{Copyist, Device, Diary, Judge, Lesson, Student},
    lengths::Lengths,
    seconds::Seconds,
};

/// A run to be measured.
pub struct Trial {
    pub samplers: usize,
    pub slots: usize,
    pub groups: u64,
    pub group_size: usize,
    pub staleness: u64,
    pub mode: Mode,
    /// Steps that are measured, after those that fill the pipeline.
    pub steps: u64,
    pub lengths: Lengths,
    pub editors: usize,
    pub edit: Seconds,
    pub reward_latency: Seconds,
    pub reward_in_flight: usize,
    pub learn: Seconds,
    pub seed: u64,
}

/// Shares of the time that the devices were busy with what was trained on.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Busy {
    pub samplers: f64,
    pub editors: f64,
    pub rewards: f64,
    pub learner: f64,
}

impl Busy {
    /// The busiest device and its share, which is that of the rate that it would allow if nothing else took time.
    pub fn bottleneck(&self) -> Option<(&'static str, f64)> {
        let Self { samplers, editors, rewards, learner } = *self;
        let shares = [("samplers", samplers), ("learner", learner), ("rewards", rewards), ("editors", editors)];
        // Of equals the first one.
        shares.into_iter().rev().max_by(|a, b| a.1.total_cmp(&b.1)).filter(|(_, share)| *share > 0.)
    }
}

/// What a trial says.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    pub samplers: usize,
    pub groups: u64,
    pub staleness: u64,
    pub reward_latency: Seconds,
    pub learn_time: Seconds,
    /// Tickets trained on over the whole run, each of them once.
    pub tickets: u64,
    pub groups_per_second: f64,
    pub steps_per_hour: f64,
    /// Share of the rate at which the slowest device alone would work; nothing if no device takes time.
    pub share_of_ideal: Option<f64>,
    pub bottleneck: Option<&'static str>,
    /// Against staleness 0 of the same setting, where that was measured.
    pub speed: Option<f64>,
    pub busy: Busy,
    pub staleness_mean: f64,
    pub staleness_max: u64,
    pub evictions: u64,
    pub in_flight_max: u64,
    /// Microseconds per group beyond the ideal rate.
    pub wall_overhead: f64,
    /// Microseconds of processor time per group.
    pub processor_overhead: Option<f64>,
}

impl Outcome {
    /// The same for devices that take their whole times, if these took the given share of them.
    pub fn unscaled(self, share: f64) -> Self {
        Self {
            reward_latency: Seconds(self.reward_latency.0 / share),
            learn_time: Seconds(self.learn_time.0 / share),
            groups_per_second: self.groups_per_second * share,
            steps_per_hour: self.steps_per_hour * share,
            ..self
        }
    }
}

impl Trial {
    /// Runs it.
    ///
    /// # Errors
    /// The run fails, a ticket was not trained on exactly once, or a group was older than the bound.
    pub async fn run(&self) -> Result<Outcome> {
        let warm_up = self.staleness + 1;
        let folder = tempfile::tempdir()?;
        let (diary, records) = (Diary::default(), Arc::new(Mutex::new(Vec::new())));
        let heard = records.clone();
        let run = self.pipeline(warm_up + self.steps, &diary)?.folder(folder.path()).observer(move |event| {
            if let Event::Step(record) = event {
                heard.lock().unwrap_or_else(PoisonError::into_inner).push(record.clone());
            }
        });
        run.run().await?;
        let records: Vec<Box<StepRecord>> =
            std::mem::take(&mut *records.lock().unwrap_or_else(PoisonError::into_inner));
        self.outcome(warm_up as usize, &diary.read(), &records)
    }

    fn pipeline(&self, steps: u64, diary: &Diary) -> Result<Pipeline<()>> {
        let config = RunConfig {
            steps,
            batch_groups: self.groups,
            group_size: self.group_size,
            staleness: self.staleness,
            mode: self.mode,
            samplers: self.samplers,
            seed: self.seed,
            variant: Variant::EditGrpo,
            checkpoint_every: 0,
            ..RunConfig::default()
        };
        let alarm = Alarm::new().context("the alarm's thread")?;
        let (lengths, slots, ringing) = (self.lengths.clone(), self.slots, alarm.clone());
        let device = move |_| Ok(Device { lengths: lengths.clone(), slots, alarm: ringing.clone() });
        let student = Student { time: self.learn.into(), lengths: self.lengths.clone(), diary: diary.clone() };
        let (edit, latency) = (self.edit.into(), self.reward_latency.into());
        Ok(Pipeline::with_async_samplers(config, Arc::new(studies()), device, || Ok(student))
            .stage("editor", self.editors, move || Ok(Copyist { time: edit }))
            .append(Pool::asynchronous("reward", self.reward_in_flight, move || {
                Ok(Judge { latency, alarm: alarm.clone() })
            })))
    }

    fn outcome(&self, warm_up: usize, lessons: &[Lesson], records: &[Box<StepRecord>]) -> Result<Outcome> {
        let tickets = trained_once(lessons, self.groups)?;
        let oldest = records.iter().map(|record| record.staleness_max).max().unwrap_or(0);
        ensure!(oldest <= self.staleness, "a group of age {oldest} was trained on, the bound is {}", self.staleness);
        let (before, measured) = lessons.split_at_checked(warm_up).context("the run ended too early")?;
        let (first, last) = before.last().zip(measured.last()).context("nothing was measured")?;
        let seconds = last.ended.duration_since(first.ended).as_secs_f64();
        let groups: usize = measured.iter().map(|lesson| lesson.tickets.len()).sum();
        let per_group = |seconds: f64| seconds / groups as f64;
        let sampling: f64 = measured.iter().map(|lesson| lesson.sampling.0).sum();
        let share = |work: f64, devices: usize| work / (seconds * devices as f64);
        let busy = Busy {
            samplers: share(sampling, self.samplers * self.slots),
            editors: share(self.edit.0 * groups as f64, self.editors),
            rewards: share(self.reward_latency.0 * groups as f64, self.reward_in_flight),
            learner: share(self.learn.0 * measured.len() as f64, 1),
        };
        let bottleneck = busy.bottleneck();
        let ideal = bottleneck.map_or(0., |(_, share)| share);
        let processor = last.processor.zip(first.processor).map(|(last, first)| (last - first).as_secs_f64());
        let records = &records[warm_up.min(records.len())..];
        Ok(Outcome {
            samplers: self.samplers,
            groups: self.groups,
            staleness: self.staleness,
            reward_latency: self.reward_latency,
            learn_time: self.learn,
            tickets,
            groups_per_second: groups as f64 / seconds,
            steps_per_hour: 3600. * measured.len() as f64 / seconds,
            share_of_ideal: bottleneck.map(|(_, share)| share),
            bottleneck: bottleneck.map(|(device, _)| device),
            speed: None,
            busy,
            staleness_mean: records.iter().map(|record| record.staleness_mean).sum::<f64>() / records.len() as f64,
            staleness_max: oldest,
            evictions: records.last().map_or(0, |record| record.evictions),
            in_flight_max: records.iter().map(|record| record.tickets_in_flight).max().unwrap_or(0),
            wall_overhead: 1e6 * per_group(seconds * (1. - ideal)),
            processor_overhead: processor.map(|processor| 1e6 * per_group(processor)),
        })
    }
}

/// The number of tickets, `groups` in each step.
fn trained_once(lessons: &[Lesson], groups: u64) -> Result<u64> {
    let mut tickets: Vec<u64> = lessons.iter().flat_map(|lesson| lesson.tickets.iter().copied()).collect();
    tickets.sort_unstable();
    let all = lessons.len() as u64 * groups;
    ensure!(tickets.into_iter().eq(0..all), "not every ticket was trained on exactly once");
    Ok(all)
}

/// Few, and without images: to read a study is no part of what is measured.
fn studies() -> Vec<Study> {
    let study = |number: usize| Study {
        id: format!("study-{number}"),
        views: Vec::new(),
        indication: None,
        technique: None,
        comparison: None,
        reference: Reference::new("No acute findings."),
    };
    (0..100).map(study).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_ticket_that_is_trained_on_twice_or_not_at_all_is_noticed() {
        let lesson = |tickets: &[u64]| Lesson {
            tickets: tickets.to_vec(),
            sampling: Seconds(0.),
            ended: Instant::now(),
            processor: None,
        };
        assert_eq!(trained_once(&[lesson(&[1, 0]), lesson(&[3, 2])], 2).unwrap(), 4);
        for second in [&[1, 2][..], &[2], &[2, 4], &[2, 3, 4]] {
            assert!(trained_once(&[lesson(&[0, 1]), lesson(second)], 2).is_err(), "{second:?}");
        }
    }

    #[test]
    fn the_bottleneck_is_the_busiest_device_and_of_equals_the_first() {
        let busy = |samplers, learner, rewards| Busy { samplers, editors: 0., rewards, learner };
        assert_eq!(busy(0.5, 0.9, 0.1).bottleneck(), Some(("learner", 0.9)));
        assert_eq!(busy(0.7, 0.7, 0.1).bottleneck(), Some(("samplers", 0.7)));
        assert_eq!(busy(0., 0., 0.).bottleneck(), None);
    }
}
