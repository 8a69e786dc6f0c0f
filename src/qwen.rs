//! The Qwen2.5-VL policy as the back end of the actors: it samples, learns and tokenizes for them.

mod decoded;

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use addendum_actors::{BatchSampler as _, EngineError, Load, Request, Sampled, StepStats, engine};
use addendum_policy::{
    Adapter, LearnerConfig, Policy, SamplingConfig,
    algorithm::{Algorithm, Member},
    generate::{self, Batch, BatchConfig, GenerateRequest, Sample, Versioned},
    learner::{self, LearnerState, TrainGroup, TrainResponse},
    pack::EncodedPrompt,
    sampling::TokenSampler,
};
use addendum_replay::{Origin, PolicyVersion, Rollout, RolloutGroup};
use addendum_studies::{ImageSource, Prompt, Study};
use candle_core::Device;
use dashmap::DashMap;

pub use decoded::Decoded;

/// Encoded prompts, shared by samplers, learner and evaluation: the vision tower is frozen, so a study's images go
/// through it once per run, as far as the byte budget goes.
pub struct Prompts {
    policy: Arc<Policy>,
    encoded: DashMap<Key, Arc<EncodedPrompt>>,
    decoded: Arc<Decoded>,
    budget: usize,
    used: AtomicUsize,
}

/// The study's id, and a hash of what it shows: ids are unique within a dataset only, and a job has several.
type Key = (String, u64);

fn key(study: &str, prompt: &Prompt) -> Key {
    let mut hasher = DefaultHasher::new();
    prompt.text.hash(&mut hasher);
    for view in &prompt.views {
        match &view.image {
            ImageSource::Pixels(image) => (image.dimensions(), image.as_raw()).hash(&mut hasher),
            ImageSource::File(path) => path.hash(&mut hasher),
        }
    }
    (study.to_string(), hasher.finish())
}

impl Prompts {
    /// `budget` bounds the kept features, in bytes; studies beyond it are encoded whenever they are needed.
    pub fn new(policy: Arc<Policy>, budget: usize) -> Self {
        Self { policy, encoded: DashMap::new(), decoded: Arc::default(), budget, used: AtomicUsize::new(0) }
    }

    /// The same, with images that were decoded for several devices.
    #[must_use]
    pub fn sharing(self, decoded: Arc<Decoded>) -> Self {
        Self { decoded, ..self }
    }

    /// Decodes the images of a study that one of these devices, which share what is decoded, will soon be asked for. Of
    /// studies that nobody has encoded since, `most` are kept. What cannot be decoded says so when it is needed.
    pub fn foresee(devices: &[Arc<Self>], study: &Study, most: usize) {
        let prompt = Prompt::new(study);
        let key = key(&study.id, &prompt);
        let encoded = || devices.iter().all(|device| device.encoded.contains_key(&key));
        let Some(Self { policy, decoded, .. }) = devices.first().map(Arc::as_ref) else { return };
        if prompt.views.is_empty() || decoded.has(&key) || encoded() {
            return;
        }
        let Ok(tokenised) = policy.tokenise(&prompt) else { return };
        decoded.put(key.clone(), tokenised, most);
        if encoded() {
            decoded.take(&key);
        }
    }

    /// The policy whose prompts these are.
    pub fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// The encoded prompt of the study with this id. The image files of a prompt must not change during a run.
    pub fn encode(&self, study: &str, prompt: &Prompt) -> addendum_policy::Result<Arc<EncodedPrompt>> {
        let key = key(study, prompt);
        if let Some(found) = self.encoded.get(&key) {
            return Ok(found.clone());
        }
        let encoded = Arc::new(match self.decoded.take(&key) {
            Some((tokens, images)) => self.policy.encode_tokenised(tokens, &images)?,
            None => self.policy.encode(prompt)?,
        });
        let bytes = encoded.features.as_ref().map_or(0, |f| f.elem_count() * f.dtype().size_in_bytes());
        let fits = self.used.fetch_add(bytes, Ordering::Relaxed) + bytes <= self.budget;
        // Another thread may have encoded the same prompt meanwhile; it is kept, and counted, once.
        if !fits || self.encoded.insert(key.clone(), encoded.clone()).is_some() {
            self.used.fetch_sub(bytes, Ordering::Relaxed);
        }
        // It may have been decoded meanwhile, in vain.
        self.decoded.take(&key);
        Ok(encoded)
    }
}

/// Samples reports, those of many studies together.
pub struct Sampler {
    prompts: Arc<Prompts>,
    batch: Batch<'static>,
    max_sequences: usize,
    adapters: Arc<OnDevice>,
}

