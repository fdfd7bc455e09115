//! What a frame without an IP header carries.

use std::fmt;

/// The protocol named by the link header of a frame that has no IP header: a
/// namespace and the code in it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct LinkProtocol(u32);

impl LinkProtocol {
    const ETHER_TYPE: u32 = 0;
    const LLC: u32 = 1;
    const PPP: u32 = 2;
    const WLAN: u32 = 3;
    const FAMILY: u32 = 4;

    /// An EtherType (IANA "IEEE 802 Numbers").
    #[must_use]
    pub fn ether_type(code: u16) -> Self {
        Self(Self::ETHER_TYPE << 16 | u32::from(code))
    }

    /// The destination service access point of an IEEE 802.2 header.
    #[must_use]
    pub fn llc(dsap: u8) -> Self {
        Self(Self::LLC << 16 | u32::from(dsap))
    }

    /// A PPP protocol (IANA "PPP Numbers").
    #[must_use]
    pub fn ppp(protocol: u16) -> Self {
        Self(Self::PPP << 16 | u32::from(protocol))
    }

    /// An IEEE 802.11 frame that is no readable data frame: its frame control field.
    #[must_use]
    pub fn wlan(frame_control: u16) -> Self {
        // Type and subtype say what it is; the flags would only make more rows.
        Self(Self::WLAN << 16 | u32::from(frame_control & 0x00fc))
    }

    /// An address family of BSD loopback frames that is neither IPv4 nor IPv6.
    #[must_use]
    pub fn family(code: u16) -> Self {
        Self(Self::FAMILY << 16 | u32::from(code))
    }

    /// From the number used in messages and columns; `None` for an unknown namespace.
    #[must_use]
    pub fn from_u32(number: u32) -> Option<Self> {
        (number >> 16 <= Self::FAMILY).then_some(Self(number))
    }

    /// The number used in messages and columns.
    #[must_use]
    pub fn as_u32(self) -> u32 {
        self.0
    }
}

/// `0x0806` for an EtherType, else the namespace before the code: `llc-0x42`,
/// `ppp-0xc021`, `wlan-0x80`, `family-0x7`.
impl fmt::Display for LinkProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.0 & 0xffff;
        match self.0 >> 16 {
            Self::ETHER_TYPE => write!(f, "0x{code:04x}"),
            Self::LLC => write!(f, "llc-0x{code:02x}"),
            Self::PPP => write!(f, "ppp-0x{code:04x}"),
            Self::WLAN => write!(f, "wlan-0x{code:02x}"),
            _ => write!(f, "family-0x{code:x}"),
        }
    }
}
