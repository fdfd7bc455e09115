//! What a device does, told as packets.

pub(super) mod at_home;
mod awake;
mod noise;
pub(super) mod outside;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub use noise::{Browse, OddEnds, Stream};
pub use outside::KeepOpen;

use self::{
    at_home::{advertise_prefix, announce_name, boot, find_router, renew_lease, ssdp, take_address},
    awake::wake_up,
    outside::{call_again, check_time, keep_open, note_check_ins, phone_home},
};
use super::{
    Device, MINUTE_NS, SECOND_NS,
    stage::{Stage, ticks},
};
use crate::{
    random::Random,
    traffic::{self, Host},
};

/// A service somewhere outside.
#[derive(Clone, Debug)]
pub struct Cloud {
    /// What devices ask DNS for.
    pub name: String,
    /// The name that one stands for, if it is not the real one.
    pub alias_of: Option<String>,
    /// Its address.
    pub ip: IpAddr,
}

impl Cloud {
    /// A service that goes by its real name.
    #[must_use]
    pub fn new(name: &str, ip: impl Into<IpAddr>) -> Self {
        Self { name: name.to_owned(), alias_of: None, ip: ip.into() }
    }

    /// The same, behind another name.
    #[must_use]
    pub fn behind(self, real: &str) -> Self {
        Self { alias_of: Some(real.to_owned()), ..self }
    }
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
    KeepOpen(KeepOpen),
    /// Opens a short TLS connection again and again.
    CallAgain {
        /// To whom.
        peer: Cloud,
        /// On which port.
        port: u16,
        /// How often.
        every_ns: i64,
        /// Each call is early or late by at most this.
        jitter_ns: i64,
    },
    /// Says by SSDP that it is there, or asks who else is.
    Ssdp {
        /// `SERVER` or `USER-AGENT`.
        product: String,
        /// Whether it asks.
        searches: bool,
        /// How often.
        every_ns: i64,
    },
    /// Gets its address by DHCP soon after the span begins.
    Boot,
    /// As a router, says which IPv6 prefix is on the link.
    AdvertisePrefix {
        /// The first address of a /64.
        prefix: Ipv6Addr,
        /// How often.
        every_ns: i64,
    },
    /// Takes its IPv6 addresses one after the other, over the span.
    TakeAddresses,
    /// Visits sites at irregular times, as people do.
    Browse(Browse),
    /// Something fetched in long bursts, at irregular times.
    Stream(Stream),
    /// Some things that go wrong or happen once.
    OddEnds(Box<OddEnds>),
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
                for at_ns in ticks(stage.span, *every_ns, often(*every_ns), random) {
                    announce_name(device, stage, at_ns, service, *also_ipv6);
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
                    renew_lease(device, stage, at_ns, random);
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
            Self::KeepOpen(keep) => keep_open(device, stage, keep, random),
            Self::CallAgain { peer, port, every_ns, jitter_ns } => {
                call_again(device, stage, (peer, *port), (*every_ns, *jitter_ns), random);
            }
            Self::Ssdp { product, searches, every_ns } => {
                for at_ns in ticks(stage.span, *every_ns, often(*every_ns), random) {
                    ssdp(device, stage, at_ns, product, *searches);
                }
            }
            Self::Boot => {
                let at_ns = stage.span.since_ns + 5 * SECOND_NS + random.around_zero(4 * SECOND_NS);
                boot(device, stage, at_ns, random);
            }
            Self::AdvertisePrefix { prefix, every_ns } => {
                for at_ns in ticks(stage.span, *every_ns, often(*every_ns), random) {
                    advertise_prefix(stage, at_ns, *prefix);
                }
            }
            Self::TakeAddresses => {
                for (index, ip) in device.ipv6.iter().enumerate() {
                    let at_ns = device.ipv6_from_ns(stage.span, index) + 10 * SECOND_NS;
                    take_address(device, stage, at_ns, *ip);
                }
            }
            Self::Browse(browse) => browse.play(device, stage, random),
            Self::Stream(stream) => stream.play(device, stage, random),
            Self::OddEnds(odd_ends) => odd_ends.play(device, stage, random),
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

/// Jitter and room of what is said now and then: nobody is very regular.
fn often(every_ns: i64) -> (i64, i64) {
    (every_ns / 20, SECOND_NS)
}
