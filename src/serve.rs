//! `addendum serve-rewards`: our rewards in place of the two services of the EditGRPO code.
//!
//! `POST /predict` and `POST /analyze` take and give the bodies of [`addendum_rewards_remote::wire`]; `GET /health`,
//! `GET /metrics` and `GET /openapi.json` are for those who run it. [`Service`] computes and knows nothing of connections; [`Server`] keeps the
//! network within bounds and computes nothing: bodies are parsed, scored and written on the threads of a bounded pool.
//! Reports are never logged.

mod analyze;
mod annotation;
mod answer;
mod body;
mod openapi;
mod places;
mod pool;
mod predict;
mod refused;
mod request;
mod route;
mod routes;
mod server;
mod service;
mod stream;
mod telemetry;

pub use refused::Refused;
pub use server::{Server, ServerConfig};
pub use service::{Endpoint, Service, ServiceOptions};
