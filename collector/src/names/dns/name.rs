//! Domain names as they are in messages (RFC 1035, section 4.1.4).

use std::fmt::Write as _;

/// A domain name in a message, found to be whole and not too long.
#[derive(Clone, Copy, Debug)]
pub(in crate::names) struct Name<'a> {
    message: &'a [u8],
    at: usize,
}

impl<'a> Name<'a> {
    /// The name at `at`, and where what follows it begins. `None`: it is cut, too
    /// long, or points anywhere but back.
    pub(super) fn read(message: &'a [u8], at: usize) -> Option<(Self, usize)> {
        let name = Self { message, at };
        let mut next = None;
        // RFC 1035, section 4.1.4: a *prior* occurrence. Each pointer has to lead
        // before the place where the labels around it began, so this ends.
        let mut labels_from = at;
        let mut here = at;
        let mut octets = 0;
        loop {
            match Part::read(message, here)? {
                Part::Root => return Some((name, next.unwrap_or(here + 1))),
                Part::Label(label) => {
                    octets += label.len() + 1;
                    here += label.len() + 1;
                    if octets >= MAX_NAME_OCTETS {
                        return None;
                    }
                }
                Part::Pointer(target) if target < labels_from => {
                    next = next.or(Some(here + 2));
                    (labels_from, here) = (target, target);
                }
                Part::Pointer(_) => return None,
            }
        }
    }

    /// From the first to the last before the root.
    pub(in crate::names) fn labels(self) -> impl Iterator<Item = &'a [u8]> {
        let mut here = self.at;
        std::iter::from_fn(move || {
            loop {
                match Part::read(self.message, here)? {
                    Part::Root => return None,
                    Part::Label(label) => {
                        here += label.len() + 1;
                        return Some(label);
                    }
                    Part::Pointer(target) => here = target,
                }
            }
        })
    }

    /// Lower case, no final dot, `.` for the root; escapes as in RFC 4343, section 2.1, but
    /// for spaces, which names of services are full of.
    pub(in crate::names) fn lower(self) -> String {
        let mut text = String::with_capacity(self.labels().map(|label| label.len() + 1).sum());
        self.write_lower(&mut text);
        text
    }

    /// The same, behind what `text` holds already.
    pub(super) fn write_lower(self, text: &mut String) {
        let from = text.len();
        for label in self.labels() {
            if text.len() > from {
                text.push('.');
            }
            if label.iter().all(|octet| matches!(octet, b'-' | b'0'..=b'9' | b'A'..=b'Z' | b'_' | b'a'..=b'z'))
                && let Ok(plain) = std::str::from_utf8(label)
            {
                let begin = text.len();
                text.push_str(plain);
                text.get_mut(begin..).unwrap_or_default().make_ascii_lowercase();
                continue;
            }
            for octet in label {
                match octet {
                    b'.' | b'\\' => text.extend(['\\', char::from(*octet)]),
                    b' '..=b'~' => text.push(char::from(octet.to_ascii_lowercase())),
                    // Writing to a `String` cannot fail.
                    _ => _ = write!(text, "\\{octet:03}"),
                }
            }
        }
        if text.len() == from {
            text.push('.');
        }
    }

    /// RFC 4343: the case of ASCII letters means nothing.
    pub(in crate::names) fn is(self, other: Name<'_>) -> bool {
        let mut theirs = other.labels();
        self.labels().all(|label| theirs.next().is_some_and(|other| label.eq_ignore_ascii_case(other)))
            && theirs.next().is_none()
    }
}

/// What a name goes on with.
enum Part<'a> {
    Root,
    Label(&'a [u8]),
    Pointer(usize),
}

impl<'a> Part<'a> {
    fn read(message: &'a [u8], at: usize) -> Option<Self> {
        let length = *message.get(at)?;
        match length >> 6 {
            0b00 if length == 0 => Some(Self::Root),
            0b00 => message.get(at + 1..).and_then(|rest| rest.get(..length.into())).map(Self::Label),
            0b11 => {
                let low = *message.get(at + 1)?;
                Some(Self::Pointer(usize::from(u16::from_be_bytes([length & 0x3f, low]))))
            }
            // RFC 6891, section 5: extended labels were given up.
            _ => None,
        }
    }
}

/// RFC 1035, section 2.3.4, without the root's octet.
pub(in crate::names) const MAX_NAME_OCTETS: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_lower_case_with_escapes() {
        let lower = |message| Name::read(message, 0).map(|(name, next)| (name.lower(), next));
        assert_eq!(lower(b"\x03WWW\x07example\x03com\0".as_slice()), Some(("www.example.com".to_owned(), 17)));
        assert_eq!(lower(b"\0"), Some((".".to_owned(), 1)));
        assert_eq!(lower(b"\x05a.b\\c\x02\xc3\xbc\x01 \0"), Some((r"a\.b\\c.\195\188. ".to_owned(), 12)));
    }

    #[test]
    fn pointers_lead_back_or_nowhere() {
        let message = b"\x03com\0\x07example\xc0\x00\xc0\x05";
        let (name, next) = Name::read(message, 5).unwrap();
        assert_eq!((name.lower().as_str(), next), ("example.com", 15));
        let (name, next) = Name::read(message, 15).unwrap();
        assert_eq!((name.lower().as_str(), next), ("example.com", 17));
        for loops in
            [b"\xc0\x00".as_slice(), b"\x01a\xc0\x00", b"\xc0\x02\xc0\x00", b"\x01a\xc0\x02", b"\xc0\x04\0\0\0"]
        {
            assert!(Name::read(loops, 0).is_none(), "{loops:?}");
        }
    }

    #[test]
    fn names_have_at_most_255_octets() {
        let label = [b"\x3f".as_slice(), &[b'a'; 63]].concat();
        let longest = [label.repeat(3), b"\x3d".to_vec(), vec![b'a'; 61], vec![0]].concat();
        assert_eq!(longest.len(), 255);
        assert!(Name::read(&longest, 0).is_some());
        let too_long = [label.repeat(3), b"\x3e".to_vec(), vec![b'a'; 62], vec![0]].concat();
        assert!(Name::read(&too_long, 0).is_none());
    }
}
