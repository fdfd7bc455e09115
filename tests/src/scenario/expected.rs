//! What a right answer says about a scenario.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use iotq_proto::MacAddr;

use super::{MINUTE_NS, Span};

/// What has to be found in a scenario's frames. Counting rules are those of the
/// contract: packets a device sent, and unicast ones sent to it.
#[derive(Clone, Debug)]
pub struct Expected {
    /// The time that was played.
    pub span: Span,
    /// All frames.
    pub frames: u64,
    /// Those with an IP header.
    pub packets: u64,
    /// Octets on the wire of those.
    pub packet_wire_bytes: u64,
    /// Those without, by EtherType.
    pub no_ip: BTreeMap<u16, u64>,
    /// By the name its owner gave it; the router too, by its own address.
    pub devices: BTreeMap<String, ExpectedDevice>,
    /// By unordered pair of addresses, the lower one first.
    pub conversations: BTreeMap<(IpAddr, IpAddr), Sides>,
    /// Phone-home attempts that nobody answered.
    pub unanswered: Vec<Attempts>,
    /// Connections kept open.
    pub keepalives: Vec<Keepalive>,
    /// Time servers asked.
    pub time_servers: Vec<CheckIns>,
}

impl Expected {
    /// Minutes that were played.
    #[must_use]
    pub fn minutes(&self) -> f64 {
        minutes_of(self.span.duration_ns())
    }

    /// Devices in this group.
    pub fn group<'a>(&'a self, group: &'a str) -> impl Iterator<Item = (&'a str, &'a ExpectedDevice)> {
        self.devices
            .iter()
            .filter(move |(_, device)| device.groups.iter().any(|name| name == group))
            .map(|(name, device)| (name.as_str(), device))
    }
}

/// One device's share.
#[derive(Clone, Debug, Default)]
pub struct ExpectedDevice {
    /// Its MAC; that of the router is [`MacAddr::NONE`], since its MAC stands for
    /// many addresses.
    pub mac: MacAddr,
    /// Groups it is in.
    pub groups: Vec<String>,
    /// Packets it sent, and unicast ones sent to it.
    pub packets: u64,
    /// Their octets on the wire.
    pub wire_bytes: u64,
    /// Clock minutes in which it had a packet, counted since 1970.
    pub awake_minutes: BTreeSet<i64>,
    /// Addresses it sent from.
    pub ips: BTreeSet<IpAddr>,
    /// Addresses outside the house that it sent to or heard from.
    pub outside_peers: BTreeSet<IpAddr>,
    /// Its first and last packet.
    pub seen_ns: Option<(i64, i64)>,
}

impl ExpectedDevice {
    /// Whether no packet of it was from or to the outside.
    #[must_use]
    pub fn is_local_only(&self) -> bool {
        self.outside_peers.is_empty()
    }

    /// Packets per clock minute in which it had any; `None` if it never had.
    #[must_use]
    pub fn awake_packets_per_minute(&self) -> Option<f64> {
        let awake = u32::try_from(self.awake_minutes.len()).ok().filter(|minutes| *minutes > 0)?;
        Some(count_as_f64(self.packets) / f64::from(awake))
    }

    /// Packets per minute of a range this long.
    #[must_use]
    pub fn packets_per_minute(&self, range_ns: i64) -> f64 {
        count_as_f64(self.packets) / minutes_of(range_ns)
    }

    pub(super) fn count(&mut self, at_ns: i64, wire_bytes: u64) {
        self.packets += 1;
        self.wire_bytes += wire_bytes;
        self.awake_minutes.insert(at_ns.div_euclid(MINUTE_NS));
        self.seen_ns = Some(match self.seen_ns {
            Some((first, last)) => (first.min(at_ns), last.max(at_ns)),
            None => (at_ns, at_ns),
        });
    }
}

/// What each of two addresses sent to the other.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Sides {
    /// Packets from the lower address.
    pub a_packets: u64,
    /// Packets from the higher address.
    pub b_packets: u64,
    /// Octets on the wire from the lower address.
    pub a_wire_bytes: u64,
    /// Octets on the wire from the higher address.
    pub b_wire_bytes: u64,
}

/// Attempts of one device to reach one peer that never answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempts {
    /// The device's name.
    pub device: String,
    /// The name it asked DNS for.
    pub peer_name: String,
    /// The address it got.
    pub peer_ip: IpAddr,
    /// The port it tried.
    pub peer_port: u16,
    /// When each attempt sent its first SYN.
    pub started_ns: Vec<i64>,
    /// All SYNs, those sent again included.
    pub syns: u64,
}

/// A connection that is kept open.
#[derive(Clone, Debug, PartialEq)]
pub struct Keepalive {
    /// The device's name.
    pub device: String,
    /// The name it asked DNS for.
    pub peer_name: String,
    /// The peer's address.
    pub peer_ip: IpAddr,
    /// The peer's port.
    pub peer_port: u16,
    /// The period it was made with.
    pub period_ns: i64,
    /// When each beat began.
    pub beats_ns: Vec<i64>,
}

/// Questions of one device to one time server.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckIns {
    /// The device's name.
    pub device: String,
    /// The name it asked DNS for.
    pub server_name: String,
    /// The server's address.
    pub server_ip: IpAddr,
    /// When it asked.
    pub asked_ns: Vec<i64>,
}

fn count_as_f64(count: u64) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

#[expect(clippy::cast_precision_loss, reason = "spans are far below 2^53 ns, 104 days")]
fn minutes_of(duration_ns: i64) -> f64 {
    duration_ns as f64 / MINUTE_NS as f64
}
