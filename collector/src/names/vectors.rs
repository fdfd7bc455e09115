//! Reading what has its length before it: vectors of TLS (RFC 8446, section 3.4)
//! and numbers of QUIC.

use super::octets::Octets;

impl<'a> Octets<'a> {
    pub(super) fn u24(&mut self) -> Option<usize> {
        let [high, middle, low] = self.array()?;
        Some(usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low))
    }

    /// What follows a length of one octet.
    pub(super) fn vec8(&mut self) -> Option<&'a [u8]> {
        let length = self.u8()?;
        self.take(length.into())
    }

    /// What follows a length of two octets.
    pub(super) fn vec16(&mut self) -> Option<&'a [u8]> {
        let length = self.be16()?;
        self.take(length.into())
    }

    /// A number of 6, 14, 30 or 62 bits (RFC 9000, section 16).
    pub(super) fn varint(&mut self) -> Option<u64> {
        let first = *self.0.first()?;
        let octets = self.take(1 << (first >> 6))?;
        let all = octets.iter().fold(0_u64, |number, octet| number << 8 | u64::from(*octet));
        // The two highest bits told the length.
        Some(all & (u64::MAX >> 2 >> (64 - 8 * octets.len())))
    }

    /// A varint that counts octets.
    pub(super) fn varint_len(&mut self) -> Option<usize> {
        self.varint().and_then(|number| usize::try_from(number).ok())
    }
}

/// The numbers of two octets that these are.
pub(super) fn pairs(octets: &[u8]) -> impl Iterator<Item = u16> {
    octets.chunks_exact(2).filter_map(|pair| Some(u16::from_be_bytes(pair.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_of_all_lengths() {
        // RFC 9000, appendix A.1.
        for (encoded, number) in [
            (&[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c][..], 151_288_809_941_952_652),
            (&[0x9d, 0x7f, 0x3e, 0x7d], 494_878_333),
            (&[0x7b, 0xbd], 15_293),
            (&[0x25], 37),
            (&[0x40, 0x25], 37),
        ] {
            let mut octets = Octets(encoded);
            assert_eq!(octets.varint(), Some(number));
            assert!(octets.is_empty());
        }
        assert_eq!(Octets(&[0x80, 0, 0]).varint(), None);
        assert_eq!(Octets(&[]).varint(), None);
    }

    #[test]
    fn a_length_beyond_the_end_takes_nothing_more() {
        assert_eq!(Octets(&[0, 3, 1, 2]).vec16(), None);
        assert_eq!(Octets(&[2, 1, 2, 9]).vec8(), Some(&[1, 2][..]));
        assert_eq!(Octets(&[1, 0, 2]).u24(), Some(65_538));
    }
}
