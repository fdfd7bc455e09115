//! What a device does, told as packets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{
    Attempts, CheckIns, Device, Keepalive, MILLI_NS, MINUTE_NS, SECOND_NS,
    stage::{Stage, ticks},
};
use crate::{
    random::Random,
    traffic::{
        self, Host,
        dhcp::{Lease, MessageType},
        dns::{self, Data, Record},
        link_local, ntp,
        tcp::{Side, TcpTalk},
        tls,
    },
};

const ARP: u16 = 0x0806;
const MDNS_GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const MDNS_GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);
/// From the house to a cloud and back: a usual way over a continent.
const ROUND_TRIP_NS: i64 = 84 * MILLI_NS;
/// A SYN is sent again after 1, 3 and 7 seconds (RFC 6298, section 2), then given up.
const SYNS_AFTER_NS: [i64; 4] = [0, SECOND_NS, 3 * SECOND_NS, 7 * SECOND_NS];
/// Full segments of an Ethernet path.
const SEGMENT_BYTES: usize = 1460;

/// A service somewhere outside.
#[derive(Clone, Debug)]
pub struct Cloud {
    /// What devices ask DNS for.
    pub name: String,
    /// The name that one stands for, if it is not the real one.
    pub alias_of: Option<String>,
    /// Its address.
    pub ip: Ipv4Addr,
}

/// Something a device does, mostly again and again.
#[derive(Clone, Debug)]
pub enum Behaviour {
    /// Sends a datagram to a group or to everybody, unasked.
    Announce {
        /// A multicast group, or the network's broadcast address if `None`.
        group: Option<Ipv4Addr>,
        /// From and to this port.
        port: u16,
        /// Octets in it.
        payload_bytes: usize,
        /// How often.
        every_ns: i64,
    },
    /// Announces its name and a service by mDNS.
    AnnounceName {
        /// `_service._tcp`.
        service: String,
        /// From its link-local IPv6 address too.
        also_ipv6: bool,
        /// How often.
        every_ns: i64,
    },
    /// Reports that it listens to a multicast group.
    ReportGroup {
        /// The group.
        group: Ipv4Addr,
        /// How often.
        every_ns: i64,
    },
    /// Asks for the router's MAC, which answers. No IP.
    FindRouter {
        /// How often.
        every_ns: i64,
    },
    /// Renews its DHCP lease: request and answer.
    RenewLease {
        /// How often.
        every_ns: i64,
    },
    /// Sets its clock: DNS question and answer, NTP request and reply.
    CheckTime {
        /// Whom it asks.
        server: Cloud,
        /// How often.
        every_ns: i64,
    },
    /// Tries to reach a service that does not answer: DNS question and answer,
    /// then SYNs into silence.
    PhoneHome {
        /// Whom it tries.
        peer: Cloud,
        /// On which port.
        port: u16,
        /// How often.
        every_ns: i64,
        /// Each attempt is early or late by at most this.
        jitter_ns: i64,
    },
    /// Opens a TLS connection soon after the span begins and keeps it open with a
    /// beat of three packets: data, data back, acknowledgement.
    KeepOpen {
        /// To whom.
        peer: Cloud,
        /// On which port.
        port: u16,
        /// From beat to beat.
        period_ns: i64,
        /// Each beat is early or late by at most this.
        jitter_ns: i64,
    },
    /// Is awake from the first full minute after `before_end_ns` before the end, for
    /// some minutes, and has an exact number of packets in them. Where that does not
    /// fit into the span it stays asleep.
    WakeUp {
        /// How long before the span's end it wakes up, at most.
        before_end_ns: i64,
        /// How many minutes it is awake.
        minutes: i64,
        /// How many packets it has in them.
        packets: u64,
        /// Services it talks to; the last one gets most of it.
        peers: Vec<Cloud>,
        /// Whom it asks for the time.
        time_server: Cloud,
    },
}

