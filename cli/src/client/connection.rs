//! The way to the analyzer.

use std::{io, time::Duration};

use hyper_util::rt::TokioIo;
use iotq_proto::tls::{ClientTls, TlsStream};
use tokio::{net::TcpStream, time};
use tonic::{
    Request, Status,
    codegen::http::Uri,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};

use super::AskError;
use crate::{analyzer_url::AnalyzerUrl, config::Config};

/// Where the analyzer is, and how long it may be silent.
#[derive(Clone)]
pub(super) struct Line {
    pub(super) url: AnalyzerUrl,
    timeout: Duration,
    tls: Option<ClientTls>,
}

impl Line {
    pub(super) fn new(config: &Config) -> Self {
        Self { url: config.analyzer.clone(), timeout: config.timeout, tls: config.tls.clone() }
    }

    pub(super) async fn connect(&self) -> Result<Calls, AskError> {
        let endpoint = Endpoint::from_shared(self.url.as_str().replacen("https://", "http://", 1))
            .map_err(|source| AskError::Url { url: self.url.clone(), source })?
            .user_agent(concat!("iotq/", env!("CARGO_PKG_VERSION")))
            .map_err(|source| AskError::Url { url: self.url.clone(), source })?
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE);
        let connected = match &self.tls {
            None => self.unless_silent(endpoint.connect()).await?,
            Some(tls) => {
                let tls = tls.clone();
                // tonic sees http: the handshake is ours.
                let connector = tower::service_fn(move |uri: Uri| dial(uri, tls.clone()));
                self.unless_silent(endpoint.connect_with_connector(connector)).await?
            }
        };
        let channel = connected.map_err(|source| AskError::unreachable(&source, &self.url))?;
        let authorization = self.tls.as_ref().and_then(ClientTls::authorization);
        let authorization = authorization.and_then(|value| MetadataValue::try_from(value).ok());
        Ok(InterceptedService::new(channel, Token(authorization)))
    }

    pub(super) async fn unless_silent<T>(&self, answer: impl Future<Output = T>) -> Result<T, AskError> {
        let silent = |_| AskError::Silent { url: self.url.clone(), timeout: self.timeout };
        time::timeout(self.timeout, answer).await.map_err(silent)
    }
}

/// Where calls are made.
pub(super) type Calls = InterceptedService<Channel, Token>;

/// Shows the token, if there is one.
#[derive(Clone)]
pub(super) struct Token(Option<MetadataValue<Ascii>>);

impl Interceptor for Token {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(authorization) = &self.0 {
            request.metadata_mut().insert("authorization", authorization.clone());
        }
        Ok(request)
    }
}

async fn dial(uri: Uri, tls: ClientTls) -> io::Result<TokioIo<TlsStream<TcpStream>>> {
    let host = uri.host().unwrap_or_default();
    let stream = TcpStream::connect((host.trim_matches(['[', ']']), uri.port_u16().unwrap_or_default())).await?;
    stream.set_nodelay(true)?;
    Ok(TokioIo::new(tls.connect(host, stream).await?))
}

/// A host that is gone is noticed after this and the time to answer.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
