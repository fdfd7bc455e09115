//! Which link header a frame begins with.

use std::fmt;

/// A link type as capture files number them (`LINKTYPE_` values,
/// <https://www.tcpdump.org/linktypes.html>). libpcap's `DLT_` numbers are the same
/// but for raw IP, where both are known here.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct LinkType(pub u16);

impl LinkType {
    /// BSD loopback, address family in the capturing host's byte order.
    pub const NULL: Self = Self(0);
    /// Ethernet.
    pub const ETHERNET: Self = Self(1);
    /// IEEE 802.5.
    pub const TOKEN_RING: Self = Self(6);
    /// PPP, with or without HDLC-like framing.
    pub const PPP: Self = Self(9);
    /// FDDI.
    pub const FDDI: Self = Self(10);
    /// ATM with an IEEE 802.2 header: `DLT_ATM_RFC1483`.
    pub const ATM_DLT: Self = Self(11);
    /// Raw IP: `DLT_RAW` on most systems.
    pub const RAW_BSD: Self = Self(12);
    /// Raw IP: `DLT_RAW` on OpenBSD.
    pub const RAW_OPENBSD: Self = Self(14);
    /// PPP in HDLC-like framing (RFC 1662) or Cisco's.
    pub const PPP_HDLC: Self = Self(50);
    /// PPP over Ethernet, from its own header on (RFC 2516).
    pub const PPP_ETHER: Self = Self(51);
    /// ATM with an IEEE 802.2 header (RFC 2684).
    pub const ATM_RFC1483: Self = Self(100);
    /// Raw IP of either version.
    pub const RAW: Self = Self(101);
    /// Cisco HDLC.
    pub const C_HDLC: Self = Self(104);
    /// IEEE 802.11.
    pub const IEEE802_11: Self = Self(105);
    /// Frame Relay.
    pub const FRELAY: Self = Self(107);
    /// OpenBSD loopback, address family in network byte order.
    pub const LOOP: Self = Self(108);
    /// OpenBSD encapsulated traffic (enc interfaces).
    pub const ENC: Self = Self(109);
    /// Linux cooked capture, version 1.
    pub const LINUX_SLL: Self = Self(113);
    /// OpenBSD pf log.
    pub const PFLOG: Self = Self(117);
    /// Prism header, then IEEE 802.11.
    pub const IEEE802_11_PRISM: Self = Self(119);
    /// Radiotap header, then IEEE 802.11.
    pub const IEEE802_11_RADIOTAP: Self = Self(127);
    /// AVS header, then IEEE 802.11.
    pub const IEEE802_11_AVS: Self = Self(163);
    /// Per-packet information, then a frame of a link type named there.
    pub const PPI: Self = Self(192);
    /// PPP after an octet for the direction.
    pub const PPP_WITH_DIR: Self = Self(204);
    /// Raw IPv4.
    pub const IPV4: Self = Self(228);
    /// Raw IPv6.
    pub const IPV6: Self = Self(229);
    /// Linux netfilter log.
    pub const NFLOG: Self = Self(239);
    /// Linux cooked capture, version 2.
    pub const LINUX_SLL2: Self = Self(276);
    /// Stands for numbers that no registry can hold.
    pub const UNKNOWN: Self = Self(u16::MAX);

    /// From the wider field of a file.
    #[must_use]
    pub fn from_number(number: u32) -> Self {
        u16::try_from(number).map_or(Self::UNKNOWN, Self)
    }
}

impl fmt::Display for LinkType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
