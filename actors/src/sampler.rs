//! The sampler actor: takes tickets, has their studies sampled, hands each group to the first stage when it is ready.
//!
//! There is one per device or server. It takes a ticket only while it has room for one, so a slow device takes fewer.

mod assignment;
mod batching;
mod engine;
mod fixed;
mod remote;
mod under_way;

use std::sync::Arc;

use addendum_replay::Mode;
use ractor::{Actor, ActorProcessingErr, ActorRef};

pub(crate) use self::engine::{Batch, BuildSampler, OneByOne, Remote};
use self::{batching::Batching, fixed::Fixed, remote::Waiting};
use crate::{
    compute::{Compute, Failure},
    context::{Context, FINISHED},
    messages::Next,
};

pub(crate) struct SamplerActor<S> {
    pub index: usize,
    pub context: Arc<Context<S>>,
    pub build: BuildSampler<S>,
}

/// How it samples.
pub(crate) enum SamplerState<S> {
    Batching(Box<Batching<S>>),
    Fixed(Box<Fixed<S>>),
    Waiting(Waiting<S>),
}

impl<S: Send + Sync + 'static> Actor for SamplerActor<S> {
    type Msg = Next;
    type State = SamplerState<S>;
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<Next>, _: ()) -> Result<Self::State, ActorProcessingErr> {
        let (index, context) = (self.index, self.context.clone());
        let (name, threads) = (format!("sampler-{index}"), context.config.threads.sampler);
        let state = match self.build.clone() {
            BuildSampler::Batch(build) => {
                let engine = Compute::spawn(&name, threads, move || build(index)).await?;
                let reader = Compute::spawn(&format!("{name}-reader"), 1, || Ok::<_, Failure>(())).await?;
                match engine.run(|engine| Ok::<_, Failure>(engine.mixes())).await? {
                    Some(reports) if context.config.mode == Mode::FixedLag => {
                        SamplerState::Fixed(Box::new(Fixed::new(index, &name, context, engine, reader, reports)))
                    }
                    _ => SamplerState::Batching(Box::new(Batching::new(index, &name, context, engine, reader))),
                }
            }
            BuildSampler::Remote(build) => {
                let engine = Compute::spawn(&name, threads, move || build(index)).await?;
                SamplerState::Waiting(Waiting::new(&name, context, engine).await?)
            }
        };
        myself.cast(Next)?;
        Ok(state)
    }

    async fn handle(&self, myself: ActorRef<Next>, _: Next, state: &mut Self::State) -> Result<(), ActorProcessingErr> {
        let goes_on = match state {
            SamplerState::Batching(batching) => batching.turn().await?,
            SamplerState::Fixed(fixed) => fixed.turn().await?,
            SamplerState::Waiting(waiting) => waiting.turn().await?,
        };
        if goes_on {
            myself.cast(Next)?;
        } else {
            myself.stop(Some(FINISHED.to_string()));
        }
        Ok(())
    }
}
