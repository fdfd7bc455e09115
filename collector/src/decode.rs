//! From the octets of one frame to a packet, or to what else it is.
//!
//! Pure: no I/O, no clock, no allocation but for sightings. The octets come from
//! the network and may be anything; nothing here panics on them, and no loop
//! runs longer than the frame.
//!
//! A frame is read in two steps. The *link* step walks over all headers below
//! IP and says what they carry (`Carried`). The *IP* step reads the first IP
//! header found there, which is the outermost: what a tunnel carries inside is
//! not looked at. A frame cut by the snaplen is read as far as it goes.

mod bytes;
mod ethernet;
mod ip;
mod link_type;
mod loopback;
mod neighbours;
mod serial;
#[cfg(test)]
mod tests;
mod transport;
mod wlan;
mod wrapped;

use iotq_proto::{LinkProtocol, MacAddr, Timestamp, UndecodedReason, VlanId};

pub use link_type::LinkType;

use crate::{
    chunk::Sighting,
    packet::{Decoded, Packet},
};

/// A packet, and what was captured above its transport header.
type WithPayload<'a> = (Packet, &'a [u8]);

/// One captured frame.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// When it was captured.
    pub captured_at: Timestamp,
    /// Its length on the wire, as the capture says: not checked against `bytes`.
    pub wire_bytes: u32,
    /// What was captured of it, from the link header on.
    pub bytes: &'a [u8],
}

/// Says what a frame is, and adds what its sender shows of itself.
#[must_use]
pub fn decode<'a>(link_type: LinkType, frame: Frame<'a>, sightings: &mut Vec<Sighting>) -> Decoded<'a> {
    let mut link = Link::default();
    let packet = match read_link(link_type, &mut link, frame.bytes) {
        Ok(Carried::Ipv4(bytes)) => ip::read_v4(&frame, &link, bytes, sightings),
        Ok(Carried::Ipv6(bytes)) => ip::read_v6(&frame, &link, bytes, sightings),
        Ok(Carried::Other(protocol)) => return Decoded::NoIp { protocol, source: link.src },
        Ok(Carried::Arp(bytes)) => {
            neighbours::see_arp(&frame, &link, bytes, sightings);
            return Decoded::NoIp { protocol: ethernet::arp(), source: link.src };
        }
        Err(reason) => Err(reason),
    };
    match packet {
        Ok((packet, payload)) => Decoded::Packet(packet, payload),
        Err(reason) => Decoded::Undecoded(reason),
    }
}

/// What the link headers say about a frame, whatever it carries.
#[derive(Clone, Copy, Debug, Default)]
struct Link {
    src: MacAddr,
    dst: MacAddr,
    /// The first tag met, which is the outermost.
    vlan: VlanId,
    /// Whether a header had MACs: those of frames inside frames do not count.
    has_macs: bool,
}

impl Link {
    fn set_macs(&mut self, src: MacAddr, dst: MacAddr) {
        if !self.has_macs {
            (self.src, self.dst, self.has_macs) = (src, dst, true);
        }
    }

    fn add_tag(&mut self, tci: u16) {
        if self.vlan == VlanId::UNTAGGED {
            self.vlan = VlanId::from_tci(tci);
        }
    }
}

