//! What a sampler actor samples with: something that computes, or something to wait for.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
};

use crate::{
    AsyncSampler, EngineError, Request, Sampled, Sampler,
    compute::{Failure, IntoFailure, guarded},
};

/// Builds what the actor with the given index samples with.
pub(crate) type BuildSampler<S> = Arc<dyn Fn(usize) -> Result<Engine<S>, EngineError> + Send + Sync>;

pub(crate) type Remote<S> = Arc<dyn Ask<S>>;

pub(crate) enum Engine<S> {
    Computing(Box<dyn Sampler<S>>),
    Remote(Remote<S>),
}

impl<S> Engine<S> {
    pub fn remote(&self) -> Option<Remote<S>> {
        match self {
            Self::Computing(_) => None,
            Self::Remote(remote) => Some(remote.clone()),
        }
    }

    /// Requests under way at the same time.
    pub fn capacity(&self) -> Result<usize, Failure> {
        match self {
            Self::Computing(_) => Ok(1),
            Self::Remote(remote) => match remote.capacity() {
                0 => Err(Failure::Refused("the sampler's capacity is 0, expected at least 1".to_string())),
                capacity => Ok(capacity),
            },
        }
    }
}

type Answer<'a> = Pin<Box<dyn Future<Output = Result<Vec<Sampled>, EngineError>> + Send + 'a>>;

/// An [`AsyncSampler`] of whatever type.
pub(crate) trait Ask<S>: Send + Sync {
    fn capacity(&self) -> usize;

    fn ask(&self, request: Request<S>) -> Answer<'_>;
}

impl<S: Send + Sync + 'static, T: AsyncSampler<S>> Ask<S> for T {
    fn capacity(&self) -> usize {
        AsyncSampler::capacity(self)
    }

    fn ask(&self, request: Request<S>) -> Answer<'_> {
        Box::pin(self.sample(request))
    }
}

/// Waits for the answer; a panic on the way to it becomes [`Failure::Crashed`].
pub(super) async fn answer<S>(remote: &dyn Ask<S>, request: Request<S>) -> Result<Vec<Sampled>, Failure> {
    let mut answer = pin!(guarded(|| Ok::<_, Failure>(remote.ask(request)))?);
    poll_fn(|cx| match guarded(|| Ok::<_, Failure>(answer.as_mut().poll(cx))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(answer)) => Poll::Ready(answer.map_err(EngineError::into_failure)),
        Err(crash) => Poll::Ready(Err(crash)),
    })
    .await
}
