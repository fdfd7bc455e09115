//! Link-layer addresses.

use std::{fmt, str::FromStr};

/// An EUI-48 (IEEE 802 MAC address), held as a number whose highest of 48 bits
/// is the first one on the wire.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct MacAddr(u64);

impl MacAddr {
    /// Stands for "this link has no MAC addresses", as does the zero MAC itself.
    pub const NONE: Self = Self(0);

    /// From the octets as they are on the wire.
    #[must_use]
    #[inline]
    pub const fn from_octets(octets: [u8; 6]) -> Self {
        let [a, b, c, d, e, f] = octets;
        Self(u64::from_be_bytes([0, 0, a, b, c, d, e, f]))
    }

    /// As they are on the wire.
    #[must_use]
    #[inline]
    pub const fn octets(self) -> [u8; 6] {
        let [_, _, octets @ ..] = self.0.to_be_bytes();
        octets
    }

    /// From a number; `None` if it has more than 48 bits.
    #[must_use]
    pub const fn from_u64(number: u64) -> Option<Self> {
        if number >> 48 == 0 { Some(Self(number)) } else { None }
    }

    /// As a number of 48 bits.
    #[must_use]
    #[inline]
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// Broadcast and multicast: the group bit of the first octet is set.
    #[must_use]
    #[inline]
    pub const fn is_group(self) -> bool {
        self.0 & (1 << 40) != 0
    }

    /// Chosen by software (a "randomised MAC"), so that no vendor follows from it.
    #[must_use]
    #[inline]
    pub const fn is_locally_administered(self) -> bool {
        self.0 & (1 << 41) != 0
    }

    /// Whether it can tell one device from another: not zero and not a group's.
    #[must_use]
    #[inline]
    pub const fn identifies(self) -> bool {
        self.0 != 0 && !self.is_group()
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [_, _, a, b, c, d, e, g] = self.0.to_be_bytes();
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// Why a text is no MAC address.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{0}` is no MAC address (six octets in hex, like 00:00:5e:00:53:01)")]
pub struct InvalidMacAddr(String);

impl FromStr for MacAddr {
    type Err = InvalidMacAddr;

    /// Reads `00:00:5e:00:53:01`, also with `-` between the octets.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidMacAddr(text.to_owned());
        let mut octets = [0; 6];
        let mut parts = text.split([':', '-']);
        for octet in &mut octets {
            let part = parts.next().ok_or_else(invalid)?;
            if part.len() != 2 || !part.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Err(invalid());
            }
            *octet = u8::from_str_radix(part, 16).map_err(|_| invalid())?;
        }
        if parts.next().is_some() {
            return Err(invalid());
        }
        Ok(Self::from_octets(octets))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips_in_lower_case() {
        let mac: MacAddr = "00-00-5E-00-53-0A".parse().unwrap();
        assert_eq!(mac.to_string(), "00:00:5e:00:53:0a");
        assert_eq!(mac.to_string().parse(), Ok(mac));
        assert_eq!(MacAddr::from_u64(mac.as_u64()), Some(mac));
    }

    #[test]
    fn text_that_is_no_mac_is_refused() {
        for text in
            ["", "00:00:5e:00:53", "00:00:5e:00:53:01:02", "+0:00:5e:00:53:01", "0:0:5e:0:53:1", "zz:00:5e:00:53:01"]
        {
            assert!(text.parse::<MacAddr>().is_err(), "{text}");
        }
    }

    #[test]
    fn groups_and_zero_identify_nobody() {
        assert!(!MacAddr::NONE.identifies());
        assert!(!"ff:ff:ff:ff:ff:ff".parse::<MacAddr>().unwrap().identifies());
        assert!(!"01:00:5e:00:00:fb".parse::<MacAddr>().unwrap().identifies());
        assert!("00:00:5e:00:53:01".parse::<MacAddr>().unwrap().identifies());
    }
}
