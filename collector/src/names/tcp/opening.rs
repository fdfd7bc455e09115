//! What the octets of a stream say, as far as they are understood here.

use iotq_proto::{DnsKind, ServerNameSource, Service, TlsTransport};

use super::{
    MAX_WAITING,
    records::{self, Kind, Start},
};
use crate::names::{Learned, Progress, dns::Transactions, found::Found, http, mqtt, seen::Seen, tls};

/// Where in a stream octets stand.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Place {
    /// They are the stream's first.
    Opening,
    /// Nothing is known of what was before.
    Unknown,
    /// What was before is known.
    Later,
}

/// What became of octets that were listened to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// They were read.
    Read,
    /// They may be something when there are so many.
    More { wanted: usize },
    /// They are nothing we know.
    No,
}

/// Listens to one segment's stream, and writes down what is said.
#[derive(Debug)]
pub(super) struct Ear<'a> {
    seen: &'a Seen,
    /// The capture did not keep the segment's end.
    is_cut: bool,
    dns: &'a mut Transactions,
    found: &'a mut Found,
    learned: Option<Learned>,
}

impl<'a> Ear<'a> {
    pub(super) fn new(seen: &'a Seen, is_cut: bool, dns: &'a mut Transactions, found: &'a mut Found) -> Self {
        Self { seen, is_cut, dns, found, learned: None }
    }

    pub(super) fn into_learned(self) -> Option<Learned> {
        self.learned
    }

    pub(super) fn is_cut(&self) -> bool {
        self.is_cut
    }

    pub(super) fn is_dns(&self) -> bool {
        self.seen.src.port == DNS_PORT || self.seen.dst.port == DNS_PORT
    }

    /// Listens as far as the octets go. How many of them are done with, which may
    /// be more than there are, and what is to be done with the others.
    pub(super) fn hear(&mut self, octets: &[u8], place: Place) -> (usize, Verdict) {
        if !self.is_dns() {
            return self.hear_opening(octets, place);
        }
        let mut used = 0;
        while let Some(rest) = octets.get(used..).filter(|rest| !rest.is_empty()) {
            match self.hear_dns(rest, if used > 0 { Place::Later } else { place }) {
                (length, Verdict::Read) => used += length,
                (_, verdict) => return (used, verdict),
            }
        }
        (used, Verdict::Read)
    }

    fn hear_opening(&mut self, octets: &[u8], place: Place) -> (usize, Verdict) {
        match records::read(octets) {
            Start::Hello { kind, body, used } => return (used, self.hear_hello(kind, &body)),
            Start::More { message, .. } if self.is_cut => return (0, self.hear_cut_hello(&message)),
            Start::More { wanted, .. } => return (0, Verdict::More { wanted }),
            Start::No if place == Place::Later => return (0, Verdict::No),
            Start::No => {}
        }
        let learned = match http::host(octets) {
            Progress::Done(host) => {
                let server_name_source =
                    if host.is_empty() { ServerNameSource::Unspecified } else { ServerNameSource::HttpHost };
                Learned { service: Service::Http, server_name: host, server_name_source, ..Learned::default() }
            }
            Progress::More => return (0, self.more(octets.len() + 1)),
            Progress::No => match mqtt::client_id_hash(octets) {
                Progress::Done(client_id_hash) => {
                    Learned { service: Service::Mqtt, client_id_hash, ..Learned::default() }
                }
                Progress::More => return (0, self.more(octets.len() + 1)),
                Progress::No => return (0, Verdict::No),
            },
        };
        self.learned = Some(learned);
        (octets.len(), Verdict::Read)
    }

    fn hear_hello(&mut self, kind: Kind, body: &[u8]) -> Verdict {
        match kind {
            Kind::Client => {
                let Some(hello) = tls::read_client_hello(body) else {
                    return Verdict::No;
                };
                self.learned = Some(tls::learned(TlsTransport::Tcp, hello.server_name()));
                let row = tls::row(self.seen, TlsTransport::Tcp, &hello, &mut self.found.fingerprints);
                self.found.add_tls_hello(row);
            }
            Kind::Sslv2 { version } => {
                self.learned = Some(tls::learned(TlsTransport::Tcp, None));
                self.found.add_tls_hello(tls::bare_row(self.seen, TlsTransport::Tcp, version));
            }
            Kind::Server => {
                let Some(hello) = tls::read_server_hello(body) else {
                    return Verdict::No;
                };
                // One that asks for another hello has not yet chosen.
                self.learned =
                    Some(if hello.is_retry { Service::Tls.into() } else { tls::chosen(tls::Form::Tls, &hello) });
            }
        }
        Verdict::Read
    }

    /// The rest of it will not come. No row can be made, but the name may be there.
    fn hear_cut_hello(&mut self, message: &[u8]) -> Verdict {
        if let Some(name) = records::client_body(message).and_then(tls::server_name_of_cut_hello) {
            self.learned = Some(tls::learned(TlsTransport::Tcp, Some(name)));
        }
        Verdict::No
    }

    /// One message after its length (RFC 1035, section 4.2.2).
    fn hear_dns(&mut self, octets: &[u8], place: Place) -> (usize, Verdict) {
        let Some((length, rest)) = octets.split_first_chunk() else {
            return (0, self.more(2));
        };
        let length = usize::from(u16::from_be_bytes(*length));
        if length < MIN_DNS_MESSAGE {
            return (0, Verdict::No);
        }
        let end = 2 + length;
        match rest.get(..length) {
            Some(message) => {
                if self.dns.observe(DnsKind::Dns, self.seen, message, self.found) {
                    self.learned = Some(Service::Dns.into());
                } else if place == Place::Unknown {
                    return (0, Verdict::No);
                }
                (end, Verdict::Read)
            }
            // Part of a zone: passed over, the next message may be shorter.
            None if end > MAX_WAITING && place != Place::Unknown => (end, Verdict::Read),
            None => (0, self.more(end)),
        }
    }

    fn more(&self, wanted: usize) -> Verdict {
        if self.is_cut { Verdict::No } else { Verdict::More { wanted } }
    }
}

const DNS_PORT: u16 = 53;
/// RFC 1035, section 4.1.1: the header.
const MIN_DNS_MESSAGE: usize = 12;
