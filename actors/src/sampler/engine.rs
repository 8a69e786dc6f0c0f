//! What a sampler actor samples with: something that computes, or something to wait for.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
};

use crate::{
    AsyncSampler, BatchSampler, EngineError, Request, Sampled, Sampler,
    compute::{Failure, IntoFailure, guarded},
};

/// Builds a `T` for the actor with the given index.
type Build<T> = Arc<dyn Fn(usize) -> Result<T, EngineError> + Send + Sync>;

pub(crate) type Batch<S> = Box<dyn BatchSampler<S>>;
pub(crate) type Remote<S> = Arc<dyn Ask<S>>;

/// Builds what the actors sample with.
pub(crate) enum BuildSampler<S> {
    Batch(Build<Batch<S>>),
    Remote(Build<Remote<S>>),
}

impl<S> Clone for BuildSampler<S> {
    fn clone(&self) -> Self {
        match self {
            Self::Batch(build) => Self::Batch(build.clone()),
            Self::Remote(build) => Self::Remote(build.clone()),
        }
    }
}

/// A [`Sampler`] as a batch of one request.
pub(crate) struct OneByOne<S, M> {
    sampler: M,
    next: Option<(u64, Request<S>)>,
}

impl<S, M> OneByOne<S, M> {
    pub fn new(sampler: M) -> Self {
        Self { sampler, next: None }
    }
}

impl<S: Send + Sync, M: Sampler<S>> BatchSampler<S> for OneByOne<S, M> {
    fn has_room(&self) -> bool {
        self.next.is_none()
    }

    fn admit(&mut self, id: u64, request: Request<S>) -> Result<(), EngineError> {
        self.next = Some((id, request));
        Ok(())
    }

    fn advance(&mut self) -> Vec<(u64, Result<Vec<Sampled>, EngineError>)> {
        self.next.take().into_iter().map(|(id, request)| (id, self.sampler.sample(request))).collect()
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
