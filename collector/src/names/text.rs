//! Texts that devices show, made fit to be kept and shown to people.

use std::borrow::Cow;

use iotq_proto::MAX_SIGHTING_TEXT;

/// The text in these octets: what is no UTF-8 as U+FFFD, without what would act
/// on a terminal, without blanks at its ends, and cut to
/// [`MAX_SIGHTING_TEXT`] octets. Nearly always it is there as it is.
pub(super) fn clean(octets: &[u8]) -> Cow<'_, str> {
    if octets.len() <= MAX_SIGHTING_TEXT
        && octets.iter().all(|octet| matches!(octet, b' '..=b'~'))
        && let Ok(plain) = std::str::from_utf8(octets)
    {
        return Cow::Borrowed(plain.trim());
    }
    let octets = octets.get(..MAX_RAW_OCTETS).unwrap_or(octets);
    let mut text = String::with_capacity(octets.len().min(MAX_SIGHTING_TEXT));
    for character in String::from_utf8_lossy(octets).trim().chars().filter(|character| !acts(*character)) {
        if text.len() + character.len_utf8() > MAX_SIGHTING_TEXT {
            break;
        }
        text.push(character);
    }
    text.truncate(text.trim_end().len());
    Cow::Owned(text)
}

/// Control characters, and those that turn or hide the text around them (Unicode
/// Standard Annex 9; zero-width characters).
fn acts(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Enough for the longest text, however much of it is left out; texts of several
/// KiB are not walked over for nothing.
const MAX_RAW_OCTETS: usize = 4 * MAX_SIGHTING_TEXT;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_lose_what_acts_and_what_is_too_long() {
        assert_eq!(clean(b" plug\x1b[31m\n\0"), "plug[31m");
        assert_eq!(clean("K\u{fc}che\u{202e}\u{200b}".as_bytes()), "K\u{fc}che");
        assert_eq!(clean(b"a\xffb"), "a\u{fffd}b");
        assert_eq!(clean("\u{fc}".repeat(200).as_bytes()).len(), 254);
        assert_eq!(clean(&[b'a'; 5000]).len(), MAX_SIGHTING_TEXT);
    }
}
