//! A network that misbehaves: a TCP proxy on loopback, between two programs.
//!
//! It delays, slows, swallows what goes one way, closes one half, or cuts. Threads
//! and blocking sockets: what is tested is not what tests.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// A direction, by who hears.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Towards {
    /// The program that was connected to.
    Server,
    /// The program that connected.
    Client,
}

/// What is wrong with the network.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Faults {
    /// Each piece waits so long.
    pub delay: Duration,
    /// Octets a second and connection. `None`: as many as there are.
    pub bytes_per_sec: Option<u64>,
    /// What goes this way disappears. Such a connection is good for nothing
    /// afterwards: it is cut when this ends.
    pub swallow: Option<Towards>,
}

/// Passes on what comes to its port, until dropped.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    server_port: u16,
    faults: Mutex<Faults>,
    connections: Mutex<Vec<Arc<Connection>>>,
    stop: AtomicBool,
}

#[derive(Debug)]
struct Connection {
    client: TcpStream,
    server: TcpStream,
    /// Something was swallowed.
    is_torn: AtomicBool,
}

impl Proxy {
    /// One in front of this port of loopback. Whoever listens there may come and go.
    ///
    /// # Panics
    /// If it cannot listen.
    #[must_use]
    pub fn start(server_port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
        listener.set_nonblocking(true).expect("a socket can be made not to block");
        let port = listener.local_addr().expect("a listener has an address").port();
        let shared = Arc::new(Shared {
            server_port,
            faults: Mutex::default(),
            connections: Mutex::default(),
            stop: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accepting.accept(&listener));
        Self { port, shared }
    }

    /// Where clients reach it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// From now on this is wrong, and nothing else.
    pub fn set(&self, faults: Faults) {
        *lock(&self.shared.faults) = faults;
        if faults.swallow.is_none() {
            let connections = lock(&self.shared.connections);
            connections.iter().filter(|connection| connection.is_torn.load(Ordering::Relaxed)).for_each(|it| it.cut());
        }
    }

    /// Ends all connections, in the middle of whatever they carry.
    pub fn cut(&self) {
        lock(&self.shared.connections).iter().for_each(|connection| connection.cut());
    }

    /// Tells one side of all connections that the other will say no more.
    pub fn half_close(&self, towards: Towards) {
        for connection in lock(&self.shared.connections).iter() {
            let _ = connection.end(towards).shutdown(Shutdown::Write);
        }
    }

    /// Connections that are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        lock(&self.shared.connections).len()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.cut();
    }
}

impl Shared {
    fn accept(self: Arc<Self>, listener: &TcpListener) {
        while !self.stop.load(Ordering::Relaxed) {
            match listener.accept() {
                // If nobody listens behind us, the client hears it by our hanging up.
                Ok((client, _)) => self.join(client),
                Err(_) => thread::sleep(NAP),
            }
        }
    }

    fn join(self: &Arc<Self>, client: TcpStream) {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.server_port));
        let Ok(server) = TcpStream::connect_timeout(&address, Duration::from_secs(1)) else { return };
        let connection = Arc::new(Connection { client, server, is_torn: AtomicBool::new(false) });
        for end in [&connection.client, &connection.server] {
            let set = end
                .set_nonblocking(false)
                .and_then(|()| end.set_nodelay(true))
                .and_then(|()| end.set_read_timeout(Some(NAP)));
            if set.is_err() {
                return;
            }
        }
        lock(&self.connections).push(Arc::clone(&connection));
        for towards in [Towards::Server, Towards::Client] {
            let (shared, connection) = (Arc::clone(self), Arc::clone(&connection));
            thread::spawn(move || {
                if shared.pump(&connection, towards).is_err() {
                    connection.cut();
                }
                if Arc::strong_count(&connection) <= 2 {
                    // The other direction has ended before.
                    lock(&shared.connections).retain(|other| !Arc::ptr_eq(other, &connection));
                }
            });
        }
    }

    /// Until the end of what comes; an error ends both directions.
    fn pump(&self, connection: &Connection, towards: Towards) -> std::io::Result<()> {
        let (mut from, mut to) = match towards {
            Towards::Server => (&connection.client, &connection.server),
            Towards::Client => (&connection.server, &connection.client),
        };
        let mut octets = [0; 16 << 10];
        loop {
            let len = match from.read(&mut octets) {
                Ok(0) => {
                    to.shutdown(Shutdown::Write)?;
                    return Ok(());
                }
                Ok(len) => len,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    if self.stop.load(Ordering::Relaxed) {
                        return Err(error);
                    }
                    continue;
                }
                Err(error) => return Err(error),
            };
            let faults = *lock(&self.faults);
            if faults.swallow == Some(towards) {
                connection.is_torn.store(true, Ordering::Relaxed);
                continue;
            }
            if connection.is_torn.load(Ordering::Relaxed) && faults.swallow.is_none() {
                return Err(ErrorKind::ConnectionAborted.into());
            }
            let transfer = faults.bytes_per_sec.map(|rate| Duration::from_secs_f64(len as f64 / rate.max(1) as f64));
            self.nap(faults.delay + transfer.unwrap_or_default());
            to.write_all(octets.get(..len).unwrap_or_default())?;
        }
    }

    fn nap(&self, pause: Duration) {
        let until = Instant::now() + pause;
        while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            thread::sleep(left.min(NAP));
        }
    }
}

impl Connection {
    fn end(&self, towards: Towards) -> &TcpStream {
        match towards {
            Towards::Server => &self.server,
            Towards::Client => &self.client,
        }
    }

    fn cut(&self) {
        // One that has ended already is cut.
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How soon a thread notices that it is to stop.
const NAP: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    /// A client's end and a server's, with a proxy between.
    fn through() -> (Proxy, TcpStream, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let proxy = Proxy::start(listener.local_addr().unwrap().port());
        let client = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port)).unwrap();
        let (server, _) = listener.accept().unwrap();
        for end in [&client, &server] {
            end.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        }
        (proxy, client, server)
    }

    fn hears(mut end: &TcpStream, expected: &[u8]) -> bool {
        let mut octets = vec![0; expected.len()];
        end.read_exact(&mut octets).is_ok() && octets == expected
    }

    #[test]
    fn what_is_said_is_heard_on_the_other_side() {
        let (_proxy, mut client, mut server) = through();
        client.write_all(b"question").unwrap();
        assert!(hears(&server, b"question"));
        server.write_all(b"answer").unwrap();
        assert!(hears(&client, b"answer"));
        drop(client);
        assert_eq!(server.read(&mut [0; 1]).unwrap(), 0);
    }

    #[test]
    fn answers_alone_can_be_swallowed_and_the_connection_ends_with_that() {
        let (proxy, mut client, mut server) = through();
        proxy.set(Faults { swallow: Some(Towards::Client), ..Faults::default() });
        client.write_all(b"question").unwrap();
        assert!(hears(&server, b"question"));
        server.write_all(b"answer").unwrap();
        assert!(!hears(&client, b"answer"));
        proxy.set(Faults::default());
        assert_eq!(client.read(&mut [0; 1]).unwrap_or(0), 0);
    }

    #[test]
    fn a_slow_line_takes_its_time() {
        let (proxy, mut client, server) = through();
        proxy.set(Faults { bytes_per_sec: Some(100), ..Faults::default() });
        let began = Instant::now();
        client.write_all(&[7; 20]).unwrap();
        assert!(hears(&server, &[7; 20]));
        assert!(began.elapsed() >= Duration::from_millis(190), "{:?}", began.elapsed());
    }
}
