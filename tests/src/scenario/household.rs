//! The household iotq was made for: fourteen plugs and bulbs, three robot
//! cleaners, a Kindle, and a router.
//!
//! It keeps to what the owner of such a house found by hand (DESIGN, section 1):
//! some 2.4 packets a minute for each plug and bulb, a Kindle that is awake for
//! five minutes with 387 packets, bulbs that stay at home, plugs whose calls nobody
//! answers, robots that keep a connection open.

use std::net::Ipv4Addr;

use iotq_proto::MacAddr;

use super::{Behaviour, Cloud, Description, Device, KeepOpen, MINUTE_NS, SECOND_NS, Scenario, Span};

/// LIFX's LAN protocol.
const LIFX_PORT: u16 = 56_700;
/// Where the plugs look for each other.
const MEROSS_PORT: u16 = 9988;
const MDNS_GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);

/// One hour (or as long as `span` is) of the household.
#[must_use]
pub fn household(span: Span, seed: u64) -> Scenario {
    description().play(span, seed)
}

pub(super) fn description() -> Description {
    let plugs = ["kitchen", "hall", "desk", "terrace", "cellar", "washer", "heater", "garage"];
    let bulbs = ["porch", "stairs", "bedroom", "reading", "sofa", "attic"];
    // Periods of the robots' keepalives, in seconds.
    let robots = [("upstairs", 46), ("downstairs", 52), ("basement", 58)];

    let plugs = (0..).zip(plugs).map(|(index, place)| plug(index, place));
    let bulbs = (0..).zip(bulbs).map(|(index, place)| bulb(index, place));
    let robots = (0..).zip(robots).map(|(index, (place, secs))| robot(index, place, secs));
    Description {
        router: router(),
        router_link_name: None,
        broadcast: Ipv4Addr::new(192, 168, 7, 255),
        devices: plugs.chain(bulbs).chain(robots).chain([kindle()]).collect(),
    }
}

fn plug(index: u8, place: &str) -> Device {
    Device {
        name: format!("Plug {place}"),
        named_by_owner: true,
        host_name: format!("Meross_Smart_Plug_{index}"),
        groups: vec!["iot".into()],
        // Chengdu Meross Technology.
        mac: MacAddr::from_octets([0x48, 0xe1, 0xe9, 0x10, 0x20, 0x30 + index]),
        ip: Ipv4Addr::new(192, 168, 7, 32 + index),
        ipv6: Vec::new(),
        behaviours: vec![
            Behaviour::PhoneHome {
                peer: Cloud::new("mqtt-us-2.meross.com", Ipv4Addr::new(44, 230, 91, 17))
                    .behind("ec2-44-230-91-17.us-west-2.compute.amazonaws.com"),
                port: 443,
                every_ns: 6 * MINUTE_NS,
                jitter_ns: 12 * SECOND_NS,
            },
            Behaviour::Announce { group: None, port: MEROSS_PORT, payload_bytes: 132, every_ns: 50 * SECOND_NS },
            Behaviour::CheckTime { server: time_server(), every_ns: 30 * MINUTE_NS },
            Behaviour::RenewLease { every_ns: 60 * MINUTE_NS },
            Behaviour::FindRouter { every_ns: 10 * MINUTE_NS },
        ],
    }
}

fn bulb(index: u8, place: &str) -> Device {
    Device {
        name: format!("Bulb {place}"),
        named_by_owner: true,
        host_name: format!("LIFX-{place}"),
        groups: vec!["iot".into(), "light".into()],
        // Lifi Labs Management.
        mac: MacAddr::from_octets([0xd0, 0x73, 0xd5, 0x40, 0x50, 0x60 + index]),
        ip: Ipv4Addr::new(192, 168, 7, 48 + index),
        ipv6: Vec::new(),
        behaviours: vec![
            // A StateService message: 36 octets of header, 5 of payload.
            Behaviour::Announce { group: None, port: LIFX_PORT, payload_bytes: 41, every_ns: 30 * SECOND_NS },
            Behaviour::AnnounceName { service: "_hap._tcp".into(), also_ipv6: false, every_ns: 4 * MINUTE_NS },
            Behaviour::ReportGroup { group: MDNS_GROUP, every_ns: 10 * MINUTE_NS },
            Behaviour::RenewLease { every_ns: 60 * MINUTE_NS },
            Behaviour::FindRouter { every_ns: 10 * MINUTE_NS },
        ],
    }
}

