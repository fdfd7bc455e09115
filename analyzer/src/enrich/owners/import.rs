//! Reads lists of owners in the formats of others, and writes them in ours:
//! `domain TAB owner TAB category`, the origin in the first lines.
//!
//! | format | told by | says |
//! | --- | --- | --- |
//! | ours | two tabs in a line | owner and category |
//! | `DuckDuckGo`'s tracker data set | JSON, `trackers` | owner and category |
//! | Disconnect's services | JSON, `categories` of companies | owner and category |
//! | Ghostery's `trackerdb` | JSON, `patterns` and `organizations` | owner and category |
//! | third-party-web's entities | JSON, an array with `domains` | owner and category |
//! | hosts file | `0.0.0.0 name` | that it is to be blocked |
//! | Adblock Plus | `\|\|name^` | that it is to be blocked |
//! | names, one a line | the rest | that it is to be blocked |

use std::{
    fs,
    io::{self, BufRead, Read as _, Write as _},
    net::IpAddr,
    path::{Path, PathBuf},
};

use super::{
    json,
    list::{CATEGORIES, List, ListBuilder},
};
use crate::enrich::{fields::Lines, networks, open};

/// Why a file is no list of owners.
#[derive(Debug, thiserror::Error)]
pub enum OwnersError {
    /// It cannot be read.
    #[error("{path} not read")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A line is none.
    #[error("{path}, line {line}: {what}")]
    Line {
        /// Which.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// It is JSON, but not what we know.
    #[error("{path}: {what}")]
    Json {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// It is fine, but says nothing.
    #[error("{path} has no domains")]
    Empty {
        /// Which.
        path: PathBuf,
    },
    /// The copy could not be written.
    #[error("{path} not written")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Reads a list, in whatever format it is, under this name.
///
/// # Errors
/// If the file cannot be read, or is no such list.
pub fn read(path: &Path, name: &str) -> Result<List, OwnersError> {
    let failed = |source| OwnersError::Read { path: path.to_owned(), source };
    let mut input = open::open(path).map_err(failed)?;
    let mut builder = ListBuilder::new(name);
    if is_json(&mut input).map_err(failed)? {
        let mut bytes = Vec::new();
        let limit = u64::try_from(MAX_JSON_BYTES).unwrap_or(u64::MAX);
        input.take(limit).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() >= MAX_JSON_BYTES {
            let what = format!("more than {} MiB of JSON", MAX_JSON_BYTES >> 20);
            return Err(OwnersError::Json { path: path.to_owned(), what });
        }
        json::read(&bytes, &mut builder).map_err(|what| OwnersError::Json { path: path.to_owned(), what })?;
    } else {
        read_lines(input, &mut builder).map_err(|error| match error {
            LineError::Read(source) => failed(source),
            LineError::Line(line, what) => OwnersError::Line { path: path.to_owned(), line, what },
        })?;
    }
    if builder.is_empty() { Err(OwnersError::Empty { path: path.to_owned() }) } else { Ok(builder.finish()) }
}

/// Writes a list in our format: beside its place, then moves it there.
///
/// # Errors
/// If that fails; what was there stays.
pub fn write(list: &List, path: &Path) -> Result<(), OwnersError> {
    let new = path.with_extension("new");
    try_write(list, &new).and_then(|()| fs::rename(&new, path)).map_err(|source| {
        // Half a file is of no use; if it cannot be removed, the next import does.
        let _ = fs::remove_file(&new);
        OwnersError::Write { path: path.to_owned(), source }
    })
}

/// Our own list.
pub(super) fn own(name: &str, text: &str) -> Result<List, String> {
    let mut builder = ListBuilder::new(name);
    match read_lines(text.as_bytes(), &mut builder) {
        Ok(()) => Ok(builder.finish()),
        Err(LineError::Read(error)) => Err(error.to_string()),
        Err(LineError::Line(line, what)) => Err(format!("line {line}: {what}")),
    }
}

fn try_write(list: &List, path: &Path) -> io::Result<()> {
    let mut out = io::BufWriter::new(fs::File::create(path)?);
    write!(out, "{}", list.about())?;
    for (domain, owner, category) in list.domains() {
        writeln!(out, "{domain}\t{owner}\t{category}")?;
    }
    for (asn, owner, category) in list.systems() {
        writeln!(out, "AS{asn}\t{owner}\t{category}")?;
    }
    out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}

enum LineError {
    Read(io::Error),
    Line(usize, String),
}

fn read_lines(input: impl BufRead, builder: &mut ListBuilder) -> Result<(), LineError> {
    let mut lines = Lines::new(input);
    while let Some(line) = lines.next_line().map_err(LineError::Read)? {
        let line = line.trim_end();
        if line.starts_with('#') {
            if builder.is_empty() {
                builder.about_mut().note_line(line);
            }
            continue;
        }
        // `!` and `[Adblock Plus 2.0]` are Adblock Plus' comments.
        if line.is_empty() || line.starts_with(['!', '[', ';']) {
            continue;
        }
        add_line(line, builder).map_err(|what| LineError::Line(lines.number(), what))?;
        if builder.skipped() >= MAX_SKIPPED && builder.is_empty() {
            return Err(LineError::Line(lines.number(), "this is no list of domains".into()));
        }
    }
    Ok(())
}

fn add_line(line: &str, builder: &mut ListBuilder) -> Result<(), String> {
    if let Some((who, rest)) = line.split_once('\t')
        && let Some((owner, category)) = rest.split_once('\t')
        && who.parse::<IpAddr>().is_err()
    {
        let category = CATEGORIES.into_iter().find(|ours| *ours == category.trim());
        let category = category.ok_or_else(|| format!("no category is called so: {}", CATEGORIES.join(", ")))?;
        return match who.strip_prefix("AS").and_then(networks::asn) {
            Some(asn) => builder.add_system(asn, owner, category),
            None => builder.add(who, owner, category),
        };
    }
    if let Some(rule) = line.strip_prefix("||") {
        let (domain, options) = rule.split_once('^').unwrap_or((rule, ""));
        // `||name^/path` and the like speak of URLs; we know names only.
        return if options.is_empty() || options.starts_with('$') {
            builder.add(domain, "", BLOCKED)
        } else {
            builder.skip();
            Ok(())
        };
    }
    // Only a word that begins so: `name##.class` is a rule about the looks of pages.
    let mut words = line.split_ascii_whitespace().take_while(|word| !word.starts_with('#'));
    match words.next() {
        // hosts(5): an address, then names.
        Some(first) if first.parse::<IpAddr>().is_ok() => words.try_for_each(|name| builder.add(name, "", BLOCKED)),
        Some(name) if words.next().is_none() => builder.add(name, "", BLOCKED),
        Some(_) => {
            builder.skip();
            Ok(())
        }
        None => Ok(()),
    }
}

/// Whether it begins like an object or an array of objects; `[Adblock Plus 2.0]` is
/// the first line of a list of rules. The file may begin with UTF-8's mark.
fn is_json(input: &mut dyn BufRead) -> io::Result<bool> {
    let begin = input.fill_buf()?;
    let begin = begin.strip_prefix(b"\xef\xbb\xbf").unwrap_or(begin);
    let mut octets = begin.iter().filter(|byte| !byte.is_ascii_whitespace());
    Ok(match octets.next() {
        Some(b'{') => true,
        Some(b'[') => matches!(octets.next(), Some(b'{' | b']')),
        _ => false,
    })
}

const BLOCKED: &str = "blocked";
/// Ghostery's, the largest known, has 3 MB.
const MAX_JSON_BYTES: usize = 64 << 20;
/// After so many lines without a single domain the file is something else.
const MAX_SKIPPED: usize = 1000;
