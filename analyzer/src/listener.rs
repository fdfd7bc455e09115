//! Accepting connections: TLS where it is asked for, and nobody can use it all up.
//!
//! A connection that says nothing is closed after ten seconds; of those that have
//! not said anything yet the oldest gives way when there are too many. One host has a
//! part of all connections only, and HTTP connections that nothing passes are closed.

use std::{
    collections::{HashMap, VecDeque},
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use iotq_proto::error::Chain;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::AbortHandle,
    time::{Sleep, sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;
use tracing::{debug, warn};

use crate::{
    access::{Access, Peer, Shown},
    metrics::Metrics,
};

/// Which certificates a listener shows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
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
    /// When it is closed unless something passes; `None`: the protocol looks after it.
    idle: Option<Pin<Box<Sleep>>>,
}

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Established connections, in all and of each host.
#[derive(Debug, Default)]
struct Established(Mutex<HashMap<IpAddr, usize>>);

/// One of them, until it is dropped.
#[derive(Debug)]
struct Counted {
    established: Arc<Established>,
    ip: IpAddr,
}

impl Established {
    /// Counts another one of this host; `Err`: the limit that it would exceed.
    fn add(self: &Arc<Self>, ip: IpAddr) -> Result<Counted, usize> {
        let ip = ip.to_canonical();
        let mut hosts = self.hosts();
        let all: usize = hosts.values().sum();
        let of_host = hosts.entry(ip).or_default();
        let result = if all >= MAX_CONNECTIONS {
            Err(MAX_CONNECTIONS)
        } else if *of_host >= MAX_OF_HOST && !ip.is_loopback() {
            Err(MAX_OF_HOST)
        } else {
            *of_host += 1;
            Ok(Counted { established: Arc::clone(self), ip })
        };
        hosts.retain(|_, connections| *connections > 0);
        result
    }

    fn hosts(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        // Nothing that holds it can leave it half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Some(connections) = self.established.hosts().get_mut(&self.ip) {
            *connections -= 1;
        }
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
pub fn accept(
    listener: TcpListener,
    access: Arc<Access>,
    protocol: Protocol,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) -> Accepted {
    let address = listener.local_addr().unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0)));
    let (ready, connections) = mpsc::channel(READY);
    let door = Door {
        access,
        protocol,
        is_open: protocol == Protocol::Http && address.ip().is_loopback(),
        ready,
        metrics,
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
    /// Plain text is taken although there are certificates: health and metrics on loopback, which say nothing
    /// of anybody. Batches and questions would be anyone's who is on this host.
    is_open: bool,
    ready: mpsc::Sender<Connection>,
    metrics: Arc<Metrics>,
    established: Arc<Established>,
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
                let counted = match self.established.add(address.ip()) {
                    Ok(counted) => counted,
                    Err(limit) => {
                        self.metrics.connections_refused.inc();
                        if self.may_warn() {
                            warn!(%address, limit, "connection closed: there are too many (told once a minute)");
                        }
                        return;
                    }
                };
                let peer = Peer { address: Some(address), shown };
                let idle = match self.protocol {
                    // Keep-alives find those that are gone.
                    Protocol::Grpc => None,
                    Protocol::Http => Some(Box::pin(sleep(IDLE_LIMIT))),
                };
                let connection = Connection { stream, peer, _counted: counted, idle };
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

impl Connection {
    /// Passes on what came of reading or writing, unless nothing has passed for too long.
    fn unless_idle<T>(&mut self, cx: &mut Context<'_>, passed: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Some(idle) = &mut self.idle {
            if passed.is_ready() {
                idle.as_mut().reset(tokio::time::Instant::now() + IDLE_LIMIT);
            } else if idle.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        passed
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let passed = match &mut this.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        };
        this.unless_idle(cx, passed)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let passed = match &mut this.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        };
        this.unless_idle(cx, passed)
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
/// Collectors, readers and scripts behind one address; this host itself may have all.
const MAX_OF_HOST: usize = 256;
/// Prometheus asks each minute at the latest; a connection that comes again costs little.
const IDLE_LIMIT: Duration = Duration::from_secs(90);
const WARN_INTERVAL: Duration = Duration::from_secs(60);
/// Handed over at once.
const READY: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_host_has_a_part_of_all_connections() {
        let established = Arc::new(Established::default());
        let [one, mapped, other] = ["192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1"].map(|ip| ip.parse().unwrap());
        let of_one: Vec<_> = (0..MAX_OF_HOST).map(|_| established.add(one).unwrap()).collect();
        assert_eq!(established.add(mapped).unwrap_err(), MAX_OF_HOST);
        drop(established.add(other).unwrap());
        drop(of_one);
        drop(established.add(one).unwrap());

        let loopback = "127.0.0.1".parse().unwrap();
        let of_loopback: Vec<_> = (0..MAX_CONNECTIONS).map(|_| established.add(loopback).unwrap()).collect();
        assert_eq!(established.add(other).unwrap_err(), MAX_CONNECTIONS);
        drop(of_loopback);
        drop(established.add(other).unwrap());
        assert!(established.hosts().len() <= 1, "hosts that are gone are forgotten");
    }
}
