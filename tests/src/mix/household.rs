//! A day of a mixed household: phones and televisions beside plugs and bulbs.
//!
//! Made to have the proportions measured in DESIGN, section 8: 291 octets a frame,
//! 6.1 packets of a flow within a second.

use std::{cmp::Reverse, collections::BinaryHeap, io, net::Ipv4Addr};

use iotq_proto::MacAddr;

use super::{
    Made, Sink,
    forge::{End, Forge, Payload, Segment},
};
use crate::{
    random::Random,
    scenario::{MILLI_NS, SECOND_NS, Span},
    traffic::{
        self, Host,
        dhcp::{Lease, MessageType},
        dns::{self, Data, Record},
        ntp, tls,
    },
};

const ROUTER_MAC: [u8; 6] = [0, 0, 0x5e, 0, 0x53, 0x01];
const ROUTER_IP: [u8; 4] = [192, 168, 7, 1];
/// Services the household talks to.
const PEERS: u32 = 150;
/// Connections that stay open, for each device.
const OPEN_PER_DEVICE: usize = 3;
/// Ten times the packets of an episode on average, as [`Kind::choose`] weighs them (measured).
const MEAN_PACKETS_TIMES_10: i64 = 72;
const FULL_SEGMENT: usize = 1460;

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;

/// How much of it.
#[derive(Clone, Copy, Debug)]
pub struct HouseholdMix {
    /// How many frames.
    pub packets: u64,
    /// How many devices.
    pub devices: u32,
    /// When; the frames are spread evenly over it.
    pub span: Span,
    /// What the bytes depend on.
    pub seed: u64,
}

/// Makes that many frames of a mixed household, in the order of time.
///
/// # Errors
/// If the sink fails.
pub fn household_mix(mix: &HouseholdMix, sink: &mut (impl Sink + ?Sized)) -> io::Result<Made> {
    make(mix, House::new(mix, Kind::choose), sink)
}

/// The same of what tells names only: DNS, hellos, mDNS, DHCP, NTP, ARP, with as little
/// else as can be.
///
/// # Errors
/// If the sink fails.
pub fn names_mix(mix: &HouseholdMix, sink: &mut (impl Sink + ?Sized)) -> io::Result<Made> {
    make(mix, House::new(mix, Kind::choose_names), sink)
}

fn make(mix: &HouseholdMix, mut house: House, sink: &mut (impl Sink + ?Sized)) -> io::Result<Made> {
    let mut made = Made::default();
    let episodes = i64::try_from(mix.packets).unwrap_or(i64::MAX).saturating_mul(10) / MEAN_PACKETS_TIMES_10;
    let pause_ns = (mix.span.duration_ns() / episodes.max(1)).max(1);
    let mut next_start_ns = mix.span.since_ns;
    let mut running: BinaryHeap<Reverse<(i64, usize)>> = BinaryHeap::new();
    // Episodes by place; a place is used again when its episode has ended, so that
    // there are never more than run at the same time.
    let mut places: Vec<Episode> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    while made.frames < mix.packets {
        if running.peek().is_none_or(|Reverse((at_ns, _))| next_start_ns < *at_ns) {
            let episode = house.begin();
            let place = free.pop().unwrap_or(places.len());
            if place == places.len() {
                places.push(episode);
            } else {
                places[place] = episode;
            }
            running.push(Reverse((next_start_ns, place)));
            let spread = u64::try_from(2 * pause_ns).unwrap_or(1);
            next_start_ns += i64::try_from(house.random.below(spread)).unwrap_or(1).max(1);
            continue;
        }
        let Some(Reverse((at_ns, place))) = running.pop() else { continue };
        let then_ns = house.go_on(&mut places[place], |octets, is_ip| {
            made.count(octets);
            made.no_ip += u64::from(!is_ip);
            sink.frame(at_ns, octets)
        })?;
        match then_ns {
            Some(after_ns) => running.push(Reverse((at_ns + after_ns, place))),
            None => free.push(place),
        }
    }
    Ok(made)
}

/// What happens in the house, some packets at a time.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// A new TLS connection with so many packets of data.
    Visit { data: u32 },
    /// So many packets on a connection that is open.
    Exchange { data: u32, heavy: bool },
    /// Three packets on one.
    Beat,
    /// One datagram to all.
    Announce,
    /// DNS question and answer, then four SYNs.
    PhoneHome,
    /// Question and answer about the router's MAC.
    FindRouter,
    /// NTP request and reply.
    CheckTime,
    /// DHCP request and answer.
    RenewLease,
}

