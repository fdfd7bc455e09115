//! Reading numbers at places that may not be there.

/// The octet at `at`.
pub(super) fn octet(bytes: &[u8], at: usize) -> Option<u8> {
    bytes.get(at).copied()
}

/// The big-endian number in the two octets at `at`.
pub(super) fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    chunk(bytes, at).map(u16::from_be_bytes)
}

/// The `N` octets at `at`.
pub(super) fn chunk<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// What comes after the first `count` octets.
pub(super) fn after(bytes: &[u8], count: usize) -> Option<&[u8]> {
    bytes.get(count..)
}
