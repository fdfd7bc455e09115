//! Everything below IP, link type by link type.

use super::*;

fn ether_type(code: u16) -> Decoded<'static> {
    no_ip(LinkProtocol::ether_type(code))
}

fn over_ethernet(code: u16, rest: &[u8]) -> String {
    line(&packet(LinkType::ETHERNET, &ethernet(code, rest)))
}

fn tagged(tags: &str, packet: &[u8]) -> Vec<u8> {
    join(&[&hex(tags), packet])
}

#[test]
fn ethernet_carries_ip_by_its_type() {
    assert_eq!(over_ethernet(0x0800, &tcp4()), TCP4_ETHERNET);
    assert_eq!(
        over_ethernet(0x86dd, &udp6()),
        "00:00:5e:00:53:01 2001:db8::1.1000 > 00:00:5e:00:53:02 2001:db8::2.2000 17 +5"
    );
    for code in [0x0806, 0x888e, 0x88cc, 0x8863, 0x9000, 0x05dd, 0x05ff, 0xffff] {
        assert_eq!(decoded(LinkType::ETHERNET, &ethernet(code, &tcp4())), ether_type(code), "{code:#x}");
    }
}

#[test]
fn frames_that_end_in_their_link_header_are_undecoded() {
    let cut = undecoded(UndecodedReason::LinkHeaderCut);
    for bytes in [&[][..], &[0; 13], &ethernet(0x8100, &[0, 5, 8]), &ethernet(0, &[]), &ethernet(0x8864, &[0; 5])] {
        assert_eq!(decoded(LinkType::ETHERNET, bytes), cut, "{bytes:02x?}");
    }
    for (link_type, length) in [
        (LinkType::LINUX_SLL, 15),
        (LinkType::LINUX_SLL2, 19),
        (LinkType::NULL, 3),
        (LinkType::LOOP, 3),
        (LinkType::PPP, 0),
        (LinkType::PPP_ETHER, 5),
        (LinkType::C_HDLC, 3),
        (LinkType::IEEE802_11, 1),
        (LinkType::IEEE802_11_RADIOTAP, 3),
    ] {
        assert_eq!(decoded(link_type, &vec![0; length]), cut, "{link_type}");
    }
}

#[test]
fn the_outermost_tag_is_the_vlan() {
    // IEEE 802.1Q: priority and drop bits are not part of the identifier.
    for (code, tags, vlan) in [
        (0x8100, "e005 0800", "5"),
        (0x8100, "0000 0800", "0"),
        (0x8100, "0fff 0800", "4095"),
        (0x88a8, "0064 8100 0007 0800", "100"),
        (0x9100, "0064 9100 0007 0800", "100"),
        (0x9200, "0064 8100 0007 0800", "100"),
        (0x8100, "0001 8100 0002 8100 0003 8100 0004 8100 0005 0800", "1"),
    ] {
        let line = over_ethernet(code, &tagged(tags, &tcp4()));
        assert_eq!(line, TCP4_ETHERNET.replace(" 6 +5", &format!(" 6 vlan {vlan} +5")), "{tags}");
    }
    assert_eq!(decoded(LinkType::ETHERNET, &ethernet(0x8100, &tagged("0005 88cc", &[0; 9]))), ether_type(0x88cc));
    // A tag before a length.
    let stp = tagged("0005 0003 424203", &[0; 30]);
    assert_eq!(decoded(LinkType::ETHERNET, &ethernet(0x8100, &stp)), no_ip(LinkProtocol::llc(0x42)));
}

#[test]
fn tags_without_end_end() {
    assert_eq!(decoded(LinkType::ETHERNET, &ethernet(0x8100, &hex("0001 8100").repeat(300))), ether_type(0x8100));
}