impl Kind {
    /// What tells names, with as little else as can be.
    fn choose_names(random: &mut Random) -> Self {
        match random.below(100) {
            0..30 => Self::Visit { data: 2 },
            30..60 => Self::PhoneHome,
            60..80 => Self::Announce,
            80..90 => Self::CheckTime,
            90..95 => Self::RenewLease,
            _ => Self::FindRouter,
        }
    }

    fn choose(random: &mut Random) -> Self {
        let length = |random: &mut Random, from: u32, more: u64| from + u32::try_from(random.below(more)).unwrap_or(0);
        match random.below(100) {
            0..6 => Self::Visit { data: length(random, 8, 24) },
            6..44 => Self::Exchange { data: length(random, 4, 10), heavy: false },
            44..50 => Self::Exchange { data: length(random, 12, 18), heavy: true },
            50..74 => Self::Beat,
            74..93 => Self::Announce,
            93..95 => Self::PhoneHome,
            95..97 => Self::CheckTime,
            97 => Self::RenewLease,
            _ => Self::FindRouter,
        }
    }
}

/// Something going on.
#[derive(Clone, Copy, Debug)]
struct Episode {
    kind: Kind,
    step: u32,
    device: usize,
    peer: usize,
    /// Its own connection; `None`: one of those that are open.
    own: Option<Connection>,
    open: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Connection {
    client: End,
    server: End,
    client_seq: u32,
    server_seq: u32,
}

struct Peer {
    ip: [u8; 4],
    name: String,
    hello: Vec<u8>,
}

struct House {
    random: Random,
    forge: Forge,
    devices: Vec<End>,
    peers: Vec<Peer>,
    open: Vec<Connection>,
    server_hello: Vec<u8>,
    /// One for each device.
    announcements: Vec<Vec<u8>>,
    choose: fn(&mut Random) -> Kind,
}

impl House {
    fn new(mix: &HouseholdMix, choose: fn(&mut Random) -> Kind) -> Self {
        let mut random = Random::new(mix.seed);
        let forge = Forge::new(&mut random);
        let ouis = [[0x48, 0xe1, 0xe9], [0xd0, 0x73, 0xd5], [0x50, 0x14, 0x79], [0xf0, 0xf0, 0xa4]];
        let devices: Vec<_> = (0..mix.devices.clamp(1, 60_000))
            .map(|index| {
                let [_, _, high, low] = index.to_be_bytes();
                let [a, b, c] = ouis[(index % 4) as usize];
                let [_, _, x, y] = (index + 10).to_be_bytes();
                End { mac: [a, b, c, 1, high, low], ip: [192, 168, 7_u8.wrapping_add(x), y], port: 0 }
            })
            .collect();
        let peers: Vec<_> = (0..PEERS)
            .map(|index| {
                let name = format!("service-{index}.eu-west-1.amazonaws.com");
                let [_, _, high, low] = (index * 37).to_be_bytes();
                // Half of the services are visited by things, half by browsers.
                let hello = match index % 2 {
                    0 => tls::client_hello(&name, Some("h2"), &mut random),
                    _ => tls::browser_hello(&name, &mut random),
                };
                Peer { ip: [52, 18, high, low], name, hello }
            })
            .collect();
        let server_hello = tls::server_hello(2600, &mut random);
        let announcements = devices.iter().map(announcement).collect();
        let mut house = Self { random, forge, devices, peers, open: Vec::new(), server_hello, announcements, choose };
        for device in 0..house.devices.len() {
            for _ in 0..OPEN_PER_DEVICE {
                let peer = house.pick(PEERS as usize);
                let connection = house.connection(device, peer);
                house.open.push(connection);
            }
        }
        house
    }

    fn begin(&mut self) -> Episode {
        let kind = (self.choose)(&mut self.random);
        let open = self.pick(self.open.len());
        let (device, peer) = (self.pick(self.devices.len()), self.pick(self.peers.len()));
        let own = matches!(kind, Kind::Visit { .. } | Kind::PhoneHome).then(|| self.connection(device, peer));
        Episode { kind, step: 0, device, peer, own, open }
    }

