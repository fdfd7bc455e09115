//! Accepting connections: TLS where it is asked for, and nobody can use it all up.
//!
//! A connection that says nothing is closed after ten seconds; of those that have
//! not said anything yet the oldest gives way when there are too many.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use iotq_proto::error::Chain;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::AbortHandle,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;
use tracing::{debug, warn};

use crate::access::{Access, Peer, Shown};

/// Which certificates a listener shows.
#[derive(Clone, Copy, Debug)]
pub enum Protocol {
    /// HTTP/2.
    Grpc,
    /// HTTP/1.1.
    Http,
}

/// A connection that is ready for its protocol.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    peer: Peer,
    _counted: Counted,
}

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Counts established connections.
#[derive(Debug)]
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Connections that have passed the door.
#[derive(Debug)]
pub struct Accepted {
    connections: mpsc::Receiver<Connection>,
    address: SocketAddr,
}

/// Accepts on a listener until `stop`.
#[must_use]
pub fn accept(listener: TcpListener, access: Arc<Access>, protocol: Protocol, stop: CancellationToken) -> Accepted {
    let address = listener.local_addr().unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0)));
    let (ready, connections) = mpsc::channel(READY);
    let door = Door {
        access,
        protocol,
        is_open: address.ip().is_loopback(),
        ready,
        established: Arc::default(),
        warned_at: Arc::default(),
    };
    tokio::spawn(async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = door.run(&listener) => {}
        }
    });
    Accepted { connections, address }
}

#[derive(Clone)]
struct Door {
    access: Arc<Access>,
    protocol: Protocol,
    /// Plain text is taken although there are certificates: nobody else can listen in.
    is_open: bool,
    ready: mpsc::Sender<Connection>,
    established: Arc<AtomicUsize>,
    warned_at: Arc<Mutex<Option<Instant>>>,
}

impl Door {
    /// Whoever wants to could fill the log otherwise.
    fn may_warn(&self) -> bool {
        let mut warned_at = self.warned_at.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = warned_at.is_none_or(|at| at.elapsed() >= WARN_INTERVAL);
        if is_due {
            *warned_at = Some(Instant::now());
        }
        is_due
    }

    async fn run(&self, listener: &TcpListener) {
        let mut waiting = VecDeque::<AbortHandle>::new();
        loop {
            let (stream, address) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, most likely: some will be closed.
                    warn!(error = %error, "connection not accepted");
                    sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            waiting.retain(|handle| !handle.is_finished());
            if waiting.len() >= MAX_SILENT
                && let Some(oldest) = waiting.pop_front()
            {
                oldest.abort();
            }
            let door = self.clone();
            waiting.push_back(tokio::spawn(async move { door.admit(stream, address).await }).abort_handle());
        }
    }

    async fn admit(self, stream: TcpStream, address: SocketAddr) {
        match timeout(HANDSHAKE_LIMIT, self.shake_hands(stream, address)).await {
            Ok(Ok((stream, shown))) => {
                if self.established.fetch_add(1, Ordering::AcqRel) >= MAX_CONNECTIONS {
                    self.established.fetch_sub(1, Ordering::AcqRel);
                    if self.may_warn() {
                        warn!(%address, limit = MAX_CONNECTIONS, "connection closed: there are too many");
                    }
                    return;
                }
                let peer = Peer { address: Some(address), shown };
                let connection = Connection { stream, peer, _counted: Counted(Arc::clone(&self.established)) };
                // Nobody takes it: we are stopping.
                let _ = self.ready.send(connection).await;
            }
            Ok(Err(error)) => debug!(%address, error = %Chain(&error), "no connection"),
            Err(_) => debug!(%address, "no connection: nothing was said"),
        }
    }

    async fn shake_hands(&self, stream: TcpStream, address: SocketAddr) -> io::Result<(Stream, Shown)> {
        stream.set_nodelay(true)?;
        let mut first = [0];
        if stream.peek(&mut first).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let is_tls = first[0] == TLS_HANDSHAKE;
        match self.access.tls() {
            Some(tls) if is_tls || !self.is_open => {
                if !is_tls && self.may_warn() {
                    warn!(%address, "plain text refused: https:// and a certificate are needed (told once a minute)");
                }
                let config = match self.protocol {
                    Protocol::Grpc => &tls.grpc,
                    Protocol::Http => &tls.http,
                };
                let stream = TlsAcceptor::from(Arc::clone(config)).accept(stream).await?;
                let shown = tls.shown(stream.get_ref().1.peer_certificates());
                Ok((Stream::Tls(Box::new(stream)), shown))
            }
            _ => Ok((Stream::Plain(stream), Shown::Unasked)),
        }
    }
}

impl Accepted {
    /// As a stream that tonic takes.
    pub fn into_stream(self) -> impl tokio_stream::Stream<Item = io::Result<Connection>> {
        use tokio_stream::StreamExt as _;
        tokio_stream::wrappers::ReceiverStream::new(self.connections).map(Ok)
    }
}

impl axum::serve::Listener for Accepted {
    type Io = Connection;
    type Addr = Peer;

    async fn accept(&mut self) -> (Connection, Peer) {
        match self.connections.recv().await {
            Some(connection) => {
                let peer = connection.peer.clone();
                (connection, peer)
            }
            // We are stopping, which ends the server too.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Peer> {
        Ok(Peer { address: Some(self.address), shown: Shown::Nothing })
    }
}

impl axum::extract::connect_info::Connected<axum::serve::IncomingStream<'_, Accepted>> for Peer {
    fn connect_info(stream: axum::serve::IncomingStream<'_, Accepted>) -> Self {
        stream.remote_addr().clone()
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// The first octet of a TLS record with a handshake message (RFC 8446, section 5.1).
/// HTTP/2 begins with `PRI`, HTTP/1.1 with a method.
const TLS_HANDSHAKE: u8 = 22;
/// TCP's first three SYNs over a bad link, and the handshake's two round trips.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// Connections that have said nothing yet: each is a socket and a few hundred octets.
const MAX_SILENT: usize = 512;
/// Each takes some 50 KiB with its HTTP/2 and TLS buffers.
const MAX_CONNECTIONS: usize = 2048;
const WARN_INTERVAL: Duration = Duration::from_secs(60);
/// Handed over at once.
const READY: usize = 16;
