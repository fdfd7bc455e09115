//! Ethernet, and everything an EtherType can announce below IP: tags, LLC and
//! SNAP, sessions, labels, frames in frames.

use etherparse::EtherType;
use iotq_proto::{LinkProtocol, MacAddr, UndecodedReason};

use super::{
    Carried, Header, Link, Step, StepResult,
    bytes::{after, be16, octet},
    ip_of_any_version, other, serial,
};

/// What ARP frames are counted as.
pub(super) fn arp() -> LinkProtocol {
    LinkProtocol::ether_type(EtherType::ARP.0)
}

/// Reads MACs and type of an Ethernet frame (IEEE 802.3, clause 3).
#[inline]
pub(super) fn read<'a>(link: &mut Link, bytes: &'a [u8]) -> StepResult<'a> {
    let Some((header, rest)) = bytes.split_first_chunk::<14>() else {
        return Err(UndecodedReason::LinkHeaderCut);
    };
    let &[d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, t0, t1] = header;
    let dst = MacAddr::from_octets([d0, d1, d2, d3, d4, d5]);
    let src = MacAddr::from_octets([s0, s1, s2, s3, s4, s5]);
    link.set_macs(src, dst);
    match EtherType(u16::from_be_bytes([t0, t1])) {
        EtherType::IPV4 => Ok(Step::Done(Carried::Ipv4(rest))),
        EtherType::IPV6 => Ok(Step::Done(Carried::Ipv6(rest))),
        EtherType(length @ 0..=MAX_LENGTH) => match [d0, d1, d2, d3, d4] {
            CISCO_ISL_A | CISCO_ISL_B => frame_after(bytes, 26),
            _ => read_llc(up_to(rest, length)),
        },
        EtherType(code) => read_ether_type(link, code, rest),
    }
}

/// Goes on behind an EtherType (IANA "IEEE 802 Numbers").
pub(super) fn read_ether_type<'a>(link: &mut Link, code: u16, bytes: &'a [u8]) -> StepResult<'a> {
    match EtherType(code) {
        EtherType::IPV4 => Ok(Step::Done(Carried::Ipv4(bytes))),
        EtherType::IPV6 => Ok(Step::Done(Carried::Ipv6(bytes))),
        EtherType::ARP => Ok(Step::Done(Carried::Arp(bytes))),
        EtherType::VLAN_TAGGED_FRAME
        | EtherType::PROVIDER_BRIDGING
        | EtherType::VLAN_DOUBLE_TAGGED_FRAME
        | OLD_DOUBLE_TAG => read_tag(link, bytes),
        PPPOE_SESSION => serial::read_pppoe(bytes),
        MPLS_UNICAST | MPLS_MULTICAST => read_mpls(code, bytes),
        LLC_IN_JUMBO_FRAME => read_llc(bytes),
        EtherType::MACSEC => read_macsec(bytes),
        SERVICE_HEADER => read_service_header(bytes),
        TRILL => read_trill(bytes),
        BACKBONE_SERVICE_TAG => frame_after(bytes, 4),
        TRANSPARENT_BRIDGING => frame_after(bytes, 0),
        FABRIC_PATH => frame_after(bytes, 2),
        VN_TAG | RING_REDUNDANCY_TAG | REDUNDANCY_TAG => type_after(bytes, 4),
        BRIDGE_PORT_TAG | CISCO_META_DATA => type_after(bytes, 6),
        _ => other(LinkProtocol::ether_type(code)),
    }
}

/// IEEE 802.1Q, clause 9.6: two octets of tag, then a type or length.
fn read_tag<'a>(link: &mut Link, bytes: &'a [u8]) -> StepResult<'a> {
    let Some((&[i0, i1, t0, t1], rest)) = bytes.split_first_chunk::<4>() else {
        return Err(UndecodedReason::LinkHeaderCut);
    };
    link.add_tag(u16::from_be_bytes([i0, i1]));
    let code = u16::from_be_bytes([t0, t1]);
    Ok(match code {
        0..=MAX_LENGTH => Step::Header(Header::Llc, up_to(rest, code)),
        _ => Step::Header(Header::EtherType(code), rest),
    })
}

