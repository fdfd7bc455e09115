//! ARP (RFC 826), Neighbor Discovery (RFC 4861), DHCP clients.

use iotq_proto::SightingKind;

use super::*;

fn seen(kind: SightingKind, mac: &str, ip: Option<&str>, prefix_len: u8) -> Sighting {
    let ip = ip.map(|ip| iotq_proto::address_octets(ip.parse().unwrap()));
    let seen_at = Timestamp::from_nanos(AT).unwrap();
    Sighting { kind, vlan: VlanId::UNTAGGED, mac: mac.parse().unwrap(), ip, prefix_len, seen_at, text: String::new() }
}

fn over_ethernet(code: u16, rest: &[u8]) -> Vec<Sighting> {
    sightings(LinkType::ETHERNET, &ethernet(code, rest))
}

#[test]
fn arp_shows_who_has_the_senders_address() {
    let expected = vec![seen(SightingKind::Arp, "00:00:5e:00:53:0a", Some("192.0.2.1"), 128)];
    for (what, arp) in [
        ("request", "0001 0800 06 04 0001 00005e00530a c0000201 000000000000 c0000202"),
        ("reply", "0001 0800 06 04 0002 00005e00530a c0000201 00005e00530b c0000202"),
        ("gratuitous", "0001 0800 06 04 0001 00005e00530a c0000201 000000000000 c0000201"),
        ("IEEE 802", "0006 0800 06 04 0002 00005e00530a c0000201 00005e00530b c0000202"),
    ] {
        assert_eq!(over_ethernet(0x0806, &hex(arp)), expected, "{what}");
    }
    for (what, arp) in [
        ("probe (RFC 5227)", "0001 0800 06 04 0001 00005e00530a 00000000 000000000000 c0000202"),
        ("no MAC", "0001 0800 06 04 0002 000000000000 c0000201 000000000000 c0000202"),
        ("multicast MAC", "0001 0800 06 04 0002 01005e00530a c0000201 000000000000 c0000202"),
        ("reverse (RFC 903)", "0001 0800 06 04 0003 00005e00530a c0000201 00005e00530a 00000000"),
        ("AppleTalk", "0001 809b 06 04 0002 00005e00530a c0000201 00005e00530b c0000202"),
        ("longer addresses", "0001 0800 08 04 0002 00005e00530a0000 c0000201 0000000000000000 c0000202"),
        ("cut", "0001 0800 06 04 0002 00005e00530a c000"),
    ] {
        assert_eq!(over_ethernet(0x0806, &hex(arp)), [], "{what}");
    }
}

#[test]
fn sightings_carry_the_vlan() {
    let arp = hex("0064 0806 0001 0800 06 04 0001 00005e00530a c0000201 000000000000 c0000202");
    let [sighting] = over_ethernet(0x8100, &arp).try_into().unwrap();
    assert_eq!(sighting.vlan, VlanId::from_tci(100));
}

/// An ICMP message over IPv6 with the hop limit of Neighbor Discovery, without checksum.
fn icmpv6(message: &str) -> Vec<u8> {
    let mut packet = ipv6(58, &hex(message));
    packet[7] = 255;
    packet
}

const TARGET: &str = "20010db800000000000000000000000a";

#[test]
fn ndp_shows_who_has_an_address() {
    let ndp = |ip| vec![seen(SightingKind::Ndp, "00:00:5e:00:53:0a", Some(ip), 128)];
    for (what, message, expected) in [
        ("solicitation", format!("8700 0000 00000000 {TARGET} 0101 00005e00530a"), ndp("2001:db8::1")),
        ("advertisement", format!("8800 0000 60000000 {TARGET} 0201 00005e00530a"), ndp("2001:db8::a")),
        ("router solicitation", "8500 0000 00000000 0101 00005e00530a".to_owned(), ndp("2001:db8::1")),
        (
            "another option first",
            format!("8800 0000 60000000 {TARGET} 0e01 000000000000 0201 00005e00530a"),
            ndp("2001:db8::a"),
        ),
        ("without option", format!("8800 0000 60000000 {TARGET}"), vec![]),
        ("the other's option", format!("8700 0000 00000000 {TARGET} 0201 00005e00530a"), vec![]),
        ("option of no length", format!("8800 0000 60000000 {TARGET} 0200 00005e00530a"), vec![]),
        ("code not zero", format!("8801 0000 60000000 {TARGET} 0201 00005e00530a"), vec![]),
        ("cut", "8800 0000 60000000 20010db8".to_owned(), vec![]),
        ("echo", "8000 0000 00010001 0201 00005e00530a".to_owned(), vec![]),
    ] {
        assert_eq!(over_ethernet(0x86dd, &icmpv6(&message)), expected, "{what}");
    }
}

