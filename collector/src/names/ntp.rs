//! Time check-ins: NTP requests of clients and the replies to them (RFC 5905).

use std::hash::{Hash, Hasher};

use iotq_proto::{Timestamp, v1};

use super::{
    found::Found,
    seen::Seen,
    waiting::{Limits, Waiting},
};
use crate::packet::Endpoint;

/// The requests that wait for a reply.
#[derive(Debug)]
pub(super) struct TimeRequests(Waiting<Exchange, Request>);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Exchange {
    client_ip: [u8; 16],
    server_ip: [u8; 16],
    client_port: u16,
    server_port: u16,
}

#[derive(Debug)]
struct Request {
    /// As the client says; a reply repeats it. `None`: cut off.
    sent_at: Option<[u8; 8]>,
    message: v1::TimeRequest,
}

impl Default for TimeRequests {
    fn default() -> Self {
        Self(Waiting::new(Limits { wait_ns: REPLY_WAIT_NS, requests: MAX_OPEN, requests_at_key: MAX_OPEN_AT_ONCE }))
    }
}

impl TimeRequests {
    /// Reads a UDP payload. Whether it is of NTP.
    pub(super) fn observe(&mut self, seen: &Seen, payload: &[u8], found: &mut Found) -> bool {
        let Some(first) = payload.first() else {
            return false;
        };
        let (version, mode) = (first >> 3 & 7, first & 7);
        // Control messages (RFC 9327, section 2) and private ones (mode 7) are shorter.
        let is_long_enough = seen.payload_bytes >= HEADER_BYTES || matches!(mode, CONTROL | PRIVATE);
        if !(1..=4).contains(&version) || mode == 0 || !is_long_enough {
            return false;
        }
        self.expire(seen.at, found);
        match mode {
            CLIENT => {
                let message = v1::TimeRequest {
                    requested_at_ns: seen.at.as_nanos(),
                    replied_at_ns: None,
                    client_ip: seen.src.ip.to_vec(),
                    server_ip: seen.dst.ip.to_vec(),
                    client_port: seen.src.port.into(),
                    ip_version: seen.ip_version.into(),
                    client_mac: seen.src.mac.as_u64(),
                    vlan_id: seen.vlan.as_u16().into(),
                    version: version.into(),
                };
                let request = Request { sent_at: timestamp(payload, TRANSMIT_AT), message };
                let exchange = Exchange::between(&seen.src, &seen.dst);
                self.0.add(exchange, seen.at, request, |given_up| found.add_time_request(given_up.message));
            }
            SERVER => {
                let exchange = Exchange::between(&seen.dst, &seen.src);
                let origin = timestamp(payload, ORIGIN_AT);
                // Servers that do not repeat it properly exist, and so do cut replies.
                let request = self
                    .0
                    .take(&exchange, |request| origin.is_some() && request.sent_at == origin)
                    .or_else(|| self.0.take(&exchange, |_| true));
                if let Some(request) = request {
                    let replied_at_ns = Some(seen.at.as_nanos());
                    found.add_time_request(v1::TimeRequest { replied_at_ns, ..request.message });
                }
            }
            _ => {}
        }
        true
    }

    /// How many questions were given up before their time, since the start.
    pub(super) fn pushed_out(&self) -> u64 {
        self.0.pushed_out()
    }

    /// Gives up what is overdue at this packet time.
    pub(super) fn expire(&mut self, now: Timestamp, found: &mut Found) {
        self.0.expire(now, |given_up| found.add_time_request(given_up.message));
    }

    /// Gives up all.
    pub(super) fn finish(&mut self, found: &mut Found) {
        self.0.finish(|given_up| found.add_time_request(given_up.message));
    }
}

impl Exchange {
    fn between(client: &Endpoint, server: &Endpoint) -> Self {
        Self { client_ip: client.ip, server_ip: server.ip, client_port: client.port, server_port: server.port }
    }
}

/// In three words: the derived one feeds three times as many.
impl Hash for Exchange {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u128(u128::from_ne_bytes(self.client_ip));
        state.write_u128(u128::from_ne_bytes(self.server_ip));
        state.write_u64(u64::from(self.client_port) | u64::from(self.server_port) << 16);
    }
}

fn timestamp(payload: &[u8], at: usize) -> Option<[u8; 8]> {
    payload.get(at..)?.first_chunk().copied()
}

// RFC 5905, section 7.3.
const HEADER_BYTES: u32 = 48;
const ORIGIN_AT: usize = 24;
const TRANSMIT_AT: usize = 40;
const CLIENT: u8 = 3;
const SERVER: u8 = 4;
const CONTROL: u8 = 6;
const PRIVATE: u8 = 7;
/// Clients take replies within a second or two (RFC 5905, appendix A.5.7 has no
/// limit but the next request); simple ones wait up to 5 s.
const REPLY_WAIT_NS: u64 = 5_000_000_000;
/// 800 requests a second for as long as they may wait, at some 200 octets each.
const MAX_OPEN: usize = 1 << 12;
/// A client that sends a burst (RFC 5905, section 13) sends 8.
const MAX_OPEN_AT_ONCE: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::dns::tests::seen_at;

    fn packet(mode: u8, origin: u8, transmit: u8) -> [u8; 48] {
        let mut octets = [0; 48];
        octets[0] = 0x20 | mode;
        octets[31] = origin;
        octets[47] = transmit;
        octets
    }

    fn moved(found: &mut Found) -> Vec<(i64, Option<i64>)> {
        let mut batch = v1::Batch::default();
        found.move_into(&mut batch);
        let secs = |nanos| nanos / 1_000_000_000;
        batch.time_requests.iter().map(|r| (secs(r.requested_at_ns), r.replied_at_ns.map(secs))).collect()
    }

    #[test]
    fn replies_are_matched_by_what_they_repeat() {
        let (mut ntp, mut found) = (TimeRequests::default(), Found::default());
        let (client, server) = ((10, 123), (1, 123));
        for secs in [1, 2, 3] {
            assert!(ntp.observe(&seen_at(secs.into(), client, server), &packet(3, 0, secs), &mut found));
        }
        assert!(ntp.observe(&seen_at(3, server, client), &packet(4, 2, 9), &mut found));
        assert!(ntp.observe(&seen_at(4, server, client), &packet(4, 77, 9), &mut found));
        assert_eq!(moved(&mut found), [(1, Some(4)), (2, Some(3))]);
        ntp.expire(seen_at(9, client, server).at, &mut found);
        assert_eq!(moved(&mut found), [(3, None)]);
    }

    #[test]
    fn other_modes_ask_nothing() {
        let (mut ntp, mut found) = (TimeRequests::default(), Found::default());
        for mode in [1, 2, 4, 5, 6, 7] {
            assert!(ntp.observe(&seen_at(1, (10, 123), (1, 123)), &packet(mode, 0, 1), &mut found));
        }
        assert!(!ntp.observe(&seen_at(1, (10, 123), (1, 123)), &packet(0, 0, 1), &mut found));
        let short = Seen { payload_bytes: 47, ..seen_at(1, (10, 123), (1, 123)) };
        assert!(!ntp.observe(&short, &packet(3, 0, 1), &mut found));
        ntp.finish(&mut found);
        assert_eq!(moved(&mut found), []);
    }
}