/// A header of `skipped` octets, then an Ethernet frame.
fn frame_after(bytes: &[u8], skipped: usize) -> StepResult<'_> {
    let rest = after(bytes, skipped).ok_or(UndecodedReason::LinkHeaderCut)?;
    Ok(Step::Header(Header::Ethernet, rest))
}

/// A header of `skipped` octets, then an EtherType.
fn type_after(bytes: &[u8], skipped: usize) -> StepResult<'_> {
    let code = be16(bytes, skipped).ok_or(UndecodedReason::LinkHeaderCut)?;
    let rest = after(bytes, skipped + 2).ok_or(UndecodedReason::LinkHeaderCut)?;
    Ok(Step::Header(Header::EtherType(code), rest))
}

/// IEEE 802.2: service access points and control field, SNAP behind them.
pub(super) fn read_llc(bytes: &[u8]) -> StepResult<'_> {
    let dsap = octet(bytes, 0).ok_or(UndecodedReason::LinkHeaderCut)?;
    let information = match octet(bytes, 2) {
        // Only unnumbered and numbered information carry a packet; numbered ones
        // have two octets of control field.
        Some(0x03) => after(bytes, 3),
        Some(control) if control & 1 == 0 => after(bytes, 4),
        _ => None,
    };
    match (dsap, octet(bytes, 1), information) {
        (SAP_SNAP, Some(SAP_SNAP), Some(information)) => read_snap(information),
        (SAP_IP, Some(_), Some(information)) => ip_of_any_version(information),
        _ => other(LinkProtocol::llc(dsap)),
    }
}

/// RFC 1042: an organisation, then a protocol in its numbering.
fn read_snap(bytes: &[u8]) -> StepResult<'_> {
    let Some((&[o0, o1, o2, p0, p1], rest)) = bytes.split_first_chunk::<5>() else {
        return Err(UndecodedReason::LinkHeaderCut);
    };
    let protocol = u16::from_be_bytes([p0, p1]);
    match ([o0, o1, o2], protocol) {
        // Organisation zero uses EtherTypes; 00-00-f8 is IEEE 802.1H's bridge tunnel.
        ([0, 0, 0] | [0, 0, 0xf8], _) => Ok(Step::Header(Header::EtherType(protocol), rest)),
        // RFC 2684, section 5.2: bridged frames behind two octets of padding.
        ([0, 0x80, 0xc2], 1 | 7) => frame_after(rest, 2),
        _ => other(LinkProtocol::llc(SAP_SNAP)),
    }
}

/// RFC 3032: labels up to the bottom of the stack. What follows is not named;
/// IP shows itself by its version (RFC 4928), and pseudowires carry Ethernet.
fn read_mpls(code: u16, bytes: &[u8]) -> StepResult<'_> {
    let mut rest = bytes;
    loop {
        let Some((&[_, _, label_end, _], behind)) = rest.split_first_chunk::<4>() else {
            return Err(UndecodedReason::LinkHeaderCut);
        };
        rest = behind;
        if label_end & 1 == 1 {
            break;
        }
    }
    match rest.first().map(|first| first >> 4) {
        Some(4) => Ok(Step::Done(Carried::Ipv4(rest))),
        Some(6) => Ok(Step::Done(Carried::Ipv6(rest))),
        // RFC 4385, section 5: an associated channel names what it carries.
        Some(1) => match be16(rest, 2) {
            Some(0x0021) => Ok(Step::Done(Carried::Ipv4(after(rest, 4).unwrap_or_default()))),
            Some(0x0057) => Ok(Step::Done(Carried::Ipv6(after(rest, 4).unwrap_or_default()))),
            _ => other(LinkProtocol::ether_type(code)),
        },
        _ if looks_like_frame(rest) => frame_after(rest, 0),
        // RFC 4385, section 3: a control word begins with zero.
        Some(0) if rest.get(4..).is_some_and(looks_like_frame) => frame_after(rest, 4),
        _ => other(LinkProtocol::ether_type(code)),
    }
}

/// Whether these octets begin an Ethernet frame with something that leads to IP.
fn looks_like_frame(bytes: &[u8]) -> bool {
    be16(bytes, 12).is_some_and(|code| {
        matches!(
            EtherType(code),
            EtherType::IPV4
                | EtherType::IPV6
                | EtherType::ARP
                | EtherType::VLAN_TAGGED_FRAME
                | EtherType::PROVIDER_BRIDGING
                | PPPOE_SESSION
                | MPLS_UNICAST
        )
    })
}

