//! One connection to an analyzer, from the first SYN to `Welcome`.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::Uri;
use hyper_util::rt::TokioIo;
use iotq_proto::{
    MAX_BATCH_BYTES,
    error::Chain,
    tls::{ClientTls, TlsFiles, TlsFilesError, TlsStream, advice},
    v1,
};
use prost::Message as _;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpSocket, TcpStream, lookup_host},
    sync::mpsc,
    time::timeout,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Status, Streaming, client::Grpc, metadata::MetadataValue, transport::Endpoint};

use super::{
    clock_ns,
    codec::{Message, PushCodec},
};
use crate::config::AnalyzerUrl;

/// Called with the local port and the analyzer's address before a connection's
/// first packet is sent, so that live capture can leave the connection out.
pub type BeforeConnect = Arc<dyn Fn(u16, SocketAddr) + Send + Sync>;

/// An open stream whose `Hello` was answered.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) requests: mpsc::Sender<Message>,
    pub(super) responses: Streaming<v1::PushResponse>,
    pub(super) welcome: v1::Welcome,
    /// What has to be added to our clock to get the analyzer's.
    pub(super) clock_offset_ns: i64,
}

/// Why there is no connection, or none any more.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// No TCP connection, or none that speaks HTTP/2.
    #[error("no connection")]
    Connect(#[source] tonic::transport::Error),
    /// Certificates or keys are of no use.
    #[error("TLS files")]
    Files(#[from] TlsFilesError),
    /// The analyzer ended the call.
    #[error("{} ({:?})", said(.0), .0.code())]
    Status(Box<Status>),
    /// It accepted the connection and said nothing.
    #[error("the analyzer did not answer within {} s", WELCOME_TIMEOUT.as_secs())]
    NoWelcome,
    /// It answered with something else.
    #[error("the analyzer's first answer is no welcome: is this an analyzer of the same release?")]
    NotWelcome,
    /// It takes batches and answers for none.
    #[error("the analyzer has not answered for {} s", .0.as_secs())]
    Stalled(Duration),
    /// It hung up.
    #[error("the analyzer closed the connection")]
    Closed,
}

impl LinkError {
    /// Whether trying again cannot help: the one place where this is decided.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Status(status) => matches!(
                status.code(),
                Code::InvalidArgument | Code::PermissionDenied | Code::Unauthenticated | Code::Unimplemented
            ),
            Self::NotWelcome => true,
            Self::Connect(_) | Self::Files(_) | Self::NoWelcome | Self::Stalled(_) | Self::Closed => false,
        }
    }
}

impl From<Status> for LinkError {
    fn from(status: Status) -> Self {
        Self::Status(Box::new(status))
    }
}

impl Link {
    /// Connects, says hello and waits for the answer.
    pub(super) async fn open(
        url: AnalyzerUrl,
        tls: TlsFiles,
        mut hello: v1::Hello,
        before_connect: BeforeConnect,
    ) -> Result<Self, LinkError> {
        let tls = if url.is_tls() { Some(ClientTls::load(&tls)?) } else { None };
        let authorization = tls.as_ref().and_then(ClientTls::authorization);
        let authorization = authorization.and_then(|value| MetadataValue::try_from(value).ok());
        // tonic sees http: the handshake is ours.
        let uri: Result<Uri, _> = url.to_string().replacen("https://", "http://", 1).parse();
        let endpoint = Endpoint::from(uri.unwrap_or_else(|_| url.uri().clone()))
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(true);
        let connector = tower::service_fn(move |uri: Uri| {
            let before_connect = Arc::clone(&before_connect);
            let tls = tls.clone();
            async move { dial(&uri, tls, &before_connect).await.map(TokioIo::new) }
        });
        let channel = endpoint.connect_with_connector(connector).await.map_err(LinkError::Connect)?;
        let mut grpc = Grpc::new(channel).max_encoding_message_size(MAX_BATCH_BYTES);
        grpc.ready().await.map_err(LinkError::Connect)?;

        let (requests, outgoing) = mpsc::channel(REQUESTS);
        let sent_at_ns = clock_ns();
        hello.sent_at_ns = sent_at_ns;
        let hello = v1::PushRequest { kind: Some(v1::push_request::Kind::Hello(hello)) };
        // The channel is new: there is room.
        let _ = requests.try_send(Message { batch: hello.encode_to_vec().into(), addition: Bytes::new() });
        let welcomed = async {
            let path = http::uri::PathAndQuery::from_static(PUSH_PATH);
            let mut request = Request::new(ReceiverStream::new(outgoing));
            if let Some(authorization) = authorization {
                request.metadata_mut().insert("authorization", authorization);
            }
            let call = grpc.streaming(request, path, PushCodec).await?;
            let mut responses = call.into_inner();
            let first = responses.message().await?;
            Ok::<_, Status>((responses, first))
        };
        let (responses, first) = timeout(WELCOME_TIMEOUT, welcomed).await.map_err(|_| LinkError::NoWelcome)??;
        let welcome = match first.ok_or(LinkError::Closed)?.kind {
            Some(v1::push_response::Kind::Welcome(welcome)) => welcome,
            _ => return Err(LinkError::NotWelcome),
        };
        let clock_offset_ns = clock_offset_ns(sent_at_ns, welcome.received_at_ns, clock_ns());
        Ok(Self { requests, responses, welcome, clock_offset_ns })
    }
}

