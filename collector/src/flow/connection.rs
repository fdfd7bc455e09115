//! One connection: who, since when, what it did since its last update.

use iotq_proto::{ConnState, ConnectionEnd, MacAddr, Service, Timestamp, VlanId, v1};

use super::{
    history::History,
    tcp::{ACK, RST, SYN, Segment, Tcp},
    timers::{Linked, Links},
};
use crate::{
    names::Learned,
    packet::{FlowKey, Packet},
};

/// Five-tuple, with the direction taken out as in [`FlowKey`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Key {
    pub(super) a_ip: [u8; 16],
    pub(super) b_ip: [u8; 16],
    pub(super) a_port: u16,
    pub(super) b_port: u16,
    pub(super) protocol: u8,
}

impl From<&FlowKey> for Key {
    #[inline]
    fn from(key: &FlowKey) -> Self {
        Self { a_ip: key.a_ip, b_ip: key.b_ip, a_port: key.a_port, b_port: key.b_port, protocol: key.protocol }
    }
}

/// One of up to 100,000: no field is wider than it has to be. What each packet
/// needs comes first and lies together.
#[derive(Debug)]
#[repr(C, align(32))]
pub(super) struct Connection {
    pub(super) key: Key,
    /// Whether the originator is the key's `a`.
    orig_is_a: bool,
    /// The originator sent something else than SYN or RST.
    orig_went_on: bool,
    orig_was_seen: bool,
    resp_was_seen: bool,
    /// Has changed since its last update.
    pub(super) is_dirty: bool,
    /// Waits for the next batch.
    pub(super) is_queued: bool,
    has_ports: bool,
    ip_version: u8,
    /// A [`ConnectionEnd`]; 0 while packets belong to it.
    end: u8,
    /// A [`Service`].
    service: u8,
    vlan: VlanId,
    handshake: Handshake,
    /// When the last packet was seen.
    pub(super) last_tick: u32,
    last_at: Timestamp,
    orig: Sent,
    resp: Sent,
    tcp: Tcp,
    payload_packets: u32,
    /// When the last update was made.
    pub(super) updated_tick: u32,
    pub(super) links: Links,
    history: History,
    orig_mac: [u8; 6],
    resp_mac: [u8; 6],
    /// Updates made so far.
    pub(super) updates: u32,
    orig_syns: u32,
    unreachable: u32,
    pub(super) number: u64,
    started_at: Timestamp,
    /// When the first SYN was, or how long it took from there.
    handshake_ns: i64,
    /// What else was learned.
    learned: Option<Box<Learned>>,
}

/// What one side sent since the last update.
#[derive(Clone, Copy, Debug, Default)]
struct Sent {
    packets: u32,
    retransmitted: u32,
    wire_bytes: u64,
    payload_bytes: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Handshake {
    NotSeen,
    Begun,
    Over,
}

impl Linked for Connection {
    fn links(&mut self) -> &mut Links {
        &mut self.links
    }
}

impl Connection {
    /// Begun by a packet, which is yet to be counted.
    pub(super) fn opened_by(packet: &Packet, number: u64, tick: u32) -> Self {
        // An answer is not the begin: turned round.
        let is_answer = packet.tcp_flags != Packet::NO_TCP_FLAGS && packet.tcp_flags & (SYN | ACK) == SYN | ACK;
        let orig_is_a = packet.from_a != is_answer;
        let (a_mac, b_mac) = (packet.key.a_mac, packet.key.b_mac);
        let (orig_mac, resp_mac) = if orig_is_a { (a_mac, b_mac) } else { (b_mac, a_mac) };
        let mut history = History::default();
        if is_answer {
            history.add(b'^', true);
        }
        Self {
            key: Key::from(&packet.key),
            number,
            updates: 0,
            orig_is_a,
            ip_version: packet.key.ip_version,
            has_ports: packet.key.has_ports,
            vlan: packet.key.vlan,
            orig_mac: orig_mac.octets(),
            resp_mac: resp_mac.octets(),
            started_at: packet.captured_at,
            last_at: packet.captured_at,
            updated_tick: tick,
            last_tick: tick,
            orig: Sent::default(),
            resp: Sent::default(),
            payload_packets: 0,
            orig_syns: 0,
            unreachable: 0,
            tcp: Tcp::default(),
            history,
            orig_went_on: false,
            orig_was_seen: false,
            resp_was_seen: false,
            handshake: Handshake::NotSeen,
            handshake_ns: 0,
            service: 0,
            learned: None,
            is_dirty: false,
            is_queued: false,
            end: 0,
            links: Links::default(),
        }
    }

    /// Whether a packet of its five-tuple belongs to it.
    #[inline]
    pub(super) fn continues(&self, packet: &Packet) -> bool {
        if packet.key.protocol != TCP || packet.tcp_flags == Packet::NO_TCP_FLAGS || packet.tcp_flags & SYN == 0 {
            return true;
        }
        Segment::of(packet).is_none_or(|segment| self.tcp.continues(segment, packet.from_a == self.orig_is_a))
    }

