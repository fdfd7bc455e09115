//! VLAN identifiers.

use std::fmt;

/// The VLAN identifier of a frame's outermost tag (IEEE 802.1Q), or none.
///
/// Identifier 0 is a priority tag: the frame is tagged, but in no VLAN.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct VlanId(u16);

impl VlanId {
    /// The frame carries no tag.
    pub const UNTAGGED: Self = Self(0xffff);

    /// From a tag's control information; the priority and drop bits are left out.
    #[must_use]
    pub const fn from_tci(tci: u16) -> Self {
        Self(tci & 0x0fff)
    }

    /// From the number used in messages and columns; `None` if it is neither a
    /// 12-bit identifier nor 0xffff.
    #[must_use]
    pub fn from_u32(number: u32) -> Option<Self> {
        match u16::try_from(number) {
            Ok(id @ (0..=0x0fff | 0xffff)) => Some(Self(id)),
            _ => None,
        }
    }

    /// The number used in messages and columns: 0xffff is untagged.
    #[must_use]
    pub const fn as_u16(self) -> u16 {
        self.0
    }

    /// The identifier, if there is a tag.
    #[must_use]
    pub const fn id(self) -> Option<u16> {
        if self.0 == Self::UNTAGGED.0 { None } else { Some(self.0) }
    }
}

impl Default for VlanId {
    fn default() -> Self {
        Self::UNTAGGED
    }
}

impl fmt::Display for VlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.id() {
            Some(id) => id.fmt(f),
            None => f.write_str("untagged"),
        }
    }
}
