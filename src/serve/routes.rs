//! What is answered where, to whom, and how much is read for it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use addendum_rewards_remote::Secret;
use axum::{
    Router,
    body::{Body, Bytes},
    extract::{
        DefaultBodyLimit, FromRequest, Request, State,
        rejection::{BytesRejection, FailedToBufferBody},
    },
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::Response,
    routing::{get, post},
};
use metrics_exporter_prometheus::PrometheusHandle;
use subtle::ConstantTimeEq;

use super::{
    Endpoint, Refused, Service,
    pool::{Lost, Pool},
    telemetry,
};

/// What the handlers share.
pub(super) struct App {
    pub service: Arc<Service>,
    pub pool: Pool,
    pub token: Option<Secret>,
    pub metrics: PrometheusHandle,
    pub most_body_bytes: usize,
    /// For the body to arrive, and again for the answer to be made.
    pub time: Duration,
}

/// The four paths.
pub(super) fn router(app: Arc<App>) -> Router {
    let limit = DefaultBodyLimit::max(app.most_body_bytes);
    Router::new()
        .route("/predict", post(|app: State<Arc<App>>, request: Request| ask(app, Endpoint::Predict, request)))
        .route("/analyze", post(|app: State<Arc<App>>, request: Request| ask(app, Endpoint::Analyze, request)))
        .route("/health", get(|| async { json(StatusCode::OK, HEALTH.into()) }))
        .route("/metrics", get(metrics))
        .fallback(|| async { refused(&Refused::new(StatusCode::NOT_FOUND, "Unknown path")) })
        .method_not_allowed_fallback(|| async {
            refused(&Refused::new(StatusCode::METHOD_NOT_ALLOWED, "This path takes another method"))
        })
        .layer(limit)
        .layer(middleware::from_fn_with_state(app.clone(), guard))
        .with_state(app)
}

const HEALTH: &str = concat!(r#"{"status":"ok","version":""#, env!("CARGO_PKG_VERSION"), r#""}"#);

/// Lets in who may ask, and measures.
async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let endpoint = match request.uri().path() {
        "/predict" => "predict",
        "/analyze" => "analyze",
        "/health" => "health",
        "/metrics" => "metrics",
        _ => "other",
    };
    let response = if endpoint == "health" || allowed(app.token.as_ref(), request.headers()) {
        next.run(request).await
    } else {
        let mut response = refused(&Refused::new(StatusCode::UNAUTHORIZED, "Expected a valid bearer token"));
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        response
    };
    telemetry::answered(endpoint, response.status(), begun.elapsed(), app.pool.waiting());
    response
}

/// Compares in a time that does not depend on where tokens differ.
fn allowed(token: Option<&Secret>, headers: &HeaderMap) -> bool {
    let Some(token) = token else { return true };
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| {
        let (scheme, given) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(given.trim())
    });
    given.is_some_and(|given| bool::from(given.as_bytes().ct_eq(token.expose().as_bytes())))
}

async fn metrics(State(app): State<Arc<App>>) -> Response {
    with_type(StatusCode::OK, "text/plain; version=0.0.4", app.metrics.render().into())
}

async fn ask(State(app): State<Arc<App>>, endpoint: Endpoint, request: Request) -> Response {
    match answer(&app, endpoint, request).await {
        Ok(body) => json(StatusCode::OK, body.into()),
        Err(refusal) => {
            let mut response = refused(&refusal);
            if refusal.status == StatusCode::SERVICE_UNAVAILABLE {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            response
        }
    }
}

async fn answer(app: &Arc<App>, endpoint: Endpoint, request: Request) -> Result<Vec<u8>, Refused> {
    if !is_json(request.headers()) {
        return Err(Refused::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Content-Type must be application/json"));
    }
    let body = tokio::time::timeout(app.time, Bytes::from_request(request, &()))
        .await
        .map_err(|_| Refused::new(StatusCode::REQUEST_TIMEOUT, "The body did not arrive in time"))?
        .map_err(|rejection| unread(&rejection, app.most_body_bytes))?;
    let service = app.service.clone();
    let answer = app.pool.run(app.time, move |waits| service.answer_while(waits, endpoint, &body)).await;
    answer.unwrap_or_else(|lost| {
        Err(match lost {
            Lost::Full => Refused::new(StatusCode::SERVICE_UNAVAILABLE, "Too many requests are waiting; try again"),
            Lost::Late => Refused::new(StatusCode::GATEWAY_TIMEOUT, "Scoring took too long"),
            Lost::Crashed => Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "Scoring failed"),
        })
    })
}

/// `application/json`, with whatever parameters.
fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || kind.starts_with("application/") && kind.ends_with("+json")
}

fn unread(rejection: &BytesRejection, most: usize) -> Refused {
    match rejection {
        BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)) => {
            Refused::too_large(format!("The body is longer than {most} bytes"))
        }
        other => Refused::bad(format!("The body could not be read: {other}")),
    }
}

fn refused(refusal: &Refused) -> Response {
    json(refusal.status, refusal.body().into())
}

fn json(status: StatusCode, body: Body) -> Response {
    with_type(status, "application/json", body)
}

fn with_type(status: StatusCode, kind: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
