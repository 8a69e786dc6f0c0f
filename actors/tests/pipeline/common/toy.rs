//! A policy that fits on a page: its "weights" are a few numbers, its reports a few sentences, its training step
//! floating-point arithmetic that depends on the order and the bits of everything it is given.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use addendum_actors::{
    AsyncSampler, BatchSampler, EngineError, Learner, Request, Sampled, Sampler, Stage, StageError, StepStats, Tokenize,
};
use addendum_replay::{Origin, PolicyVersion, RolloutGroup};
use addendum_rewards::{Case, Entity, EntityExtractor, EntityType, Report, Reward, RewardSource};
use rand::{Rng, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;

pub const SENTENCES: [&str; 6] = [
    "The heart is enlarged.",
    "The heart is normal.",
    "There is a left effusion.",
    "There is no effusion.",
    "The lungs are clear.",
    "A pacemaker is present.",
];

#[derive(Clone, Debug, PartialEq)]
pub struct Weights(pub Vec<f64>);

impl Weights {
    pub fn bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|weight| weight.to_le_bytes()).collect()
    }
}

/// What goes wrong, and when. Counters are shared by all instances, also those built after a restart.
pub struct Trouble {
    /// Sampler calls, stage calls and learner steps that panic, by running number.
    pub sampler_panics: Vec<u64>,
    pub editor_panics: Vec<u64>,
    pub reward_panics: Vec<u64>,
    pub learner_panics: Vec<u64>,
    /// Studies that cannot be sampled, studies over which the sampler panics, and studies whose reward stage panics,
    /// always.
    pub unreadable: Vec<String>,
    pub breaking: Vec<String>,
    pub unscorable: Vec<String>,
    /// A step that returns an error, always.
    pub learner_error: Option<u64>,
    /// Longest random delay per call.
    pub delay: Duration,
    /// A request that the batch does not answer before another one was answered.
    pub overtaken: Option<u64>,
    /// How long it takes to build any sampler but the first.
    pub slow_start: Duration,
    pub sampled: AtomicU64,
    pub edited: AtomicU64,
    pub scored: AtomicU64,
    pub stepped: AtomicU64,
    /// What the sampler does before every token: the version to draw it with.
    pub between_tokens: fn(&Request<Weights>) -> PolicyVersion,
    /// Of the server and the batch: requests so far, those under way, the most at a time, and the order of the answers.
    pub calls: AtomicU64,
    pub under_way: AtomicU64,
    pub most_under_way: AtomicU64,
    pub answered: Mutex<Vec<u64>>,
}

impl Default for Trouble {
    fn default() -> Self {
        Self {
            sampler_panics: vec![],
            editor_panics: vec![],
            reward_panics: vec![],
            learner_panics: vec![],
            unreadable: vec![],
            breaking: vec![],
            unscorable: vec![],
            learner_error: None,
            delay: Duration::ZERO,
            overtaken: None,
            slow_start: Duration::ZERO,
            sampled: AtomicU64::new(0),
            edited: AtomicU64::new(0),
            scored: AtomicU64::new(0),
            stepped: AtomicU64::new(0),
            between_tokens: |request| request.policy.version,
            calls: AtomicU64::new(0),
            under_way: AtomicU64::new(0),
            most_under_way: AtomicU64::new(0),
            answered: Mutex::default(),
        }
    }
}

impl Trouble {
    pub fn strike(&self, counter: &AtomicU64, panics: &[u64], who: &str) {
        let call = counter.fetch_add(1, Ordering::SeqCst);
        self.dawdle();
        assert!(!panics.contains(&call), "{who} broke at call {call}");
    }

    /// Deliberately unseeded: the timing of every run differs.
    fn dawdle(&self) {
        let longest = self.delay.as_micros() as u64;
        if longest > 0 {
            std::thread::sleep(Duration::from_micros(rand::rng().random_range(0..longest)));
        }
    }
}

