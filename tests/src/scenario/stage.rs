//! Where frames are put on the wire, and what they amount to is noted.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
};

use iotq_proto::MacAddr;

use super::{
    Asked, Attempts, CheckIns, Description, Device, Expected, ExpectedDevice, Frame, Hello, Keepalive, NameSource,
    PeerName, Refused, SelfNamed, Span,
};
use crate::traffic::{Host, link_local};

/// Which frames the mirror port shows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Mirror {
    /// All of them.
    BothWays,
    /// None that the router sent.
    FromDevicesOnly,
}

/// Takes frames in any order of time; those outside the span never happened.
pub(super) struct Stage {
    pub(super) mirror: Mirror,
    pub(super) router: Host,
    pub(super) broadcast: Ipv4Addr,
    pub(super) span: Span,
    /// Names of devices by the MAC they are known by.
    by_mac: BTreeMap<MacAddr, String>,
    router_name: String,
    router_link_name: Option<String>,
    frames: Vec<Frame>,
    expected: Expected,
}

impl Stage {
    pub(super) fn new(description: &Description, span: Span) -> Self {
        let router = &description.router;
        let known = |device: &Device, mac| ExpectedDevice { mac, groups: device.groups.clone(), ..Default::default() };
        let mut devices: BTreeMap<_, _> =
            description.devices.iter().map(|device| (device.name.clone(), known(device, device.mac))).collect();
        devices.insert(router.name.clone(), known(router, MacAddr::NONE));
        if let Some(name) = &description.router_link_name {
            devices.insert(name.clone(), known(router, MacAddr::NONE));
        }
        let by_mac = description.devices.iter().map(|device| (device.mac, device.name.clone())).collect();
        Self {
            router: router.host(),
            broadcast: description.broadcast,
            span,
            by_mac,
            router_name: router.name.clone(),
            router_link_name: description.router_link_name.clone(),
            mirror: Mirror::BothWays,
            frames: Vec::new(),
            expected: Expected {
                span,
                frames: 0,
                packets: 0,
                packet_wire_bytes: 0,
                no_ip: BTreeMap::new(),
                devices,
                conversations: BTreeMap::new(),
                unanswered: Vec::new(),
                refused: Vec::new(),
                lone_datagrams: BTreeSet::new(),
                keepalives: Vec::new(),
                time_servers: Vec::new(),
                questions: Vec::new(),
                hellos: Vec::new(),
                peer_names: BTreeMap::new(),
                self_names: BTreeMap::new(),
            },
        }
    }

    /// A host on the other side of the router.
    pub(super) fn outside(&self, ip: IpAddr) -> Host {
        Host::new(self.router.mac, ip)
    }

    /// Puts an IP packet on the wire. Returns whether it was in time.
    pub(super) fn send(&mut self, at_ns: i64, src: &Host, dst: &Host, octets: Vec<u8>) -> bool {
        let Some(at_ns) = self.in_time(at_ns).filter(|_| self.shows(src)) else { return false };
        let wire_bytes = octets.len() as u64;
        self.expected.packets += 1;
        self.expected.packet_wire_bytes += wire_bytes;
        self.note_conversation(src.ip, dst.ip, wire_bytes);
        let (from, to) = (self.device_of(src), self.device_of(dst));
        for (device, peer) in [(&from, dst.ip), (&to, src.ip)] {
            let Some(device) = device.as_ref().and_then(|name| self.expected.devices.get_mut(name)) else { continue };
            device.count(at_ns, wire_bytes);
            if is_outside(peer) {
                device.outside_peers.insert(peer);
            }
        }
        if let Some(device) = from.and_then(|name| self.expected.devices.get_mut(&name))
            && !src.ip.is_unspecified()
        {
            device.ips.insert(src.ip);
        }
        self.push(at_ns, octets);
        true
    }

    /// Puts a frame without IP on the wire.
    pub(super) fn send_no_ip(&mut self, at_ns: i64, src: &Host, ether_type: u16, octets: Vec<u8>) {
        let Some(at_ns) = self.in_time(at_ns).filter(|_| self.shows(src)) else { return };
        *self.expected.no_ip.entry(ether_type).or_default() += 1;
        self.push(at_ns, octets);
    }

    /// Packets of a device up to now.
    pub(super) fn packets_of(&self, device: &Device) -> u64 {
        self.expected.devices.get(&device.name).map_or(0, |device| device.packets)
    }

    pub(super) fn note_attempts(&mut self, attempts: Attempts) {
        if !attempts.started_ns.is_empty() {
            self.expected.unanswered.push(attempts);
        }
    }

    pub(super) fn note_keepalive(&mut self, keepalive: Keepalive) {
        self.expected.keepalives.push(keepalive);
    }

    pub(super) fn note_check_ins(&mut self, check_ins: CheckIns) {
        if !check_ins.asked_ns.is_empty() {
            self.expected.time_servers.push(check_ins);
        }
    }

    pub(super) fn note_refused(&mut self, refused: Refused) {
        self.expected.refused.push(refused);
    }

    pub(super) fn note_lone_datagram(&mut self, device: &Device, ip: IpAddr, port: u16) {
        self.expected.lone_datagrams.insert((device.name.clone(), ip, port));
    }