#[test]
fn a_length_announces_llc() {
    let length = |rest: &[u8]| ethernet(u16::try_from(rest.len()).unwrap(), rest);
    // RFC 1042, IEEE 802.1H, and IP's own access point.
    for llc in ["aaaa03 000000 0800", "aaaa03 0000f8 0800", "060603", "06060000", "aaaa0000 000000 0800"] {
        assert_eq!(line(&packet(LinkType::ETHERNET, &length(&tagged(llc, &tcp4())))), TCP4_ETHERNET, "{llc}");
    }
    for (llc, dsap) in [("424203", 0x42), ("aaaa03 00000c 2000", 0xaa), ("ffff", 0xff), ("e0e003", 0xe0), ("06", 0x06)]
    {
        assert_eq!(decoded(LinkType::ETHERNET, &length(&hex(llc))), no_ip(LinkProtocol::llc(dsap)), "{llc}");
    }
    let bridged = tagged("aaaa03 0080c2 0007 0000 00005e0053aa 00005e0053bb 0800", &tcp4());
    assert_eq!(line(&packet(LinkType::ETHERNET, &length(&bridged))), TCP4_ETHERNET);
    let arp = tagged("aaaa03 000000 0806", &[0; 28]);
    assert_eq!(decoded(LinkType::ETHERNET, &length(&arp)), ether_type(0x0806));
    // Behind the length is padding, not IP.
    let padded = ethernet(8, &tagged("aaaa03 000000 0800", &tcp4()));
    assert_eq!(decoded(LinkType::ETHERNET, &padded), undecoded(UndecodedReason::IpHeaderCut));
}

#[test]
fn frames_in_frames_keep_the_outer_addresses() {
    let inner = join(&[&hex("00005e0053aa 00005e0053bb 0800"), &tcp4()]);
    for (code, header) in [
        // IEEE 802.1ah, FabricPath, RFC 6325 without and with options, bridging, RFC 8300.
        (0x88e7, "00000001"),
        (0x8903, "0001"),
        (0x22f3, "003f 0001 0002"),
        (0x22f3, "007f 0001 0002 00000000"),
        (0x6558, ""),
        (0x894f, "0fc2 0103 000001ff"),
        // Pseudowires with and without a control word (RFC 4385).
        (0x8847, "00064140 00000000"),
        (0x8847, "00064140"),
    ] {
        assert_eq!(over_ethernet(code, &tagged(header, &inner)), TCP4_ETHERNET, "{code:#x} {header}");
    }
    // Cisco ISL announces itself by the address.
    let isl = join(&[&hex("01000c000000 00005e005301 0040 aaaa03 00000c 000e 0000 0000"), &inner]);
    assert!(line(&packet(LinkType::ETHERNET, &isl)).contains("192.0.2.1.1234 > 01:00:0c:00:00:00 198.51.100.7.443"));
}

#[test]
fn shims_before_another_type_are_skipped() {
    for (code, shim) in [
        (0x8926, "00000000"),
        (0x893f, "000000000000"),
        (0x892f, "00340001"),
        (0xf1c1, "00000001"),
        (0x8909, "0101 0001 0005"),
        (0x88e5, "00 00 00000001"),
        (0x88e5, "20 00 00000001 0000000000000001"),
    ] {
        assert_eq!(over_ethernet(code, &join(&[&hex(shim), &hex("0800"), &tcp4()])), TCP4_ETHERNET, "{code:#x}");
    }
    // Encrypted (IEEE 802.1AE, E and C bits).
    assert_eq!(decoded(LinkType::ETHERNET, &ethernet(0x88e5, &tagged("0c 00 00000001", &[0; 40]))), ether_type(0x88e5));
}

#[test]
fn mpls_shows_ip_by_its_version() {
    for code in [0x8847, 0x8848] {
        // RFC 3032: labels until the bottom-of-stack bit; RFC 4928: then the version.
        assert_eq!(over_ethernet(code, &tagged("00064140", &tcp4())), TCP4_ETHERNET);
        assert_eq!(over_ethernet(code, &tagged("00064040 000c8140", &tcp4())), TCP4_ETHERNET);
        assert_eq!(over_ethernet(code, &tagged("00064140 10000021", &tcp4())), TCP4_ETHERNET);
        assert_eq!(decoded(LinkType::ETHERNET, &ethernet(code, &tagged("00064140", &[0x55; 40]))), ether_type(code));
        let without_bottom = ethernet(code, &hex("00064040").repeat(3));
        assert_eq!(decoded(LinkType::ETHERNET, &without_bottom), undecoded(UndecodedReason::LinkHeaderCut));
    }
}