impl Behaviour {
    pub(super) fn play(&self, device: &Device, stage: &mut Stage, random: &mut Random) {
        match self {
            Self::Announce { group, port, payload_bytes, every_ns } => {
                let dst = Host::group(group.unwrap_or(stage.broadcast));
                let payload = random.octets(*payload_bytes);
                for at_ns in ticks(stage.span, *every_ns, often(*every_ns), random) {
                    let frame = traffic::udp(&device.host(), &dst, (*port, *port), &payload);
                    stage.send(at_ns, &device.host(), &dst, frame);
                }
            }
            Self::AnnounceName { service, also_ipv6, every_ns } => {
                let message = name_announcement(device, service);
                for at_ns in ticks(stage.span, *every_ns, often(*every_ns), random) {
                    announce_name(device, stage, at_ns, &message, *also_ipv6);
                }
            }
            Self::ReportGroup { group, every_ns } => {
                for at_ns in ticks(stage.span, *every_ns, often(*every_ns), random) {
                    let frame = traffic::igmp_report(&device.host(), *group);
                    stage.send(at_ns, &device.host(), &Host::group(*group), frame);
                }
            }
            Self::FindRouter { every_ns } => {
                for at_ns in ticks(stage.span, *every_ns, often(*every_ns), random) {
                    find_router(device, stage, at_ns);
                }
            }
            Self::RenewLease { every_ns } => {
                for at_ns in ticks(stage.span, *every_ns, often(*every_ns), random) {
                    let router = stage.router;
                    dhcp(device, stage, at_ns, Some(&router), random);
                }
            }
            Self::CheckTime { server, every_ns } => {
                let asked_ns = ticks(stage.span, *every_ns, often(*every_ns), random)
                    .filter_map(|at_ns| check_time(device, stage, at_ns, server, random))
                    .collect();
                note_check_ins(device, stage, server, asked_ns);
            }
            Self::PhoneHome { peer, port, every_ns, jitter_ns } => {
                phone_home(device, stage, (peer, *port), (*every_ns, *jitter_ns), random);
            }
            Self::KeepOpen { peer, port, period_ns, jitter_ns } => {
                keep_open(device, stage, (peer, *port), (*period_ns, *jitter_ns), random);
            }
            Self::WakeUp { before_end_ns, minutes, packets, peers, time_server } => {
                let from_ns = (stage.span.until_ns - before_end_ns).div_euclid(MINUTE_NS) * MINUTE_NS + MINUTE_NS;
                let until_ns = from_ns + minutes * MINUTE_NS;
                if from_ns >= stage.span.since_ns && until_ns <= stage.span.until_ns {
                    wake_up(device, stage, (from_ns, until_ns), *packets, (peers, time_server), random);
                }
            }
        }
    }
}

fn phone_home(
    device: &Device,
    stage: &mut Stage,
    (peer, port): (&Cloud, u16),
    (every_ns, jitter_ns): (i64, i64),
    random: &mut Random,
) {
    let (host, server) = (device.host(), stage.outside(peer.ip.into()));
    let mut started_ns = Vec::new();
    let mut syns = 0;
    for at_ns in ticks(stage.span, every_ns, (jitter_ns, 10 * SECOND_NS), random) {
        // An attempt cut by the end would be half of one.
        if at_ns + 10 * SECOND_NS > stage.span.until_ns {
            continue;
        }
        let resolved_ns = resolve(device, stage, at_ns, peer, random);
        let syn = TcpTalk::new(host, server, port, random).syn();
        for after_ns in SYNS_AFTER_NS {
            if stage.send(resolved_ns + after_ns, &host, &server, syn.clone()) {
                syns += 1;
            }
        }
        started_ns.push(resolved_ns);
    }
    stage.note_attempts(Attempts {
        device: device.name.clone(),
        peer_name: peer.name.clone(),
        peer_ip: peer.ip.into(),
        peer_port: port,
        started_ns,
        syns,
    });
}