fn robot(index: u8, place: &str, keepalive_secs: i64) -> Device {
    Device {
        name: format!("Roomba {place}"),
        named_by_owner: true,
        host_name: format!("iRobot-{:016X}", 0x3144_0000_0000_0000_u64 + u64::from(index)),
        groups: vec!["roomba".into()],
        // iRobot Corporation.
        mac: MacAddr::from_octets([0x50, 0x14, 0x79, 0x70, 0x80, 0x90 + index]),
        ip: Ipv4Addr::new(192, 168, 7, 64 + index),
        ipv6: Vec::new(),
        behaviours: vec![
            Behaviour::KeepOpen(KeepOpen {
                peer: Cloud::new("a2uowfjvhio0fa.iot.us-east-1.amazonaws.com", Ipv4Addr::new(52, 5, 173, 20 + index)),
                port: 443,
                period_ns: keepalive_secs * SECOND_NS,
                jitter_ns: 2 * SECOND_NS / 5,
                bursts_every_ns: None,
                reset_after_ns: None,
            }),
            Behaviour::AnnounceName { service: "_irobot._tcp".into(), also_ipv6: true, every_ns: 20 * MINUTE_NS },
            Behaviour::RenewLease { every_ns: 60 * MINUTE_NS },
            Behaviour::FindRouter { every_ns: 10 * MINUTE_NS },
        ],
    }
}

fn kindle() -> Device {
    Device {
        name: "Kindle".into(),
        named_by_owner: true,
        host_name: "kindle-0a1b2c3d4".into(),
        groups: vec!["mobile".into()],
        // Amazon Technologies.
        mac: MacAddr::from_octets([0xf0, 0xf0, 0xa4, 0xa0, 0xb0, 0xc0]),
        ip: Ipv4Addr::new(192, 168, 7, 96),
        ipv6: Vec::new(),
        behaviours: vec![Behaviour::WakeUp {
            before_end_ns: 33 * MINUTE_NS,
            minutes: 5,
            packets: 387,
            peers: vec![
                Cloud::new("device-metrics-us.amazon.com", Ipv4Addr::new(52, 94, 236, 48)),
                Cloud::new("todo-ta-g7g.amazon.com", Ipv4Addr::new(54, 239, 28, 85))
                    .behind("todo-ta-g7g.us-east-1.amazonaws.com"),
                Cloud::new("cde-ta-g7g.amazon.com", Ipv4Addr::new(52, 46, 155, 104)),
            ],
            time_server: Cloud::new("ntp-g7g.amazon.com", Ipv4Addr::new(52, 46, 139, 12)),
        }],
    }
}

pub(super) fn router() -> Device {
    Device {
        name: "Router".into(),
        named_by_owner: true,
        host_name: "router".into(),
        groups: Vec::new(),
        mac: MacAddr::from_octets([0, 0, 0x5e, 0, 0x53, 0x01]),
        ip: Ipv4Addr::new(192, 168, 7, 1),
        ipv6: Vec::new(),
        behaviours: vec![Behaviour::Ssdp {
            product: "Linux/5.10 UPnP/1.1 MiniUPnPd/2.3".into(),
            searches: false,
            every_ns: 5 * MINUTE_NS,
        }],
    }
}

fn time_server() -> Cloud {
    Cloud::new("time.aws.com", Ipv4Addr::new(3, 87, 127, 10))
}

#[cfg(test)]
mod tests;
