//! Simulated devices: they take the time that they are told, and compute nothing.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use addendum::host;
use addendum_actors::{AsyncSampler, AsyncStage, EngineError, Learner, Request, Sampled, Stage, StageError, StepStats};
use addendum_replay::{EditRecord, Origin, Rollout, RolloutGroup, Scored};

use super::{alarm::Alarm, lengths::Lengths, seconds::Seconds};

/// Holds some groups at a time, each for as long as its reports take.
pub struct Device {
    pub lengths: Lengths,
    pub slots: usize,
    pub alarm: Alarm,
}

impl AsyncSampler<()> for Device {
    fn capacity(&self) -> usize {
        self.slots
    }

    async fn sample(&self, request: Request<()>) -> Result<Vec<Sampled>, EngineError> {
        let lengths: Vec<usize> = request.seeds.iter().map(|seed| self.lengths.draw(*seed)).collect();
        self.alarm.wait(self.lengths.time(&lengths).into()).await;
        let report = |tokens| Sampled {
            tokens: vec![0; tokens],
            text: "No acute findings.".into(),
            logprobs: vec![0.; tokens],
            versions: vec![request.policy.version; tokens],
            truncated: false,
        };
        Ok(lengths.into_iter().map(report).collect())
    }
}

/// Copies every sampled report.
pub struct Copyist {
    pub time: Duration,
}

impl Stage for Copyist {
    fn process(&mut self, group: &mut RolloutGroup) -> Result<(), StageError> {
        pause(self.time);
        for index in 0..group.rollouts.len() {
            let (id, sampled) = (group.next_id(), &group.rollouts[index]);
            group.rollouts.push(Rollout {
                id,
                tokens: sampled.tokens.clone(),
                text: sampled.text.clone(),
                origin: Origin::Edited { source: sampled.id, record: EditRecord::default() },
                truncated: false,
                reward: None,
            });
        }
        Ok(())
    }
}

/// Answers after a while, as a reward service does. The reward is the number of the report.
pub struct Judge {
    pub latency: Duration,
    pub alarm: Alarm,
}

impl AsyncStage for Judge {
    async fn process(&self, group: &mut RolloutGroup) -> Result<(), StageError> {
        self.alarm.wait(self.latency).await;
        for rollout in &mut group.rollouts {
            let total = rollout.id.0 as f64;
            rollout.reward = Some(Scored { total, components: BTreeMap::from([("simulated".into(), total)]) });
        }
        Ok(())
    }
}

/// Takes its time for every step, and keeps a diary.
pub struct Student {
    pub time: Duration,
    pub lengths: Lengths,
    pub diary: Diary,
}

/// What the learner saw, step by step.
#[derive(Clone, Default)]
pub struct Diary(Arc<Mutex<Vec<Lesson>>>);

/// A step of the learner.
#[derive(Clone)]
pub struct Lesson {
    pub tickets: Vec<u64>,
    /// What sampling its groups took, on whatever devices.
    pub sampling: Seconds,
    pub ended: Instant,
    /// Processor time of the whole process until then.
    pub processor: Option<Duration>,
}

impl Diary {
    fn lessons(&self) -> MutexGuard<'_, Vec<Lesson>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn read(&self) -> Vec<Lesson> {
        self.lessons().clone()
    }
}

impl Student {
    fn sampling(&self, group: &RolloutGroup) -> f64 {
        let sampled = group.rollouts.iter().filter(|rollout| rollout.is_sampled());
        self.lengths.time(&sampled.map(|rollout| rollout.tokens.len()).collect::<Vec<_>>()).0
    }
}

impl Learner<()> for Student {
    fn step(&mut self, groups: &[RolloutGroup]) -> Result<StepStats, EngineError> {
        pause(self.time);
        let lesson = Lesson {
            tickets: groups.iter().map(|group| group.ticket.id().0).collect(),
            sampling: Seconds(groups.iter().map(|group| self.sampling(group)).sum()),
            ended: Instant::now(),
            processor: host::processor_time(),
        };
        self.diary.lessons().push(lesson);
        Ok(StepStats::default())
    }

    fn snapshot(&self) -> Result<Arc<()>, EngineError> {
        Ok(Arc::new(()))
    }

    fn save(&self) -> Result<Vec<u8>, EngineError> {
        Ok(Vec::new())
    }

    fn restore(&mut self, _: &[u8]) -> Result<(), EngineError> {
        Ok(())
    }

    fn write_snapshot(&self, (): &()) -> Result<Vec<u8>, EngineError> {
        Ok(Vec::new())
    }

    fn read_snapshot(&self, _: &[u8]) -> Result<(), EngineError> {
        Ok(())
    }
}

/// What computes keeps its thread while it does.
fn pause(time: Duration) {
    if !time.is_zero() {
        thread::sleep(time);
    }
}