/// IEEE 802.1AE, clause 9: control, length, packet number, perhaps an
/// identifier. Readable only if neither encrypted nor changed.
fn read_macsec(bytes: &[u8]) -> StepResult<'_> {
    let control = octet(bytes, 0).ok_or(UndecodedReason::LinkHeaderCut)?;
    if control & 0x0c != 0 {
        return other(LinkProtocol::ether_type(EtherType::MACSEC.0));
    }
    type_after(bytes, if control & 0x20 == 0 { 6 } else { 14 })
}

/// RFC 8300, section 2.2: the low six bits of the second octet count words.
fn read_service_header(bytes: &[u8]) -> StepResult<'_> {
    let Some(&[_, words, _, next_protocol]) = bytes.first_chunk() else {
        return Err(UndecodedReason::LinkHeaderCut);
    };
    let rest = after(bytes, usize::from(words & 0x3f) * 4).ok_or(UndecodedReason::LinkHeaderCut)?;
    match next_protocol {
        1 => Ok(Step::Done(Carried::Ipv4(rest))),
        2 => Ok(Step::Done(Carried::Ipv6(rest))),
        3 => Ok(Step::Header(Header::Ethernet, rest)),
        5 => Ok(Step::Header(Header::EtherType(MPLS_UNICAST.0), rest)),
        _ => other(LinkProtocol::ether_type(SERVICE_HEADER.0)),
    }
}

/// RFC 6325, section 3: flags with five bits that count words of options, egress
/// and ingress, then the frame.
fn read_trill(bytes: &[u8]) -> StepResult<'_> {
    let flags = be16(bytes, 0).ok_or(UndecodedReason::LinkHeaderCut)?;
    frame_after(bytes, 6 + usize::from(flags >> 6 & 0x1f) * 4)
}

/// What belongs to a header that says its length; behind it is padding.
fn up_to(bytes: &[u8], length: u16) -> &[u8] {
    bytes.get(..usize::from(length)).unwrap_or(bytes)
}

const MAX_LENGTH: u16 = 1500;
const SAP_IP: u8 = 0x06;
const SAP_SNAP: u8 = 0xaa;
/// Stacked tags before IEEE 802.1ad, as is 0x9100.
const OLD_DOUBLE_TAG: EtherType = EtherType(0x9200);
const PPPOE_SESSION: EtherType = EtherType(0x8864);
const MPLS_UNICAST: EtherType = EtherType(0x8847);
const MPLS_MULTICAST: EtherType = EtherType(0x8848);
/// IEEE 802.1ah: a service tag, then the customer's frame.
const BACKBONE_SERVICE_TAG: EtherType = EtherType(0x88e7);
/// RFC 1701: a frame right behind the type.
const TRANSPARENT_BRIDGING: EtherType = EtherType(0x6558);
/// Cisco `FabricPath`: a forwarding tag, then the frame.
const FABRIC_PATH: EtherType = EtherType(0x8903);
/// RFC 8300: a network service header.
const SERVICE_HEADER: EtherType = EtherType(0x894f);
const TRILL: EtherType = EtherType(0x22f3);
/// LLC in frames longer than a length field can say.
const LLC_IN_JUMBO_FRAME: EtherType = EtherType(0x8870);
/// Cisco VN-Tag, IEEE 802.1Qbh's draft.
const VN_TAG: EtherType = EtherType(0x8926);
/// IEC 62439-3 (HSR).
const RING_REDUNDANCY_TAG: EtherType = EtherType(0x892f);
/// IEEE 802.1CB.
const REDUNDANCY_TAG: EtherType = EtherType(0xf1c1);
/// IEEE 802.1BR E-Tag.
const BRIDGE_PORT_TAG: EtherType = EtherType(0x893f);
const CISCO_META_DATA: EtherType = EtherType(0x8909);
/// Cisco ISL has its own header instead of an EtherType: the frame begins 26
/// octets on, and these addresses announce it.
const CISCO_ISL_A: [u8; 5] = [0x01, 0x00, 0x0c, 0x00, 0x00];
const CISCO_ISL_B: [u8; 5] = [0x03, 0x00, 0x0c, 0x00, 0x00];
