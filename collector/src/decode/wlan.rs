//! IEEE 802.11 data frames, and the headers that capture drivers put before them.

use iotq_proto::{LinkProtocol, MacAddr, UndecodedReason};

use super::{
    Header, Link, LinkType, Step, StepResult,
    bytes::{after, chunk, octet},
    other,
};

/// What lies between the header and the data.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Padding {
    None,
    /// The driver filled the header up to a multiple of four octets.
    ToFour,
}

/// Reads a frame (IEEE 802.11, clause 9). What is no readable data (management,
/// control, encrypted, a later fragment) carries no IP that we could see.
pub(super) fn read<'a>(link: &mut Link, padding: Padding, bytes: &'a [u8]) -> StepResult<'a> {
    let [type_octet, flags] = chunk(bytes, 0).ok_or(UndecodedReason::LinkHeaderCut)?;
    let frame_control = u16::from_le_bytes([type_octet, flags]);
    let no_ip = || other(LinkProtocol::wlan(frame_control));
    let (kind, subtype) = (type_octet >> 2 & 0x03, type_octet >> 4);
    if type_octet & 0x03 != 0 {
        return Err(UndecodedReason::LinkHeader);
    }
    if kind != DATA {
        if let (MANAGEMENT, Some(dst), Some(src)) = (kind, mac(bytes, 4), mac(bytes, 10)) {
            link.set_macs(src, dst);
        }
        return no_ip();
    }
    let (to_ds, from_ds) = (flags & 0x01 != 0, flags & 0x02 != 0);
    let has_four_addresses = to_ds && from_ds;
    let is_qos = subtype & 0x08 != 0;
    let mut header_bytes = if has_four_addresses { 30 } else { 24 };
    let qos_control = octet(bytes, header_bytes).filter(|_| is_qos).unwrap_or_default();
    // Table 9-30: where the source and destination addresses are.
    let (dst_at, src_at) = match (to_ds, from_ds) {
        (false, false) => (4, 10),
        (false, true) => (4, 16),
        (true, false) => (16, 10),
        (true, true) => (16, 24),
    };
    let (Some(dst), Some(src)) = (mac(bytes, dst_at), mac(bytes, src_at)) else {
        return Err(UndecodedReason::LinkHeaderCut);
    };
    let is_aggregate = qos_control & 0x80 != 0;
    if !is_aggregate {
        link.set_macs(src, dst);
    }
    if is_qos {
        header_bytes += 2;
        // The order bit of a QoS frame announces an HT control field.
        header_bytes += if flags & 0x80 != 0 { 4 } else { 0 };
    }
    let is_protected = flags & 0x40 != 0;
    let is_later_fragment = octet(bytes, 22).is_some_and(|sequence| sequence & 0x0f != 0);
    let has_no_data = subtype & 0x04 != 0;
    if is_protected || is_later_fragment || has_no_data {
        link.set_macs(src, dst);
        return no_ip();
    }
    if padding == Padding::ToFour {
        header_bytes = header_bytes.next_multiple_of(4);
    }
    let body = after(bytes, header_bytes).ok_or(UndecodedReason::LinkHeaderCut)?;
    if !is_aggregate {
        return Ok(Step::Header(Header::Llc, skip_to_llc(body)));
    }
    // Clause 9.3.2.2: destination, source, length of the first frame of several.
    let (Some(dst), Some(src), Some(body)) = (mac(body, 0), mac(body, 6), after(body, 14)) else {
        return Err(UndecodedReason::LinkHeaderCut);
    };
    link.set_macs(src, dst);
    Ok(Step::Header(Header::Llc, body))
}

/// Data begin with LLC, but for two octets that some drivers add without saying
/// so, and for a mesh control field (clause 9.2.4.8.3), which only those in the
/// mesh can be sure of. SNAP's begin gives both away.
fn skip_to_llc(body: &[u8]) -> &[u8] {
    let is_snap = |at: usize| body.get(at..).is_some_and(|rest| rest.starts_with(&[0xaa, 0xaa, 0x03]));
    let skipped = match body {
        [0xaa, 0xaa, ..] => 0,
        [0, 0, ..] if is_snap(2) => 2,
        [0, ..] if is_snap(6) => 6,
        [1, ..] if is_snap(12) => 12,
        [2, ..] if is_snap(18) => 18,
        _ => 0,
    };
    after(body, skipped).unwrap_or_default()
}

