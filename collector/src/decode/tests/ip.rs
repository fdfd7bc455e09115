//! IPv4 (RFC 791), IPv6 (RFC 8200), and the begin of what they carry.

use super::*;

fn over_ip(bytes: &[u8]) -> String {
    line(&packet(LinkType::RAW, bytes))
}

fn patched(mut bytes: Vec<u8>, at: usize, with: &[u8]) -> Vec<u8> {
    bytes[at..at + with.len()].copy_from_slice(with);
    bytes
}

#[test]
fn time_and_wire_length_are_the_captures() {
    let frame = ethernet(0x0800, &tcp4());
    let Decoded::Packet(packet, _) = decoded_cut(LinkType::ETHERNET, &frame, 1514) else { panic!() };
    assert_eq!((packet.captured_at.as_nanos(), packet.wire_bytes), (AT, 1514));
}

#[test]
fn the_lower_address_is_a_whoever_sends() {
    let there = packet(LinkType::RAW, &tcp4());
    let swapped = join(&[&tcp4()[..12], &hex("c6336407 c0000201 01bb 04d2"), &tcp4()[24..]]);
    let back = packet(LinkType::RAW, &swapped);
    assert_eq!(there.key, back.key);
    assert_eq!((there.from_a, back.from_a), (true, false));
}

#[test]
fn the_ip_header_says_how_long_the_payload_is() {
    // RFC 791, section 3.1: total length; behind it is the link's padding.
    assert_eq!(over_ip(&join(&[&tcp4(), &[0; 9]])), TCP4);
    // Left to the network card: as long as the wire says.
    assert_eq!(over_ip(&patched(tcp4(), 2, &[0, 0])), TCP4);
    assert_eq!(over_ip(&ipv6_of_length(17, &udp6()[40..], 0)), UDP6);
    // Longer than the frame: what the sender meant.
    assert_eq!(over_ip(&patched(tcp4(), 2, &1500u16.to_be_bytes())), TCP4.replace("+5", "+1460"));
    // An acknowledgement filled up to the smallest Ethernet frame has no payload.
    let acknowledgement = join(&[&patched(tcp4(), 2, &40u16.to_be_bytes())[..40], &[0; 6]]);
    assert_eq!(
        line(&packet(LinkType::ETHERNET, &ethernet(0x0800, &acknowledgement))),
        TCP4_ETHERNET.replace("+5", "+0")
    );
}

#[test]
fn a_frame_without_a_length_counts_from_the_ip_header_on() {
    let frame = ethernet(0x8100, &join(&[&hex("0005 0800"), &patched(tcp4(), 2, &[0, 0])]));
    let Decoded::Packet(packet, _) = decoded_cut(LinkType::ETHERNET, &frame, 60_000) else { panic!() };
    assert_eq!(packet.payload_bytes, 60_000 - 18 - 40);
}

#[test]
fn headers_that_contradict_themselves_are_undecoded() {
    for (at, with, reason) in [
        (0, 0x55, UndecodedReason::IpVersion),
        (0, 0x44, UndecodedReason::IpHeaderLength),
        (3, 19, UndecodedReason::IpTotalLength),
    ] {
        let frame = ethernet(0x0800, &patched(tcp4(), at, &[with]));
        assert_eq!(decoded(LinkType::ETHERNET, &frame), undecoded(reason), "{with:#x} at {at}");
    }
    assert_eq!(decoded(LinkType::ETHERNET, &ethernet(0x86dd, &tcp4())), undecoded(UndecodedReason::IpVersion));
    assert_eq!(decoded(LinkType::RAW, &[0; 40]), undecoded(UndecodedReason::IpVersion));
}

#[test]
fn ipv6_under_the_ether_type_of_ipv4_is_ipv6() {
    let packet = |ether_type| match decoded(LinkType::ETHERNET, &ethernet(ether_type, &udp6())) {
        Decoded::Packet(packet, _) => packet,
        other => panic!("{other:?}"),
    };
    assert_eq!(packet(0x0800), packet(0x86dd));
}