impl Sampler {
    /// One with the default [`BatchConfig`].
    pub fn new(prompts: Arc<Prompts>, sampling: SamplingConfig) -> addendum_policy::Result<Self> {
        Self::with(prompts, sampling, BatchConfig::default())
    }

    /// # Errors
    /// Settings out of their range; a cache that the device does not hold.
    pub fn with(prompts: Arc<Prompts>, sampling: SamplingConfig, batch: BatchConfig) -> addendum_policy::Result<Self> {
        let (policy, max_sequences) = (prompts.policy(), batch.max_sequences);
        let batch = policy.batch(&TokenSampler::new(sampling)?, batch)?;
        let adapters = Arc::new(OnDevice { device: policy.device().clone(), copies: Mutex::default() });
        Ok(Self { prompts, batch, max_sequences, adapters })
    }

    fn sampled(&self, samples: Vec<Sample>) -> Vec<Sampled> {
        let tokenizer = self.prompts.policy().tokenizer();
        let sampled = samples.into_iter().map(|sample| Sampled {
            text: tokenizer.decode(&sample.tokens),
            versions: sample.versions.into_iter().map(PolicyVersion).collect(),
            tokens: sample.tokens,
            logprobs: sample.logprobs,
            truncated: sample.truncated,
        });
        sampled.collect()
    }
}

impl engine::BatchSampler<Adapter> for Sampler {
    fn has_room(&self) -> bool {
        self.batch.has_room()
    }

    fn admit(&mut self, id: u64, request: Request<Adapter>) -> Result<(), EngineError> {
        let span = request.track.span("encoding");
        let prompt = self.prompts.encode(&request.study, &request.prompt)?;
        drop(span);
        let wanted = GenerateRequest { prompt, seeds: request.seeds.clone() };
        let adapters = self.adapters.clone();
        let newest = move || {
            let newest = request.newest();
            Ok(Versioned { version: newest.version.0, adapter: Some(adapters.copy(&newest.weights)?) })
        };
        self.batch.admit(id, wanted, newest).map_err(|error| format!("sampler.{error}").into())
    }

    fn advance(&mut self) -> Vec<(u64, Result<Vec<Sampled>, EngineError>)> {
        let ended = self.batch.step().into_iter();
        ended.map(|(id, samples)| (id, samples.map(|samples| self.sampled(samples)).map_err(Into::into))).collect()
    }

    /// On a GPU products choose their ways by the number of their rows.
    fn mixes(&self) -> Option<usize> {
        (!self.prompts.policy().device().is_cpu()).then_some(self.max_sequences)
    }

    fn load(&self) -> Load {
        let generate::Load { sequences, rows, capacity, .. } = self.batch.load();
        Load { sequences, cache: rows as f64 / capacity as f64 }
    }
}

impl engine::Sampler<Adapter> for Sampler {
    fn sample(&mut self, request: Request<Adapter>) -> Result<Vec<Sampled>, EngineError> {
        self.admit(0, request)?;
        loop {
            if let Some((_, sampled)) = self.advance().pop() {
                return sampled;
            }
        }
    }
}

/// Adapters on the device of a sampler: one copy of each, which all requests of its version share.
struct OnDevice {
    device: Device,
    copies: Mutex<Vec<(Arc<Adapter>, Weak<Adapter>)>>,
}

impl OnDevice {
    fn copy(&self, adapter: &Arc<Adapter>) -> addendum_policy::Result<Arc<Adapter>> {
        let mut copies = self.copies.lock().unwrap_or_else(PoisonError::into_inner);
        copies.retain(|(_, copy)| copy.strong_count() > 0);
        let found = copies.iter().find(|(of, _)| Arc::ptr_eq(of, adapter));
        if let Some(copy) = found.and_then(|(_, copy)| copy.upgrade()) {
            return Ok(copy);
        }
        let copy = Arc::new(adapter.to_device(&self.device)?);
        copies.push((adapter.clone(), Arc::downgrade(&copy)));
        Ok(copy)
    }
}

/// Tokenizes what was not sampled.
pub struct Tokenizer(pub Arc<Policy>);

impl engine::Tokenize for Tokenizer {
    fn splice(&self, sampled: &[u32], edited: &str) -> Result<Vec<u32>, EngineError> {
        Ok(self.0.tokenizer().splice(sampled, edited)?)
    }

    fn report(&self, text: &str) -> Result<Vec<u32>, EngineError> {
        Ok(self.0.tokenizer().encode_report(text)?)
    }
}

