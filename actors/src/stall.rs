//! Notices that nothing moves: says who waits for whom, and ends the run if that lasts.

use std::time::Duration;

use crate::{Event, RunError, context::Context, messages::RecorderMessage, telemetry};

/// How often one looks, as a part of the shortest time that there is to notice.
const LOOKS: f64 = 8.0;
const RAREST: Duration = Duration::from_secs(5);

/// Completes when nothing has moved for too long.
pub(crate) async fn too_long<S>(context: &Context<S>) -> RunError {
    let stall = context.config.stall;
    let limit = |seconds: f64| (seconds > 0.0).then(|| Duration::from_secs_f64(seconds));
    let (warn, end) = (limit(stall.warn_seconds), limit(stall.end_seconds));
    let Some(shortest) = warn.into_iter().chain(end).min() else { return std::future::pending().await };
    let mut told = false;
    loop {
        tokio::time::sleep(shortest.div_f64(LOOKS).min(RAREST)).await;
        let still = context.meter.board.still();
        let report = || context.meter.board.report(context.gate.version(), &context.config);
        if end.is_some_and(|end| still >= end) {
            telemetry::stalled("ended");
            return RunError::Stalled { seconds: still.as_secs(), report: report() };
        }
        let due = warn.is_some_and(|warn| still >= warn);
        if due && !told {
            telemetry::stalled("told");
            let event = Event::Stalled { seconds: still.as_secs(), report: report() };
            context.recorder.put(RecorderMessage::Event(event));
        }
        told = due;
    }
}
