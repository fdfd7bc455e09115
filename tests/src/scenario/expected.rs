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
    /// Attempts that nobody answered.
    pub unanswered: Vec<Attempts>,
    /// Attempts that were refused.
    pub refused: Vec<Refused>,
    /// Datagrams to the outside that nobody answered: name of the device, address, port.
    pub lone_datagrams: BTreeSet<(String, IpAddr, u16)>,
    /// Connections kept open, and those opened again and again.
    pub keepalives: Vec<Keepalive>,
    /// Time servers asked.
    pub time_servers: Vec<CheckIns>,
    /// DNS questions, not those by multicast.
    pub questions: Vec<Asked>,
    /// `ClientHello`s.
    pub hellos: Vec<Hello>,
    /// What each device's peers outside are called.
    pub peer_names: BTreeMap<(String, IpAddr), PeerName>,
    /// What devices call themselves: the name of the device to the name and how it said so.
    pub self_names: BTreeMap<String, (String, SelfNamed)>,
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
    /// Whether it had any packet.
    #[must_use]
    pub fn was_seen(&self) -> bool {
        self.seen_ns.is_some()
    }

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
    /// Whether DNS had told it the address.
    pub asked_dns: bool,
}

impl Attempts {
    /// The median of the times between attempts, in seconds; `None` if there was but one.
    #[must_use]
    pub fn median_interval_secs(&self) -> Option<f64> {
        median_gap_secs(&self.started_ns)
    }
}

/// Attempts of one device that one peer refused with RST.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    /// The device's name.
    pub device: String,
    /// The address it tried.
    pub peer_ip: IpAddr,
    /// The port it tried.
    pub peer_port: u16,
    /// How often.
    pub attempts: u64,
}

/// Where a keepalive's beats are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum KeepaliveKind {
    /// In connections that are kept open.
    WithinConnection,
    /// Each in a short connection of its own.
    AcrossConnections,
}

impl KeepaliveKind {
    /// As the answers call it.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::WithinConnection => "within_connection",
            Self::AcrossConnections => "across_connections",
        }
    }
}

/// A connection that is kept open, or one opened again and again.
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
    /// Where its beats are.
    pub kind: KeepaliveKind,
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

impl CheckIns {
    /// The median of the times between questions, in seconds; `None` if there was but one.
    #[must_use]
    pub fn median_interval_secs(&self) -> Option<f64> {
        median_gap_secs(&self.asked_ns)
    }
}

/// A DNS question that was sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// The name of the device that asked.
    pub device: String,
    /// When.
    pub at_ns: i64,
    /// For what, in lower case.
    pub qname: String,
    /// For which type.
    pub qtype: u16,
    /// The addresses it was told; `None`: nobody answered.
    pub answer: Option<Vec<IpAddr>>,
}

/// A `ClientHello` that was sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Hello {
    /// The name of the device that sent it.
    pub device: String,
    /// When.
    pub at_ns: i64,
    /// To whom.
    pub server_ip: IpAddr,
    /// To which port.
    pub server_port: u16,
    /// The name it asked for.
    pub sni: String,
    /// The highest version it offered, as the answers call it.
    pub version: &'static str,
    /// What it offered above TLS.
    pub alpn: &'static [&'static str],
    /// Its fingerprint.
    pub ja4: &'static str,
}

/// How the name of a peer is known, the better source first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum NameSource {
    /// A `ClientHello` of this device.
    Sni,
    /// A DNS answer to this device.
    Dns,
    /// A DNS answer to another one.
    DnsOfAnother,
}

/// What a peer is called.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerName {
    /// Its name.
    pub name: String,
    /// How it is known.
    pub source: NameSource,
}

/// How a device says its own name, the better source first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum SelfNamed {
    /// To the DHCP server.
    Dhcp,
    /// To all, by mDNS.
    Mdns,
}

/// The median of the times between neighbours, in seconds.
fn median_gap_secs(at_ns: &[i64]) -> Option<f64> {
    let mut gaps: Vec<_> = at_ns.windows(2).map(|two| two[1] - two[0]).collect();
    gaps.sort_unstable();
    let middle = gaps.get(gaps.len() / 2)?;
    let other = gaps.get(gaps.len().saturating_sub(1) / 2)?;
    Some(std::time::Duration::from_nanos(u64::try_from((middle + other) / 2).ok()?).as_secs_f64())
}

fn count_as_f64(count: u64) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

#[expect(clippy::cast_precision_loss, reason = "spans are far below 2^53 ns, 104 days")]
fn minutes_of(duration_ns: i64) -> f64 {
    duration_ns as f64 / MINUTE_NS as f64
}
