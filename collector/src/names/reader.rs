//! Reads fields from the front of foreign octets; each read may find too few.

/// What is left to be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(octets: &'a [u8]) -> Self {
        Self(octets)
    }

    pub(super) fn rest(self) -> &'a [u8] {
        self.0
    }

    pub(super) fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The next octets, taken off; `None`, and nothing taken, if there are fewer.
    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array().map(|&[octet]| octet)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(|octets| u16::from_be_bytes(*octets))
    }

    pub(super) fn u24(&mut self) -> Option<usize> {
        let [high, middle, low] = *self.array()?;
        Some(usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low))
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(|octets| u32::from_be_bytes(*octets))
    }

    /// What follows a length of one octet.
    pub(super) fn vec8(&mut self) -> Option<&'a [u8]> {
        let length = self.u8()?;
        self.take(length.into())
    }

    /// What follows a length of two octets.
    pub(super) fn vec16(&mut self) -> Option<&'a [u8]> {
        let length = self.u16()?;
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
        for (octets, number) in [
            (&[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c][..], 151_288_809_941_952_652),
            (&[0x9d, 0x7f, 0x3e, 0x7d], 494_878_333),
            (&[0x7b, 0xbd], 15_293),
            (&[0x25], 37),
            (&[0x40, 0x25], 37),
        ] {
            let mut reader = Reader::new(octets);
            assert_eq!(reader.varint(), Some(number));
            assert!(reader.is_empty());
        }
        assert_eq!(Reader::new(&[0x80, 0, 0]).varint(), None);
        assert_eq!(Reader::new(&[]).varint(), None);
    }

    #[test]
    fn a_length_beyond_the_end_takes_nothing_more() {
        assert_eq!(Reader::new(&[0, 3, 1, 2]).vec16(), None);
        assert_eq!(Reader::new(&[2, 1, 2, 9]).vec8(), Some(&[1, 2][..]));
        assert_eq!(Reader::new(&[1, 0, 2]).u24(), Some(65_538));
    }
}
