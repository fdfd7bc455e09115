//! DNS questions and the answers to them.

use iotq_proto::{DnsKind, Timestamp};

use super::{found::Found, seen::Seen};

/// The questions that wait for an answer.
#[derive(Debug, Default)]
pub(super) struct Transactions;

impl Transactions {
    /// Reads a message, over whatever transport; TCP's length field is not part
    /// of it. Whether it is one.
    pub(super) fn observe(&mut self, _kind: DnsKind, _seen: &Seen, _message: &[u8], _found: &mut Found) -> bool {
        false
    }

    /// Gives up what is overdue at this packet time.
    pub(super) fn expire(&mut self, _now: Timestamp, _found: &mut Found) {}

    /// Gives up all.
    pub(super) fn finish(&mut self, _found: &mut Found) {}
}