#[test]
fn what_the_snaplen_left_counts() {
    for (bytes, ip_bytes, expected) in [
        (tcp4(), 20, ["192.0.2.1 > 198.51.100.7 6 +5", "192.0.2.1.1234 > 198.51.100.7.443 6 +5", TCP4]),
        (
            ipv6(6, &tcp4()[20..]),
            40,
            [
                "2001:db8::1 > 2001:db8::2 6 +5",
                "2001:db8::1.1234 > 2001:db8::2.443 6 +5",
                "2001:db8::1.1234 > 2001:db8::2.443 6 +5 0x018",
            ],
        ),
    ] {
        let wire_bytes = u32::try_from(bytes.len()).unwrap();
        for cut in 0..=bytes.len() {
            let decoded = decoded_cut(LinkType::RAW, &bytes[..cut], wire_bytes);
            if cut < ip_bytes {
                assert_eq!(decoded, undecoded(UndecodedReason::IpHeaderCut), "cut at {cut}");
                continue;
            }
            let Decoded::Packet(packet, _) = decoded else { panic!("cut at {cut}") };
            // RFC 9293, section 3.1: ports first, flags before octet 14.
            let expected = match cut - ip_bytes {
                0..4 => expected[0],
                4..14 => expected[1],
                _ => expected[2],
            };
            assert_eq!(line(&packet), expected, "cut at {cut}");
        }
    }
}

#[test]
fn options_are_skipped() {
    // RFC 791: header length in 32-bit words.
    let router_alert = join(&[&hex("46000 031 0001 0000 40 06 0000 c0000201 c6336407 94040000"), &tcp4()[20..]]);
    assert_eq!(over_ip(&router_alert), TCP4);
    // Cut inside the options, the addresses are known, but no ports.
    let Decoded::Packet(cut, _) = decoded_cut(LinkType::RAW, &router_alert[..21], 49) else { panic!() };
    assert!(!cut.key.has_ports);
}

#[test]
fn tcp_header_lengths_are_checked() {
    // RFC 9293, section 3.1: less than five words is no TCP header.
    assert_eq!(over_ip(&patched(tcp4(), 32, &[0x40])), "192.0.2.1.1234 > 198.51.100.7.443 6 +5");
    // Six words; more than the packet has.
    assert_eq!(over_ip(&patched(tcp4(), 32, &[0x60])), TCP4.replace("+5", "+1"));
    assert_eq!(over_ip(&patched(tcp4(), 32, &[0xf0])), TCP4.replace("+5", "+0"));
    // All twelve flags, those without a name included.
    assert_eq!(over_ip(&patched(tcp4(), 32, &[0x5f, 0xff])), TCP4.replace("0x018", "0xfff"));
}

#[test]
fn ports_are_where_each_transport_has_them() {
    let transport = |protocol: u8, header: &str| {
        let header = hex(header);
        let total = u8::try_from(20 + header.len()).unwrap();
        let ip = hex("45000 000 0001 0000 40 00 0000 c0000201 c6336407");
        over_ip(&join(&[&patched(patched(ip, 3, &[total]), 9, &[protocol]), &header]))
    };
    let ports = "192.0.2.1.1234 > 198.51.100.7.443";
    assert_eq!(over_ip(&udp4()), format!("{ports} 17 +5"));
    // RFC 3828, RFC 9260, RFC 4340 (data offset of four words).
    assert_eq!(transport(136, "04d2 01bb 0008 0000 6869"), format!("{ports} 136 +2"));
    assert_eq!(transport(132, "04d2 01bb 00000001 00000000 6869"), format!("{ports} 132 +2"));
    assert_eq!(transport(33, "04d2 01bb 04 00 0000 0000000000000000 6869"), format!("{ports} 33 +2"));
    // No transport header that we know: all of it is payload.
    for protocol in [0, 1, 2, 4, 41, 47, 50, 51, 58, 89, 115, 255] {
        assert_eq!(transport(protocol, "04d2 01bb 0000"), format!("192.0.2.1 > 198.51.100.7 {protocol} +6"));
    }
}

