//! Names in QUIC Initial packets.

use iotq_proto::Timestamp;

use super::{Learned, found::Found, seen::Seen};

/// The connections whose ClientHello is still being put together.
#[derive(Debug, Default)]
pub(super) struct Initials;

impl Initials {
    /// Reads a UDP payload, which may be anything.
    pub(super) fn observe(&mut self, _seen: &Seen, _payload: &[u8], _found: &mut Found) -> Option<Learned> {
        None
    }

    /// Forgets what is overdue at this packet time.
    pub(super) fn expire(&mut self, _now: Timestamp) {}
}
