//! Text from the network on its way to a terminal: names are chosen by devices
//! and servers, and may hold escape sequences.

use std::{borrow::Cow, fmt::Write as _};

/// The text with everything escaped that could move the cursor, change colours
/// or turn the direction of writing round.
#[must_use]
pub fn safe(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for char in text.chars() {
        match char {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            char if u32::from(char) < 0x80 && is_unsafe(char) => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\x{:02x}", u32::from(char));
            }
            char if is_unsafe(char) => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(char));
            }
            char => out.push(char),
        }
    }
    Cow::Owned(out)
}

/// Control characters (C0, DEL, C1), line and paragraph separators, and the
/// marks that change the direction of writing (Unicode TR 36, section 2.7) or
/// cannot be seen; but not the joiners that some scripts need.
pub(super) fn is_unsafe(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || char == '\u{feff}'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_become_text() {
        assert_eq!(safe("\x1b[2J\u{9b}31m\u{7f}\r\n"), "\\x1b[2J\\u{9b}31m\\x7f\\r\\n");
        assert_eq!(safe("a\u{202e}b"), "a\\u{202e}b");
    }

    #[test]
    fn names_in_any_script_stay() {
        for name in ["Küche", "臥室", "Kid's Kindle 📖", ""] {
            assert!(matches!(safe(name), Cow::Borrowed(text) if text == name));
        }
    }
}
