//! A minibatch's passes through the network under one adapter: in micro-batches, over all devices that take part.

use std::{panic::resume_unwind, time::Instant};

use addendum_kernels::{copy_to, serially};
use candle_core::{Device, Tensor, Var};
use rayon::prelude::*;

use super::{
    batches::{self, Piece},
    config::{LearnerConfig, Recompute, SharedPrefix},
    gradient::{Forward, Live},
    group::{Kept, Lesson, TrainGroup, Weighed},
};
use crate::{
    Adapter, Config, Error, Result,
    memory::{DeviceKind, Memory, StepShape},
    model::Language,
    objective::{Batch, Objective, ResponseTerms, Tally},
    optim::Tensors,
    pack::Packed,
};

/// The network under one adapter, on every device.
pub struct Passes<'a> {
    config: &'a LearnerConfig,
    model: &'a Config,
    /// The first is where gradients are summed.
    replicas: &'a [Language],
    adapter: &'a Adapter,
    live: Vec<Live>,
    room: Room,
}

/// Packed tokens of a micro-batch.
#[derive(Clone, Copy)]
pub struct Room {
    /// At most.
    pub tokens: usize,
    /// Above this a device is said to run out of memory.
    pub memory: usize,
}

/// The gradient of a minibatch, or what one micro-batch contributes to it.
#[derive(Default)]
pub struct Gradient {
    /// Empty where no token counts.
    pub tensors: Tensors,
    pub loss: f64,
    pub policy_loss: f64,
    pub kl: f64,
    /// Mean over the minibatch's tokens that count, in nats.
    pub entropy: f64,
    pub tally: Tally,
    pub seconds: Seconds,
    /// The same for the factors of every layer, while it is summed.
    layers: Vec<Tensor>,
    /// Of every response that went through the network, in order.
    kept: Vec<Kept>,
}

/// Seconds of the reference's, the policy's and the backward passes, summed over micro-batches.
#[derive(Clone, Copy, Default)]
pub struct Seconds {
    pub reference: f64,
    pub forward: f64,
    pub backward: f64,
}

struct Plan<'a> {
    batches: Vec<Vec<Piece<'a>>>,
    recompute: bool,
    /// Micro-batches that run at the same time.
    lanes: usize,
}

impl<'a> Passes<'a> {
    pub fn new(
        config: &'a LearnerConfig,
        model: &'a Config,
        replicas: &'a [Language],
        adapter: &'a Adapter,
        room: Room,
    ) -> Result<Self> {
        let live = replicas.iter().map(|replica| live(model, adapter, replica.device())).collect::<Result<_>>()?;
        Ok(Self { config, model, replicas, adapter, live, room })
    }

    /// Packed tokens of the largest micro-batch.
    pub fn largest(&self, lessons: &[Lesson]) -> Result<usize> {
        Ok(self.plan(lessons)?.batches.iter().map(|batch| tokens(batch)).max().unwrap_or(0))
    }

    /// The objective's gradient for every factor of the adapter. A response that this policy is the first to see keeps
    /// its log-probabilities: they are those of the policy at the start of the step.
    pub fn gradient(&self, lessons: &mut [Lesson], objective: &Objective) -> Result<Gradient> {
        let batch = Batch::of(lessons.iter().flat_map(|l| l.responses.iter().map(Weighed::length)));
        let mut sum = Gradient::default();
        if batch.tokens == 0 {
            return Ok(sum);
        }
        let plan = self.plan(lessons)?;
        let part = |pieces: &[Piece], replica: usize| self.part(pieces, replica, objective, batch, plan.recompute);
        self.in_order(&plan, part, |part| sum.add(part))?;
        let layers = std::mem::take(&mut sum.layers);
        if !layers.is_empty() {
            sum.tensors = self.adapter.with_flats(self.model, layers)?.tensors().clone();
        }
        let kept = std::mem::take(&mut sum.kept);
        keep(lessons, kept);
        Ok(sum)
    }

    /// Only keeps the log-probabilities of the responses.
    pub fn keep(&self, lessons: &mut [Lesson]) -> Result<Seconds> {
        let plan = self.plan(lessons)?;
        let mut sum = Gradient::default();
        let part = |pieces: &[Piece], replica: usize| {
            self.room.take(pieces)?;
            let (language, live) = (&self.replicas[replica], &self.live[replica]);
            let packed = self.pack(pieces);
            let mut clock = Clock::default();
            let reference = self.reference(&packed, language)?;
            let reference_seconds = clock.lap();
            let proximal = packed.log_probs(language, Some(&live.frozen), self.config.temperature)?.log_probs;
            let proximal = proximal.to_vec1::<f32>()?;
            let seconds = Seconds { reference: reference_seconds, forward: clock.lap(), backward: 0.0 };
            Ok(Gradient { kept: apart(pieces, &proximal, reference.as_deref()), seconds, ..Gradient::default() })
        };
        self.in_order(&plan, part, |part| sum.add(part))?;
        keep(lessons, sum.kept);
        Ok(sum.seconds)
    }

