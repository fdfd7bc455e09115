//! Point-to-point links: PPP in its framings, PPP over Ethernet, Cisco HDLC,
//! Frame Relay.

use iotq_proto::{LinkProtocol, UndecodedReason};

use super::{
    Carried, Header, Step, StepResult,
    bytes::{after, be16, octet},
    ip_of_any_version, other,
};

/// PPP in HDLC-like framing (RFC 1662), with or without address and control
/// field. Captures of Cisco's framing have the same link type.
pub(super) fn read_ppp_hdlc(bytes: &[u8]) -> StepResult<'_> {
    match octet(bytes, 0) {
        None => Err(UndecodedReason::LinkHeaderCut),
        Some(ALL_STATIONS) => Ok(Step::Header(Header::Ppp, after(bytes, 2).ok_or(UndecodedReason::LinkHeaderCut)?)),
        Some(CISCO_UNICAST | CISCO_MULTICAST) => read_cisco_hdlc(bytes),
        Some(_) => read_ppp(bytes),
    }
}

/// The same behind an octet that says who sent it.
pub(super) fn read_ppp_with_direction(bytes: &[u8]) -> StepResult<'_> {
    read_ppp_hdlc(after(bytes, 1).ok_or(UndecodedReason::LinkHeaderCut)?)
}

/// PPP's protocol field (RFC 1661, section 2): an odd first octet is all of it.
pub(super) fn read_ppp(bytes: &[u8]) -> StepResult<'_> {
    let first = octet(bytes, 0).ok_or(UndecodedReason::LinkHeaderCut)?;
    let (protocol, length) =
        if first & 1 == 1 { (u16::from(first), 1) } else { (be16(bytes, 0).ok_or(UndecodedReason::LinkHeaderCut)?, 2) };
    let rest = after(bytes, length).unwrap_or_default();
    // IANA "PPP DLL Protocol Numbers".
    match protocol {
        // RFC 1990, section 3: a fragment; the first one begins a packet.
        0x003d if octet(rest, 0).is_some_and(|flags| flags & 0x80 != 0) => {
            Ok(Step::Header(Header::Ppp, after(rest, 4).ok_or(UndecodedReason::LinkHeaderCut)?))
        }
        0x0021 => Ok(Step::Done(Carried::Ipv4(rest))),
        0x0057 => Ok(Step::Done(Carried::Ipv6(rest))),
        0x0281 => Ok(Step::Header(Header::EtherType(0x8847), rest)),
        0x0283 => Ok(Step::Header(Header::EtherType(0x8848), rest)),
        _ => other(LinkProtocol::ppp(protocol)),
    }
}

/// RFC 2516, section 4, from behind the EtherType: version and type, code,
/// session, length; then PPP.
pub(super) fn read_pppoe(bytes: &[u8]) -> StepResult<'_> {
    Ok(Step::Header(Header::Ppp, after(bytes, 6).ok_or(UndecodedReason::LinkHeaderCut)?))
}

/// Cisco's framing: address, control, EtherType (RFC 1547, section 4.3.1).
pub(super) fn read_cisco_hdlc(bytes: &[u8]) -> StepResult<'_> {
    let code = be16(bytes, 2).ok_or(UndecodedReason::LinkHeaderCut)?;
    Ok(Step::Header(Header::EtherType(code), after(bytes, 4).unwrap_or_default()))
}

/// RFC 2427: two to four octets of address, then a protocol; or Cisco's framing,
/// with an EtherType in its place.
pub(super) fn read_frame_relay(bytes: &[u8]) -> StepResult<'_> {
    // The lowest bit of each address octet says whether it is the last one.
    let length = bytes.iter().take(4).position(|octet| octet & 1 == 1).ok_or(UndecodedReason::LinkHeaderCut)? + 1;
    let (&[UNNUMBERED_INFORMATION, 0, ref rest @ ..] | &[UNNUMBERED_INFORMATION, ref rest @ ..]) =
        after(bytes, length).unwrap_or_default()
    else {
        return read_cisco_frame_relay(after(bytes, length).unwrap_or_default());
    };
    match *rest {
        [NLPID_IPV4 | NLPID_IPV6, ref packet @ ..] => ip_of_any_version(packet),
        [NLPID_SNAP, 0, 0, 0, p0, p1, ref packet @ ..] => {
            Ok(Step::Header(Header::EtherType(u16::from_be_bytes([p0, p1])), packet))
        }
        _ => other(LinkProtocol::llc(UNNUMBERED_INFORMATION)),
    }
}

fn read_cisco_frame_relay(bytes: &[u8]) -> StepResult<'_> {
    let code = be16(bytes, 0).ok_or(UndecodedReason::LinkHeaderCut)?;
    Ok(Step::Header(Header::EtherType(code), after(bytes, 2).unwrap_or_default()))
}

const ALL_STATIONS: u8 = 0xff;
const CISCO_UNICAST: u8 = 0x0f;
const CISCO_MULTICAST: u8 = 0x8f;
const UNNUMBERED_INFORMATION: u8 = 0x03;
const NLPID_SNAP: u8 = 0x80;
const NLPID_IPV4: u8 = 0xcc;
const NLPID_IPV6: u8 = 0x8e;