#[test]
fn ndp_from_afar_or_from_nobody_is_not_believed() {
    let message = format!("8700 0000 00000000 {TARGET} 0101 00005e00530a");
    let mut forwarded = icmpv6(&message);
    forwarded[7] = 254;
    assert_eq!(over_ethernet(0x86dd, &forwarded), []);
    // Duplicate address detection (RFC 4862) asks from `::`.
    let mut nobody = icmpv6(&message);
    nobody[8..24].fill(0);
    assert_eq!(over_ethernet(0x86dd, &nobody), []);
    // RFC 6980: not in fragments.
    let mut fragment = ipv6(44, &join(&[&hex("3a00 0001 00000001"), &hex(&message)]));
    fragment[7] = 255;
    assert_eq!(over_ethernet(0x86dd, &fragment), []);
}

#[test]
fn router_advertisements_show_on_link_prefixes() {
    let prefix = |flags: &str| format!("0304 40 {flags} 00015180 00003840 00000000 20010db800010002ffff000000000000");
    let advertisement = |options: &str| icmpv6(&format!("8600 0000 40000708 00000000 00000000 {options}"));
    let router = seen(SightingKind::Ndp, "00:00:5e:00:53:0a", Some("2001:db8::1"), 128);
    let on_link = |mac| seen(SightingKind::RaPrefix, mac, Some("2001:db8:1:2::"), 64);
    let mac = "0101 00005e00530a";
    assert_eq!(
        over_ethernet(0x86dd, &advertisement(&format!("{mac} {}", prefix("c0")))),
        [router.clone(), on_link("00:00:5e:00:53:0a")]
    );
    // The router may leave out its MAC (section 4.2): then it is the sender's.
    assert_eq!(over_ethernet(0x86dd, &advertisement(&prefix("80"))), [on_link(SRC_MAC)]);
    // Only for autoconfiguration, not on-link.
    assert_eq!(over_ethernet(0x86dd, &advertisement(&format!("{} {mac}", prefix("40")))), [router]);
    let too_long = prefix("80").replacen("40", "81", 1);
    assert_eq!(over_ethernet(0x86dd, &advertisement(&too_long)), []);
}

#[test]
fn dhcp_clients_are_known_by_their_ports() {
    let v4 = |src: &str, ports: &str| hex(&format!("45000 01c 0001 0000 40 11 0000 {src} ffffffff {ports} 0008 0000"));
    let client = |ip| vec![seen(SightingKind::DhcpClient, SRC_MAC, ip, 128)];
    assert_eq!(over_ethernet(0x0800, &v4("00000000", "0044 0043")), client(None));
    assert_eq!(over_ethernet(0x0800, &v4("c0000201", "0044 0043")), client(Some("192.0.2.1")));
    // The answer, and what one relay says to the next.
    assert_eq!(over_ethernet(0x0800, &v4("c0000201", "0043 0044")), []);
    assert_eq!(over_ethernet(0x0800, &v4("c0000201", "0043 0043")), []);
    let mut tcp = v4("c0000201", "0044 0043");
    tcp[9] = 6;
    assert_eq!(over_ethernet(0x0800, &tcp), []);

    assert_eq!(over_ethernet(0x86dd, &ipv6(17, &hex("0222 0223 0008 0000"))), client(Some("2001:db8::1")));
    assert_eq!(over_ethernet(0x86dd, &ipv6(17, &hex("0223 0222 0008 0000"))), []);
    // A link without MACs shows nobody.
    assert_eq!(sightings(LinkType::RAW, &v4("00000000", "0044 0043")), []);
}
