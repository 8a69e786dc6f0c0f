//! Connections: how many, for how long, and how they end.

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use addendum_rewards_remote::Secret;
use anyhow::{Context, Result, ensure};
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, sync::Semaphore};

use super::{
    Service,
    pool::Pool,
    routes::{App, router},
    telemetry::{self, Connection},
};

/// For the head of a request, and for how long a connection may idle.
const HEAD_TIME: Duration = Duration::from_secs(30);

/// Between rounds that fold metric samples into their histograms.
const UPKEEP: Duration = Duration::from_secs(5);

/// After a connection could not be accepted, as when files run out.
const PAUSE: Duration = Duration::from_millis(50);

/// Where to listen, whom to answer and within which bounds.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    pub listen: SocketAddr,
    /// Asked of every request but `/health`.
    pub token: Option<Secret>,
    /// Answers anybody on an address that others can reach. Without it such an address needs a token.
    pub anonymous: bool,
    pub threads: usize,
    /// Requests that may wait for a thread; the next is answered 503.
    pub queue: usize,
    pub most_body_bytes: usize,
    /// For a body to arrive, and again for its answer to be made.
    pub time: Duration,
    /// Further ones wait in the system's backlog.
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
        Ok(Self { listener, address, router, connections: config.connections, drain: config.drain })
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
        let places = Arc::new(Semaphore::new(self.connections));
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME);
        tokio::pin!(stop);
        loop {
            let accepted = async {
                let place = places.clone().acquire_owned().await;
                (place, self.listener.accept().await)
            };
            let (place, accepted) = tokio::select! {
                accepted = accepted => accepted,
                () = &mut stop => break,
            };
            let Ok((stream, _)) = accepted else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            let service = TowerToHyperService::new(self.router.clone());
            let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
            tokio::spawn(async move {
                let counted = Connection::opened();
                // A client that breaks off is its own affair.
                let _ = connection.await;
                drop((counted, place));
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
