//! Devices and addresses that are not one to one.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Peer, Plain, device, directed, house};
use crate::{
    scenario::{
        Cloud, Device, KeepaliveKind, MINUTE_NS, SECOND_NS, Scenario, Span,
        behaviour::{
            at_home::{advertise_prefix, boot, find_router, take_address},
            outside::open_browser,
        },
    },
    traffic::{Host, tcp::Side},
};

/// A laptop that talks from twelve addresses of a /64 that the router announces, one
/// after the other: one device.
#[must_use]
pub fn privacy_addresses(span: Span) -> Scenario {
    let prefix = Ipv6Addr::new(0x2001, 0xdb8, 0x7, 0, 0, 0, 0, 0);
    let mut house = house(vec![device("Laptop", 40)]);
    house.router_link_name = Some("Router (link)".into());
    directed(house, span, |devices, stage, random| {
        let [laptop] = devices else { return };
        advertise_prefix(stage, span.since_ns + SECOND_NS, prefix);
        let each_ns = span.duration_ns() / 12;
        for number in 0..12 {
            let [_, _, _, _, a, b, c, d] = random.u64().to_be_bytes().map(u16::from);
            let ip = Ipv6Addr::new(0x2001, 0xdb8, 0x7, 0, a << 8 | b, c << 8 | d, a << 8 | d, c << 8 | b);
            let at_ns = span.since_ns + number * each_ns + 2 * SECOND_NS;
            take_address(laptop, stage, at_ns, ip);
            let number = u16::try_from(number).unwrap_or(0);
            let site = Cloud::new(
                &format!("v6-{number}.example.org"),
                Ipv6Addr::new(0x2001, 0xdb8, 0xff, 0, 0, 0, 0, number + 1),
            );
            let from = (laptop, Host::new(laptop.mac, ip));
            let mut talk = open_browser(from, stage, at_ns + 2 * SECOND_NS, &site, random);
            talk.close(stage, talk.opened_ns + 5 * SECOND_NS, Side::Client);
        }
    })
}

/// Two devices behind a repeater that puts its own MAC in front of both. The contract
/// knows a device by its MAC, so that both are one, with two addresses.
#[must_use]
pub fn behind_a_repeater(span: Span) -> Scenario {
    let repeater = device("Repeater", 41);
    directed(house(vec![repeater]), span, |devices, stage, random| {
        let [repeater] = devices else { return };
        for (last, port) in [(42_u8, 8883_u16), (43, 8884)] {
            let behind = Device { ip: Ipv4Addr::new(192, 168, 7, last), ..repeater.clone() };
            let peer = Peer::new("things.example.com", last, port);
            find_router(&behind, stage, span.since_ns + SECOND_NS + i64::from(last) * SECOND_NS / 10);
            let mut plain = Plain::new(behind.host(), stage, (peer.cloud.ip, port), random);
            plain.open(stage, span.since_ns + 10 * SECOND_NS);
            let period_ns = i64::from(last) * SECOND_NS;
            let (mut at_ns, mut beats_ns) = (span.since_ns + MINUTE_NS, Vec::new());
            while at_ns + SECOND_NS < span.until_ns {
                plain.beat(stage, at_ns + random.around_zero(SECOND_NS / 4));
                beats_ns.push(at_ns);
                at_ns += period_ns;
            }
            peer.note(stage, repeater, KeepaliveKind::WithinConnection, period_ns, beats_ns);
        }
    })
}

/// A thing that gets another address by DHCP in the middle of the span. Its old
/// connection is heard of no more; from the new address it goes on with a new one.
#[must_use]
pub fn address_changes(span: Span) -> Scenario {
    directed(house(vec![device("Doorbell", 44)]), span, |devices, stage, random| {
        let [doorbell] = devices else { return };
        let moved = Device { ip: Ipv4Addr::new(192, 168, 7, 144), ..doorbell.clone() };
        let peer = Peer::new("bells.example.com", 44, 8883);
        let middle_ns = span.since_ns + span.duration_ns() / 2;
        let mut beats_ns = Vec::new();
        for (who, from_ns, until_ns) in [(doorbell, span.since_ns, middle_ns), (&moved, middle_ns, span.until_ns)] {
            boot(who, stage, from_ns + SECOND_NS, random);
            let mut plain = Plain::new(who.host(), stage, (peer.cloud.ip, peer.port), random);
            plain.open(stage, from_ns + 5 * SECOND_NS);
            let mut at_ns = from_ns + 35 * SECOND_NS;
            while at_ns + SECOND_NS < until_ns {
                plain.beat(stage, at_ns + random.around_zero(SECOND_NS / 5));
                beats_ns.push(at_ns);
                at_ns += 30 * SECOND_NS;
            }
        }
        peer.note(stage, doorbell, KeepaliveKind::WithinConnection, 30 * SECOND_NS, beats_ns);
    })
}
