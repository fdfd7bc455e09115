//! Names on the wire: what devices ask for, whom they call, and how they call
//! themselves. Headers and names only; no payload leaves the collector.
//!
//! Has no clock and does no I/O. Payloads come from the network and may be
//! anything; everything kept for later has a limit.

mod dhcp;
mod dhcpv6;
mod dns;
mod dtls;
mod found;
pub mod http;
pub mod ja4;
#[cfg(test)]
mod made;
mod mdns;
pub mod mqtt;
mod netbios;
mod ntp;
mod octets;
mod quic;
mod recent;
mod repeated;
mod seen;
mod sightings;
mod ssdp;
mod stream;
mod tcp;
mod text;
pub mod tls;
mod vectors;
mod waiting;

use iotq_proto::{DnsKind, ServerNameSource, Service, Timestamp, v1};

use crate::{
    chunk::Sighting,
    names::{
        dns::Transactions, dtls::Handshakes, found::Found, ntp::TimeRequests, quic::Initials, repeated::Repeated,
        seen::Seen, sightings::Times, tcp::Streams,
    },
    packet::Packet,
};

/// How far reading got with the octets seen so far.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Progress<T> {
    /// It is what was looked for.
    Done(T),
    /// It may become what was looked for; more octets are needed.
    More,
    /// It is something else.
    No,
}

/// What a payload told about the connection it is on.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Learned {
    /// What is spoken.
    pub service: Service,
    /// Whom the client asked for; empty: not told.
    pub server_name: String,
    /// Who told.
    pub server_name_source: ServerNameSource,
    /// As the server chose; 0: not told.
    pub tls_version: u16,
    /// As the server chose; 0: not told.
    pub tls_cipher: u16,
    /// As the server chose; empty: not told.
    pub alpn: String,
    /// Of an MQTT client id; empty: none.
    pub client_id_hash: Vec<u8>,
}

impl From<Service> for Learned {
    fn from(service: Service) -> Self {
        Self { service, ..Self::default() }
    }
}

/// What there was no room for, since the start.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct LeftOut {
    /// DNS transactions, hellos, time requests.
    pub rows: u64,
    /// What devices showed of themselves.
    pub sightings: u64,
    /// Questions whose answers were not waited for as long as they should.
    pub questions: u64,
    /// Beginnings of connections that were forgotten before their names were read.
    pub beginnings: u64,
    /// Payloads that were not looked at.
    pub payloads: u64,
}

/// Reads payloads, and keeps what names something until a batch takes it.
#[derive(Debug, Default)]
pub struct Names {
    dns: Transactions,
    ntp: TimeRequests,
    streams: Streams,
    initials: Initials,
    handshakes: Handshakes,
    repeated: Repeated,
    found: Found,
}

impl Names {
    /// Nothing seen yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads what was captured above a packet's transport header. It may be cut,
    /// or empty; TCP segments without payload are wanted too.
    pub fn observe(&mut self, packet: &Packet, payload: &[u8]) -> Option<Learned> {
        // Without ports it is a later fragment, or cut, or something without names.
        if !packet.key.has_ports {
            return None;
        }
        match packet.key.protocol {
            TCP => {
                let seen = Seen::from(packet);
                self.streams.observe(packet, &seen, payload, &mut self.dns, &mut self.found)
            }
            UDP if !payload.is_empty() => self.observe_datagram(&Seen::from(packet), payload),
            _ => None,
        }
    }

    /// Gives up waiting for answers that are overdue at this packet time.
    pub fn expire(&mut self, now: Timestamp) {
        self.dns.expire(now, &mut self.found);
        self.ntp.expire(now, &mut self.found);
        self.streams.expire(now);
        self.initials.expire(now);
        self.handshakes.expire(now);
    }

    /// The input ends: nothing is waited for any longer.
    pub fn finish(&mut self) {
        self.dns.finish(&mut self.found);
        self.ntp.finish(&mut self.found);
    }