pub struct ToySampler(pub Arc<Trouble>);

impl ToySampler {
    fn reports(&self, request: &Request<Weights>) -> Result<Vec<Sampled>, EngineError> {
        self.0.strike(&self.0.sampled, &self.0.sampler_panics, "the sampler");
        if self.0.unreadable.contains(&request.study) {
            return Err(format!("study {}: the image cannot be decoded", request.study).into());
        }
        assert!(!self.0.breaking.contains(&request.study), "the sampler broke over {}", request.study);
        assert!(!request.prompt.text.contains("reference"), "the reference reached the prompt");
        let digest = request.policy.weights.0.iter().fold(0u64, |digest, w| digest.rotate_left(7) ^ w.to_bits());
        Ok(request.seeds.iter().map(|seed| report(seed ^ digest, || (self.0.between_tokens)(request))).collect())
    }
}

impl Sampler<Weights> for ToySampler {
    fn sample(&mut self, request: Request<Weights>) -> Result<Vec<Sampled>, EngineError> {
        self.reports(&request)
    }
}

/// Holds four requests, and answers them in another order than they came in.
pub struct ToyServer {
    pub sampler: ToySampler,
    pub longest: Duration,
}

impl AsyncSampler<Weights> for ToyServer {
    fn capacity(&self) -> usize {
        4
    }

    async fn sample(&self, request: Request<Weights>) -> Result<Vec<Sampled>, EngineError> {
        let (call, under_way) = (self.sampler.0.calls.fetch_add(1, Ordering::SeqCst), &self.sampler.0.under_way);
        let now = under_way.fetch_add(1, Ordering::SeqCst) + 1;
        self.sampler.0.most_under_way.fetch_max(now, Ordering::SeqCst);
        let _leave = Leave(under_way);
        // Every other one overtakes the one before it.
        tokio::time::sleep(self.longest.mul_f64(if call.is_multiple_of(2) { 1.0 } else { 0.1 })).await;
        self.sampler.0.answered.lock().unwrap().push(call);
        self.sampler.reports(&request)
    }
}

/// Holds four requests, each of which takes as many steps as its seed says.
pub struct ToyBatch {
    pub sampler: ToySampler,
    pub requests: Vec<(u64, Request<Weights>, u64)>,
    /// A report depends on all that was under way at any step of its own, as roundings of a GPU may.
    pub mixes: bool,
}

impl BatchSampler<Weights> for ToyBatch {
    fn has_room(&self) -> bool {
        self.requests.len() < 4
    }

    fn admit(&mut self, id: u64, request: Request<Weights>) -> Result<(), EngineError> {
        assert!(self.has_room(), "there was no room for ticket {id}");
        let steps = 2 + request.seeds[0] % 6;
        self.requests.push((id, request, steps));
        self.sampler.0.most_under_way.fetch_max(self.requests.len() as u64, Ordering::SeqCst);
        Ok(())
    }

    fn advance(&mut self) -> Vec<(u64, Result<Vec<Sampled>, EngineError>)> {
        self.sampler.0.calls.fetch_add(1, Ordering::SeqCst);
        self.sampler.0.dawdle();
        let seeds = self.requests.iter().flat_map(|(_, request, _)| &request.seeds);
        let company = seeds.fold(0u64, |company, seed| company.rotate_left(9) ^ seed);
        let waits = self.sampler.0.overtaken.filter(|_| self.sampler.0.answered.lock().unwrap().is_empty());
        for (id, request, steps) in &mut self.requests {
            *steps = if waits == Some(*id) { 1.max(*steps - 1) } else { *steps - 1 };
            if self.mixes {
                request.seeds.iter_mut().for_each(|seed| *seed = seed.rotate_left(1) ^ company);
            }
        }
        let ended: Vec<_> = self.requests.extract_if(.., |(_, _, steps)| *steps == 0).collect();
        let answer = |(id, request, _): (u64, Request<Weights>, u64)| {
            self.sampler.0.answered.lock().unwrap().push(id);
            (id, self.sampler.reports(&request))
        };
        ended.into_iter().map(answer).collect()
    }

