//! A whole day of the household, with people in it.
//!
//! To the devices of [`household`](super::household) come those that make noise: a
//! laptop with IPv6 privacy addresses, a phone with a made-up MAC, a television, a
//! printer. None of these has a keepalive, none is to be warned of; two things that the
//! laptop does fail honestly, and are expected to be found.

use std::net::{Ipv4Addr, Ipv6Addr};

use iotq_proto::MacAddr;

use super::{
    Behaviour, Browse, Cloud, Description, Device, MINUTE_NS, OddEnds, SECOND_NS, Scenario, Span, Stream,
    household::description as house,
};

/// A day (or as long as `span` is) of the household and its people.
#[must_use]
pub fn day(span: Span, seed: u64) -> Scenario {
    description(span).play(span, seed)
}

fn description(span: Span) -> Description {
    let mut house = house();
    house.router_link_name = Some("Router (link)".into());
    house.router.behaviours.push(Behaviour::AdvertisePrefix { prefix: PREFIX, every_ns: 10 * MINUTE_NS });
    for device in &mut house.devices {
        for behaviour in &mut device.behaviours {
            if let Behaviour::KeepOpen(keep) = behaviour {
                keep.bursts_every_ns = Some(40 * MINUTE_NS);
                // One of the robots is cut off once, at a time that is no multiple of its period.
                keep.reset_after_ns =
                    (device.name == "Roomba basement").then_some(span.duration_ns() / 100 * 61 + 17 * SECOND_NS);
            }
        }
        if device.groups.iter().any(|group| group == "roomba") {
            device.behaviours.push(Behaviour::Boot);
        }
    }
    house.devices.extend([laptop(), phone(), television(), printer()]);
    house
}

fn laptop() -> Device {
    let mut sites = sites();
    // A site that is reached by IPv6 only, so that privacy addresses are used.
    sites.extend((0..6).map(|index| {
        Cloud::new(&format!("v6-{index}.example.org"), Ipv6Addr::new(0x2001, 0xdb8, 0xff, index, 0, 0, 0, 0x50))
    }));
    Device {
        // Intel Corporate.
        mac: MacAddr::from_octets([0x3c, 0x58, 0xc2, 0x11, 0x22, 0x33]),
        ipv6: vec![
            Ipv6Addr::new(0x2001, 0xdb8, 0x7, 0, 0x91c4, 0x0e2b, 0x77aa, 0x5d10),
            Ipv6Addr::new(0x2001, 0xdb8, 0x7, 0, 0x2c3f, 0xd5e6, 0x1b09, 0x8e42),
        ],
        behaviours: vec![
            Behaviour::Boot,
            Behaviour::TakeAddresses,
            Behaviour::RenewLease { every_ns: 60 * MINUTE_NS },
            Behaviour::Browse(Browse { sites, mean_pause_ns: 45 * SECOND_NS, awake_percent: vec![(30, 42), (76, 92)] }),
            Behaviour::OddEnds(Box::new(OddEnds {
                refuses: (Cloud::new("old.example.net", Ipv4Addr::new(198, 51, 100, 80)), 8080),
                silent: (Cloud::new("", Ipv4Addr::new(203, 0, 113, 9)), 8443),
                deaf: (Cloud::new("", Ipv4Addr::new(203, 0, 113, 77)), 3478),
                pinged: Cloud::new("one.example.net", Ipv4Addr::new(198, 51, 100, 1)),
                no_such_name: "wpad.example.net".into(),
            })),
        ],
        ..device("annas-laptop", 120)
    }
}

fn phone() -> Device {
    Device {
        // Locally administered: made up by the phone.
        mac: MacAddr::from_octets([0xda, 0xa1, 0x19, 0x44, 0x55, 0x66]),
        behaviours: vec![
            Behaviour::Boot,
            Behaviour::RenewLease { every_ns: 60 * MINUTE_NS },
            Behaviour::Browse(Browse {
                sites: sites().split_off(18),
                mean_pause_ns: 9 * MINUTE_NS,
                awake_percent: vec![(2, 8), (28, 99)],
            }),
        ],
        ..device("Pixel-7a", 121)
    }
}

fn television() -> Device {
    let product = "Linux/4.9 UPnP/1.0 TV/2.1";
    Device {
        // LG Electronics.
        mac: MacAddr::from_octets([0xa8, 0x23, 0xfe, 0x77, 0x88, 0x99]),
        behaviours: vec![
            Behaviour::Boot,
            Behaviour::RenewLease { every_ns: 60 * MINUTE_NS },
            Behaviour::Ssdp { product: product.into(), searches: true, every_ns: 3 * MINUTE_NS },
            Behaviour::Stream(Stream {
                server: Cloud::new("video-edge.example.com", Ipv4Addr::new(198, 51, 100, 200)),
                begins_percent: vec![33, 79, 88],
                bursts: 25,
                burst_packets: 90,
            }),
        ],
        ..device("LGwebOSTV", 122)
    }
}

/// Set up by hand, so DHCP does not know its name; mDNS does.
fn printer() -> Device {
    Device {
        // Brother Industries.
        mac: MacAddr::from_octets([0x30, 0x05, 0x5c, 0x0a, 0x0b, 0x0c]),
        behaviours: vec![
            Behaviour::AnnounceName { service: "_ipp._tcp".into(), also_ipv6: true, every_ns: 15 * MINUTE_NS },
            Behaviour::FindRouter { every_ns: 20 * MINUTE_NS },
        ],
        ..device("BRW30055C0A0B0C", 123)
    }
}

/// One that nobody gave a name to: it is known as what it calls itself.
fn device(host_name: &str, last: u8) -> Device {
    Device {
        name: host_name.into(),
        named_by_owner: false,
        host_name: host_name.into(),
        groups: Vec::new(),
        mac: MacAddr::NONE,
        ip: Ipv4Addr::new(192, 168, 7, last),
        ipv6: Vec::new(),
        behaviours: Vec::new(),
    }
}

/// Two dozen sites, every third behind another name.
fn sites() -> Vec<Cloud> {
    let site = |index: u8| {
        let site = Cloud::new(&format!("www.site-{index}.example.com"), Ipv4Addr::new(203, 0, 113, 100 + index));
        if index.is_multiple_of(3) { site.behind(&format!("edge-{index}.cdn.example.net")) } else { site }
    };
    (0..24).map(site).collect()
}

/// What the router announces (RFC 3849: for documentation).
const PREFIX: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x7, 0, 0, 0, 0, 0);

#[cfg(test)]
mod tests;
