//! `addendum serve-rewards`: our rewards in place of the two services of the EditGRPO code.
//!
//! `POST /predict` and `POST /analyze` take and give the bodies of [`addendum_rewards_remote::wire`]; `GET /health` and
//! `GET /metrics` are for those who run it. [`Service`] computes and knows nothing of connections; [`Server`] keeps the
//! network within bounds and computes nothing: bodies are parsed, scored and written on the threads of a bounded pool.
//! Reports are never logged.

mod analyze;
mod annotation;
mod pool;
mod predict;
mod refused;
mod request;
mod routes;
mod server;
mod service;
mod telemetry;

pub use refused::Refused;
pub use server::{Server, ServerConfig};
pub use service::{Endpoint, Service, ServiceOptions};