    /// Micro-batches may run in parallel; what they give is always taken in order.
    fn in_order(
        &self,
        plan: &Plan,
        part: impl Fn(&[Piece], usize) -> Result<Gradient> + Sync,
        mut take: impl FnMut(Gradient) -> Result<()>,
    ) -> Result<()> {
        let part = |(i, pieces): (usize, &Vec<Piece>)| part(pieces, i % self.replicas.len());
        let numbered: Vec<_> = plan.batches.iter().enumerate().collect();
        for batches in numbered.chunks(plan.lanes) {
            let parts: Vec<Gradient> = match *batches {
                [one] if plan.lanes == 1 => vec![part(one)?],
                _ if self.replicas.len() > 1 => Self::side_by_side(batches, &part)?,
                _ => batches.par_iter().map(|&batch| serially(|| part(batch))).collect::<Result<_>>()?,
            };
            parts.into_iter().try_for_each(&mut take)?;
        }
        Ok(())
    }

    /// A thread for each device, because a pool may have a single one.
    fn side_by_side<T: Copy + Send>(
        batches: &[T],
        part: &(impl Fn(T) -> Result<Gradient> + Sync),
    ) -> Result<Vec<Gradient>> {
        std::thread::scope(|scope| {
            let start = |&batch: &T| scope.spawn(move || serially(|| part(batch)));
            let running: Vec<_> = batches.iter().map(start).collect();
            running.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
        })
    }

