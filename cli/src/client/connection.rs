//! The way to the analyzer.

use std::time::Duration;

use tokio::time;
use tonic::transport::{Channel, Endpoint};

use super::AskError;
use crate::{analyzer_url::AnalyzerUrl, config::Config};

/// Where the analyzer is, and how long it may be silent.
#[derive(Clone)]
pub(super) struct Line {
    pub(super) url: AnalyzerUrl,
    timeout: Duration,
}

impl Line {
    pub(super) fn new(config: &Config) -> Self {
        Self { url: config.analyzer.clone(), timeout: config.timeout }
    }

    pub(super) async fn connect(&self) -> Result<Channel, AskError> {
        let endpoint = Endpoint::from_shared(self.url.as_str().to_owned())
            .map_err(|source| AskError::Url { url: self.url.clone(), source })?
            .user_agent(concat!("iotq/", env!("CARGO_PKG_VERSION")))
            .map_err(|source| AskError::Url { url: self.url.clone(), source })?
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE);
        let connected = self.unless_silent(endpoint.connect()).await?;
        connected.map_err(|source| AskError::unreachable(&source, &self.url))
    }

    pub(super) async fn unless_silent<T>(&self, answer: impl Future<Output = T>) -> Result<T, AskError> {
        let silent = |_| AskError::Silent { url: self.url.clone(), timeout: self.timeout };
        time::timeout(self.timeout, answer).await.map_err(silent)
    }
}

/// A host that is gone is noticed after this and the time to answer.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
