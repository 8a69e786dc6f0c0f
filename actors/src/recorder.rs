//! The recorder actor: has the run folder written, and the observer told, in the order in which things happened.

use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef};

use crate::{
    compute::Failure,
    context::Context,
    messages::{Mail, RecorderMessage},
};

pub(crate) struct RecorderActor<S>(pub Arc<Context<S>>);

impl<S: Send + Sync + 'static> Actor for RecorderActor<S> {
    type Msg = Mail;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Mail>, _: ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(&self, _: ActorRef<Mail>, _: Mail, _: &mut ()) -> Result<(), ActorProcessingErr> {
        Ok(catch_up(&self.0).await?)
    }
}

/// Writes what is in the recorder's mailbox. Messages are taken out on the writer's thread, so whoever asked for this
/// may die without losing any.
pub(crate) async fn catch_up<S: Send + Sync + 'static>(context: &Arc<Context<S>>) -> Result<(), Failure> {
    let shared = context.clone();
    let written = context.writer.run(move |writer| {
        let track = shared.meter.trace.track("recorder");
        while let Some(message) = shared.recorder.take() {
            let _span = track.span(message.name());
            // News of standing still must not count as a movement.
            let writes = !matches!(message, RecorderMessage::Event(_));
            let _busy = writes.then(|| shared.meter.board.busy("recorder", format!("writing: {}", message.name())));
            if let Err(error) = writer.write(message) {
                shared.fail(error);
            }
        }
        Ok::<_, Failure>(())
    });
    written.await
}