    fn plan<'l>(&self, lessons: &'l [Lesson<'l>]) -> Result<Plan<'l>> {
        let always = self.config.recompute == Recompute::Always;
        let replicas = self.replicas.len();
        let shared = self.config.shared_prefix != SharedPrefix::None;
        let groups = || lessons.iter().map(|lesson| lesson.group);
        let tokens: usize = groups().map(TrainGroup::tokens).sum();
        // A response that is longer than any before must be tried before it is said not to fit.
        let room = groups().map(TrainGroup::largest_alone).fold(self.room.tokens, usize::max);
        let together = match replicas {
            1 => self.config.micro_batch_tokens,
            n => self.config.micro_batch_tokens.min(tokens.div_ceil(n)),
        };
        let Some(limit) = self.config.memory_limit else {
            let batches = batches::cut(lessons, shared, together, room)?;
            // One micro-batch uses all threads; several use one each.
            let lanes = match replicas {
                1 if always || batches.len() == 1 || !self.replicas[0].device().is_cpu() => 1,
                1 => rayon::current_num_threads(),
                n => n,
            };
            return Ok(Plan { batches, recompute: always, lanes });
        };
        let (head, lora) = (self.replicas[0].head(), self.adapter.config());
        let memory = Memory::new(self.model, head.dtype(), lora, DeviceKind::of(head.device()));
        let longest = groups().map(TrainGroup::tokens).max().unwrap_or(0);
        let fits = memory.tokens_within(limit, false) >= longest;
        let recompute = always || (self.config.recompute == Recompute::WhenNeeded && !fits);
        let most = memory.tokens_within(limit, recompute).min(room);
        let batches = batches::cut(lessons, shared, together, most).map_err(|error| {
            let fixed = memory.step(StepShape { tokens: 0, response_tokens: 0, recompute }).total();
            Error::invalid("learner.memory_limit", format!("{limit} bytes, {fixed} of them for the weights: {error}"))
        })?;
        Ok(Plan { batches, recompute, lanes: replicas })
    }

    fn part(
        &self,
        pieces: &[Piece],
        replica: usize,
        objective: &Objective,
        batch: Batch,
        recompute: bool,
    ) -> Result<Gradient> {
        self.room.take(pieces)?;
        let (language, live) = (&self.replicas[replica], &self.live[replica]);
        let packed = self.pack(pieces);
        let known: Option<Vec<Kept>> = responses(pieces).map(|r| r.kept.clone()).collect();
        let mut clock = Clock::default();
        let reference = if known.is_some() { None } else { self.reference(&packed, language)? };
        let reference_seconds = clock.lap();
        let forward = Forward::new(language, &packed, live, self.config.temperature, recompute)?;
        let log_probs = &forward.output.log_probs;
        let new = log_probs.to_vec1::<f32>()?;
        let entropies = forward.output.entropy.to_vec1::<f32>()?;
        let forward_seconds = clock.lap();

        // The first update of a step moves away from the proximal policy, which is the one it still sees.
        let kept = known.unwrap_or_else(|| apart(pieces, &new, reference.as_deref()));
        let mut at = 0;
        let mut terms = Vec::new();
        let mut entropy = 0.0;
        for (weighed, kept) in responses(pieces).zip(&kept) {
            let range = at..at + weighed.response.tokens.len();
            at = range.end;
            let mask = weighed.mask.as_deref();
            let counted = entropies[range.clone()].iter().enumerate();
            let counted = counted.filter(|(token, _)| mask.is_none_or(|mask| mask[*token]));
            entropy = counted.fold(entropy, |sum, (_, &h)| sum + f64::from(h));
            terms.push(ResponseTerms {
                new: &new[range],
                proximal: &kept.proximal,
                behaviour: weighed.response.behaviour.as_deref(),
                reference: kept.reference.as_deref(),
                mask,
                advantage: weighed.advantage,
                shared: weighed.response.shared,
            });
        }
        let output = objective.evaluate_part(&terms, batch)?;
        let slope: Vec<f32> = output.gradient.concat();
        let slope = Tensor::from_vec(slope, log_probs.dims(), log_probs.device())?;
        let home = self.replicas[0].device();
        let mut layers = forward.backward(&slope)?;
        for layer in &mut layers {
            *layer = copy_to(layer, home)?;
        }
        // For the clock.
        language.device().synchronize()?;
        Ok(Gradient {
            layers,
            tensors: Tensors::new(),
            loss: output.loss,
            policy_loss: output.policy_loss,
            kl: output.kl,
            entropy: entropy / batch.tokens as f64,
            tally: output.tally,
            seconds: Seconds { reference: reference_seconds, forward: forward_seconds, backward: clock.lap() },
            kept,
        })
    }

    fn pack(&self, pieces: &[Piece]) -> Packed {
        let groups = pieces.iter().map(|piece| {
            let responses = piece.responses.iter().map(|r| r.response.tokens.as_slice());
            (piece.prompt, responses.collect())
        });
        match self.config.shared_prefix {
            SharedPrefix::Trie => Packed::new(groups),
            SharedPrefix::Prompt | SharedPrefix::None => Packed::apart(groups),
        }
    }

    /// Log-probabilities under the base, unless the objective does without.
    fn reference(&self, packed: &Packed, language: &Language) -> Result<Option<Vec<f32>>> {
        if self.config.objective.kl_coefficient == 0.0 {
            return Ok(None);
        }
        let log_probs = packed.log_probs(language, None, self.config.temperature)?.log_probs;
        Ok(Some(log_probs.to_vec1::<f32>()?))
    }
}

impl Room {
    fn take(self, pieces: &[Piece]) -> Result<()> {
        match tokens(pieces) > self.memory {
            true => Err(candle_core::Error::Msg("out of memory, as it was asked for".into()).into()),
            false => Ok(()),
        }
    }
}

fn tokens(pieces: &[Piece]) -> usize {
    pieces.iter().map(Piece::tokens).sum()
}

impl Gradient {
    fn add(&mut self, part: Self) -> Result<()> {
        if self.layers.is_empty() {
            self.layers = part.layers;
        } else {
            for (sum, layer) in self.layers.iter_mut().zip(part.layers) {
                *sum = (&*sum + layer)?;
            }
        }
        self.tally.merge(&part.tally);
        self.loss += part.loss;
        self.policy_loss += part.policy_loss;
        self.kl += part.kl;
        self.entropy += part.entropy;
        self.seconds.reference += part.seconds.reference;
        self.seconds.forward += part.seconds.forward;
        self.seconds.backward += part.seconds.backward;
        self.kept.extend(part.kept);
        Ok(())
    }
}

/// The adapter as variables on a device.
pub fn live(model: &Config, adapter: &Adapter, device: &Device) -> Result<Live> {
    let frozen = adapter.to_device(device)?;
    let flats = (0..model.text.layers).filter_map(|i| Some(frozen.layer(i)?.factors().flat()));
    let vars: Vec<Var> = flats.map(|flat| Ok(Var::from_tensor(&flat.detach())?)).collect::<Result<_>>()?;
    let trained = frozen.with_flats(model, vars.iter().map(|var| var.as_tensor().clone()).collect())?;
    Ok(Live { vars, trained, frozen })
}

fn responses<'p>(pieces: &'p [Piece]) -> impl Iterator<Item = &'p Weighed<'p>> {
    pieces.iter().flat_map(|piece| piece.responses.iter().copied())
}

/// The values of packed responses, for each by itself.
fn apart(pieces: &[Piece], proximal: &[f32], reference: Option<&[f32]>) -> Vec<Kept> {
    let mut at = 0;
    responses(pieces)
        .map(|weighed| {
            let range = at..at + weighed.response.tokens.len();
            at = range.end;
            Kept { proximal: proximal[range.clone()].into(), reference: reference.map(|r| r[range].into()) }
        })
        .collect()
}

/// Hands every response that goes through the network its own.
fn keep(lessons: &mut [Lesson], kept: Vec<Kept>) {
    let responses = lessons.iter_mut().flat_map(|lesson| &mut lesson.responses).filter(|r| !r.is_masked());
    for (response, kept) in responses.zip(kept) {
        response.kept = Some(kept);
    }
}

struct Clock(Instant);

impl Default for Clock {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Clock {
    fn lap(&mut self) -> f64 {
        let seconds = self.0.elapsed().as_secs_f64();
        self.0 = Instant::now();
        seconds
    }
}
