//! The collector's own connections, which it must not report on: each batch
//! sent would make packets, and they the next batch.

use std::{
    net::SocketAddr,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use iotq_proto::address_octets;

use crate::packet::Packet;

/// The TCP connections that this process has to analyzers. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct OwnConnections {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Saves the lock for captures that never meet our own traffic.
    has_any: AtomicBool,
    connections: RwLock<Vec<Connection>>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Connection {
    local_port: u16,
    remote_ip: [u8; 16],
    remote_port: u16,
}

impl OwnConnections {
    /// Leaves out the packets of this connection from now on, in both directions.
    ///
    /// To leave out the handshake too, bind the socket and register it before
    /// connecting. Old connections stay known, because their last segments may
    /// come after they are closed; beyond the limit the oldest is forgotten.
    pub fn register(&self, local_port: u16, remote: SocketAddr) {
        let connection = Connection {
            local_port,
            // A socket of both families shows IPv4 peers as mapped addresses.
            remote_ip: address_octets(remote.ip().to_canonical()),
            remote_port: remote.port(),
        };
        let mut connections = self.shared.connections.write().unwrap_or_else(PoisonError::into_inner);
        if !connections.contains(&connection) {
            if connections.len() >= MAX_CONNECTIONS {
                connections.remove(0);
            }
            connections.push(connection);
            self.shared.has_any.store(true, Ordering::Release);
        }
    }

    /// Whether a packet belongs to one of the connections.
    #[inline]
    #[must_use]
    pub fn contains(&self, packet: &Packet) -> bool {
        packet.key.protocol == TCP && self.shared.has_any.load(Ordering::Acquire) && self.contains_tcp(packet)
    }

    fn contains_tcp(&self, packet: &Packet) -> bool {
        let key = &packet.key;
        let connections = self.shared.connections.read().unwrap_or_else(PoisonError::into_inner);
        connections.iter().any(|own| {
            (own.local_port == key.a_port && own.remote_port == key.b_port && own.remote_ip == key.b_ip)
                || (own.local_port == key.b_port && own.remote_port == key.a_port && own.remote_ip == key.a_ip)
        })
    }
}

const TCP: u8 = 6;
/// A collector has one connection at a time; those before it matter for minutes.
const MAX_CONNECTIONS: usize = 64;

#[cfg(test)]
mod tests {
    use iotq_proto::{MacAddr, Timestamp, VlanId};

    use super::*;
    use crate::packet::{Endpoint, FlowKey, Shared};

    fn packet(src: &str, dst: &str, protocol: u8) -> Packet {
        let end = |text: &str| {
            let address: SocketAddr = text.parse().unwrap();
            Endpoint { ip: address_octets(address.ip()), port: address.port(), mac: MacAddr::NONE }
        };
        let shared = Shared { vlan: VlanId::UNTAGGED, protocol, ip_version: 4, has_ports: true };
        let (key, from_a) = FlowKey::between(end(src), end(dst), shared);
        let tcp_flags = Packet::NO_TCP_FLAGS;
        Packet {
            captured_at: Timestamp::default(),
            key,
            from_a,
            wire_bytes: 60,
            payload_bytes: 0,
            tcp_flags,
            tcp_seq: 0,
            tcp_ack: 0,
        }
    }

    #[test]
    fn both_directions_of_a_connection_are_our_own() {
        let own = OwnConnections::default();
        assert!(!own.contains(&packet("192.0.2.1:50000", "198.51.100.7:50651", 6)));
        own.clone().register(50_000, "198.51.100.7:50651".parse().unwrap());
        assert!(own.contains(&packet("192.0.2.1:50000", "198.51.100.7:50651", 6)));
        assert!(own.contains(&packet("198.51.100.7:50651", "192.0.2.1:50000", 6)));
        for (src, dst, protocol) in [
            ("192.0.2.1:50000", "198.51.100.7:50651", 17),
            ("192.0.2.1:50001", "198.51.100.7:50651", 6),
            ("192.0.2.1:50000", "198.51.100.8:50651", 6),
            ("192.0.2.1:50651", "198.51.100.7:50000", 6),
        ] {
            assert!(!own.contains(&packet(src, dst, protocol)), "{src} {dst} {protocol}");
        }
    }

    #[test]
    fn mapped_addresses_are_ipv4() {
        let own = OwnConnections::default();
        own.register(50_000, "[::ffff:198.51.100.7]:50651".parse().unwrap());
        assert!(own.contains(&packet("192.0.2.1:50000", "198.51.100.7:50651", 6)));
    }

    #[test]
    fn the_oldest_connections_are_forgotten() {
        let own = OwnConnections::default();
        for port in 1..=1000 {
            own.register(port, "198.51.100.7:50651".parse().unwrap());
            own.register(port, "198.51.100.7:50651".parse().unwrap());
        }
        assert!(own.contains(&packet("192.0.2.1:1000", "198.51.100.7:50651", 6)));
        assert!(own.contains(&packet("192.0.2.1:937", "198.51.100.7:50651", 6)));
        assert!(!own.contains(&packet("192.0.2.1:936", "198.51.100.7:50651", 6)));
    }
}
