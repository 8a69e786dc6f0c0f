//! What is answered where, to whom, and how much is read for it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use addendum_rewards_remote::Secret;
use axum::{
    Extension, Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::Response,
    routing::{MethodRouter, get, post},
};
use metrics_exporter_prometheus::PrometheusHandle;
use subtle::ConstantTimeEq;

use super::{
    Endpoint, Refused, Service, body, openapi,
    places::Place,
    pool::{Lost, Pool},
    route::Route,
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

/// All routes, for connections that bring an extension with their [`Place`].
pub(super) fn router(app: Arc<App>) -> Router {
    let all = Route::ALL.into_iter().fold(Router::new(), |router, route| router.route(route.path(), handler(route)));
    let unknown = Refused::new(StatusCode::NOT_FOUND, "Unknown path");
    let other = Refused::new(StatusCode::METHOD_NOT_ALLOWED, "This path takes another method");
    all.fallback(|request: Request| turn_away(unknown, request.into_body()))
        .method_not_allowed_fallback(|request: Request| turn_away(other, request.into_body()))
        .layer(middleware::from_fn_with_state(app.clone(), guard))
        .with_state(app)
}

fn handler(route: Route) -> MethodRouter<Arc<App>> {
    let asked = |endpoint| {
        post(move |app: State<Arc<App>>, place: Extension<Arc<Place>>, request: Request| {
            ask(app, place, endpoint, request)
        })
    };
    match route {
        Route::Predict => asked(Endpoint::Predict),
        Route::Analyze => asked(Endpoint::Analyze),
        Route::Health => get(|| async { json(StatusCode::OK, HEALTH.into()) }),
        Route::Metrics => get(metrics),
        Route::Openapi => get(|| async { json(StatusCode::OK, openapi::document().into()) }),
    }
}

const HEALTH: &str = concat!(r#"{"status":"ok","version":""#, env!("CARGO_PKG_VERSION"), r#""}"#);

/// Lets in who may ask, and measures.
async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let route = Route::of(request.uri().path());
    let response = if route.is_some_and(Route::open) || allowed(app.token.as_ref(), request.headers()) {
        next.run(request).await
    } else {
        let refusal = Refused::new(StatusCode::UNAUTHORIZED, "Expected a valid bearer token");
        let mut response = turn_away(refusal, request.into_body()).await;
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        response
    };
    let endpoint = route.map_or("other", Route::label);
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

async fn ask(
    State(app): State<Arc<App>>,
    Extension(place): Extension<Arc<Place>>,
    endpoint: Endpoint,
    request: Request,
) -> Response {
    let (head, mut body) = request.into_parts();
    if !is_json(&head.headers) {
        let refusal = Refused::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Content-Type must be application/json");
        return turn_away(refusal, body).await;
    }
    let bytes = match body::read(&mut body, app.most_body_bytes, app.time).await {
        Ok(bytes) => bytes,
        Err(refusal) => return turn_away(refusal, body).await,
    };
    match place.keep_while(answer(&app, endpoint, bytes)).await {
        Ok(body) => json(StatusCode::OK, body.into()),
        Err(refusal) => {
            // Nobody but this server can do anything about it.
            if refusal.status == StatusCode::INTERNAL_SERVER_ERROR {
                tracing::error!("status 500: {}", refusal.message);
            }
            let mut response = refused(&refusal);
            if refusal.status == StatusCode::SERVICE_UNAVAILABLE {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            response
        }
    }
}

async fn answer(app: &App, endpoint: Endpoint, body: Vec<u8>) -> Result<Vec<u8>, Refused> {
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

/// Refuses a request whose body is not read to its end, and says so where the connection ends with it.
async fn turn_away(refusal: Refused, mut body: Body) -> Response {
    let ended = body::discard(&mut body).await;
    let mut response = refused(&refusal);
    if !ended {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
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
