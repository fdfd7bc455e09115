//! The form of most targets' input: items of a selector, a length and octets.
//!
//! The length is taken modulo what is left, so that nearly all inputs are several
//! items, and cutting an input leaves the items before the cut as they were.

/// What the octets say, item by item.
pub fn items(mut octets: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let (&[selector, high, low], rest) = octets.split_first_chunk()?;
        let length = usize::from(u16::from_be_bytes([high, low])).min(rest.len());
        let (item, rest) = rest.split_at_checked(length)?;
        octets = rest;
        Some((selector, item))
    })
    .take(MAX_ITEMS)
}

/// Writes an item in that form; what is too long for it is cut.
pub fn write(to: &mut Vec<u8>, selector: u8, octets: &[u8]) {
    let octets = octets.get(..usize::from(u16::MAX)).unwrap_or(octets);
    to.push(selector);
    to.extend(u16::try_from(octets.len()).unwrap_or(u16::MAX).to_be_bytes());
    to.extend(octets);
}

/// More only make an input slow, not different.
const MAX_ITEMS: usize = 256;