    /// Counts a packet. Whether one of the ends was closed by it.
    #[inline]
    pub(super) fn count(&mut self, packet: &Packet) -> bool {
        let mut is_orig = packet.from_a == self.orig_is_a;
        let mut is_repeated = false;
        let mut is_closing = false;
        if packet.key.protocol == TCP {
            if let Some(segment) = Segment::of(packet) {
                if self.updates == 0 && self.tcp.is_turned_round(segment, is_orig) {
                    self.turn_round();
                    is_orig = true;
                }
                is_repeated = self.tcp.observe(segment, is_orig, &mut self.history);
                is_closing = segment.has(RST) || (self.tcp.is_half_closed() && self.tcp.is_finished());
                self.follow_handshake(segment, is_orig, packet.captured_at);
            }
        } else if packet.key.protocol == UDP && !(if is_orig { self.orig_was_seen } else { self.resp_was_seen }) {
            self.history.add(b'D', is_orig);
        }
        let sent = if is_orig {
            self.orig_was_seen = true;
            &mut self.orig
        } else {
            self.resp_was_seen = true;
            &mut self.resp
        };
        sent.packets = sent.packets.saturating_add(1);
        sent.retransmitted = sent.retransmitted.saturating_add(u32::from(is_repeated));
        sent.wire_bytes = sent.wire_bytes.saturating_add(packet.wire_bytes.into());
        sent.payload_bytes = sent.payload_bytes.saturating_add(packet.payload_bytes.into());
        self.payload_packets = self.payload_packets.saturating_add(u32::from(packet.payload_bytes > 0));
        is_closing
    }

    /// An ICMP error quoted it.
    pub(super) fn count_unreachable(&mut self) {
        self.unreachable = self.unreachable.saturating_add(1);
    }

    /// Adds what a payload told: what was known before stays.
    pub(super) fn learn(&mut self, learned: Learned) {
        if self.service == octet(Service::Unspecified) {
            self.service = octet(learned.service);
        }
        // Most tell no more than that.
        if learned == Learned::from(learned.service) {
            return;
        }
        let known = self.learned.get_or_insert_default();
        if known.server_name.is_empty() && !learned.server_name.is_empty() {
            known.server_name = learned.server_name;
            known.server_name_source = learned.server_name_source;
        }
        if known.tls_version == 0 {
            known.tls_version = learned.tls_version;
        }
        if known.tls_cipher == 0 {
            known.tls_cipher = learned.tls_cipher;
        }
        if known.alpn.is_empty() {
            known.alpn = learned.alpn;
        }
        if known.client_id_hash.is_empty() {
            known.client_id_hash = learned.client_id_hash;
        }
    }

    /// The packet came at this tick, and its time is to be believed or not.
    #[inline]
    pub(super) fn note_time(&mut self, at: Timestamp, tick: u32, is_believed: bool) {
        self.last_tick = tick;
        if is_believed && at > self.last_at {
            self.last_at = at;
        }
    }

    /// The last packet so far.
    #[inline]
    pub(super) fn last_at(&self) -> Timestamp {
        self.last_at
    }

    /// After how many seconds of silence it has ended, and how.
    #[inline]
    pub(super) fn time_out(&self) -> (u32, ConnectionEnd) {
        if self.key.protocol != TCP {
            (OTHER_SECS, ConnectionEnd::Timeout)
        } else if self.tcp.is_reset() {
            (CLOSED_SECS, ConnectionEnd::Rst)
        } else if self.tcp.is_finished() {
            (CLOSED_SECS, ConnectionEnd::Fin)
        } else if (self.tcp.is_established() || self.orig_went_on) && !self.tcp.is_half_closed() {
            (ESTABLISHED_SECS, ConnectionEnd::Timeout)
        } else {
            (TRANSITORY_SECS, ConnectionEnd::Timeout)
        }
    }

    /// No packet belongs to it any more.
    #[inline]
    pub(super) fn is_over(&self) -> bool {
        self.end != octet(ConnectionEnd::Unspecified)
    }

    /// No packet belongs to it from now on.
    pub(super) fn end_by(&mut self, end: ConnectionEnd) {
        self.end = octet(end);
    }

    /// FIN or RST, but neither silence nor anything else ended it.
    pub(super) fn is_closed(&self) -> bool {
        self.time_out().1 != ConnectionEnd::Timeout
    }

    /// About how many octets its update has as a message.
    pub(super) fn update_bytes(&self) -> usize {
        UPDATE_BYTES + self.learned.as_ref().map_or(0, |learned| learned.server_name.len() + learned.alpn.len())
    }