    /// Sends an episode's next frame; returns how long until the one after it.
    fn go_on(
        &mut self,
        episode: &mut Episode,
        mut send: impl FnMut(&[u8], bool) -> io::Result<()>,
    ) -> io::Result<Option<i64>> {
        let step = episode.step;
        episode.step += 1;
        let quick = MILLI_NS + i64::try_from(self.random.below(12_000_000)).unwrap_or(0);
        match episode.kind {
            Kind::FindRouter => {
                let device = host(&self.devices[episode.device]);
                let router = Host::new(MacAddr::from_octets(ROUTER_MAC), Ipv4Addr::from(ROUTER_IP));
                let frame = match step {
                    0 => traffic::arp_request(&device, Ipv4Addr::from(ROUTER_IP)),
                    _ => traffic::arp_reply(&router, &device),
                };
                send(&frame, false)?;
                Ok((step == 0).then_some(MILLI_NS))
            }
            Kind::Announce => {
                let src = End { port: 5353, ..self.devices[episode.device] };
                let dst = End { mac: [1, 0, 0x5e, 0, 0, 0xfb], ip: [224, 0, 0, 251], port: 5353 };
                let announcement = &self.announcements[episode.device];
                send(self.forge.udp(&src, &dst, Payload::Octets(announcement)), true)?;
                Ok(None)
            }
            Kind::CheckTime => {
                let device = End { port: 0xc000 | self.random.u16(), ..self.devices[episode.device] };
                let client = episode.own.get_or_insert(Connection { client: device, ..Connection::default() }).client;
                let server = End { mac: ROUTER_MAC, ip: [3, 87, 127, 10], port: 123 };
                match step {
                    0 => send(self.forge.udp(&client, &server, Payload::Octets(&ntp::request(0))), true)?,
                    _ => send(self.forge.udp(&server, &client, Payload::Octets(&ntp::reply(0, MILLI_NS))), true)?,
                }
                Ok((step == 0).then_some(80 * MILLI_NS))
            }
            Kind::RenewLease => {
                let client = End { port: 68, ..self.devices[episode.device] };
                let router = End { mac: ROUTER_MAC, ip: ROUTER_IP, port: 67 };
                let lease = Lease {
                    xid: u32::from_be_bytes(client.ip),
                    client: MacAddr::from_octets(client.mac),
                    ip: Ipv4Addr::from(client.ip),
                    server: Ipv4Addr::from(ROUTER_IP),
                    host_name: &format!("thing-{}", episode.device),
                };
                match step {
                    0 => {
                        let request = lease.from_client(MessageType::Request, true);
                        send(self.forge.udp(&client, &router, Payload::Octets(&request)), true)?;
                    }
                    _ => {
                        let answer = lease.from_server(MessageType::Ack);
                        send(self.forge.udp(&router, &client, Payload::Octets(&answer)), true)?;
                    }
                }
                Ok((step == 0).then_some(12 * MILLI_NS))
            }
            Kind::PhoneHome => {
                let own = &mut episode.own.expect("it has a connection of its own");
                match step {
                    0 | 1 => self.resolve(own, episode.peer, step, &mut send)?,
                    _ => {
                        let segment = Segment { seq: own.client_seq, ack: 0, flags: SYN };
                        send(self.forge.tcp(&own.client, &own.server, segment, Payload::None), true)?;
                    }
                }
                // SYNs after 0, 1, 3 and 7 seconds.
                let after_ns = [quick, quick, SECOND_NS, 2 * SECOND_NS, 4 * SECOND_NS];
                Ok(after_ns.get(step as usize).copied())
            }
            Kind::Visit { data } => {
                let mut own = episode.own.expect("it has a connection of its own");
                let then = self.visit(&mut own, (episode.peer, data), step, &mut send)?;
                episode.own = Some(own);
                Ok(then.then_some(quick))
            }
            Kind::Exchange { data, heavy } => {
                let mut open = self.open[episode.open];
                self.exchange(&mut open, step, heavy, &mut send)?;
                self.open[episode.open] = open;
                Ok((step + 1 < data).then_some(quick))
            }
            Kind::Beat => {
                let mut open = self.open[episode.open];
                let (from_client, payload) =
                    [(true, Payload::Secret(31)), (false, Payload::Secret(31)), (true, Payload::None)]
                        [step.min(2) as usize];
                self.segment(&mut open, from_client, ACK, payload, &mut send)?;
                self.open[episode.open] = open;
                Ok((step < 2).then_some(quick))
            }
        }
    }

    /// Sends a visit's packet of this number; returns whether there is one after it.
    fn visit(
        &mut self,
        own: &mut Connection,
        (peer, data): (usize, u32),
        step: u32,
        send: &mut impl FnMut(&[u8], bool) -> io::Result<()>,
    ) -> io::Result<bool> {
        match step {
            0 | 1 => self.resolve(own, peer, step, send)?,
            2 => self.segment(own, true, SYN, Payload::None, send)?,
            3 => self.segment(own, false, SYN | ACK, Payload::None, send)?,
            4 | 8 => self.segment(own, true, ACK, Payload::None, send)?,
            5 => {
                let hello = std::mem::take(&mut self.peers[peer].hello);
                let sent = self.segment(own, true, PSH | ACK, Payload::Octets(&hello), send);
                self.peers[peer].hello = hello;
                sent?;
            }
            6 | 7 => {
                let flight = std::mem::take(&mut self.server_hello);
                let (first, second) = flight.split_at(FULL_SEGMENT);
                let part = if step == 6 { first } else { &second[..second.len().min(FULL_SEGMENT)] };
                let sent = self.segment(own, false, ACK, Payload::Octets(part), send);
                self.server_hello = flight;
                sent?;
            }
            _ if step < 9 + data => self.exchange(own, step - 9, false, send)?,
            _ => {
                let from_client = step != 10 + data;
                let flags = if step < 11 + data { FIN | ACK } else { ACK };
                self.segment(own, from_client, flags, Payload::None, send)?;
            }
        }
        Ok(step < 11 + data)
    }

