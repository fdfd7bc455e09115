//! Ethernet, and everything an EtherType can announce below IP: tags, LLC and
//! SNAP, sessions, labels, frames in frames.

use etherparse::EtherType;
use iotq_proto::{LinkProtocol, MacAddr, UndecodedReason};

use super::{
    Carried, Header, Link, Step, StepResult,
    bytes::{after, be16, octet},
    other, serial,
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
    read_type_or_length(link, u16::from_be_bytes([t0, t1]), rest)
}

/// A length up to 1500 announces LLC, anything above is an EtherType
/// (IEEE 802.3, clause 3.2.6; 1501 to 1535 are neither, and stay the type they are).
#[inline]
fn read_type_or_length<'a>(link: &mut Link, code: u16, bytes: &'a [u8]) -> StepResult<'a> {
    match EtherType(code) {
        EtherType::IPV4 => Ok(Step::Done(Carried::Ipv4(bytes))),
        EtherType::IPV6 => Ok(Step::Done(Carried::Ipv6(bytes))),
        EtherType(0..=MAX_LENGTH) => read_llc(bytes),
        _ => read_ether_type(link, code, bytes),
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
        BACKBONE_SERVICE_TAG => frame_after(bytes, 4),
        TRANSPARENT_BRIDGING => frame_after(bytes, 0),
        FABRIC_PATH => frame_after(bytes, 2),
        VN_TAG => type_after(bytes, 2),
        BRIDGE_PORT_TAG => type_after(bytes, 4),
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
    let header = if code <= MAX_LENGTH { Header::Llc } else { Header::EtherType(code) };
    Ok(Step::Header(header, rest))
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
    // Only unnumbered information (0x03, with or without the poll bit) carries
    // a protocol's packet right behind the header.
    let is_information = octet(bytes, 2).is_some_and(|control| control & 0xef == 0x03);
    match (dsap, octet(bytes, 1)) {
        (SAP_SNAP, Some(SAP_SNAP)) if is_information => read_snap(after(bytes, 3).unwrap_or_default()),
        (SAP_IP, Some(_)) if is_information => {
            Carried::ip_of_any_version(after(bytes, 3).unwrap_or_default()).map(Step::Done)
        }
        _ => other(LinkProtocol::llc(dsap)),
    }
}

/// RFC 1042: an organisation, then a protocol in its numbering.
fn read_snap(bytes: &[u8]) -> StepResult<'_> {
    let Some((&[o0, o1, o2, p0, p1], rest)) = bytes.split_first_chunk::<5>() else {
        return Err(UndecodedReason::LinkHeaderCut);
    };
    match [o0, o1, o2] {
        // Organisation zero uses EtherTypes; 00-00-f8 is IEEE 802.1H's bridge tunnel.
        [0, 0, 0] | [0, 0, 0xf8] => Ok(Step::Header(Header::EtherType(u16::from_be_bytes([p0, p1])), rest)),
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
        // RFC 4385: a control word begins with zero.
        Some(0) if rest.get(4..).is_some_and(looks_like_frame) => frame_after(rest, 4),
        _ if looks_like_frame(rest) => frame_after(rest, 0),
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
/// Cisco VN-Tag, IEEE 802.1Qbh's draft.
const VN_TAG: EtherType = EtherType(0x8926);
/// IEEE 802.1BR E-Tag.
const BRIDGE_PORT_TAG: EtherType = EtherType(0x893f);
