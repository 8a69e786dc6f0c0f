//! Connections: how many, for how long, and how they end.

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use addendum_rewards_remote::Secret;
use anyhow::{Context, Result, ensure};
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::net::TcpListener;

use super::{
    Service,
    places::Places,
    pool::Pool,
    routes::{App, router},
    stream::Stream,
    telemetry::{self, Connection},
};

/// For the head of a request, and for how long a connection may idle.
const HEAD_TIME: Duration = Duration::from_secs(30);

/// The longest head of a request.
const HEAD_BYTES: usize = 64 << 10;

/// Between rounds that fold metric samples into their histograms.
const UPKEEP: Duration = Duration::from_secs(5);

/// After a connection could not be accepted, as when files run out.
const PAUSE: Duration = Duration::from_millis(50);

/// Where to listen, whom to answer and within which bounds.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Port 0 takes any that is free.
    pub listen: SocketAddr,
    /// Asked of every request but `/health`.
    pub token: Option<Secret>,
    /// Answers anybody on an address that others can reach. Without it such an address needs a token.
    pub anonymous: bool,
    /// Compute threads; a request takes one of them.
    pub threads: usize,
    /// Requests that may wait for a thread; the next is answered 503.
    pub queue: usize,
    /// Bytes of the longest body; longer ones are answered 413.
    pub most_body_bytes: usize,
    /// For a body to arrive, again for its answer to be made, and again for that to be taken.
    pub time: Duration,
    /// When there are so many, a further one gets the place of that whose client has kept us waiting the longest, at
    /// least for a second.
    pub connections: usize,
    /// For requests under way when the server is told to stop.
    pub drain: Duration,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 5000)),
            token: None,
            anonymous: false,
            threads: 1,
            queue: 64,
            most_body_bytes: 4 << 20,
            time: Duration::from_secs(60),
            connections: 256,
            drain: Duration::from_secs(30),
        }
    }
}

/// A server that listens and is not yet answering.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    router: Router,
    time: Duration,
    connections: usize,
    drain: Duration,
}

impl Server {
    /// Binds the address and starts the compute threads.
    ///
    /// # Errors
    /// An address that is taken or open to others without a token, and bounds of 0.
    pub async fn bind(config: &ServerConfig, service: Service) -> Result<Self> {
        let open = !config.listen.ip().is_loopback() && config.token.is_none() && !config.anonymous;
        ensure!(!open, "{} can be reached by others: set a token, or allow anonymous requests", config.listen);
        for (name, value) in [
            ("threads", config.threads),
            ("queue", config.queue),
            ("connections", config.connections),
            ("most_body_bytes", config.most_body_bytes),
        ] {
            ensure!(value > 0, "{name} is 0, expected at least 1");
        }
        let app = App {
            service: Arc::new(service),
            pool: Pool::new(config.threads, config.queue).context("compute threads cannot be started")?,
            token: config.token.clone(),
            metrics: telemetry::install()?,
            most_body_bytes: config.most_body_bytes,
            time: config.time,
        };
        let listener =
            TcpListener::bind(config.listen).await.with_context(|| format!("{} cannot be used", config.listen))?;
        let address = listener.local_addr()?;
        let router = router(Arc::new(app));
        let ServerConfig { time, connections, drain, .. } = *config;
        Ok(Self { listener, address, router, time, connections, drain })
    }

    /// Where it listens; the port that port 0 became.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `stop` completes, then lets the requests under way end.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<()> {
        let handle = telemetry::install()?;
        let upkeep = tokio::spawn(async move {
            loop {
                tokio::time::sleep(UPKEEP).await;
                handle.run_upkeep();
            }
        });
        let graceful = GracefulShutdown::new();
        let mut places = Places::new(self.connections);
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_buf_size(HEAD_BYTES);
        tokio::pin!(stop);
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = &mut stop => break,
            };
            let Ok((stream, _)) = accepted else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            let place = tokio::select! {
                place = places.take() => place,
                () = &mut stop => break,
            };
            let service = TowerToHyperService::new(self.router.clone().layer(Extension(place.clone())));
            let stream = TokioIo::new(Stream::new(stream, self.time));
            let connection = graceful.watch(http.serve_connection(stream, service));
            tokio::spawn(async move {
                let _counted = Connection::opened();
                tokio::select! {
                    // A client that breaks off is its own affair.
                    _ = connection => {}
                    () = place.lost() => {}
                }
            });
        }
        drop(self.listener);
        tokio::select! {
            () = graceful.shutdown() => {}
            () = tokio::time::sleep(self.drain) => {}
        }
        upkeep.abort();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use addendum_rewards_remote::ServiceConfig;
    use addendum_studies::decode::{MAX_FILE_BYTES, MAX_PIXELS, MAX_SIDE};

    use super::*;
    use crate::serve::ServiceOptions;

    /// As in 20,000.
    fn grouped(number: u64) -> String {
        let digits = number.to_string();
        let groups: Vec<&str> =
            digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap()).collect();
        groups.join(",")
    }

    #[test]
    fn the_limits_that_security_md_tells_are_those_of_the_code() {
        let text = include_str!("../../SECURITY.md");
        let (server, service) = (ServerConfig::default(), ServiceOptions::default());
        for (what, limit) in [
            ("bytes of a request's head", HEAD_BYTES as u64),
            ("bytes of a body", server.most_body_bytes as u64),
            ("pairs of a request", service.most_pairs as u64),
            ("characters of a report", service.most_report_chars as u64),
            ("bytes of an answer", service.most_answer_bytes as u64),
            ("requests that wait for a compute thread", server.queue as u64),
            ("seconds for a head, or between two requests", HEAD_TIME.as_secs()),
            ("seconds for a body, again for the scores, again for a client to take them", server.time.as_secs()),
            ("connections", server.connections as u64),
            ("seconds for requests under way when the server is stopped", server.drain.as_secs()),
        ] {
            let row = format!("| {what} | {} |", grouped(limit));
            assert!(text.contains(&row), "SECURITY.md lacks `{row}`");
        }
        for sentence in [
            format!("{} pixels a side, {} in all", grouped(MAX_SIDE as u64), grouped(MAX_PIXELS as u64)),
            format!("{} bytes a file", grouped(MAX_FILE_BYTES)),
            format!("their time, {} bytes", grouped(ServiceConfig::default().longest_answer_bytes)),
            format!("at most {} GiB", (server.connections * server.most_body_bytes) >> 30),
            format!("| `addendum serve-rewards` | {},", server.listen),
        ] {
            assert!(text.contains(&sentence), "SECURITY.md lacks `{sentence}`");
        }
    }
}