/// What has to be added to our clock to get the analyzer's: no more than what was
/// seen proves. It read its clock at some time between our two readings, which
/// may lie far apart when it is busy starting.
fn clock_offset_ns(sent_at_ns: i64, received_at_ns: i64, welcomed_at_ns: i64) -> i64 {
    if received_at_ns < sent_at_ns {
        received_at_ns.saturating_sub(sent_at_ns)
    } else {
        received_at_ns.saturating_sub(welcomed_at_ns).max(0)
    }
}

/// Connects, by TLS if need be.
async fn dial(uri: &Uri, tls: Option<ClientTls>, before_connect: &BeforeConnect) -> io::Result<Socket> {
    let stream = dial_host(uri, before_connect).await?;
    let Some(tls) = tls else { return Ok(Socket::Plain(stream)) };
    let shaken = timeout(CONNECT_TIMEOUT, tls.connect(uri.host().unwrap_or_default(), stream)).await;
    let stream = shaken.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no TLS handshake within 5 s"))?;
    match stream {
        Ok(stream) => Ok(Socket::Tls(Box::new(stream))),
        Err(error) => Err(io::Error::new(error.kind(), with_advice(error.to_string()))),
    }
}

/// What the analyzer said; or, where it did not say anything itself, what broke.
fn said(status: &Status) -> String {
    match std::error::Error::source(status) {
        Some(cause) => with_advice(Chain(cause).to_string()),
        None => status.message().to_owned(),
    }
}

fn with_advice(text: String) -> String {
    match advice(&text) {
        Some(advice) => format!("{text}: {advice}"),
        None => text,
    }
}

/// Connects to the first address that lets itself be connected to.
async fn dial_host(uri: &Uri, before_connect: &BeforeConnect) -> io::Result<TcpStream> {
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let mut failed = io::Error::new(io::ErrorKind::NotFound, format!("`{host}` has no address"));
    for remote in lookup_host((host, uri.port_u16().unwrap_or(AnalyzerUrl::DEFAULT_PORT))).await? {
        match dial_address(remote, before_connect).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = io::Error::new(error.kind(), format!("{remote}: {error}")),
        }
    }
    Err(failed)
}

/// Binds first: with the port known before the first SYN, capture on the same
/// interface never sees a packet of its own connection.
async fn dial_address(remote: SocketAddr, before_connect: &BeforeConnect) -> io::Result<TcpStream> {
    let (socket, any): (_, SocketAddr) = match remote {
        SocketAddr::V4(_) => (TcpSocket::new_v4()?, (Ipv4Addr::UNSPECIFIED, 0).into()),
        SocketAddr::V6(_) => (TcpSocket::new_v6()?, (Ipv6Addr::UNSPECIFIED, 0).into()),
    };
    socket.bind(any)?;
    before_connect(socket.local_addr()?.port(), remote);
    let connected = timeout(CONNECT_TIMEOUT, socket.connect(remote)).await;
    let stream = connected.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    // Hello and quiet batches are small, and somebody waits for the answer.
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// With TLS or without.
enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

const PUSH_PATH: &str = "/iotq.v1.Ingest/Push";

/// One message is being sent while the next one waits; more would only be taken
/// from the store too early.
const REQUESTS: usize = 1;

/// Three SYNs (RFC 6298: after 1 and 3 s) and a little.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// An analyzer that answers later than this is not well.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(10);

/// A host that is gone sends nothing: ask, so that it is noticed within 40 s, and
/// that NAT on the way keeps its entry (RFC 5382 allows no less than minutes).
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// The answer waits behind a megabyte of a batch (the server's HTTP/2 window): over 0.3
/// Mbit/s that takes so long, and must not end the connection each time.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_agree_unless_it_is_certain_that_they_do_not() {
        assert_eq!(clock_offset_ns(100, 100, 100), 0);
        assert_eq!(clock_offset_ns(100, 480, 500), 0);
        assert_eq!(clock_offset_ns(100, 30, 500), -70);
        assert_eq!(clock_offset_ns(100, 1500, 500), 1000);
    }
}
