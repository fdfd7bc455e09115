//! Traffic that can be told apart: each episode is one flow that no other shares.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
};

use iotq_proto::MacAddr;

use crate::{
    random::Random,
    traffic::{
        Host,
        dns::{self, Data, Record},
        tcp::{Side, TcpTalk},
        udp,
    },
};

/// A flow, whatever its direction.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct FlowId {
    protocol: u8,
    ends: [(Ipv4Addr, u16); 2],
}

impl FlowId {
    /// Between these two ends, in either order.
    #[must_use]
    pub(super) fn new(protocol: u8, one: (Ipv4Addr, u16), other: (Ipv4Addr, u16)) -> Self {
        Self { protocol, ends: if one <= other { [one, other] } else { [other, one] } }
    }
}

/// What was sent of a flow.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Sent {
    /// Packets.
    pub(super) packets: u64,
    /// Their octets on the wire.
    pub(super) wire_bytes: u64,
    /// What was asked, of a DNS question.
    pub(super) qname: Option<String>,
    /// When, nanoseconds since 1970; both ends are included.
    pub(super) from_ns: i64,
    /// See `from_ns`.
    pub(super) until_ns: i64,
}

/// Everything that was sent.
pub(super) type Ledger = BTreeMap<FlowId, Sent>;

/// A flow about to be sent.
#[derive(Clone, Debug)]
pub(super) struct Episode {
    /// Which.
    pub(super) flow: FlowId,
    /// Its frames, in their order.
    pub(super) frames: Vec<Vec<u8>>,
    qname: Option<String>,
}

impl Episode {
    /// What the ledger says of it.
    #[must_use]
    pub(super) fn sent(&self, from_ns: i64, until_ns: i64) -> Sent {
        Sent {
            packets: self.frames.len() as u64,
            wire_bytes: self.frames.iter().map(|frame| frame.len() as u64).sum(),
            qname: self.qname.clone(),
            from_ns,
            until_ns,
        }
    }
}

/// Makes episodes.
#[derive(Debug)]
pub(super) struct Episodes {
    random: Random,
    /// Second octet of all clients' addresses.
    net: u8,
    next: u32,
}

impl Episodes {
    /// Of clients in 10.`net`.0.0/16.
    #[must_use]
    pub(super) fn new(random: Random, net: u8) -> Self {
        Self { random, net, next: 0 }
    }

    /// One more: a datagram and its like most often, else a TCP connection or a
    /// question with its answer.
    pub(super) fn another(&mut self) -> Episode {
        let (client, server, port) = self.ends();
        match self.random.below(10) {
            0 | 1 => self.talk(client, server, port),
            2 => self.question(client, server, port),
            _ => {
                let packets = 5 + self.random.below(36);
                self.datagrams(client, server, port, packets)
            }
        }
    }

    /// One with so many datagrams.
    pub(super) fn storm(&mut self, packets: u64) -> Episode {
        let (client, server, port) = self.ends();
        self.datagrams(client, server, port, packets)
    }

    /// Two hosts and a port: together they are used only once.
    fn ends(&mut self) -> (Host, Host, u16) {
        let number = self.next;
        self.next += 1;
        let last = u8::try_from(number % 250 + 1).unwrap_or(1);
        let port = 49_152 + u16::try_from(number / 250 % 16_000).unwrap_or(0);
        let client = Host::new(
            // Locally administered: these are nobody's.
            MacAddr::from_octets([0x02, 0, 0, 0, self.net, last]),
            Ipv4Addr::new(10, self.net, 0, last),
        );
        let router = MacAddr::from_octets([0, 0, 0x5e, 0, 0x53, 1]);
        let peer = u8::try_from(self.random.below(250) + 1).unwrap_or(1);
        (client, Host::new(router, Ipv4Addr::new(203, 0, 113, peer)), port)
    }

    fn datagrams(&mut self, client: Host, server: Host, port: u16, packets: u64) -> Episode {
        let frames = (0..packets).map(|_| {
            let len = 18 + usize::try_from(self.random.below(400)).unwrap_or(0);
            let payload = vec![0x61; len];
            if self.random.below(3) == 0 {
                udp(&server, &client, (DISCARD, port), &payload)
            } else {
                udp(&client, &server, (port, DISCARD), &payload)
            }
        });
        Episode { frames: frames.collect(), flow: flow(UDP, client, port, server, DISCARD), qname: None }
    }

    fn talk(&mut self, client: Host, server: Host, port: u16) -> Episode {
        let mut talk = TcpTalk::new(client, server, HTTPS, &mut self.random).from_port(port);
        let mut frames = Vec::from(talk.open());
        for _ in 0..self.random.below(20) {
            let side = if self.random.below(2) == 0 { Side::Client } else { Side::Server };
            let len = 1 + usize::try_from(self.random.below(900)).unwrap_or(0);
            frames.push(talk.say(side, &vec![0x61; len]));
        }
        frames.extend(talk.close(Side::Client));
        Episode { frames, flow: flow(TCP, client, port, server, HTTPS), qname: None }
    }

    fn question(&mut self, client: Host, server: Host, port: u16) -> Episode {
        let qname = format!("q{}.net{}.example.com", self.next, self.net);
        let id = self.random.u16();
        let record = Record { name: qname.clone(), ttl: 60, data: Data::A(Ipv4Addr::new(198, 51, 100, 7)) };
        let frames = vec![
            udp(&client, &server, (port, DNS), &dns::question(id, &qname, dns::A)),
            udp(&server, &client, (DNS, port), &dns::answer(id, &qname, dns::A, &[record])),
        ];
        Episode { frames, flow: flow(UDP, client, port, server, DNS), qname: Some(qname) }
    }
}

fn flow(protocol: u8, client: Host, port: u16, server: Host, server_port: u16) -> FlowId {
    let v4 = |host: Host| match host.ip {
        IpAddr::V4(ip) => ip,
        IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
    };
    FlowId::new(protocol, (v4(client), port), (v4(server), server_port))
}

const TCP: u8 = 6;
const UDP: u8 = 17;
const DISCARD: u16 = 9;
const DNS: u16 = 53;
const HTTPS: u16 = 443;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::tests::assert_sound;

    #[test]
    fn no_two_episodes_share_a_flow() {
        let mut episodes = Episodes::new(Random::new(1), 64);
        let mut ledger = Ledger::new();
        for _ in 0..2_000 {
            let episode = episodes.another();
            episode.frames.iter().for_each(|frame| assert_sound(frame));
            assert!(ledger.insert(episode.flow, episode.sent(0, 0)).is_none());
        }
        assert!(ledger.values().any(|sent| sent.qname.is_some()));
    }
}
