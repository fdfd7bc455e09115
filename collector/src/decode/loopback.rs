//! Links that say no more than an address family, or not even that: BSD loopback
//! and its kin, raw IP.

use iotq_proto::{LinkProtocol, UndecodedReason};

use super::{
    Carried, Header, Step, StepResult,
    bytes::{after, chunk, octet},
    ip_of_any_version, other, serial,
};

/// Raw IP. Some systems give PPP interfaces this link type, framing included.
pub(super) fn read_raw(bytes: &[u8]) -> StepResult<'_> {
    match bytes {
        [0xff, 0x03, ..] => serial::read_ppp_hdlc(bytes),
        _ => ip_of_any_version(bytes),
    }
}

/// BSD loopback: the family in the capturing host's byte order, so either.
pub(super) fn read_null(bytes: &[u8]) -> StepResult<'_> {
    let family: [u8; 4] = chunk(bytes, 0).ok_or(UndecodedReason::LinkHeaderCut)?;
    if let [0xff, 0x03, ..] = family {
        // PPP again.
        return serial::read_ppp_hdlc(bytes);
    }
    // A family is a small number: the order in which it is one is the right one.
    let number = u32::from_le_bytes(family).min(u32::from_be_bytes(family));
    carried_by_family(number, after(bytes, 4).unwrap_or_default())
}

/// OpenBSD's loopback: in network byte order.
pub(super) fn read_loop(bytes: &[u8]) -> StepResult<'_> {
    let family = chunk(bytes, 0).map(u32::from_be_bytes).ok_or(UndecodedReason::LinkHeaderCut)?;
    carried_by_family(family, after(bytes, 4).unwrap_or_default())
}

/// OpenBSD's enc interface: family in host byte order, index of the security
/// parameters, flags.
pub(super) fn read_enc(bytes: &[u8]) -> StepResult<'_> {
    let family: [u8; 4] = chunk(bytes, 0).ok_or(UndecodedReason::LinkHeaderCut)?;
    let number = u32::from_le_bytes(family).min(u32::from_be_bytes(family));
    carried_by_family(number, after(bytes, 12).ok_or(UndecodedReason::LinkHeaderCut)?)
}

/// OpenBSD's packet filter log: the header's length without its padding, the family.
pub(super) fn read_pflog(bytes: &[u8]) -> StepResult<'_> {
    let length = octet(bytes, 0).map(usize::from).ok_or(UndecodedReason::LinkHeaderCut)?;
    let family = octet(bytes, 1).map(u32::from).ok_or(UndecodedReason::LinkHeaderCut)?;
    carried_by_family(family, after(bytes, length.next_multiple_of(4)).ok_or(UndecodedReason::LinkHeaderCut)?)
}

fn carried_by_family(family: u32, rest: &[u8]) -> StepResult<'_> {
    // The numbers differ between systems; two mean something else on others.
    let looks_like_v6 = octet(rest, 0).is_some_and(|first| first >> 4 == 6);
    match family {
        AF_INET | AF_INET_IRIX => Ok(Step::Done(Carried::Ipv4(rest))),
        AF_INET6_BSD | AF_INET6_FREEBSD | AF_INET6_DARWIN => Ok(Step::Done(Carried::Ipv6(rest))),
        AF_INET6_LINUX | AF_INET6_WINDOWS if looks_like_v6 => Ok(Step::Done(Carried::Ipv6(rest))),
        // Some systems write an EtherType instead.
        family => match u16::try_from(family) {
            Ok(code @ 1501..) => Ok(Step::Header(Header::EtherType(code), rest)),
            Ok(code) => other(LinkProtocol::family(code)),
            Err(_) => Err(UndecodedReason::LinkHeader),
        },
    }
}

const AF_INET: u32 = 2;
/// IRIX has the family in the first two octets only.
const AF_INET_IRIX: u32 = 0x200;
const AF_INET6_LINUX: u32 = 10;
const AF_INET6_WINDOWS: u32 = 23;
/// NetBSD, OpenBSD, BSD/OS.
const AF_INET6_BSD: u32 = 24;
const AF_INET6_FREEBSD: u32 = 28;
const AF_INET6_DARWIN: u32 = 30;
