//! Where the name of a peer comes from.

use super::{Peer, Plain, device, directed, house};
use crate::{
    scenario::{
        KeepaliveKind, MINUTE_NS, SECOND_NS, Scenario, Span,
        behaviour::outside::{ask, open_browser, resolve},
    },
    traffic::{dns, tcp::Side, tls},
};

/// One device asks DNS, another one talks to the address, in a protocol without names.
#[must_use]
pub fn answered_to_another(span: Span) -> Scenario {
    directed(house(vec![device("Hub", 30), device("Sensor", 31)]), span, |devices, stage, random| {
        let [hub, sensor] = devices else { return };
        let peer = Peer::new("broker.example.com", 30, 1884);
        let start_ns = span.since_ns + 10 * SECOND_NS;
        // Spelled as some resolvers do (draft-vixie-dnsext-dns0x20); the name is the same.
        ask(hub, stage, start_ns, (&peer.cloud, "bRoKeR.ExAmPlE.cOm", dns::A), random);
        let mut plain = Plain::new(sensor.host(), stage, (peer.cloud.ip, peer.port), random);
        plain.open(stage, start_ns + MINUTE_NS);
        for step in 1..=3 {
            // Not regular: this is about names.
            plain.beat(stage, start_ns + (1 + step * step) * MINUTE_NS);
        }
    })
}

/// DNS goes through TLS, so that only a `ClientHello` has names.
#[must_use]
pub fn encrypted_dns(span: Span) -> Scenario {
    directed(house(vec![device("Tablet", 32)]), span, |devices, stage, random| {
        let [tablet] = devices else { return };
        let peers = [("dns.example.net", 32), ("www.example.com", 33), ("shop.example.org", 34)];
        let mut at_ns = span.since_ns + 10 * SECOND_NS;
        for (name, last) in peers {
            let cloud = Peer::new(name, last, 443).cloud;
            let mut talk = open_browser((tablet, tablet.host()), stage, at_ns, &cloud, random);
            talk.say(stage, talk.opened_ns + SECOND_NS, Side::Client, &tls::application_data(90, random));
            talk.close(stage, talk.opened_ns + 20 * SECOND_NS, Side::Client);
            at_ns += 47 * SECOND_NS + random.around_zero(20 * SECOND_NS);
        }
    })
}

/// A connection that was open before the capture began, with a keepalive each 20
/// seconds; what its peer is called is asked for only half an hour later.
#[must_use]
pub fn named_late(span: Span) -> Scenario {
    directed(house(vec![device("Lock", 35)]), span, |devices, stage, random| {
        let [lock] = devices else { return };
        let peer = Peer::new("locks.example.com", 35, 8883);
        let mut plain = Plain::new(lock.host(), stage, (peer.cloud.ip, peer.port), random);
        let (mut at_ns, mut beats_ns) = (span.since_ns + 3 * SECOND_NS, Vec::new());
        while at_ns + SECOND_NS < span.until_ns {
            plain.beat(stage, at_ns);
            beats_ns.push(at_ns);
            at_ns += 20 * SECOND_NS + random.around_zero(SECOND_NS / 10);
        }
        resolve(lock, stage, span.since_ns + 30 * MINUTE_NS, &peer.cloud, random);
        peer.note(stage, lock, KeepaliveKind::WithinConnection, 20 * SECOND_NS, beats_ns);
    })
}
