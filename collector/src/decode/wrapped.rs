//! Frames in headers that a kernel writes instead of the link's own, and the
//! links of old.

use iotq_proto::{LinkProtocol, MacAddr, UndecodedReason};

use super::{
    Header, Link, LinkType, Step, StepResult,
    bytes::{after, be16, chunk, octet},
    ip_of_any_version, other,
};

/// Linux cooked capture (`LINKTYPE_LINUX_SLL`): packet type, hardware type, length
/// of the sender's address, the address in eight octets, protocol.
pub(super) fn read_sll<'a>(link: &mut Link, bytes: &'a [u8]) -> StepResult<'a> {
    let Some((header, rest)) = bytes.split_first_chunk::<16>() else {
        return Err(UndecodedReason::LinkHeaderCut);
    };
    let &[_, _, h0, h1, l0, l1, a0, a1, a2, a3, a4, a5, _, _, p0, p1] = header;
    if u16::from_be_bytes([l0, l1]) == MAC_BYTES {
        link.set_macs(MacAddr::from_octets([a0, a1, a2, a3, a4, a5]), MacAddr::NONE);
    }
    carried_by_hardware(u16::from_be_bytes([h0, h1]), u16::from_be_bytes([p0, p1]), rest)
}

/// Its second version (`LINKTYPE_LINUX_SLL2`): protocol, reserved, interface,
/// hardware type, packet type, length of the sender's address, the address.
pub(super) fn read_sll2<'a>(link: &mut Link, bytes: &'a [u8]) -> StepResult<'a> {
    let Some((header, rest)) = bytes.split_first_chunk::<20>() else {
        return Err(UndecodedReason::LinkHeaderCut);
    };
    let &[p0, p1, _, _, _, _, _, _, h0, h1, _, length, a0, a1, a2, a3, a4, a5, _, _] = header;
    if u16::from(length) == MAC_BYTES {
        link.set_macs(MacAddr::from_octets([a0, a1, a2, a3, a4, a5]), MacAddr::NONE);
    }
    carried_by_hardware(u16::from_be_bytes([h0, h1]), u16::from_be_bytes([p0, p1]), rest)
}

/// What the protocol field means depends on the hardware type (Linux
/// `if_arp.h`); below 1536 it is no EtherType (Linux `if_ether.h`).
fn carried_by_hardware(hardware: u16, protocol: u16, rest: &[u8]) -> StepResult<'_> {
    let link_type = match (hardware, protocol) {
        (ARPHRD_NETLINK, _) => return other(LinkProtocol::family(protocol)),
        (_, 1536..) => return Ok(Step::Header(Header::EtherType(protocol), rest)),
        (ARPHRD_FRAD, _) => LinkType::FRELAY,
        (ARPHRD_IEEE80211, _) => LinkType::IEEE802_11,
        (ARPHRD_IEEE80211_PRISM, _) => LinkType::IEEE802_11_PRISM,
        (ARPHRD_IEEE80211_RADIOTAP, _) => LinkType::IEEE802_11_RADIOTAP,
        (_, ETH_P_802_2) => return Ok(Step::Header(Header::Llc, rest)),
        _ => return other(LinkProtocol::ether_type(protocol)),
    };
    Ok(Step::Header(Header::LinkType(link_type), rest))
}

/// Linux netfilter log (`LINKTYPE_NFLOG`): family, version, group; then fields,
/// each padded to four octets, of length and type in the host's byte order.
pub(super) fn read_nflog(bytes: &[u8]) -> StepResult<'_> {
    let family = octet(bytes, 0).ok_or(UndecodedReason::LinkHeaderCut)?;
    let mut rest = after(bytes, 4).ok_or(UndecodedReason::LinkHeaderCut)?;
    while let Some([l0, l1, t0, t1]) = chunk(rest, 0) {
        // A type is a small number: the order in which it is one is the right one.
        let (length, kind) = if t1 == 0 || u16::from_le_bytes([t0, t1]) < u16::from_be_bytes([t0, t1]) {
            (u16::from_le_bytes([l0, l1]), u16::from_le_bytes([t0, t1]))
        } else {
            (u16::from_be_bytes([l0, l1]), u16::from_be_bytes([t0, t1]))
        };
        if length < 4 {
            return Err(UndecodedReason::LinkHeader);
        }
        if kind & 0x7fff == NFULA_PAYLOAD {
            return match family {
                AF_INET | AF_INET6 => ip_of_any_version(after(rest, 4).unwrap_or_default()),
                _ => other(LinkProtocol::family(u16::from(family))),
            };
        }
        rest = after(rest, usize::from(length).next_multiple_of(4)).unwrap_or_default();
    }
    // A log entry without its packet.
    other(LinkProtocol::family(u16::from(family)))
}

/// IEEE 802.5: access control, frame control, MACs, perhaps a route.
pub(super) fn read_token_ring<'a>(link: &mut Link, bytes: &'a [u8]) -> StepResult<'a> {
    let Some((&[_, control, d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5], rest)) = bytes.split_first_chunk::<14>()
    else {
        return Err(UndecodedReason::LinkHeaderCut);
    };
    link.set_macs(
        // The highest bit says that there is a route.
        MacAddr::from_octets([s0 & 0x7f, s1, s2, s3, s4, s5]),
        MacAddr::from_octets([d0, d1, d2, d3, d4, d5]),
    );
    if control >> 6 != 1 {
        return other(LinkProtocol::llc(0));
    }
    let route_bytes = match be16(rest, 0) {
        Some(route) if s0 & 0x80 != 0 => usize::from(route >> 8 & 0x1f),
        _ => 0,
    };
    Ok(Step::Header(Header::Llc, after(rest, route_bytes).unwrap_or_default()))
}

/// FDDI (ISO 9314): frame control, MACs.
pub(super) fn read_fddi<'a>(link: &mut Link, bytes: &'a [u8]) -> StepResult<'a> {
    let Some((&[control, d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5], rest)) = bytes.split_first_chunk::<13>()
    else {
        return Err(UndecodedReason::LinkHeaderCut);
    };
    link.set_macs(MacAddr::from_octets([s0, s1, s2, s3, s4, s5]), MacAddr::from_octets([d0, d1, d2, d3, d4, d5]));
    // 0101 and the priority: logical link control.
    if control & 0xf0 == 0x50 { Ok(Step::Header(Header::Llc, rest)) } else { other(LinkProtocol::llc(0)) }
}

const MAC_BYTES: u16 = 6;
const ARPHRD_FRAD: u16 = 770;
const ARPHRD_IEEE80211: u16 = 801;
const ARPHRD_IEEE80211_PRISM: u16 = 802;
const ARPHRD_IEEE80211_RADIOTAP: u16 = 803;
const ARPHRD_NETLINK: u16 = 824;
const ETH_P_802_2: u16 = 4;
/// Linux `nfnetlink_log.h`.
const NFULA_PAYLOAD: u16 = 9;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
