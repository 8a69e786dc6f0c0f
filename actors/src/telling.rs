//! Tells every second how a run stands. Nobody waits for it, and a status that cannot be written is left out.

use std::{
    process,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use crate::{
    compute::Failure,
    context::Context,
    status::{RunState, RunStatus},
    telemetry,
};

/// How often a run tells of itself.
const EVERY: Duration = Duration::from_secs(1);

/// Tells of the run until it is dropped.
pub(crate) async fn keep_telling<S: Send + Sync + 'static>(context: Arc<Context<S>>, started: Instant) {
    loop {
        tell(&context, started, RunState::Running, None).await;
        tokio::time::sleep(EVERY).await;
    }
}

/// Tells of the run as it is now.
pub(crate) async fn tell<S: Send + Sync + 'static>(
    context: &Context<S>,
    started: Instant,
    state: RunState,
    error: Option<String>,
) {
    let (board, config) = (&context.meter.board, &context.config);
    let (actors, tickets) = board.census();
    let status = RunStatus {
        state,
        error,
        time: SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs_f64(),
        process: process::id(),
        seconds: started.elapsed().as_secs_f64(),
        version: context.gate.version().0,
        steps: config.steps,
        still_seconds: board.still().as_secs_f64(),
        actors,
        tickets,
        tickets_at_most: config.batch_groups.saturating_mul(config.staleness.saturating_add(1)),
    };
    telemetry::status(&status);
    if context.has_folder {
        let write = context.writer.run(move |writer| {
            writer.status(&status);
            Ok::<_, Failure>(())
        });
        let _ = write.await;
    }
}
