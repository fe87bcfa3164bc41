//! `/metrics`, `/healthz`, `/readyz`, `/status`.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio_util::sync::CancellationToken;

use crate::health::Health;
use crate::metrics::Metrics;

#[derive(Clone, Debug)]
struct Shared {
    metrics: Arc<Metrics>,
    health: Arc<Health>,
}

/// Listens, then serves until cancelled.
pub async fn listen(
    address: SocketAddr,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    cancel: CancellationToken,
) -> anyhow::Result<impl Future<Output = anyhow::Result<()>>> {
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .with_context(|| format!("listen on `{address}` (http.listen): is another keywatch running?"))?;
    let address = listener.local_addr()?;
    health.listens(address);
    tracing::info!(%address, "serving /metrics, /healthz, /readyz, /status");
    let router = Router::new()
        .route("/metrics", get(metrics_text))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/status", get(status))
        .with_state(Shared { metrics, health });
    Ok(async move {
        axum::serve(listener, router).with_graceful_shutdown(cancel.cancelled_owned()).await.context("serve http")
    })
}

async fn metrics_text(State(shared): State<Shared>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], shared.metrics.render())
}

async fn ready(State(shared): State<Shared>) -> impl IntoResponse {
    match shared.health.ready() {
        Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
        Err(reasons) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reasons}\n")),
    }
}

async fn status(State(shared): State<Shared>) -> impl IntoResponse {
    match serde_json::to_string_pretty(&shared.health.status()) {
        Ok(text) => (StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], text + "\n"),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, [(header::CONTENT_TYPE, "text/plain")], format!("{error}\n")),
    }
}
