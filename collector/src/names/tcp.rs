//! Names on TCP connections: the first octets of each direction.

use iotq_proto::Timestamp;

use super::{Learned, dns::Transactions, found::Found, seen::Seen};
use crate::packet::Packet;

/// The connections whose first octets are still being read.
#[derive(Debug, Default)]
pub(super) struct Streams;

impl Streams {
    /// Reads a segment; also those without payload, which open and end streams.
    pub(super) fn observe(
        &mut self,
        _packet: &Packet,
        _seen: &Seen,
        _payload: &[u8],
        _dns: &mut Transactions,
        _found: &mut Found,
    ) -> Option<Learned> {
        None
    }

    /// Forgets what is overdue at this packet time.
    pub(super) fn expire(&mut self, _now: Timestamp) {}
}
