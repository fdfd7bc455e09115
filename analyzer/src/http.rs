//! Health and metrics over HTTP.

use std::{io, sync::Arc};

use axum::{
    Router,
    extract::{ConnectInfo, State},
    http::{HeaderMap, StatusCode, header::AUTHORIZATION},
    response::IntoResponse,
    routing::get,
};
use iotq_proto::service::{HEALTHY, open_metrics};
use tokio_util::sync::CancellationToken;

use crate::{
    access::{Access, Peer},
    listener::Accepted,
    metrics::Metrics,
    pki::Role,
    store::Store,
};

#[derive(Clone)]
struct Shared {
    store: Store,
    metrics: Arc<Metrics>,
    access: Arc<Access>,
}

/// Answers `/healthz`, `/readyz` and `/metrics` until told to stop.
///
/// # Errors
/// If the listener breaks.
pub async fn serve(
    accepted: Accepted,
    store: Store,
    metrics: Arc<Metrics>,
    access: Arc<Access>,
    stop: CancellationToken,
) -> io::Result<()> {
    let routes = Router::new()
        .route("/healthz", get(|| async { HEALTHY }))
        .route("/readyz", get(ready))
        .route("/metrics", get(text))
        .with_state(Shared { store, metrics, access })
        .into_make_service_with_connect_info::<Peer>();
    axum::serve(accepted, routes).with_graceful_shutdown(stop.cancelled_owned()).await
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

/// Health is for everybody, figures are for those who may ask.
async fn text(
    State(shared): State<Shared>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    headers: HeaderMap,
) -> axum::response::Response {
    let authorization = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    if let Err(status) = shared.access.check(&peer, authorization, &[Role::Reader, Role::Admin]) {
        let code = match status.code() {
            tonic::Code::PermissionDenied => StatusCode::FORBIDDEN,
            _ => StatusCode::UNAUTHORIZED,
        };
        return (code, format!("{}\n", status.message())).into_response();
    }
    if let Some(expires_at) = shared.access.server_expires_at() {
        shared.metrics.certificate_expires_at.set(expires_at);
    }
    shared.metrics.store_full.set(i64::from(shared.store.fullness().borrow().is_some()));
    open_metrics(shared.metrics.text())
}