/// What the last link header carries.
#[derive(Clone, Copy, Debug)]
enum Carried<'a> {
    Ipv4(&'a [u8]),
    Ipv6(&'a [u8]),
    Arp(&'a [u8]),
    Other(LinkProtocol),
}

impl<'a> Carried<'a> {
    /// IP whose version only its own header tells.
    fn ip_of_any_version(bytes: &'a [u8]) -> Result<Self, UndecodedReason> {
        match bytes.first().map(|first| first >> 4) {
            Some(4) => Ok(Self::Ipv4(bytes)),
            Some(6) => Ok(Self::Ipv6(bytes)),
            Some(_) => Err(UndecodedReason::IpVersion),
            None => Err(UndecodedReason::IpHeaderCut),
        }
    }
}

/// A link header that is yet to be read.
#[derive(Clone, Copy, Debug)]
enum Header {
    /// IEEE 802.3: MACs, then an EtherType or a length.
    Ethernet,
    /// What this EtherType stands for.
    EtherType(u16),
    /// IEEE 802.2.
    Llc,
    /// A PPP protocol field, compressed or not.
    Ppp,
    /// What follows has a link type of its own.
    LinkType(LinkType),
    /// IEEE 802.11.
    Wlan(wlan::Padding),
}

/// Where reading goes on after a header.
#[derive(Clone, Copy, Debug)]
enum Step<'a> {
    Header(Header, &'a [u8]),
    Done(Carried<'a>),
}

type StepResult<'a> = Result<Step<'a>, UndecodedReason>;

fn other(protocol: LinkProtocol) -> StepResult<'static> {
    Ok(Step::Done(Carried::Other(protocol)))
}

fn ip_of_any_version(bytes: &[u8]) -> StepResult<'_> {
    Carried::ip_of_any_version(bytes).map(Step::Done)
}

fn read_link<'a>(link_type: LinkType, link: &mut Link, bytes: &'a [u8]) -> Result<Carried<'a>, UndecodedReason> {
    let mut step = link_type_step(link_type, link, bytes)?;
    for _ in 0..MAX_LINK_HEADERS {
        step = match step {
            Step::Done(carried) => return Ok(carried),
            Step::Header(Header::EtherType(code), bytes) => ethernet::read_ether_type(link, code, bytes)?,
            Step::Header(Header::Ethernet, bytes) => ethernet::read(link, bytes)?,
            Step::Header(Header::Llc, bytes) => ethernet::read_llc(bytes)?,
            Step::Header(Header::Ppp, bytes) => serial::read_ppp(bytes)?,
            Step::Header(Header::Wlan(padding), bytes) => wlan::read(link, padding, bytes)?,
            Step::Header(Header::LinkType(link_type), bytes) => link_type_step(link_type, link, bytes)?,
        };
    }
    match step {
        Step::Done(carried) => Ok(carried),
        Step::Header(Header::EtherType(code), _) => Ok(Carried::Other(LinkProtocol::ether_type(code))),
        Step::Header(..) => Err(UndecodedReason::LinkHeader),
    }
}

fn link_type_step<'a>(link_type: LinkType, link: &mut Link, bytes: &'a [u8]) -> StepResult<'a> {
    match link_type {
        LinkType::ETHERNET => ethernet::read(link, bytes),
        LinkType::RAW | LinkType::RAW_BSD | LinkType::RAW_OPENBSD => loopback::read_raw(bytes),
        LinkType::IPV4 => Ok(Step::Done(Carried::Ipv4(bytes))),
        LinkType::IPV6 => Ok(Step::Done(Carried::Ipv6(bytes))),
        LinkType::LINUX_SLL => wrapped::read_sll(link, bytes),
        LinkType::LINUX_SLL2 => wrapped::read_sll2(link, bytes),
        LinkType::NULL => loopback::read_null(bytes),
        LinkType::LOOP => loopback::read_loop(bytes),
        LinkType::ENC => loopback::read_enc(bytes),
        LinkType::PFLOG => loopback::read_pflog(bytes),
        LinkType::NFLOG => wrapped::read_nflog(bytes),
        LinkType::IEEE802_11 => wlan::read(link, wlan::Padding::None, bytes),
        LinkType::IEEE802_11_RADIOTAP => wlan::read_radiotap(bytes),
        LinkType::IEEE802_11_PRISM => wlan::read_prism(bytes),
        LinkType::IEEE802_11_AVS => wlan::read_avs(bytes),
        LinkType::PPI => wlan::read_ppi(bytes),
        LinkType::PPP | LinkType::PPP_HDLC => serial::read_ppp_hdlc(bytes),
        LinkType::PPP_WITH_DIR => serial::read_ppp_with_direction(bytes),
        LinkType::PPP_ETHER => serial::read_pppoe(bytes),
        LinkType::C_HDLC => serial::read_cisco_hdlc(bytes),
        LinkType::FRELAY => serial::read_frame_relay(bytes),
        LinkType::TOKEN_RING => wrapped::read_token_ring(link, bytes),
        LinkType::FDDI => wrapped::read_fddi(link, bytes),
        LinkType::ATM_RFC1483 | LinkType::ATM_DLT => Ok(Step::Header(Header::Llc, bytes)),
        _ => Err(UndecodedReason::LinkType),
    }
}

/// Real frames have up to eight link headers (tags, labels, a frame in a
/// frame); more than this is a frame made to keep us busy.
const MAX_LINK_HEADERS: usize = 32;
