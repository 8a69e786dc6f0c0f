//! A run as traces of OpenTelemetry, sent to a collector over OTLP (HTTP, protobuf): one trace per ticket and one per step
//! of the learner.
//!
//! Nobody waits for the collector. What actors tell goes through a bounded queue to a thread of its own; what finds the
//! queue full, or does not reach the collector, is lost and counted, and said once.

mod client;
mod spans;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use addendum_actors::Moment;
use crossbeam::channel::{self, Receiver, Sender};
use opentelemetry::KeyValue;
use opentelemetry_otlp::{ExporterBuildError, Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{Resource, trace::SpanExporter as _};
use thiserror::Error;
use tokio::runtime::{Builder, Runtime};

use client::Client;
use spans::{Spans, attribute};

/// Moments that may wait: some thousand tickets.
const WAITING: usize = 1 << 15;

/// Spans that are sent at once.
const BATCH: usize = 512;

/// How long spans wait for others.
const EVERY: Duration = Duration::from_secs(1);

/// How long the collector may take for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long the end of a run waits for the last spans.
const AT_THE_END: Duration = Duration::from_secs(3);

/// What keeps spans from being sent at all.
#[derive(Debug, Error)]
pub enum OtlpError {
    /// The address is none, or a variable of the environment (`OTEL_EXPORTER_OTLP_…`) asks for what this build has not.
    #[error("telemetry.otlp: {0}")]
    Exporter(#[from] ExporterBuildError),
    /// The system gave no thread.
    #[error("telemetry.otlp: no thread to send from: {0}")]
    Thread(#[from] std::io::Error),
}

/// Spans on their way to a collector.
pub struct Exporter {
    queue: Sender<Moment>,
    end: Sender<()>,
    ended: Receiver<()>,
    tally: Arc<Tally>,
}

/// What became of spans. One that was never made, because the queue was full, counts as one too.
#[derive(Debug, Default)]
struct Tally {
    sent: AtomicU64,
    lost: AtomicU64,
    /// Made, and neither sent nor lost so far.
    waiting: AtomicU64,
}

fn add(count: &AtomicU64, spans: usize) {
    count.fetch_add(spans as u64, Ordering::Relaxed);
}

/// How many spans reached the collector, and how many did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The collector accepted the requests that they were in; whether it keeps all of them is its own affair.
    pub taken: u64,
    /// The collector was away, too slow, or did not want them.
    pub lost: u64,
}

impl Sent {
    /// What there is to say of spans that were lost, if some were.
    pub fn told_lost(self) -> Option<String> {
        let Self { taken, lost } = self;
        (lost > 0).then(|| format!("telemetry.otlp: {lost} of {} spans did not reach the collector", taken + lost))
    }
}

impl Exporter {
    /// Sends to the collector at `url`, such as `http://127.0.0.1:4318`; `facts` tell which run this is. Nobody is asked yet
    /// whether the collector is there.
    ///
    /// # Errors
    /// What no collector could change.
    pub fn start(url: &str, facts: &[(&'static str, String)]) -> Result<Self, OtlpError> {
        let client = Client::new(PATIENCE);
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client.clone())
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(endpoint(url))
            .with_timeout(PATIENCE)
            .build()?;
        let facts = facts.iter().map(|(name, fact)| KeyValue::new(attribute(name), fact.clone()));
        exporter.set_resource(&Resource::builder().with_service_name("addendum").with_attributes(facts).build());
        let (queue, told) = channel::bounded(WAITING);
        let (end, asked_to_end) = channel::bounded(1);
        let (done, ended) = channel::bounded(1);
        let tally = Arc::<Tally>::default();
        let runtime = Builder::new_current_thread().build()?;
        let sender = Sending { url: url.to_owned(), client, exporter, runtime, tally: tally.clone(), warned: false };
        thread::Builder::new().name("otlp".into()).spawn(move || {
            sender.run(&told, &asked_to_end);
            let _ = done.send(());
        })?;
        Ok(Self { queue, end, ended, tally })
    }

    /// What a run's trace is told to.
    pub fn listener(&self) -> impl Fn(&Moment) + Send + Sync + 'static {
        let (queue, tally) = (self.queue.clone(), self.tally.clone());
        move |moment| {
            if queue.try_send(moment.clone()).is_err() {
                add(&tally.lost, 1);
            }
        }
    }

    /// Sends what is left, for a few seconds at most. Call it when the run is over.
    pub fn finish(self) -> Sent {
        let _ = self.end.try_send(());
        let late = self.ended.recv_timeout(AT_THE_END).is_err();
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        // What is under way may still arrive; nobody will know.
        let unknown = if late { self.queue.len() as u64 + read(&self.tally.waiting) } else { 0 };
        Sent { taken: read(&self.tally.sent), lost: read(&self.tally.lost) + unknown }
    }
}

/// Where traces are taken at an address of a collector.
fn endpoint(url: &str) -> String {
    const TRACES: &str = "/v1/traces";
    let url = url.trim_end_matches('/');
    if url.ends_with(TRACES) { url.into() } else { format!("{url}{TRACES}") }
}

/// The thread that makes spans and sends them.
struct Sending {
    url: String,
    client: Client,
    exporter: SpanExporter,
    runtime: Runtime,
    tally: Arc<Tally>,
    warned: bool,
}

impl Sending {
    fn run(mut self, told: &Receiver<Moment>, end: &Receiver<()>) {
        let mut spans = Spans::default();
        let mut sent = Instant::now();
        loop {
            channel::select! {
                recv(told) -> moment => moment.into_iter().for_each(|moment| spans.hear(moment)),
                recv(end) -> _ => break,
                default(EVERY) => {}
            }
            if spans.ready.len() >= BATCH || sent.elapsed() >= EVERY {
                self.send(&mut spans);
                sent = Instant::now();
            }
        }
        told.try_iter().for_each(|moment| spans.hear(moment));
        // A collector that is away now keeps nobody waiting once more.
        while !spans.ready.is_empty() && self.send(&mut spans) {}
        add(&self.tally.lost, spans.ready.len());
    }

    /// Sends a batch, if there is something to send; whether it was taken.
    fn send(&mut self, spans: &mut Spans) -> bool {
        add(&self.tally.lost, std::mem::take(&mut spans.lost));
        self.tally.waiting.store(spans.ready.len() as u64, Ordering::Relaxed);
        let batch: Vec<_> = spans.ready.drain(..spans.ready.len().min(BATCH)).collect();
        let count = batch.len();
        if count == 0 {
            return true;
        }
        match self.runtime.block_on(self.exporter.export(batch)) {
            Ok(()) => add(&self.tally.sent, count),
            Err(error) => {
                add(&self.tally.lost, count);
                if !std::mem::replace(&mut self.warned, true) {
                    let reason = self.client.failure().unwrap_or_else(|| error.to_string());
                    tracing::warn!("telemetry.otlp: {}: {reason}; spans are lost until it takes them", self.url);
                }
                return false;
            }
        }
        true
    }
}