    /// Sends a packet of application data or an acknowledgement.
    fn exchange(
        &mut self,
        connection: &mut Connection,
        step: u32,
        heavy: bool,
        send: &mut impl FnMut(&[u8], bool) -> io::Result<()>,
    ) -> io::Result<()> {
        let (from_client, payload) = match step % 4 {
            0 => (true, Payload::Secret(60 + 2 * self.pick(120))),
            1 if heavy => (false, Payload::Noise(FULL_SEGMENT)),
            1 => (false, Payload::Secret(60 + self.pick(340))),
            2 if heavy => (false, Payload::Noise(FULL_SEGMENT)),
            2 => (true, Payload::None),
            _ if heavy => (true, Payload::None),
            _ => (false, Payload::Secret(31 + self.pick(100))),
        };
        self.segment(connection, from_client, ACK, payload, send)
    }

    fn segment(
        &mut self,
        connection: &mut Connection,
        from_client: bool,
        flags: u8,
        payload: Payload<'_>,
        send: &mut impl FnMut(&[u8], bool) -> io::Result<()>,
    ) -> io::Result<()> {
        let (src, dst, seq, ack) = if from_client {
            (&connection.client, &connection.server, connection.client_seq, connection.server_seq)
        } else {
            (&connection.server, &connection.client, connection.server_seq, connection.client_seq)
        };
        let ack = if flags & ACK == 0 { 0 } else { ack };
        send(self.forge.tcp(src, dst, Segment { seq, ack, flags }, payload), true)?;
        let len = match payload {
            Payload::None => 0,
            Payload::Secret(len) | Payload::Noise(len) => len,
            Payload::Octets(octets) => octets.len(),
        };
        let counted = u32::try_from(len).unwrap_or(0) + u32::from(flags & (SYN | FIN) != 0);
        let sent = if from_client { &mut connection.client_seq } else { &mut connection.server_seq };
        *sent = sent.wrapping_add(counted);
        Ok(())
    }

    fn resolve(
        &mut self,
        connection: &Connection,
        peer: usize,
        step: u32,
        send: &mut impl FnMut(&[u8], bool) -> io::Result<()>,
    ) -> io::Result<()> {
        let Peer { ip, name, .. } = &self.peers[peer];
        let client = End { port: connection.client.port ^ 0x2aaa, ..connection.client };
        let router = End { mac: ROUTER_MAC, ip: ROUTER_IP, port: 53 };
        // The port will do as an identifier: it is as random.
        let id = connection.client.port;
        if step == 0 {
            let question = dns::question(id, name, dns::A);
            return send(self.forge.udp(&client, &router, Payload::Octets(&question)), true);
        }
        let record = Record { name: name.clone(), ttl: 60, data: Data::A(Ipv4Addr::from(*ip)) };
        let answer = dns::answer(id, name, dns::A, &[record]);
        send(self.forge.udp(&router, &client, Payload::Octets(&answer)), true)
    }

    fn connection(&mut self, device: usize, peer: usize) -> Connection {
        let client = End { port: self.random.port(), ..self.devices[device] };
        let server = End { mac: ROUTER_MAC, ip: self.peers[peer].ip, port: 443 };
        Connection { client, server, client_seq: self.random.u32(), server_seq: self.random.u32() }
    }

    fn pick(&mut self, among: usize) -> usize {
        usize::try_from(self.random.below(among as u64)).unwrap_or(0)
    }
}

/// Its name and a service, by mDNS.
fn announcement(device: &End) -> Vec<u8> {
    let [.., last] = device.ip;
    let name = format!("thing-{last}.local");
    let service = Data::Ptr(format!("thing-{last}._hap._tcp.local"));
    dns::mdns_announcement(&[
        Record { name: "_hap._tcp.local".into(), ttl: 4500, data: service },
        Record { name, ttl: 120, data: Data::A(Ipv4Addr::from(device.ip)) },
    ])
}

fn host(end: &End) -> Host {
    Host::new(MacAddr::from_octets(end.mac), Ipv4Addr::from(end.ip))
}