    fn mixes(&self) -> Option<usize> {
        self.mixes.then_some(4)
    }
}

struct Leave<'a>(&'a AtomicU64);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn report(seed: u64, between_tokens: impl Fn() -> PolicyVersion) -> Sampled {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let count = rng.random_range(1..=3);
    let sentences: Vec<&str> = SENTENCES.choose_multiple(&mut rng, count).copied().collect();
    let text = sentences.join(" ");
    let tokens = tokens(&text);
    let versions = tokens.iter().map(|_| between_tokens()).collect();
    let logprobs = tokens.iter().map(|_| -rng.random::<f32>()).collect();
    Sampled { logprobs, versions, tokens, text, truncated: false }
}

fn tokens(text: &str) -> Vec<u32> {
    text.split_whitespace().map(|word| word.bytes().map(u32::from).sum()).chain([0]).collect()
}

pub struct Words;

impl Tokenize for Words {
    fn splice(&self, _: &[u32], edited: &str) -> Result<Vec<u32>, EngineError> {
        Ok(tokens(edited))
    }

    fn report(&self, text: &str) -> Result<Vec<u32>, EngineError> {
        Ok(tokens(text))
    }
}

/// "The heart is normal" denies what "The heart is enlarged" asserts, and so on: enough for the edit rule.
pub struct Findings;

impl EntityExtractor for Findings {
    fn extract(&self, sentences: &[&str]) -> addendum_rewards::Result<Vec<Vec<Entity>>> {
        let findings = [
            ("enlarged", 0, EntityType::Abnormality),
            ("normal", 0, EntityType::NonAbnormality),
            ("no effusion", 1, EntityType::NonAbnormality),
            ("left effusion", 1, EntityType::Abnormality),
            ("clear", 2, EntityType::NonAbnormality),
            ("pacemaker", 3, EntityType::Abnormality),
        ];
        let entities = |sentence: &&str| {
            let found = findings.iter().filter(|(words, ..)| sentence.contains(words));
            let entity = |(words, axis, kind): &(&str, usize, EntityType)| Entity {
                text: (*words).to_string(),
                kind: *kind,
                embedding: (0..4).map(|i| f32::from(u8::from(i == *axis))).collect(),
            };
            found.map(entity).collect()
        };
        Ok(sentences.iter().map(entities).collect())
    }
}

pub struct Troubled<T> {
    pub inner: T,
    pub strike: Box<dyn Fn(&RolloutGroup) + Send>,
}

impl<T: Stage> Stage for Troubled<T> {
    fn process(&mut self, group: &mut RolloutGroup) -> Result<(), StageError> {
        (self.strike)(group);
        self.inner.process(group)
    }
}

/// Share of words in common with the reference, and brevity.
pub struct Toy;

impl RewardSource for Toy {
    fn rewards(&self, case: &Case<'_>) -> addendum_rewards::Result<Vec<Reward>> {
        let score = |report: &Report<'_>| {
            let words: Vec<&str> = report.text.split_whitespace().collect();
            let common = words.iter().filter(|word| case.reference().contains(*word)).count();
            let overlap = common as f64 / words.len().max(1) as f64;
            let brevity = 1.0 / words.len().max(1) as f64;
            Reward {
                total: overlap + brevity,
                components: BTreeMap::from([("overlap".into(), overlap), ("brevity".into(), brevity)]),
            }
        };
        Ok(case.reports.iter().map(score).collect())
    }
}

pub struct ToyLearner {
    pub weights: Weights,
    momentum: Vec<f64>,
    pub steps: u64,
    trouble: Arc<Trouble>,
}