    /// Notes a DNS question that was sent, with the addresses that came back.
    pub(super) fn note_question(&mut self, asked: Asked) {
        for ip in asked.answer.iter().flatten() {
            self.name_peer(&asked.device, *ip, &asked.qname, NameSource::Dns);
        }
        self.expected.questions.push(asked);
    }

    /// Notes a `ClientHello` that was sent.
    pub(super) fn note_hello(&mut self, hello: Hello) {
        self.name_peer(&hello.device, hello.server_ip, &hello.sni, NameSource::Sni);
        self.expected.hellos.push(hello);
    }

    pub(super) fn note_self_name(&mut self, device: &Device, source: SelfNamed) {
        let name = (device.host_name.clone(), source);
        let known = self.expected.self_names.entry(device.name.clone()).or_insert_with(|| name.clone());
        if source < known.1 {
            *known = name;
        }
    }

    pub(super) fn finish(mut self) -> (Vec<Frame>, Expected) {
        // Stable: what was sent in the same microsecond stays in the order it was sent.
        self.frames.sort_by_key(|frame| frame.at_ns);
        self.name_peers_by_others();
        self.expected.peer_names.retain(|(device, ip), _| {
            self.expected.devices.get(device).is_some_and(|device| device.outside_peers.contains(ip))
        });
        (self.frames, self.expected)
    }

    fn shows(&self, src: &Host) -> bool {
        self.mirror == Mirror::BothWays || src.mac != self.router.mac
    }

    fn name_peer(&mut self, device: &str, ip: IpAddr, name: &str, source: NameSource) {
        let named = PeerName { name: name.to_lowercase(), source };
        let known = self.expected.peer_names.entry((device.to_owned(), ip)).or_insert_with(|| named.clone());
        if source < known.source {
            *known = named;
        }
    }

    /// Who was told no name of a peer may know it by somebody else's question.
    fn name_peers_by_others(&mut self) {
        let told: BTreeMap<IpAddr, String> = self
            .expected
            .questions
            .iter()
            .flat_map(|asked| asked.answer.iter().flatten().map(|ip| (*ip, asked.qname.clone())))
            .collect();
        let devices: Vec<_> = self
            .expected
            .devices
            .iter()
            .flat_map(|(name, device)| device.outside_peers.iter().map(|ip| (name.clone(), *ip)))
            .collect();
        for (device, ip) in devices {
            if let Some(name) = told.get(&ip) {
                self.name_peer(&device, ip, name, NameSource::DnsOfAnother);
            }
        }
    }

    /// The instant as captures can say it, if it is in the span.
    fn in_time(&self, at_ns: i64) -> Option<i64> {
        let at_ns = at_ns.div_euclid(1000) * 1000;
        self.span.contains(at_ns).then_some(at_ns)
    }

    fn push(&mut self, at_ns: i64, octets: Vec<u8>) {
        self.expected.frames += 1;
        self.frames.push(Frame { at_ns, octets });
    }

    fn device_of(&self, host: &Host) -> Option<String> {
        if host.mac == self.router.mac {
            if host.ip == link_local(self.router.mac) {
                return self.router_link_name.clone();
            }
            return (host.ip == self.router.ip).then(|| self.router_name.clone());
        }
        self.by_mac.get(&host.mac).cloned()
    }

    fn note_conversation(&mut self, src: IpAddr, dst: IpAddr, wire_bytes: u64) {
        let from_a = src <= dst;
        let pair = if from_a { (src, dst) } else { (dst, src) };
        let sides = self.expected.conversations.entry(pair).or_default();
        let (packets, bytes) = if from_a {
            (&mut sides.a_packets, &mut sides.a_wire_bytes)
        } else {
            (&mut sides.b_packets, &mut sides.b_wire_bytes)
        };
        *packets += 1;
        *bytes += wire_bytes;
    }
}

/// Instants a period apart from a random phase on, each shifted by at most
/// `jitter_ns` and with `room_ns` for what follows it.
pub(super) fn ticks(
    span: Span,
    period_ns: i64,
    (jitter_ns, room_ns): (i64, i64),
    random: &mut crate::random::Random,
) -> impl Iterator<Item = i64> + use<> {
    // The first and the last tick keep off the span's ends, so that every seed has
    // as many of them.
    let inner = (period_ns - 2 * jitter_ns - room_ns).max(1);
    let phase = jitter_ns + i64::try_from(random.below(u64::try_from(inner).unwrap_or(1))).unwrap_or(0);
    let mut random = random.fork("ticks");
    (0..)
        .map(move |tick| span.since_ns + phase + tick * period_ns)
        .take_while(move |at| *at < span.until_ns)
        .map(move |at| at + random.around_zero(jitter_ns))
}

fn is_outside(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            !(ip.is_private() || ip.is_link_local() || ip.is_multicast() || ip.is_broadcast() || ip.is_unspecified())
        }
        IpAddr::V6(ip) => {
            !(ip.is_unique_local() || ip.is_unicast_link_local() || ip.is_multicast() || ip.is_unspecified())
        }
    }
}