fn keep_open(
    device: &Device,
    stage: &mut Stage,
    (peer, port): (&Cloud, u16),
    (period_ns, jitter_ns): (i64, i64),
    random: &mut Random,
) {
    // Not at once: who asks for the last hour some seconds after it has ended
    // should still see how it was opened.
    let start_ns = stage.span.since_ns + 40 * SECOND_NS + device_offset_ns(random);
    let resolved_ns = resolve(device, stage, start_ns, peer, random);
    let mut talk = Talk::open(device, stage, resolved_ns, (peer, port), random);
    let mut beats_ns = Vec::new();
    for beat in 1.. {
        let at_ns = talk.opened_ns + beat * period_ns + random.around_zero(jitter_ns);
        if at_ns + SECOND_NS > stage.span.until_ns {
            break;
        }
        beats_ns.push(at_ns);
        // Two octets of MQTT (PINGREQ, PINGRESP), encrypted.
        talk.say(stage, at_ns, Side::Client, &tls::application_data(2, random));
        talk.say(stage, at_ns + ROUND_TRIP_NS, Side::Server, &tls::application_data(2, random));
        talk.ack(stage, at_ns + ROUND_TRIP_NS + 2 * MILLI_NS, Side::Client);
    }
    stage.note_keepalive(Keepalive {
        device: device.name.clone(),
        peer_name: peer.name.clone(),
        peer_ip: peer.ip.into(),
        peer_port: port,
        period_ns,
        beats_ns,
    });
}

fn wake_up(
    device: &Device,
    stage: &mut Stage,
    (from_ns, until_ns): (i64, i64),
    packets: u64,
    (peers, time_server): (&[Cloud], &Cloud),
    random: &mut Random,
) {
    let asleep = stage.packets_of(device);
    let mut at_ns = from_ns + 40 * MILLI_NS;
    let everybody = Host::group(Ipv4Addr::BROADCAST);
    dhcp(device, stage, at_ns, Some(&everybody), random);
    find_router(device, stage, at_ns + 60 * MILLI_NS);
    announce_name(device, stage, at_ns + 200 * MILLI_NS, &name_announcement(device, "_amzn-wplay._tcp"), true);
    let asked_ns = check_time(device, stage, at_ns + 400 * MILLI_NS, time_server, random);
    note_check_ins(device, stage, time_server, asked_ns.into_iter().collect());
    let mut talks = Vec::new();
    for peer in peers {
        at_ns += SECOND_NS;
        let resolved_ns = resolve(device, stage, at_ns, peer, random);
        talks.push(Talk::open(device, stage, resolved_ns, (peer, 443), random));
    }
    // What is left, but for the farewells, is said in bursts over all the minutes,
    // the last of them well before the end.
    let farewells = 3 * talks.len() as u64;
    let left = (packets + asleep).saturating_sub(stage.packets_of(device) + farewells);
    let bursts = left.div_ceil(BURST_PACKETS).max(1);
    let mut burst_ns = at_ns + 2 * SECOND_NS;
    let pause_ns = (until_ns - 12 * SECOND_NS - burst_ns) / i64::try_from(bursts).unwrap_or(1);
    for said in 0..left {
        let (burst, in_burst) = (said / BURST_PACKETS, said % BURST_PACKETS);
        // The last service gets most of it.
        let most = talks.len().saturating_sub(1);
        let which = if burst % 6 == 0 { usize::try_from(burst / 6).unwrap_or(0) % (most + 1) } else { most };
        let Some(talk) = talks.get_mut(which) else { break };
        if in_burst == 0 && said > 0 {
            burst_ns += pause_ns;
        }
        let at_ns = burst_ns + i64::try_from(in_burst).unwrap_or(0) * 21 * MILLI_NS;
        match in_burst {
            0 => talk.say(stage, at_ns, Side::Client, &tls::application_data(420, random)),
            2 | 5 | 8 | 10 => talk.ack(stage, at_ns, Side::Client),
            _ => talk.say(stage, at_ns, Side::Server, &random.octets(SEGMENT_BYTES)),
        }
    }
    for (index, talk) in talks.iter_mut().enumerate() {
        let at_ns = until_ns - 8 * SECOND_NS + i64::try_from(index).unwrap_or(0) * SECOND_NS;
        talk.close(stage, at_ns);
    }
}

/// Packets of a burst of application data.
const BURST_PACKETS: u64 = 12;

/// A TLS connection of a device with a service outside.
struct Talk {
    client: Host,
    server: Host,
    tcp: TcpTalk,
    opened_ns: i64,
}