/// Radiotap (radiotap.org): version, padding, length, then bit masks of what
/// fields follow. Only the flags matter here: they tell about padding.
pub(super) fn read_radiotap(bytes: &[u8]) -> StepResult<'_> {
    let Some([_, _, l0, l1]) = chunk(bytes, 0) else {
        return Err(UndecodedReason::LinkHeaderCut);
    };
    let length = usize::from(u16::from_le_bytes([l0, l1]));
    if length < 8 {
        return Err(UndecodedReason::LinkHeader);
    }
    let (Some(header), Some(frame)) = (bytes.get(..length), after(bytes, length)) else {
        return Err(UndecodedReason::LinkHeaderCut);
    };
    let padding = match radiotap_flags(header) {
        Some(flags) if flags & 0x20 != 0 => Padding::ToFour,
        _ => Padding::None,
    };
    Ok(Step::Header(Header::Wlan(padding), frame))
}

fn radiotap_flags(header: &[u8]) -> Option<u8> {
    let present = chunk(header, 4).map(u32::from_le_bytes)?;
    // Bit 31 of a mask announces another one.
    let mut at = 8;
    let mut mask = present;
    while mask & 1 << 31 != 0 {
        mask = chunk(header, at).map(u32::from_le_bytes)?;
        at += 4;
    }
    if present & 1 << 0 != 0 {
        // The time stamp, eight octets on their natural boundary.
        at = at.next_multiple_of(8) + 8;
    }
    octet(header, at).filter(|_| present & 1 << 1 != 0)
}

/// Prism: a message code and the header's length, in the host's byte order.
/// Some drivers write an AVS header under the same link type.
pub(super) fn read_prism(bytes: &[u8]) -> StepResult<'_> {
    let (Some(code), Some(length)) = (chunk(bytes, 0).map(u32::from_be_bytes), chunk::<4>(bytes, 4)) else {
        return Err(UndecodedReason::LinkHeaderCut);
    };
    if code & 0xffff_f000 == AVS_MAGIC {
        return read_avs(bytes);
    }
    let length = u32::from_le_bytes(length).min(u32::from_be_bytes(length));
    wlan_after(bytes, length)
}

/// AVS: magic and version, then the header's length.
pub(super) fn read_avs(bytes: &[u8]) -> StepResult<'_> {
    wlan_after(bytes, chunk(bytes, 4).map(u32::from_be_bytes).ok_or(UndecodedReason::LinkHeaderCut)?)
}

/// CACE PPI: version, flags, length, link type of the frame behind it.
pub(super) fn read_ppi(bytes: &[u8]) -> StepResult<'_> {
    let (Some(length), Some(link_type)) =
        (chunk(bytes, 2).map(u16::from_le_bytes), chunk(bytes, 4).map(u32::from_le_bytes))
    else {
        return Err(UndecodedReason::LinkHeaderCut);
    };
    if length < 8 {
        return Err(UndecodedReason::LinkHeader);
    }
    let frame = after(bytes, usize::from(length)).ok_or(UndecodedReason::LinkHeaderCut)?;
    let link_type = LinkType(u16::try_from(link_type).map_err(|_| UndecodedReason::LinkType)?);
    Ok(Step::Header(Header::LinkType(link_type), frame))
}

fn wlan_after(bytes: &[u8], length: u32) -> StepResult<'_> {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length < 8 {
        return Err(UndecodedReason::LinkHeader);
    }
    let frame = after(bytes, length).ok_or(UndecodedReason::LinkHeaderCut)?;
    Ok(Step::Header(Header::Wlan(Padding::None), frame))
}

fn mac(bytes: &[u8], at: usize) -> Option<MacAddr> {
    chunk(bytes, at).map(MacAddr::from_octets)
}

const MANAGEMENT: u8 = 0;
const DATA: u8 = 2;
const AVS_MAGIC: u32 = 0x8021_1000;
