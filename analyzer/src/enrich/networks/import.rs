//! Reads tables of networks in the formats of others, and writes them in ours:
//! `first,last,ASN,name` or `first,last,CC`, packed, the origin in the first lines.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Read as _, Write as _},
    path::{Path, PathBuf},
};

use super::{
    Kind, Table, TableBuilder, mmdb,
    text::{self, TextError},
};
use crate::enrich::{fields::quoted, open};

/// Why a file is no table.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// It cannot be read.
    #[error("{path} not read")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It ends or is damaged in the middle.
    #[error("{path}, line {line}: not read")]
    Damaged {
        /// Which.
        path: PathBuf,
        /// From 1.
        line: usize,
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
    /// It is no text, and no MMDB either.
    #[error("{path} is neither a table in text nor a database in MaxMind's format: {what}")]
    Mmdb {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// It is fine, but says nothing.
    #[error("{path} has no {} for any network", kind.label())]
    Empty {
        /// Which.
        path: PathBuf,
        /// What was looked for.
        kind: Kind,
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

/// Reads a table, in whatever format it is.
///
/// # Errors
/// If the file cannot be read, or is no such table.
pub fn read(path: &Path, kind: Kind) -> Result<Table, ImportError> {
    let failed = |source| ImportError::Read { path: path.to_owned(), source };
    let mut input = open::open(path).map_err(failed)?;
    let mut builder = TableBuilder::new(kind);
    if open::is_text(&mut input).map_err(failed)? {
        text::read(input, &mut builder).map_err(|error| match error {
            TextError::Read(line, source) => ImportError::Damaged { path: path.to_owned(), line, source },
            TextError::Line(line, what) => ImportError::Line { path: path.to_owned(), line, what },
        })?;
    } else {
        let mut bytes = Vec::new();
        input.read_to_end(&mut bytes).map_err(failed)?;
        mmdb::read(&bytes, &mut builder).map_err(|what| ImportError::Mmdb { path: path.to_owned(), what })?;
    }
    let table = builder.finish();
    if table.is_empty() { Err(ImportError::Empty { path: path.to_owned(), kind }) } else { Ok(table) }
}

/// Writes a table beside its place, then moves it there.
///
/// # Errors
/// If that fails; what was there stays.
pub fn write(table: &Table, path: &Path) -> Result<(), ImportError> {
    let failed = |source| ImportError::Write { path: path.to_owned(), source };
    let new = path.with_extension("new");
    try_write(table, &new).and_then(|()| fs::rename(&new, path)).map_err(|source| {
        // Half a file is of no use; if it cannot be removed, the next import does.
        let _ = fs::remove_file(&new);
        failed(source)
    })
}

fn try_write(table: &Table, path: &Path) -> io::Result<()> {
    let mut encoder = zstd::stream::write::Encoder::new(File::create(path)?, ZSTD_LEVEL)?;
    encoder.include_checksum(true)?;
    let mut out = BufWriter::new(encoder);
    write!(out, "{}", table.about())?;
    for (first, last, number, name) in table.iter() {
        match table.kind() {
            Kind::Asn => writeln!(out, "{first},{last},{number},{}", quoted(name, ','))?,
            Kind::Country => writeln!(out, "{first},{last},{name}")?,
        }
    }
    out.into_inner().map_err(io::IntoInnerError::into_error)?.finish()?.sync_all()
}

/// A tenth of the text in half a second.
const ZSTD_LEVEL: i32 = 3;
