//! Names and connections of batches that found no room: they are few and small,
//! and wait for the next batch.

use iotq_proto::{MAX_BATCH_CONNECTIONS, MAX_BATCH_NAMES, v1};

/// What was taken back, at most a batch's worth.
#[derive(Debug, Default)]
pub(super) struct Kept {
    connections: Vec<v1::ConnectionUpdate>,
    dns: Vec<v1::DnsTransaction>,
    tls_hellos: Vec<v1::TlsHello>,
    time_requests: Vec<v1::TimeRequest>,
    /// Rows beyond that, since the start.
    left_out: u64,
}

impl Kept {
    /// Takes from a batch what it has of them; what is older goes first, and is
    /// kept rather than what is newer.
    pub(super) fn take_back(&mut self, batch: &mut v1::Batch) {
        self.left_out += append(&mut self.connections, &mut batch.connections, MAX_BATCH_CONNECTIONS)
            + append(&mut self.dns, &mut batch.dns, MAX_BATCH_NAMES)
            + append(&mut self.tls_hellos, &mut batch.tls_hellos, MAX_BATCH_NAMES)
            + append(&mut self.time_requests, &mut batch.time_requests, MAX_BATCH_NAMES);
    }

    /// Rows that found no room, since the start.
    pub(super) fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Puts everything into a batch that has nothing of the kind yet.
    pub(super) fn move_into(&mut self, batch: &mut v1::Batch) {
        let kept = std::mem::replace(self, Self { left_out: self.left_out, ..Self::default() });
        batch.connections = kept.connections;
        batch.dns = kept.dns;
        batch.tls_hellos = kept.tls_hellos;
        batch.time_requests = kept.time_requests;
    }
}

/// How many found no room.
fn append<T>(to: &mut Vec<T>, from: &mut Vec<T>, limit: usize) -> u64 {
    let room = limit.saturating_sub(to.len());
    let left_out = from.len().saturating_sub(room) as u64;
    to.extend(from.drain(..).take(room));
    left_out
}