/// Trains the adapter.
pub struct Learner {
    prompts: Arc<Prompts>,
    learner: learner::Learner,
}

impl Learner {
    /// Trains on the first of these devices, and spreads the work over all of them.
    ///
    /// # Errors
    /// No device; settings out of their range.
    pub fn new(
        devices: &[Arc<Prompts>],
        adapter: Adapter,
        algorithm: Arc<dyn Algorithm>,
        config: LearnerConfig,
    ) -> addendum_policy::Result<Self> {
        let [home, others @ ..] = devices else {
            return Err(addendum_policy::Error::invalid("learner devices", "there is none"));
        };
        let replicas = others.iter().map(|prompts| prompts.policy().model().language.clone());
        let learner = home.policy().learner(adapter, algorithm, config)?.with_replicas(replicas);
        Ok(Self { prompts: home.clone(), learner })
    }

    fn train_group(&self, group: &RolloutGroup) -> Result<TrainGroup, EngineError> {
        let prompt = self.prompts.encode(&group.study.id, &Prompt::new(&group.study))?;
        let response = |(index, rollout): (usize, &Rollout)| {
            let reward = rollout.reward.as_ref().ok_or_else(|| {
                format!("study {}: rollout {index} has no reward; is there a reward stage?", group.study.id)
            })?;
            Ok::<_, EngineError>(TrainResponse {
                tokens: rollout.tokens.clone(),
                behaviour: match &rollout.origin {
                    Origin::Sampled { logprobs, .. } => Some(logprobs.clone()),
                    Origin::Edited { .. } | Origin::Reference => None,
                },
                shared: shared(group, rollout),
                reward: reward.total,
                truncated: rollout.truncated,
            })
        };
        Ok(TrainGroup { prompt, responses: group.rollouts.iter().enumerate().map(response).collect::<Result<_, _>>()? })
    }
}

impl engine::Learner<Adapter> for Learner {
    fn step(&mut self, groups: &[RolloutGroup]) -> Result<StepStats, EngineError> {
        let groups = groups.iter().map(|group| self.train_group(group)).collect::<Result<Vec<_>, _>>()?;
        let stats = self.learner.step(&groups)?;
        Ok(StepStats {
            loss: stats.loss,
            kl: stats.kl,
            entropy: stats.entropy,
            gradient_norm: stats.gradient_norm,
            clip_fraction: stats.metrics.clip_fraction,
            logprob_difference: stats.metrics.behaviour_log_ratio_abs_mean,
            importance_weight: stats.metrics.importance_weight_mean,
            effective_sample_size: stats.metrics.effective_sample_size,
            skipped: stats.skipped,
            out_of_memory: stats.out_of_memory,
            learning_rate: stats.learning_rate,
        })
    }

    fn snapshot(&self) -> Result<Arc<Adapter>, EngineError> {
        Ok(Arc::new(self.learner.adapter()))
    }

    fn save(&self) -> Result<Vec<u8>, EngineError> {
        Ok(self.learner.state()?.to_bytes())
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), EngineError> {
        let device = self.prompts.policy().device();
        Ok(self.learner.restore(&LearnerState::from_bytes(state)?, device)?)
    }

    fn write_snapshot(&self, snapshot: &Adapter) -> Result<Vec<u8>, EngineError> {
        Ok(snapshot.to_bytes()?)
    }

    fn read_snapshot(&self, bytes: &[u8]) -> Result<Adapter, EngineError> {
        let policy = self.prompts.policy();
        let lora = self.learner.adapter().config().clone();
        Ok(Adapter::from_bytes(policy.config(), lora, bytes, policy.device())?)
    }
}

/// How many of its first tokens a copy has in common with its source; 0 for what is no copy, or whose source is gone.
fn shared(group: &RolloutGroup, rollout: &Rollout) -> usize {
    let source = rollout.source().and_then(|source| group.rollout(source));
    let pairs = source.into_iter().flat_map(|source| source.tokens.iter().zip(&rollout.tokens));
    pairs.take_while(|(a, b)| a == b).count()
}

/// Whether an algorithm would spend a step on a scored group.
pub fn worth(algorithm: &dyn Algorithm, group: &RolloutGroup) -> bool {
    let member = |rollout: &Rollout| Member {
        reward: rollout.reward.as_ref().map_or(f64::NAN, |reward| reward.total),
        tokens: rollout.tokens.len(),
        truncated: rollout.truncated,
        sampled: rollout.is_sampled(),
    };
    algorithm.worthwhile(&group.rollouts.iter().map(member).collect::<Vec<_>>())
}