#[test]
fn ppp_is_read_in_all_its_framings() {
    for header in ["ff03 0021", "0021", "21", "ff03 21", "0f00 0800", "ff03 0281 00064140"] {
        for link_type in [LinkType::PPP, LinkType::PPP_HDLC] {
            assert_eq!(line(&packet(link_type, &tagged(header, &tcp4()))), TCP4, "{header}");
        }
        assert_eq!(line(&packet(LinkType::PPP_WITH_DIR, &join(&[&[1], &*tagged(header, &tcp4())]))), TCP4, "{header}");
    }
    assert_eq!(line(&packet(LinkType::PPP, &tagged("ff03 0057", &udp6()))), UDP6);
    // RFC 2516: six octets, then PPP's protocol.
    let session = tagged("1100 0001 002f 0021", &tcp4());
    assert_eq!(line(&packet(LinkType::PPP_ETHER, &session)), TCP4);
    assert_eq!(over_ethernet(0x8864, &session), TCP4_ETHERNET);
    let lcp = ethernet(0x8864, &hex("1100 0001 0006 c021 01010004"));
    assert_eq!(decoded(LinkType::ETHERNET, &lcp), no_ip(LinkProtocol::ppp(0xc021)));
}

#[test]
fn serial_links_name_what_they_carry() {
    assert_eq!(line(&packet(LinkType::C_HDLC, &tagged("0f00 0800", &tcp4()))), TCP4);
    assert_eq!(line(&packet(LinkType::C_HDLC, &tagged("8f00 86dd", &udp6()))), UDP6);
    // RFC 2427, with and without padding; SNAP; Cisco's way; a longer address.
    for header in ["1841 03cc", "1841 0300cc", "1841 030080 000000 0800", "1841 0800", "18400041 03cc"] {
        assert_eq!(line(&packet(LinkType::FRELAY, &tagged(header, &tcp4()))), TCP4, "{header}");
    }
}

#[test]
fn cooked_captures_know_the_sender_only() {
    let expected = "00:00:5e:00:53:01 192.0.2.1.1234 > 198.51.100.7.443 6 +5 0x018";
    let sll = |start: &str, protocol: &str| tagged(&format!("{start} 00005e0053010000 {protocol}"), &tcp4());
    assert_eq!(line(&packet(LinkType::LINUX_SLL, &sll("0000 0001 0006", "0800"))), expected);
    assert_eq!(line(&packet(LinkType::LINUX_SLL, &sll("0004 fffe 0000", "0800"))), TCP4);
    assert_eq!(line(&packet(LinkType::LINUX_SLL, &sll("0000 0001 0008", "0800"))), TCP4);
    let vlan = sll("0000 0001 0006", "8100 0005 0800");
    assert_eq!(line(&packet(LinkType::LINUX_SLL, &vlan)), expected.replace(" 6 +5", " 6 vlan 5 +5"));
    let snap = sll("0000 0001 0006", "0004 aaaa03 000000 0800");
    assert_eq!(line(&packet(LinkType::LINUX_SLL, &snap)), expected);
    assert_eq!(decoded(LinkType::LINUX_SLL, &sll("0000 0001 0006", "000c")), ether_type(0x000c));
    assert_eq!(
        decoded(LinkType::LINUX_SLL, &sll("0000 0338 0000", "0000")),
        Decoded::NoIp { protocol: LinkProtocol::family(0), source: MacAddr::NONE }
    );

    let sll2 = |protocol: &str, hardware: &str, length: &str| {
        tagged(&format!("{protocol} 0000 00000003 {hardware} 00 {length} 00005e0053010000"), &tcp4())
    };
    assert_eq!(line(&packet(LinkType::LINUX_SLL2, &sll2("0800", "0001", "06"))), expected);
    assert_eq!(line(&packet(LinkType::LINUX_SLL2, &sll2("0800", "fffe", "00"))), TCP4);
    assert_eq!(decoded(LinkType::LINUX_SLL2, &sll2("0806", "0001", "06")), ether_type(0x0806));
}

