//! Where a table or list comes from: kept in its first lines as `# key: value`, so
//! that whoever opens the file sees it too.

use std::fmt;

/// Origin of a table or list. An empty text: not known.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct About {
    /// Who made it, or the file it was imported from.
    pub source: String,
    /// On which terms it may be used, and what they ask for.
    pub licence: String,
    /// Of which day the data are, `YYYY-MM-DD`.
    pub date: String,
    /// What has to be known about it.
    pub note: String,
}

impl About {
    /// Takes in a comment line; those of others say nothing to us.
    pub fn note_line(&mut self, line: &str) {
        let Some((key, value)) = line.trim_start_matches('#').split_once(':') else {
            return;
        };
        let value = || clean(value);
        match key.trim() {
            "source" => self.source = value(),
            "licence" => self.licence = value(),
            "date" => self.date = value(),
            "note" => self.note = value(),
            _ => {}
        }
    }

    /// What is known here, else what is known there.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let first = |own: String, other: String| if own.is_empty() { other } else { own };
        Self {
            source: first(self.source, other.source),
            licence: first(self.licence, other.licence),
            date: first(self.date, other.date),
            note: first(self.note, other.note),
        }
    }
}

impl fmt::Display for About {
    /// As the lines that [`About::note_line`] reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (key, value) in
            [("source", &self.source), ("licence", &self.licence), ("date", &self.date), ("note", &self.note)]
        {
            if !value.is_empty() {
                writeln!(f, "# {key}: {}", clean(value))?;
            }
        }
        Ok(())
    }
}

/// The day of an instant (UTC), `YYYY-MM-DD`.
pub(crate) fn date_of_unix(seconds: i64) -> Option<String> {
    Some(jiff::Timestamp::from_second(seconds).ok()?.strftime("%Y-%m-%d").to_string())
}

/// One line, of a length to be shown, nothing in it that steers a terminal.
pub(crate) fn clean(text: &str) -> String {
    let text = text.trim();
    text.chars().map(|each| if each.is_control() { ' ' } else { each }).take(MAX_VALUE_CHARS).collect()
}

/// A licence with its request for attribution is some 200 characters.
const MAX_VALUE_CHARS: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let about = About {
            source: "example: a table".into(),
            licence: "CC0-1.0".into(),
            date: "2026-01-02".into(),
            note: String::new(),
        };
        let mut read = About::default();
        about.to_string().lines().for_each(|line| read.note_line(line));
        assert_eq!(read, about);
        read.note_line("# nothing: said");
        read.note_line("# or anything");
        assert_eq!(read, about);
    }

    #[test]
    fn one_value_is_one_line() {
        let about = About { source: "a\n1.0.0.0,1.0.0.1,1,x\u{1b}[2J".into(), ..About::default() };
        assert_eq!(about.to_string().lines().count(), 1);
        assert!(!about.to_string().contains('\u{1b}'));
    }
}