#[test]
fn fragments_are_packets_but_only_the_first_has_ports() {
    // RFC 791: offset in units of eight octets, below the three flags.
    for (flags_and_offset, expected) in [
        ([0x20, 0x00], TCP4),
        ([0x40, 0x00], TCP4),
        ([0x20, 0x01], "192.0.2.1 > 198.51.100.7 6 +25"),
        ([0x1f, 0xff], "192.0.2.1 > 198.51.100.7 6 +25"),
    ] {
        assert_eq!(over_ip(&patched(tcp4(), 6, &flags_and_offset)), expected, "{flags_and_offset:02x?}");
    }
    // RFC 8200, section 4.5.
    let udp = &udp6()[40..];
    for (fragment, expected) in [
        ("1100 0001 00000001", UDP6),
        ("1100 0000 00000001", UDP6),
        ("1100 0028 00000001", "2001:db8::1 > 2001:db8::2 17 +13"),
        ("1100 fff9 00000001", "2001:db8::1 > 2001:db8::2 17 +13"),
    ] {
        assert_eq!(over_ip(&ipv6(44, &join(&[&hex(fragment), udp]))), expected, "{fragment}");
    }
}

#[test]
fn ipv6_extension_headers_that_only_carry_are_walked_over() {
    let udp = &udp6()[40..];
    let options = |next: u8| [next, 0, 1, 4, 0, 0, 0, 0];
    for (name, packet) in [
        ("hop-by-hop", ipv6(0, &join(&[&options(17), udp]))),
        ("destination twice", ipv6(60, &join(&[&options(60), &options(17), udp]))),
        ("routing", ipv6(43, &join(&[&hex("1100 0300 00000000"), udp]))),
        ("longer options", ipv6(0, &join(&[&hex("1101 010c 000000000000 000000000000"), udp]))),
        (
            "all of them",
            ipv6(0, &join(&[&options(60), &options(43), &hex("2c00 0300 00000000 1100 0000 00000001"), udp])),
        ),
    ] {
        assert_eq!(over_ip(&packet), UDP6, "{name}");
    }
}

#[test]
fn what_is_more_than_a_carrier_stays_the_protocol() {
    // AH, ESP, Mobility, HIP, Shim6, no next header.
    for protocol in [51, 50, 135, 139, 140, 59] {
        let packet = ipv6(protocol, &hex("3b00 0000 00000000"));
        assert_eq!(over_ip(&packet), format!("2001:db8::1 > 2001:db8::2 {protocol} +8"));
    }
}

#[test]
fn extension_headers_may_be_cut_or_lie() {
    let udp = &udp6()[40..];
    let options = ipv6(0, &join(&[&hex("1100 0104 00000000"), udp]));
    // Behind the cut is what the last header read announced.
    for (cut, protocol) in [(40, 0), (41, 17), (42, 17), (47, 17), (48, 17)] {
        let wire_bytes = u32::try_from(options.len()).unwrap();
        let Decoded::Packet(packet, _) = decoded_cut(LinkType::RAW, &options[..cut], wire_bytes) else { panic!() };
        assert_eq!((packet.key.protocol, packet.key.has_ports), (protocol, false), "cut at {cut}");
    }
    // Longer than the packet.
    assert_eq!(over_ip(&ipv6(0, &join(&[&hex("11ff 0104 00000000"), udp]))), "2001:db8::1 > 2001:db8::2 17 +0");
    // Without end: 8,000 headers, each announcing the next.
    let endless = ipv6(60, &[60, 0, 1, 4, 0, 0, 0, 0].repeat(8000));
    assert!(!packet(LinkType::RAW, &endless).key.has_ports);
}

#[test]
fn the_outermost_ip_header_counts() {
    let inner = udp6();
    let gre = hex("0000 86dd");
    let total = u8::try_from(20 + gre.len() + inner.len()).unwrap();
    let outer = patched(hex("45000 000 0001 0000 40 2f 0000 c0000201 c6336407"), 3, &[total]);
    assert_eq!(over_ip(&join(&[&outer, &gre, &inner])), "192.0.2.1 > 198.51.100.7 47 +57");
}
