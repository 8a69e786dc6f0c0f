//! `addendum serve-rewards`: rewards and report analyses over HTTP.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use addendum::{
    options::class_frequencies,
    remote::Secret,
    serve::{Server, ServerConfig, Service, ServiceOptions},
    train::reward_models::Weights,
};
use anyhow::Result;
use clap::Args;

use super::exit::beforehand;

/// The variable that may hold the bearer token.
const TOKEN_VARIABLE: &str = "ADDENDUM_REWARDS_TOKEN";

#[derive(Args, Debug)]
pub struct ServeArgs {
    /// Address and port; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:5000")]
    pub listen: SocketAddr,
    /// File with the bearer token that requests must bring. The variable ADDENDUM_REWARDS_TOKEN may hold it instead.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Answer anybody on an address that others can reach.
    #[arg(long)]
    pub anonymous: bool,
    /// Compute threads.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: u16,
    /// Requests that may wait for a compute thread; further ones are answered 503.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    pub queue: u16,
    /// Pairs per request; more are answered 413.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    pub most_pairs: u16,
    /// Characters per report; a request with a longer one is answered 413.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub most_report_chars: u32,
    /// Bytes per request body; longer ones are answered 413.
    #[arg(long, default_value_t = 4 << 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub most_body_bytes: u32,
    /// Bytes per answer; a request that asks for more is answered 413.
    #[arg(long, default_value_t = 64 << 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub most_answer_bytes: u32,
    /// Seconds for a body to arrive, again for its answer to be made, and again for that to be taken.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    pub timeout: u32,
    /// References whose annotations are kept; one longer than 1 KiB counts as several.
    #[arg(long, default_value_t = 1024)]
    pub cached_references: usize,
    /// JSON object of positive shares by observation, for the inverse-frequency accuracy. Those of each request's
    /// references without it.
    #[arg(long, value_name = "FILE")]
    pub class_frequencies: Option<PathBuf>,
    #[command(flatten)]
    pub weights: Weights,
}

impl ServeArgs {
    fn token(&self) -> Result<Option<Secret>> {
        match &self.token_file {
            Some(file) => Ok(Some(Secret::from_file(file)?)),
            None if std::env::var_os(TOKEN_VARIABLE).is_some() => Ok(Some(Secret::from_env(TOKEN_VARIABLE)?)),
            None => Ok(None),
        }
    }
}

/// Serves until Ctrl-C or SIGTERM.
///
/// # Errors
/// Unusable settings, files or address.
pub fn run(args: &ServeArgs) -> Result<()> {
    let (config, service) = beforehand(prepare(args))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let served = runtime.block_on(async {
        let stop = stop()?;
        let server = beforehand(Server::bind(&config, service).await)?;
        tracing::info!("listening on http://{}", server.address());
        server.run(stop).await
    });
    // A job that runs on after its time must not hold the process.
    runtime.shutdown_background();
    served
}

fn prepare(args: &ServeArgs) -> Result<(ServerConfig, Service)> {
    let options = ServiceOptions {
        frequencies: args.class_frequencies.as_deref().map(class_frequencies).transpose()?.unwrap_or_default(),
        most_pairs: args.most_pairs.into(),
        most_report_chars: args.most_report_chars as usize,
        most_answer_bytes: args.most_answer_bytes as usize,
        cached_references: args.cached_references,
    };
    let config = ServerConfig {
        listen: args.listen,
        token: args.token()?,
        anonymous: args.anonymous,
        threads: args.threads.into(),
        queue: args.queue.into(),
        most_body_bytes: args.most_body_bytes as usize,
        time: Duration::from_secs(args.timeout.into()),
        ..ServerConfig::default()
    };
    let annotators = args.weights.load()?;
    let mut service = Service::new(annotators.scoring, options);
    if let Some(rate) = annotators.rate {
        service = service.analyzing_with(move |report| rate.analyse(report));
    }
    Ok((config, service))
}

/// Completes at the first Ctrl-C or SIGTERM from now on.
fn stop() -> Result<impl Future<Output = ()>> {
    #[cfg(unix)]
    let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    Ok(async move {
        #[cfg(unix)]
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminated.recv() => {}
        }
        #[cfg(not(unix))]
        let _ = tokio::signal::ctrl_c().await;
    })
}
