//! Numbers that look random and are the same on every machine and in every release.

/// `SplitMix64` (Steele, Lea and Flood, "Fast splittable pseudorandom number
/// generators", OOPSLA 2014). Own code, since a crate may change its numbers
/// with a release, and with them every expectation of the tests.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A generator for this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A generator of its own for the thing with this name, so that a change to
    /// one device's behaviour leaves the bytes of the others alone.
    #[must_use]
    pub fn fork(&self, name: &str) -> Self {
        // FNV-1a.
        let hash = name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        let mut forked = Self(self.0 ^ hash);
        forked.u64();
        forked
    }

    /// 64 bits.
    pub fn u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 32 bits.
    pub fn u32(&mut self) -> u32 {
        (self.u64() >> 32) as u32
    }

    /// 16 bits.
    pub fn u16(&mut self) -> u16 {
        (self.u64() >> 48) as u16
    }

    /// A number below `bound`; 0 if that is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.u64()) * u128::from(bound);
        // The upper half of a product with a 64-bit factor has at most 64 bits.
        u64::try_from(wide >> 64).unwrap_or(0)
    }

    /// A number from `-spread` to `spread`.
    pub fn around_zero(&mut self, spread: i64) -> i64 {
        let width = u64::try_from(spread.saturating_mul(2).saturating_add(1)).unwrap_or(1);
        i64::try_from(self.below(width)).unwrap_or(0) - spread
    }

    /// A port from the dynamic range (RFC 6335, section 6).
    pub fn port(&mut self) -> u16 {
        0xc000 | (self.u16() & 0x3fff)
    }

    /// Octets that look like nothing.
    pub fn octets(&mut self, count: usize) -> Vec<u8> {
        let mut octets = Vec::with_capacity(count + 8);
        while octets.len() < count {
            octets.extend_from_slice(&self.u64().to_be_bytes());
        }
        octets.truncate(count);
        octets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_gives_the_same_numbers() {
        // The reference implementation's first three values for seed 1234567.
        let mut random = Random::new(1_234_567);
        assert_eq!(random.u64(), 6_457_827_717_110_365_317);
        assert_eq!(random.u64(), 3_203_168_211_198_807_973);
        assert_eq!(random.u64(), 9_817_491_932_198_370_423);
    }

    #[test]
    fn numbers_stay_in_their_range() {
        let mut random = Random::new(1);
        for _ in 0..10_000 {
            assert!(random.below(7) < 7);
            assert!((-3..=3).contains(&random.around_zero(3)));
            assert!(random.port() >= 49_152);
        }
        assert_eq!(random.below(0), 0);
        assert_eq!(random.octets(13).len(), 13);
    }
}