    /// What there is to say about it, after which everything counts from 0.
    pub(super) fn take_update(&mut self) -> v1::ConnectionUpdate {
        self.updates = self.updates.saturating_add(1);
        let key = &self.key;
        let (orig_ip, orig_port, resp_ip, resp_port) = if self.orig_is_a {
            (key.a_ip, key.a_port, key.b_ip, key.b_port)
        } else {
            (key.b_ip, key.b_port, key.a_ip, key.a_port)
        };
        let (orig, resp) = (std::mem::take(&mut self.orig), std::mem::take(&mut self.resp));
        let learned =
            if self.is_over() { self.learned.take().map(|learned| *learned) } else { self.learned.as_deref().cloned() };
        let learned = learned.unwrap_or_default();
        v1::ConnectionUpdate {
            number: self.number,
            update: self.updates,
            started_at_ns: self.started_at.as_nanos(),
            last_at_ns: self.last_at.as_nanos(),
            end: self.end.into(),
            orig_ip: orig_ip.to_vec(),
            resp_ip: resp_ip.to_vec(),
            ip_version: self.ip_version.into(),
            protocol: key.protocol.into(),
            has_ports: self.has_ports,
            orig_port: orig_port.into(),
            resp_port: resp_port.into(),
            orig_mac: MacAddr::from_octets(self.orig_mac).as_u64(),
            resp_mac: MacAddr::from_octets(self.resp_mac).as_u64(),
            vlan_id: self.vlan.as_u16().into(),
            state: self.state().into(),
            history: String::from(&self.history),
            orig_packets: orig.packets.into(),
            resp_packets: resp.packets.into(),
            orig_wire_bytes: orig.wire_bytes,
            resp_wire_bytes: resp.wire_bytes,
            orig_payload_bytes: orig.payload_bytes,
            resp_payload_bytes: resp.payload_bytes,
            payload_packets: std::mem::take(&mut self.payload_packets).into(),
            orig_retransmitted: orig.retransmitted.into(),
            resp_retransmitted: resp.retransmitted.into(),
            orig_syns: std::mem::take(&mut self.orig_syns).into(),
            unreachable: std::mem::take(&mut self.unreachable).into(),
            handshake_rtt_ns: (self.handshake == Handshake::Over)
                .then(|| self.handshake_ns.try_into().unwrap_or_default()),
            only_syns: key.protocol == TCP && self.orig_was_seen && !self.orig_went_on,
            service: self.service.into(),
            server_name: learned.server_name,
            server_name_source: learned.server_name_source.into(),
            tls_version: learned.tls_version.into(),
            tls_cipher: learned.tls_cipher.into(),
            alpn: learned.alpn,
            client_id_hash: learned.client_id_hash,
        }
    }

    /// As Zeek's `conn_state`.
    fn state(&self) -> ConnState {
        match (self.key.protocol, self.orig_was_seen, self.resp_was_seen) {
            (TCP, ..) => self.tcp.conn_state(&self.history),
            (UDP, true, true) => ConnState::Sf,
            (UDP, true, false) => ConnState::S0,
            (UDP, false, true) => ConnState::Shr,
            _ => ConnState::Oth,
        }
    }

    fn follow_handshake(&mut self, segment: Segment, is_orig: bool, at: Timestamp) {
        if !is_orig {
            return;
        }
        if segment.is_syn() {
            self.orig_syns = self.orig_syns.saturating_add(1);
            if self.handshake == Handshake::NotSeen && !self.tcp.is_answered() {
                (self.handshake, self.handshake_ns) = (Handshake::Begun, at.as_nanos());
            }
        }
        if segment.has(SYN | RST) {
            return;
        }
        let took = at.as_nanos().saturating_sub(self.handshake_ns);
        if self.handshake == Handshake::Begun && self.tcp.is_answered() && took >= 0 {
            (self.handshake, self.handshake_ns) = (Handshake::Over, took);
        }
        self.orig_went_on = true;
    }

    /// Who was taken for the responder began it.
    fn turn_round(&mut self) {
        self.orig_is_a = !self.orig_is_a;
        std::mem::swap(&mut self.orig_mac, &mut self.resp_mac);
        std::mem::swap(&mut self.orig, &mut self.resp);
        std::mem::swap(&mut self.orig_was_seen, &mut self.resp_was_seen);
        self.orig_went_on = false;
        self.handshake = Handshake::NotSeen;
        self.tcp.turn_round();
        self.history.add(b'^', true);
    }
}

pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;

/// RFC 5382, section 5: at least 2 hours and 4 minutes, because hosts that keep
/// a connection open say so every two hours.
const ESTABLISHED_SECS: u32 = 2 * 3600 + 4 * 60;

/// The same, for connections that are being set up or torn down. SYNs are sent
/// again after up to 64 s.
const TRANSITORY_SECS: u32 = 4 * 60;

/// What comes after FIN or RST belongs to the connection if it comes that soon
/// (Zeek's figure).
const CLOSED_SECS: u32 = 5;

/// RFC 4787, section 4.3, for UDP; there is no figure for most others.
const OTHER_SECS: u32 = 2 * 60;

/// Of the messages' enums all have fewer values.
fn octet(code: impl Into<i32>) -> u8 {
    u8::try_from(code.into()).unwrap_or_default()
}

/// 100,000 take 29 MB.
const _: () = assert!(size_of::<Connection>() <= 288, "a connection has grown");

/// Addresses, MACs and times make up most of it.
const UPDATE_BYTES: usize = 160;
