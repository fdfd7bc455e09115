//! Health and metrics over HTTP, for whoever watches the collector.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, routing::get};
use hyper::server::conn::http1;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use iotq_proto::service::{HEALTHY, open_metrics};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tracing::{debug, warn};

use crate::{metrics::Metrics, spool::SharedSpool};

/// Listens.
///
/// # Errors
/// If the address is taken, or not ours.
pub async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Answers `/healthz` and `/metrics` until it is dropped.
pub async fn serve(listener: TcpListener, metrics: Arc<Metrics>, spool: Option<SharedSpool>) {
    let text = move || {
        let level = spool.as_ref().map(|spool| spool.lock().level());
        let text = metrics.text(level);
        async move { open_metrics(text) }
    };
    let routes = Router::new().route("/healthz", get(|| async { HEALTHY })).route("/metrics", get(text));
    let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    // Never closed.
    while let Ok(permit) = Arc::clone(&connections).acquire_owned().await {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely: some will be closed.
                warn!(%error, "connection for metrics not accepted");
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let routes = routes.clone();
        tokio::spawn(async move {
            match timeout(CONNECTION_LIMIT, answer(stream, routes)).await {
                Ok(Err(error)) => debug!(%peer, %error, "no answer"),
                Err(_) => debug!(%peer, "connection for metrics closed: it took too long"),
                Ok(Ok(())) => {}
            }
            drop(permit);
        });
    }
}

async fn answer(stream: TcpStream, routes: Router) -> hyper::Result<()> {
    // One question a connection: nobody holds one for long.
    let http = http1::Builder::new().keep_alive(false).to_owned();
    http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes)).await
}

/// Some servers that ask each few seconds; those beyond wait.
const MAX_CONNECTIONS: usize = 16;
/// An answer has some kilobytes.
const CONNECTION_LIMIT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use iotq_proto::service::LogEvents;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    async fn ask(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn health_and_metrics_are_answered_however_many_say_nothing() {
        let listener = listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let metrics = Arc::new(Metrics::new(&LogEvents::default()));
        metrics.connects.inc();
        let serving = tokio::spawn(serve(listener, metrics, None));
        let mut silent = Vec::new();
        for _ in 0..MAX_CONNECTIONS - 1 {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        let health = ask(address, "/healthz").await;
        assert!(health.starts_with("HTTP/1.1 200") && health.ends_with("\r\n\r\nok\n"), "{health}");
        let metrics = ask(address, "/metrics").await;
        assert!(metrics.contains("application/openmetrics-text"), "{metrics}");
        assert!(metrics.contains("\niotq_collector_uplink_connects_total 1\n"), "{metrics}");
        assert!(ask(address, "/secrets").await.starts_with("HTTP/1.1 404"));
        serving.abort();
    }
}
