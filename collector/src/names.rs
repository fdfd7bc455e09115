//! Names on the wire: what devices ask for, whom they call, and how they call
//! themselves. Headers and names only; no payload leaves the collector.
//!
//! Has no clock and does no I/O. Payloads come from the network and may be
//! anything; everything kept for later has a limit.

pub mod http;
pub mod mqtt;

use iotq_proto::{ServerNameSource, Service, Timestamp, v1};

use crate::packet::Packet;

/// How far reading got with the octets seen so far.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Progress<T> {
    /// It is what was looked for.
    Done(T),
    /// It may become what was looked for; more octets are needed.
    More,
    /// It is something else.
    No,
}

/// What a payload told about the connection it is on.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Learned {
    /// What is spoken.
    pub service: Service,
    /// Whom the client asked for; empty: not told.
    pub server_name: String,
    /// Who told.
    pub server_name_source: ServerNameSource,
    /// As the server chose; 0: not told.
    pub tls_version: u16,
    /// As the server chose; 0: not told.
    pub tls_cipher: u16,
    /// As the server chose; empty: not told.
    pub alpn: String,
    /// Of an MQTT client id; empty: none.
    pub client_id_hash: Vec<u8>,
}

/// Everything that names something, and is not yet in a batch.
#[derive(Debug, Default)]
pub struct Names {
    dns: Vec<v1::DnsTransaction>,
    tls_hellos: Vec<v1::TlsHello>,
    time_requests: Vec<v1::TimeRequest>,
}

impl Names {
    /// Nothing seen yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads what was captured above a packet's transport header.
    pub fn observe(&mut self, _packet: &Packet, _payload: &[u8]) -> Option<Learned> {
        None
    }

    /// Gives up waiting for answers that are overdue at this packet time.
    pub fn expire(&mut self, _now: Timestamp) {}

    /// The input ends: nothing is waited for any longer.
    pub fn finish(&mut self) {}

    /// Whether there is as much as a batch takes.
    #[must_use]
    pub fn is_full(&self) -> bool {
        false
    }

    /// Puts what was found into a batch, as much as it may have. Whether something is left.
    pub fn move_into(&mut self, batch: &mut v1::Batch) -> bool {
        batch.dns.append(&mut self.dns);
        batch.tls_hellos.append(&mut self.tls_hellos);
        batch.time_requests.append(&mut self.time_requests);
        false
    }
}
