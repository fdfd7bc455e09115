//! Health and metrics over HTTP.

use std::{io, sync::Arc};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
    routing::get,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{metrics::Metrics, store::Store};

#[derive(Clone)]
struct Shared {
    store: Store,
    metrics: Arc<Metrics>,
}

/// Answers `/healthz`, `/readyz` and `/metrics` until told to stop.
///
/// # Errors
/// If the listener breaks.
pub async fn serve(
    listener: TcpListener,
    store: Store,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) -> io::Result<()> {
    let routes = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(text))
        .with_state(Shared { store, metrics });
    axum::serve(listener, routes).with_graceful_shutdown(stop.cancelled_owned()).await
}

async fn ready(State(shared): State<Shared>) -> impl IntoResponse {
    let full = shared.store.fullness().borrow().clone();
    if let Some(reason) = full {
        (StatusCode::SERVICE_UNAVAILABLE, format!("nothing is stored: {reason}\n"))
    } else if shared.store.is_ready().await {
        (StatusCode::OK, "ready\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the store does not answer\n".to_owned())
    }
}

async fn text(State(shared): State<Shared>) -> impl IntoResponse {
    shared.metrics.store_full.set(i64::from(shared.store.fullness().borrow().is_some()));
    ([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], shared.metrics.text())
}
