//! The letters of what happened on a connection, in the order it happened first.

/// Upper case: the originator. See Zeek's `history`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct History {
    letters: [u8; MAX_LETTERS],
    count: u8,
}

impl History {
    /// Adds an upper-case letter, for the responder in lower case. What does not
    /// fit is left out.
    pub(super) fn add(&mut self, letter: u8, is_orig: bool) {
        if let Some(place) = self.letters.get_mut(usize::from(self.count)) {
            *place = if is_orig { letter } else { letter.to_ascii_lowercase() };
            self.count += 1;
        }
    }

    /// The originator sent SYN and RST, and nothing that a connection begins with
    /// came before the RST.
    pub(super) fn is_syn_then_rst(&self) -> bool {
        let letters = self.as_bytes();
        let letters = letters.strip_prefix(b"^").unwrap_or(letters);
        let Some((b'S', rest)) = letters.split_first() else {
            return false;
        };
        let decisive = rest.iter().find(|letter| matches!(letter, b'R' | b'H' | b'A' | b'F' | b'G' | b'I' | b'Q'));
        decisive == Some(&b'R')
    }

    fn as_bytes(&self) -> &[u8] {
        self.letters.get(..usize::from(self.count)).unwrap_or_default()
    }
}

impl From<&History> for String {
    fn from(history: &History) -> Self {
        history.as_bytes().iter().map(|letter| char::from(*letter)).collect()
    }
}

/// Each letter comes once a direction, some a few times more; the message takes
/// 64, of which we keep these for 100,000 connections.
const MAX_LETTERS: usize = 27;
