//! Lines and fields of text tables that others wrote: bounded, and with the number
//! of the line for those who have to find a mistake.

use std::io::{self, BufRead, Read as _};

/// The lines of a file, each with its number from 1.
#[derive(Debug)]
pub(crate) struct Lines<R> {
    input: R,
    buffer: Vec<u8>,
    number: usize,
}

impl<R: BufRead> Lines<R> {
    pub(crate) fn new(input: R) -> Self {
        Self { input, buffer: Vec::new(), number: 0 }
    }

    /// The next line, without its end; what is no UTF-8 is replaced. `None` at the
    /// end of the file.
    ///
    /// # Errors
    /// If the file cannot be read or has a line longer than [`MAX_LINE_BYTES`].
    pub(crate) fn next_line(&mut self) -> io::Result<Option<String>> {
        self.buffer.clear();
        self.number += 1;
        let limit = u64::try_from(MAX_LINE_BYTES).unwrap_or(u64::MAX) + 1;
        if self.input.by_ref().take(limit).read_until(b'\n', &mut self.buffer)? == 0 {
            return Ok(None);
        }
        if self.buffer.len() > MAX_LINE_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a line is longer than {MAX_LINE_BYTES}")));
        }
        let line = String::from_utf8_lossy(&self.buffer);
        let line = line.trim_end_matches(['\n', '\r']);
        // Windows' editors write a mark at the beginning of UTF-8.
        let line = if self.number == 1 { line.trim_start_matches('\u{feff}') } else { line };
        Ok(Some(line.to_owned()))
    }

    /// The number of the line that was read last.
    pub(crate) fn number(&self) -> usize {
        self.number
    }
}

/// The fields of a line, by RFC 4180: one in quotes may have the separator in it,
/// and two quotes there are one. No field goes over the end of the line.
pub(crate) fn split(line: &str, separator: char) -> Vec<String> {
    let mut fields = Vec::new();
    let mut rest = Some(line);
    while let Some(text) = rest {
        let field;
        (field, rest) = first_field(text, separator);
        fields.push(field);
        if fields.len() >= MAX_FIELDS {
            break;
        }
    }
    fields
}

/// A field in the form that [`split`] reads.
pub(crate) fn quoted(field: &str, separator: char) -> String {
    if field.contains([separator, '"']) || field.trim() != field {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

fn first_field(text: &str, separator: char) -> (String, Option<&str>) {
    let Some(inside) = text.trim_start_matches(' ').strip_prefix('"') else {
        return match text.split_once(separator) {
            Some((field, rest)) => (field.trim().to_owned(), Some(rest)),
            None => (text.trim().to_owned(), None),
        };
    };
    let mut field = String::new();
    let mut chars = inside.chars();
    while let Some(each) = chars.next() {
        if each != '"' {
            field.push(each);
        } else if chars.as_str().starts_with('"') {
            chars.next();
            field.push('"');
        } else {
            break;
        }
    }
    let rest = chars.as_str().split_once(separator).map(|(_, rest)| rest);
    (field, rest)
}

/// Rows of all known tables are below 1 KiB.
pub(crate) const MAX_LINE_BYTES: usize = 64 << 10;
/// The widest known table has some 30 columns.
const MAX_FIELDS: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quotes_keep_separators() {
        assert_eq!(split(r#"1.0.0.0, "Enecom, ""Inc""" ,x,"#, ','), ["1.0.0.0", r#"Enecom, "Inc""#, "x", ""]);
        assert_eq!(split("a\tb c\t", '\t'), ["a", "b c", ""]);
        assert_eq!(split(r#""never closed, x"#, ','), ["never closed, x"]);
        assert_eq!(split("", ','), [""]);
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let long = vec![b'x'; MAX_LINE_BYTES + 10];
        let mut lines = Lines::new(long.as_slice());
        assert!(lines.next_line().is_err());
    }

    #[test]
    fn lines_are_numbered_and_need_no_end() {
        let mut lines = Lines::new("\u{feff}a\r\n\n\u{e4}".as_bytes());
        assert_eq!(lines.next_line().unwrap().as_deref(), Some("a"));
        assert_eq!(lines.next_line().unwrap().as_deref(), Some(""));
        assert_eq!(lines.next_line().unwrap().as_deref(), Some("\u{e4}"));
        assert_eq!(lines.number(), 3);
        assert_eq!(lines.next_line().unwrap(), None);
    }

    proptest! {
        #[test]
        fn quoted_fields_come_back(fields in prop::collection::vec("[^\r\n]{0,12}", 1..6)) {
            let line: Vec<_> = fields.iter().map(|field| quoted(field, ',')).collect();
            prop_assert_eq!(split(&line.join(","), ','), fields);
        }

        #[test]
        fn any_line_is_split(line in ".{0,200}") {
            prop_assert!(split(&line, ',').len() <= MAX_FIELDS);
        }
    }
}
