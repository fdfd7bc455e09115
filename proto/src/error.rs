//! Printing an error together with its causes.

use std::{error::Error, fmt};

/// Prints an error and all its causes, separated by `: `.
///
/// `Display` of our error types leaves the cause out, and log fields show only
/// `Display`; this is what keeps the reason in the line.
#[derive(Clone, Copy, Debug)]
pub struct Chain<'a>(pub &'a (dyn Error + 'a));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = self.0.to_string();
        f.write_str(&last)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let text = error.to_string();
            // Some libraries print their cause themselves: do not say it twice.
            if !last.ends_with(&text) {
                write!(f, ": {text}")?;
                last = text;
            }
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("file not read")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn causes_are_printed() {
        let error = Outer(std::io::Error::other("disk on fire"));
        assert_eq!(Chain(&error).to_string(), "file not read: disk on fire");
    }
}
