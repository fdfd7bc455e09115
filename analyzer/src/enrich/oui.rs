//! MAC prefixes and the vendors they were given to.

use std::io::Read as _;

use iotq_proto::MacAddr;

/// When the table was made; see `analyzer/data/README.md`.
pub const OUI_DATE: &str = "2026-10-24";

/// The IEEE registries MA-L, MA-M and MA-S: prefixes of 24, 28 and 36 bits.
#[derive(Debug)]
pub struct Oui {
    /// Sorted by length and prefix; the vendor as a range of `vendors`.
    prefixes: Vec<(u8, u64, u32, u32)>,
    vendors: String,
}

impl Oui {
    /// Unpacks the table that is compiled in.
    #[must_use]
    pub fn load() -> Self {
        let packed = include_bytes!("../../data/oui.tsv.zst");
        let mut text = String::new();
        // A damaged table is a broken build: a unit test reads it. Without it no
        // vendor is known, which is no reason not to start.
        if let Ok(mut decoder) = zstd::stream::read::Decoder::new(packed.as_slice()) {
            let _ = decoder.read_to_string(&mut text);
        }
        let mut prefixes = Vec::new();
        let mut begin = 0_u32;
        for line in text.split_inclusive('\n') {
            let length = u32::try_from(line.len()).unwrap_or(0);
            if let Some((hex, vendor)) = line.split_once('\t')
                && let (Ok(prefix), Ok(digits)) = (u64::from_str_radix(hex, 16), u8::try_from(hex.len()))
            {
                let end = begin + length;
                let start = end - u32::try_from(vendor.len()).unwrap_or(0);
                prefixes.push((digits * 4, prefix, start, end));
            }
            begin += length;
        }
        prefixes.sort_unstable();
        Self { prefixes, vendors: text }
    }

    /// Whose MAC this is. `None` for a MAC that software chose, and for prefixes
    /// that nobody has.
    #[must_use]
    pub fn vendor(&self, mac: MacAddr) -> Option<&str> {
        if !mac.identifies() || mac.is_locally_administered() {
            return None;
        }
        // The longest prefix is the most specific: parts of a block are given on.
        [36_u8, 28, 24].into_iter().find_map(|bits| {
            let prefix = mac.as_u64() >> (48 - bits);
            let at = self.prefixes.binary_search_by_key(&(bits, prefix), |entry| (entry.0, entry.1)).ok()?;
            let (_, _, begin, end) = self.prefixes.get(at)?;
            Some(self.vendors.get(usize::try_from(*begin).ok()?..usize::try_from(*end).ok()?)?.trim_end())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vendors_of_the_household_are_known() {
        let oui = Oui::load();
        assert!(oui.prefixes.len() > 50_000, "{} prefixes", oui.prefixes.len());
        for (mac, vendor) in [("d0:73:d5:00:00:01", "Lifi Labs"), ("50:14:79:00:00:01", "iRobot")] {
            let found = oui.vendor(mac.parse().unwrap()).unwrap_or_default();
            assert!(found.contains(vendor), "{mac}: {found}");
        }
    }

    #[test]
    fn a_part_of_a_block_has_its_own_vendor() {
        let oui = Oui::load();
        let block = oui.vendor("00:1b:c5:ff:ff:ff".parse().unwrap());
        let part = oui.vendor("00:1b:c5:00:00:01".parse().unwrap());
        assert!(part.is_some() && part != block, "{part:?} {block:?}");
    }

    #[test]
    fn a_randomised_mac_has_no_vendor() {
        assert_eq!(Oui::load().vendor("d2:73:d5:00:00:01".parse().unwrap()), None);
    }
}