    /// Counts what a device showed of itself in its frame's headers.
    pub fn add_sighting(&mut self, sighting: &Sighting) {
        self.found.sightings.add(sighting.into(), &sighting.text, Times::once(sighting.seen_at));
    }

    /// Counts again what a batch had that was not sent.
    pub fn take_back_sighting(&mut self, sighting: &v1::Sighting) {
        self.found.sightings.take_back(sighting);
    }

    /// Puts what devices showed of themselves into a batch that has nothing of the kind.
    pub fn move_sightings_into(&mut self, batch: &mut v1::Batch) {
        self.found.sightings.move_into(batch);
    }

    /// Puts what else was found into a batch, as much as it may have. Whether something is left.
    pub fn move_into(&mut self, batch: &mut v1::Batch) -> bool {
        self.found.move_into(batch)
    }

    /// Whether there is as much as a batch takes.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.found.is_full()
    }

    /// Whether there is half as much.
    #[must_use]
    pub fn is_half_full(&self) -> bool {
        self.found.is_half_full()
    }

    /// What there was no room for, since the start. Payloads that did not come here are not known here.
    #[must_use]
    pub fn left_out(&self) -> LeftOut {
        let (rows, sightings) = self.found.left_out();
        LeftOut {
            rows,
            sightings,
            questions: self.dns.pushed_out() + self.ntp.pushed_out(),
            beginnings: self.streams.pushed_out() + self.initials.pushed_out() + self.handshakes.pushed_out(),
            payloads: 0,
        }
    }

    /// Ports say what to try first; what turns out to be something else may still
    /// be QUIC or DTLS, which clients speak on any port.
    fn observe_datagram(&mut self, seen: &Seen, payload: &[u8]) -> Option<Learned> {
        let found = &mut self.found;
        let service = service_of_ports(seen.src.port, seen.dst.port);
        // What these say depends on nothing that was before, and changes nothing but
        // what their sender showed, unless they ask.
        let may_repeat = matches!(service, Service::Mdns | Service::Ssdp | Service::NetbiosNs);
        if may_repeat && self.repeated.count(seen, service, payload, found) {
            return Some(service.into());
        }
        found.shown.clear();
        let dns_before = found.dns_total();
        let is_spoken = match service {
            Service::Dns => self.dns.observe(DnsKind::Dns, seen, payload, found),
            Service::Mdns => self.dns.observe(DnsKind::Mdns, seen, payload, found),
            Service::Llmnr => self.dns.observe(DnsKind::Llmnr, seen, payload, found),
            Service::Dhcp if seen.ip_version == 4 => dhcp::observe(seen, payload, found),
            Service::Dhcp => dhcpv6::observe(seen, payload, found),
            Service::Ssdp => ssdp::observe(seen, payload, found),
            Service::NetbiosNs => netbios::observe(seen, payload, found),
            Service::Ntp => self.ntp.observe(seen, payload, found),
            _ => false,
        };
        if is_spoken {
            if may_repeat && found.dns_total() == dns_before {
                self.repeated.remember(seen, service, payload, found);
            }
            return Some(service.into());
        }
        self.initials.observe(seen, payload, found).or_else(|| self.handshakes.observe(seen, payload, found))
    }
}

/// The service whose port (IANA "Service Name and Transport Protocol Port Number
/// Registry") one end has; the receiver's counts first.
fn service_of_ports(src: u16, dst: u16) -> Service {
    let service = |port| match port {
        53 => Service::Dns,
        67 | 68 | 546 | 547 => Service::Dhcp,
        123 => Service::Ntp,
        137 => Service::NetbiosNs,
        1900 => Service::Ssdp,
        5353 => Service::Mdns,
        5355 => Service::Llmnr,
        _ => Service::Unspecified,
    };
    match service(dst) {
        Service::Unspecified => service(src),
        service => service,
    }
}

// IANA "Assigned Internet Protocol Numbers".
const TCP: u8 = 6;
const UDP: u8 = 17;