impl Talk {
    /// Opens it: TCP's three segments, TLS 1.2's two round trips.
    fn open(device: &Device, stage: &mut Stage, at_ns: i64, (peer, port): (&Cloud, u16), random: &mut Random) -> Self {
        let (client, server) = (device.host(), stage.outside(peer.ip.into()));
        let tcp = TcpTalk::new(client, server, port, random);
        let mut talk = Self { client, server, tcp, opened_ns: at_ns };
        let [syn, syn_ack, ack] = talk.tcp.open();
        let mut at_ns = at_ns;
        stage.send(at_ns, &client, &server, syn);
        at_ns += ROUND_TRIP_NS;
        stage.send(at_ns, &server, &client, syn_ack);
        stage.send(at_ns + MILLI_NS, &client, &server, ack);
        talk.say(stage, at_ns + 3 * MILLI_NS, Side::Client, &tls::client_hello(&peer.name, None, random));
        at_ns += ROUND_TRIP_NS + 3 * MILLI_NS;
        for segment in tls::server_hello(2900, random).chunks(SEGMENT_BYTES) {
            talk.say(stage, at_ns, Side::Server, segment);
            at_ns += MILLI_NS / 5;
        }
        talk.ack(stage, at_ns + MILLI_NS, Side::Client);
        talk.say(stage, at_ns + 30 * MILLI_NS, Side::Client, &tls::client_finish(random));
        at_ns += ROUND_TRIP_NS + 30 * MILLI_NS;
        talk.say(stage, at_ns, Side::Server, &tls::server_finish(random));
        talk.say(stage, at_ns + 2 * MILLI_NS, Side::Client, &tls::application_data(180, random));
        at_ns += ROUND_TRIP_NS;
        talk.say(stage, at_ns, Side::Server, &tls::application_data(60, random));
        talk.ack(stage, at_ns + 2 * MILLI_NS, Side::Client);
        talk.opened_ns = at_ns;
        talk
    }

    fn say(&mut self, stage: &mut Stage, at_ns: i64, side: Side, payload: &[u8]) {
        let frame = self.tcp.say(side, payload);
        self.send(stage, at_ns, side, frame);
    }

    fn ack(&self, stage: &mut Stage, at_ns: i64, side: Side) {
        self.send(stage, at_ns, side, self.tcp.ack(side));
    }

    fn close(&mut self, stage: &mut Stage, at_ns: i64) {
        let [fin, fin_back, ack] = self.tcp.close(Side::Client);
        self.send(stage, at_ns, Side::Client, fin);
        self.send(stage, at_ns + ROUND_TRIP_NS, Side::Server, fin_back);
        self.send(stage, at_ns + ROUND_TRIP_NS + MILLI_NS, Side::Client, ack);
    }

    fn send(&self, stage: &mut Stage, at_ns: i64, side: Side, frame: Vec<u8>) {
        let (src, dst) = match side {
            Side::Client => (&self.client, &self.server),
            Side::Server => (&self.server, &self.client),
        };
        stage.send(at_ns, src, dst, frame);
    }
}

/// Asks the router for an address; returns when the answer has been read.
fn resolve(device: &Device, stage: &mut Stage, at_ns: i64, peer: &Cloud, random: &mut Random) -> i64 {
    let (host, router) = (device.host(), stage.router);
    let (id, port) = (random.u16(), random.port());
    let question = dns::question(id, &peer.name, dns::A);
    stage.send(at_ns, &host, &router, traffic::udp(&host, &router, (port, 53), &question));
    let mut records = Vec::new();
    if let Some(real) = &peer.alias_of {
        records.push(Record { name: peer.name.clone(), ttl: 300, data: Data::Cname(real.clone()) });
    }
    let owner = peer.alias_of.as_ref().unwrap_or(&peer.name);
    records.push(Record { name: owner.clone(), ttl: 60, data: Data::A(peer.ip) });
    let answer = dns::answer(id, &peer.name, dns::A, &records);
    let answered_ns = at_ns + 18 * MILLI_NS;
    stage.send(answered_ns, &router, &host, traffic::udp(&router, &host, (53, port), &answer));
    answered_ns + 2 * MILLI_NS
}

