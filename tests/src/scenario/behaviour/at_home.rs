//! What stays in the house: announcements, ARP, DHCP, neighbour discovery.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{
    random::Random,
    scenario::{Device, MILLI_NS, SECOND_NS, SelfNamed, stage::Stage},
    traffic::{
        self, Host,
        dhcp::{Lease, MessageType},
        dns::{self, Data, Record},
        link_local, ndp, ssdp,
    },
};

const ARP: u16 = 0x0806;
const MDNS_GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const MDNS_GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);

/// Request and answer: a renewal, which goes to the server alone.
pub(in crate::scenario) fn renew_lease(device: &Device, stage: &mut Stage, at_ns: i64, random: &mut Random) {
    let host = device.host();
    let Some(lease) = lease(device, stage, random) else { return };
    let (router, request) = (stage.router, lease.from_client(MessageType::Request, true));
    let ack = lease.from_server(MessageType::Ack);
    if stage.send(at_ns, &host, &router, traffic::udp(&host, &router, (68, 67), &request)) {
        stage.note_self_name(device, SelfNamed::Dhcp);
    }
    stage.send(at_ns + 12 * MILLI_NS, &router, &host, traffic::udp(&router, &host, (67, 68), &ack));
}

/// A client that wakes up wants its old address back (RFC 2131, section 4.3.2).
pub(in crate::scenario) fn reboot_lease(device: &Device, stage: &mut Stage, at_ns: i64, random: &mut Random) {
    let Some(lease) = lease(device, stage, random) else { return };
    let steps = [(lease.from_client(MessageType::Request, false), lease.from_server(MessageType::Ack))];
    without_address(device, stage, at_ns, &steps);
}

/// A client that is new here: discover and offer, request and answer; then it says to all
/// that the address is its own.
pub(in crate::scenario) fn boot(device: &Device, stage: &mut Stage, at_ns: i64, random: &mut Random) {
    let Some(lease) = lease(device, stage, random) else { return };
    let steps = [
        (lease.from_client(MessageType::Discover, false), lease.from_server(MessageType::Offer)),
        (lease.from_client(MessageType::Request, false), lease.from_server(MessageType::Ack)),
    ];
    without_address(device, stage, at_ns, &steps);
    stage.send_no_ip(at_ns + SECOND_NS, &device.host(), ARP, traffic::arp_request(&device.host(), device.ip));
    find_router(device, stage, at_ns + SECOND_NS + 10 * MILLI_NS);
}

pub(in crate::scenario) fn find_router(device: &Device, stage: &mut Stage, at_ns: i64) {
    let router = stage.router;
    let IpAddr::V4(ip) = router.ip else { return };
    stage.send_no_ip(at_ns, &device.host(), ARP, traffic::arp_request(&device.host(), ip));
    stage.send_no_ip(at_ns + MILLI_NS / 4, &router, ARP, traffic::arp_reply(&router, &device.host()));
}

/// Announces its name and a service by mDNS.
pub(super) fn announce_name(device: &Device, stage: &mut Stage, at_ns: i64, service: &str, also_ipv6: bool) {
    let instance = format!("{}.{service}.local", device.host_name);
    let message = dns::mdns_announcement(&[
        Record { name: format!("{service}.local"), ttl: 4500, data: Data::Ptr(instance) },
        Record { name: format!("{}.local", device.host_name), ttl: 120, data: Data::A(device.ip) },
    ]);
    let (src, dst) = (device.host(), Host::group(MDNS_GROUP));
    if stage.send(at_ns, &src, &dst, traffic::udp(&src, &dst, (5353, 5353), &message)) {
        stage.note_self_name(device, SelfNamed::Mdns);
    }
    if also_ipv6 {
        let (src, dst) = (Host::new(device.mac, link_local(device.mac)), Host::group(MDNS_GROUP_V6));
        stage.send(at_ns + MILLI_NS, &src, &dst, traffic::udp(&src, &dst, (5353, 5353), &message));
    }
}

/// Says by SSDP that it is there, or asks who else is.
pub(super) fn ssdp(device: &Device, stage: &mut Stage, at_ns: i64, product: &str, searches: bool) {
    let (src, dst) = (device.host(), Host::group(ssdp::GROUP));
    let message = if searches { ssdp::search(product) } else { ssdp::alive(device.ip, product, &device.host_name) };
    stage.send(at_ns, &src, &dst, traffic::udp(&src, &dst, (ssdp::PORT, ssdp::PORT), &message));
}

/// The router says which prefix is on the link.
pub(in crate::scenario) fn advertise_prefix(stage: &mut Stage, at_ns: i64, prefix: Ipv6Addr) {
    let router = stage.router;
    let frame = ndp::router_advertisement(&router, prefix);
    let (src, dst) =
        (Host::new(router.mac, link_local(router.mac)), Host::group(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1)));
    stage.send(at_ns, &src, &dst, frame);
}

/// A device takes an IPv6 address, after having asked whether somebody has it.
pub(in crate::scenario) fn take_address(device: &Device, stage: &mut Stage, at_ns: i64, ip: Ipv6Addr) {
    let [.., a, b, c] = ip.octets();
    let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), u16::from_be_bytes([b, c]));
    let frame = ndp::duplicate_address_check(&Host::new(device.mac, ip));
    stage.send(at_ns, &Host::new(device.mac, Ipv6Addr::UNSPECIFIED), &Host::group(group), frame);
}

fn lease<'a>(device: &'a Device, stage: &Stage, random: &mut Random) -> Option<Lease<'a>> {
    let IpAddr::V4(server) = stage.router.ip else { return None };
    Some(Lease { xid: random.u32(), client: device.mac, ip: device.ip, server, host_name: &device.host_name })
}

/// Questions to everybody from no address, and the server's answers.
fn without_address(device: &Device, stage: &mut Stage, at_ns: i64, steps: &[(Vec<u8>, Vec<u8>)]) {
    let (router, host) = (stage.router, device.host());
    let (nobody, everybody) = (Host::new(device.mac, Ipv4Addr::UNSPECIFIED), Host::group(Ipv4Addr::BROADCAST));
    let mut at_ns = at_ns;
    for (question, answer) in steps {
        if stage.send(at_ns, &nobody, &everybody, traffic::udp(&nobody, &everybody, (68, 67), question)) {
            stage.note_self_name(device, SelfNamed::Dhcp);
        }
        stage.send(at_ns + 12 * MILLI_NS, &router, &host, traffic::udp(&router, &host, (67, 68), answer));
        at_ns += 20 * MILLI_NS;
    }
}
