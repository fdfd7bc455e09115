//! The name a collector goes by.

use std::{fmt, str::FromStr};

/// A collector's name: 1 to 64 of `A-Z a-z 0-9 . _ -`, so that it can be a file
/// name, a label and a part of a batch id without quoting.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct CollectorId(String);

impl CollectorId {
    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CollectorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text cannot be a collector's name.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{0}` cannot name a collector: 1 to 64 letters, digits, `.`, `_` or `-`, and neither `.` nor `..`")]
pub struct InvalidCollectorId(String);

impl FromStr for CollectorId {
    type Err = InvalidCollectorId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = (1..=64).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
            && !matches!(text, "." | "..");
        // What is wrong may be megabytes of garbage: show only its beginning.
        if fits { Ok(Self(text.to_owned())) } else { Err(InvalidCollectorId(text.chars().take(80).collect())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_need_quoting_are_refused() {
        for text in ["", ".", "..", "a b", "a/b", "ü", &"x".repeat(65)] {
            assert!(text.parse::<CollectorId>().is_err(), "{text}");
        }
        assert_eq!("sw-1.attic_2".parse::<CollectorId>().unwrap().as_str(), "sw-1.attic_2");
    }
}
