//! A sampler that samples nothing: it gives what was recorded.

use std::sync::Arc;

use super::Recording;
use crate::{EngineError, Request, Sampled, Sampler};

pub(crate) struct Replayed(pub Arc<Recording>);

impl<S: Send + Sync> Sampler<S> for Replayed {
    fn sample(&mut self, request: Request<S>) -> Result<Vec<Sampled>, EngineError> {
        let ticket = request.ticket.ok_or("a request without a ticket has no recorded reports")?;
        let Some((study, reports)) = self.0.reports(ticket)? else {
            return Err("the recorded run trained on no group in this place".into());
        };
        if study != request.study {
            let path = self.0.path().display();
            return Err(format!(
                "{path}: {ticket} was sampled for the study {study}, the training set has {} there: it has changed",
                request.study
            )
            .into());
        }
        Ok(reports)
    }
}