impl ToyLearner {
    pub fn new(trouble: Arc<Trouble>) -> Self {
        Self { weights: Weights(vec![0.1, -0.2, 0.3]), momentum: vec![0.0; 3], steps: 0, trouble }
    }
}

impl Learner<Weights> for ToyLearner {
    fn step(&mut self, groups: &[RolloutGroup]) -> Result<StepStats, EngineError> {
        if groups.is_empty() {
            self.steps += 1;
            return Ok(StepStats::default());
        }
        let mut gradient = [0.0; 3];
        for rollout in groups.iter().flat_map(|group| &group.rollouts) {
            let reward = rollout.reward.as_ref().ok_or("no reward")?.total;
            let weight = match &rollout.origin {
                Origin::Sampled { logprobs, .. } => logprobs.iter().map(|l| f64::from(*l)).sum::<f64>().exp(),
                Origin::Edited { .. } => 1.0,
                Origin::Reference => 2.0,
            };
            for (i, token) in rollout.tokens.iter().enumerate() {
                gradient[i % 3] += reward * weight * (f64::from(*token) * 0.37 + i as f64).sin();
            }
        }
        self.trouble.strike(&self.trouble.stepped, &self.trouble.learner_panics, "the learner");
        if self.trouble.learner_error == Some(self.steps) {
            return Err("out of memory".into());
        }
        for ((weight, momentum), gradient) in self.weights.0.iter_mut().zip(&mut self.momentum).zip(gradient) {
            *momentum = 0.9 * *momentum + gradient;
            *weight += 0.01 * *momentum / (1.0 + self.steps as f64);
        }
        self.steps += 1;
        Ok(StepStats { loss: gradient.iter().sum(), learning_rate: 0.01, ..StepStats::default() })
    }

    fn snapshot(&self) -> Result<Arc<Weights>, EngineError> {
        Ok(Arc::new(self.weights.clone()))
    }

    fn save(&self) -> Result<Vec<u8>, EngineError> {
        let numbers = [self.steps as f64].into_iter().chain(self.momentum.clone()).chain(self.weights.0.clone());
        Ok(Weights(numbers.collect()).bytes())
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), EngineError> {
        let numbers = self.read_snapshot(state)?.0;
        let [steps, rest @ ..] = numbers.as_slice() else {
            return Err("empty state".into());
        };
        self.steps = *steps as u64;
        self.momentum = rest[..3].to_vec();
        self.weights = Weights(rest[3..].to_vec());
        Ok(())
    }

    fn write_snapshot(&self, snapshot: &Weights) -> Result<Vec<u8>, EngineError> {
        Ok(snapshot.bytes())
    }

    fn read_snapshot(&self, bytes: &[u8]) -> Result<Weights, EngineError> {
        let number = |chunk: &[u8]| chunk.try_into().map(f64::from_le_bytes);
        Ok(Weights(bytes.chunks(8).map(number).collect::<Result<_, _>>()?))
    }
}

/// A toy learner whose steps are taken by a function.
pub struct Stepping<F>(pub ToyLearner, pub F);

impl<F> Learner<Weights> for Stepping<F>
where
    F: FnMut(&mut ToyLearner, &[RolloutGroup]) -> Result<StepStats, EngineError> + Send,
{
    fn step(&mut self, groups: &[RolloutGroup]) -> Result<StepStats, EngineError> {
        (self.1)(&mut self.0, groups)
    }

    fn snapshot(&self) -> Result<Arc<Weights>, EngineError> {
        self.0.snapshot()
    }

    fn save(&self) -> Result<Vec<u8>, EngineError> {
        self.0.save()
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), EngineError> {
        self.0.restore(state)
    }

    fn write_snapshot(&self, snapshot: &Weights) -> Result<Vec<u8>, EngineError> {
        self.0.write_snapshot(snapshot)
    }

    fn read_snapshot(&self, bytes: &[u8]) -> Result<Weights, EngineError> {
        self.0.read_snapshot(bytes)
    }
}