#[test]
fn loopback_families_come_in_both_byte_orders() {
    for family in ["02000000", "00000002"] {
        assert_eq!(line(&packet(LinkType::NULL, &tagged(family, &tcp4()))), TCP4);
    }
    // BSD, FreeBSD, Darwin, Linux, Windows; an EtherType.
    for family in ["18000000", "0000001c", "1e000000", "0a000000", "00000017", "dd860000"] {
        assert_eq!(line(&packet(LinkType::NULL, &tagged(family, &udp6()))), UDP6, "{family}");
    }
    assert_eq!(line(&packet(LinkType::LOOP, &tagged("00000002", &tcp4()))), TCP4);
    assert_eq!(line(&packet(LinkType::NULL, &tagged("ff03 0021", &tcp4()))), TCP4);
    let unknown = Decoded::NoIp { protocol: LinkProtocol::family(7), source: MacAddr::NONE };
    assert_eq!(decoded(LinkType::NULL, &tagged("07000000", &tcp4())), unknown);
    assert_eq!(decoded(LinkType::LOOP, &tagged("02000000", &tcp4())), undecoded(UndecodedReason::LinkHeader));
}

#[test]
fn raw_ip_has_many_numbers() {
    for link_type in [LinkType::RAW, LinkType::RAW_BSD, LinkType::RAW_OPENBSD] {
        assert_eq!(line(&packet(link_type, &tcp4())), TCP4);
        assert_eq!(line(&packet(link_type, &udp6())), UDP6);
    }
    assert_eq!(line(&packet(LinkType::RAW, &tagged("ff03 0021", &tcp4()))), TCP4);
    assert_eq!(line(&packet(LinkType::IPV4, &tcp4())), TCP4);
    assert_eq!(line(&packet(LinkType::IPV6, &udp6())), UDP6);
    assert_eq!(line(&packet(LinkType::IPV4, &udp6())), UDP6);
    assert_eq!(decoded(LinkType(147), &tcp4()), undecoded(UndecodedReason::LinkType));
}

#[test]
fn logs_and_old_links_carry_ip_too() {
    let field = |kind: &str, rest: &[u8]| tagged(&format!("0200 0000 0800 0a00 65746830 3100 {kind}"), rest);
    assert_eq!(line(&packet(LinkType::NFLOG, &field("0900", &tcp4()))), TCP4);
    assert_eq!(line(&packet(LinkType::NFLOG, &tagged("0200 0000 0031 0009", &tcp4()))), TCP4);
    assert_eq!(decoded(LinkType::NFLOG, &hex("0200 0000 0000 0900")), undecoded(UndecodedReason::LinkHeader));
    let pflog = join(&[&[61, 2], &[0; 62], &*tcp4()]);
    assert_eq!(line(&packet(LinkType::PFLOG, &pflog)), TCP4);
    assert_eq!(line(&packet(LinkType::ENC, &tagged("02000000 00000001 00000000", &tcp4()))), TCP4);
    let macs = "00005e005302 00005e005301";
    let ring = tagged(&format!("10 40 {macs} aaaa03 000000 0800"), &tcp4());
    assert_eq!(line(&packet(LinkType::TOKEN_RING, &ring)), TCP4_ETHERNET);
    let routed = tagged("10 40 00005e005302 80005e005301 0630 0011 0022 aaaa03 000000 0800", &tcp4());
    assert_eq!(line(&packet(LinkType::TOKEN_RING, &routed)), TCP4_ETHERNET);
    assert_eq!(
        line(&packet(LinkType::FDDI, &tagged(&format!("50 {macs} aaaa03 000000 0800"), &tcp4()))),
        TCP4_ETHERNET
    );
    assert_eq!(line(&packet(LinkType::ATM_RFC1483, &tagged("aaaa03 000000 0800", &tcp4()))), TCP4);
}

/// Addresses 1, 2 and 3 of a frame, as they are in these tests.
const ADDRESSES: &str = "00005e005302 00005e005301 00005e005303";

fn wlan(control: &str, rest: &str) -> Vec<u8> {
    tagged(&format!("{control} 0000 {ADDRESSES} 0000 {rest} aaaa03 000000 0800"), &tcp4())
}

