//! The servers that can be asked, each of which answers for all that is stored: one, or several of a cluster.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use clickhouse::Client;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Servers, and which of them is asked. Cheap to clone.
#[derive(Clone)]
pub(super) struct Servers {
    /// With the URLs they are told of by; at least one.
    all: Arc<[(String, Client)]>,
    /// An index of `all`.
    current: Arc<AtomicUsize>,
}

impl Servers {
    /// The first one is asked.
    pub(super) fn new(all: Vec<(String, Client)>) -> Self {
        Self { all: all.into(), current: Arc::default() }
    }

    /// The one that is asked.
    pub(super) fn client(&self) -> &Client {
        &self.all[self.current.load(Ordering::Relaxed)].1
    }

    /// Asks another one when the one that is asked does not answer, until `stop`.
    pub(super) async fn watch(&self, stop: CancellationToken) {
        if self.all.len() < 2 {
            return;
        }
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(INTERVAL) => {}
            }
            let current = self.current.load(Ordering::Relaxed);
            for step in 0..self.all.len() {
                let next = (current + step) % self.all.len();
                let (url, client) = &self.all[next];
                if answers(client).await {
                    if next != current {
                        warn!(url, "ClickHouse server lost, asking this one");
                        self.current.store(next, Ordering::Relaxed);
                    }
                    break;
                }
            }
        }
    }
}

/// Whether it does so just now.
pub(super) async fn answers(client: &Client) -> bool {
    let ping = client.query_raw("SELECT 1").fetch_one::<u8>();
    matches!(tokio::time::timeout(Duration::from_secs(2), ping).await, Ok(Ok(1)))
}

/// Collectors wait for a server that is gone as long as this, and keep what they have meanwhile.
const INTERVAL: Duration = Duration::from_secs(2);