/// Returns when the time server was asked, if there was time for all of it.
fn check_time(device: &Device, stage: &mut Stage, at_ns: i64, server: &Cloud, random: &mut Random) -> Option<i64> {
    if at_ns + SECOND_NS > stage.span.until_ns {
        return None;
    }
    let asked_ns = resolve(device, stage, at_ns, server, random);
    let (host, outside) = (device.host(), stage.outside(server.ip.into()));
    let port = random.port();
    stage.send(asked_ns, &host, &outside, traffic::udp(&host, &outside, (port, 123), &ntp::request(asked_ns)));
    let replied_ns = asked_ns + ROUND_TRIP_NS;
    let reply = ntp::reply(asked_ns, replied_ns - ROUND_TRIP_NS / 2);
    stage.send(replied_ns, &outside, &host, traffic::udp(&outside, &host, (123, port), &reply));
    Some(asked_ns)
}

fn note_check_ins(device: &Device, stage: &mut Stage, server: &Cloud, asked_ns: Vec<i64>) {
    stage.note_check_ins(CheckIns {
        device: device.name.clone(),
        server_name: server.name.clone(),
        server_ip: server.ip.into(),
        asked_ns,
    });
}

/// Request and answer. To the router: a renewal; to everybody: a client that
/// wakes up and wants its old address back (RFC 2131, section 4.3.2).
fn dhcp(device: &Device, stage: &mut Stage, at_ns: i64, to: Option<&Host>, random: &mut Random) {
    let router = stage.router;
    let IpAddr::V4(server) = router.ip else { return };
    let to = to.copied().unwrap_or(router);
    let renews = to == router;
    let host = device.host();
    let src = if renews { host } else { Host::new(host.mac, Ipv4Addr::UNSPECIFIED) };
    let lease = Lease { xid: random.u32(), client: device.mac, ip: device.ip, server, host_name: &device.host_name };
    let request = lease.from_client(MessageType::Request, renews);
    stage.send(at_ns, &src, &to, traffic::udp(&src, &to, (68, 67), &request));
    let ack = traffic::udp(&router, &host, (67, 68), &lease.from_server(MessageType::Ack));
    stage.send(at_ns + 12 * MILLI_NS, &router, &host, ack);
}

fn find_router(device: &Device, stage: &mut Stage, at_ns: i64) {
    let router = stage.router;
    let IpAddr::V4(ip) = router.ip else { return };
    stage.send_no_ip(at_ns, ARP, traffic::arp_request(&device.host(), ip));
    stage.send_no_ip(at_ns + MILLI_NS / 4, ARP, traffic::arp_reply(&router, &device.host()));
}

fn name_announcement(device: &Device, service: &str) -> Vec<u8> {
    let instance = format!("{}.{service}.local", device.host_name);
    dns::mdns_announcement(&[
        Record { name: format!("{service}.local"), ttl: 4500, data: Data::Ptr(instance) },
        Record { name: format!("{}.local", device.host_name), ttl: 120, data: Data::A(device.ip) },
    ])
}

fn announce_name(device: &Device, stage: &mut Stage, at_ns: i64, message: &[u8], also_ipv6: bool) {
    let (src, dst) = (device.host(), Host::group(MDNS_GROUP));
    stage.send(at_ns, &src, &dst, traffic::udp(&src, &dst, (5353, 5353), message));
    if also_ipv6 {
        let (src, dst) = (Host::new(device.mac, link_local(device.mac)), Host::group(MDNS_GROUP_V6));
        stage.send(at_ns + MILLI_NS, &src, &dst, traffic::udp(&src, &dst, (5353, 5353), message));
    }
}

/// Jitter and room of what is said now and then: nobody is very regular.
fn often(every_ns: i64) -> (i64, i64) {
    (every_ns / 20, SECOND_NS)
}

/// Devices that all begin "at the start" do not begin in the same instant.
fn device_offset_ns(random: &mut Random) -> i64 {
    i64::try_from(random.below(2_500)).unwrap_or(0) * MILLI_NS
}