#[test]
fn wlan_addresses_depend_on_the_direction() {
    let ends = |src: &str, dst: &str| {
        format!("00:00:5e:00:53:{src} 192.0.2.1.1234 > 00:00:5e:00:53:{dst} 198.51.100.7.443 6 +5 0x018")
    };
    // IEEE 802.11, table 9-30: between stations, from and to the access point, between access points.
    for (control, rest, src, dst) in [
        ("0800", "", "01", "02"),
        ("0802", "", "03", "02"),
        ("0801", "", "01", "03"),
        ("0803", "00005e005304", "04", "03"),
        // With QoS control; with HT control behind it.
        ("8801", "0000", "01", "03"),
        ("8881", "0000 00000000", "01", "03"),
        ("8803", "00005e005304 0000", "04", "03"),
        // With mesh control; with two octets that a driver left.
        ("8803", "00005e005304 0001 001f01000000", "04", "03"),
        ("0801", "0000", "01", "03"),
        // The first of several frames in one names its own ends.
        ("8801", "8000 00005e00530a 00005e00530b 0035", "0b", "0a"),
    ] {
        assert_eq!(line(&packet(LinkType::IEEE802_11, &wlan(control, rest))), ends(src, dst), "{control} {rest}");
    }
}

#[test]
fn wlan_frames_without_readable_data_are_no_ip() {
    for (control, kind, source) in [
        // Beacon; acknowledgement, which has no sender; encrypted; null data; QoS null.
        ("8000", 0x80, SRC_MAC),
        ("d400", 0xd4, "00:00:00:00:00:00"),
        ("0841", 0x08, SRC_MAC),
        ("4801", 0x48, SRC_MAC),
        ("c801", 0xc8, SRC_MAC),
    ] {
        let expected = Decoded::NoIp { protocol: LinkProtocol::wlan(kind), source: source.parse().unwrap() };
        assert_eq!(decoded(LinkType::IEEE802_11, &wlan(control, "")), expected, "{control}");
    }
    let later_fragment = tagged(&format!("0801 0000 {ADDRESSES} 0100"), &tcp4());
    assert_eq!(decoded(LinkType::IEEE802_11, &later_fragment), no_ip(LinkProtocol::wlan(0x08)));
    assert_eq!(decoded(LinkType::IEEE802_11, &wlan("0901", "")), undecoded(UndecodedReason::LinkHeader));
    assert_eq!(decoded(LinkType::IEEE802_11, &wlan("0801", "")[..20]), undecoded(UndecodedReason::LinkHeaderCut));
}

#[test]
fn capture_headers_before_wlan_are_skipped() {
    let frame = wlan("8801", "0000");
    let expected = line(&packet(LinkType::IEEE802_11, &frame));
    for (link_type, header) in [
        (LinkType::IEEE802_11_RADIOTAP, "0000 0800 00000000"),
        (LinkType::IEEE802_11_RADIOTAP, "0000 0900 02000000 10"),
        (LinkType::IEEE802_11_AVS, "80211001 0000000c 00000000"),
        (LinkType::IEEE802_11_PRISM, "44000000 0c000000 00000000"),
        (LinkType::IEEE802_11_PRISM, "00000044 0000000c 00000000"),
        (LinkType::IEEE802_11_PRISM, "80211001 0000000c 00000000"),
        (LinkType::PPI, "0000 0800 69000000"),
    ] {
        assert_eq!(line(&packet(link_type, &join(&[&hex(header), &frame]))), expected, "{link_type} {header}");
    }
    // Radiotap's flag 0x20: the header of 26 octets was filled up to 28. Before the flags
    // may come a second mask and the time stamp, on a boundary of eight.
    let padded = wlan("8801", "0000 0000");
    for header in ["0000 0900 02000000 20", "0000 1900 03000080 00000000 00000000 0000000000000000 20"] {
        let bytes = join(&[&hex(header), &padded]);
        assert_eq!(line(&packet(LinkType::IEEE802_11_RADIOTAP, &bytes)), expected, "{header}");
    }
    for header in ["0000 0700 00000000", "0000 0000 00000000"] {
        let bytes = join(&[&hex(header), &frame]);
        assert_eq!(decoded(LinkType::IEEE802_11_RADIOTAP, &bytes), undecoded(UndecodedReason::LinkHeader));
    }
}
