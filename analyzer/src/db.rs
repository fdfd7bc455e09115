//! `iotq-analyzer db`: takes tables and lists into the data directory, says which
//! are used and on which terms. A running analyzer reads them again at SIGHUP.

use std::{
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
};

use iotq_proto::error::Chain;

use crate::{
    args::{DbArgs, DbCommand, DbKind, ImportArgs},
    config::{ConfigError, enrichment_places},
    enrich::{
        About, OUI_DATE,
        installed::{Enrichment, LoadError, Places},
        networks::{self, ImportError, Kind},
        owners::{self, OwnersError},
    },
};

/// Why a `db` command failed.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// Nowhere to put it.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The table is none.
    #[error(transparent)]
    Table(#[from] ImportError),
    /// The list is none.
    #[error(transparent)]
    List(#[from] OwnersError),
    /// The folder cannot be made.
    #[error("folder {path} not made")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What was given as a day is none.
    #[error("`{0}` is no date (YYYY-MM-DD)")]
    Date(String),
}

/// Does what was asked for; what it has to say.
///
/// # Errors
/// If the file is not what it should be, or cannot be stored.
pub fn run(args: DbArgs) -> Result<String, DbError> {
    let places = enrichment_places(args.data_dir.as_deref());
    match args.command {
        DbCommand::Import(import) => take_in(&import, &places),
        DbCommand::Status => Ok(status(&places)),
        DbCommand::Licences => Ok(licences(&places)),
    }
}

fn take_in(args: &ImportArgs, places: &Places) -> Result<String, DbError> {
    if let Some(date) = &args.date
        && date.parse::<jiff::civil::Date>().is_err()
    {
        return Err(DbError::Date(date.clone()));
    }
    let given = |text: &Option<String>| text.clone().unwrap_or_default();
    let said = About {
        source: given(&args.source),
        licence: given(&args.licence),
        date: given(&args.date),
        note: String::new(),
    };
    let file = args.file.file_name().unwrap_or_default().to_string_lossy();
    let guessed = About { source: file.into_owned(), ..About::default() };
    let (entries, path, about) = match args.kind.table() {
        Some(kind) => {
            let mut table = networks::read(&args.file, kind)?;
            table.describe(said.or(table.about().clone()).or(guessed));
            let path = made(places.imported_table(kind))?;
            networks::write(&table, &path)?;
            (table.len(), path, table.about().clone())
        }
        None => {
            let name = owners::list_name(&args.file);
            let mut list = owners::read(&args.file, &name)?;
            list.describe(said.or(list.about().clone()).or(guessed));
            let path = made(places.lists().map(|folder| folder.join(format!("{name}.tsv"))))?;
            owners::write(&list, &path)?;
            (list.len(), path, list.about().clone())
        }
    };
    let mut text = format!("{entries} entries are now in {}\n", path.display());
    if about.licence.is_empty() {
        text.push_str("Its licence is not known; --licence TEXT keeps it with the data.\n");
    }
    text.push_str("A running analyzer takes it at SIGHUP.\n");
    Ok(text)
}

/// A path whose folder is there.
fn made(path: Option<PathBuf>) -> Result<PathBuf, DbError> {
    let path = path.ok_or(ConfigError::NoDataDir)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(|source| DbError::Folder { path: folder.to_owned(), source })?;
    Ok(path)
}

fn status(places: &Places) -> String {
    let (enrichment, errors) = Enrichment::load(places);
    let mut text = String::new();
    for kind in [Kind::Asn, Kind::Country] {
        let table = enrichment.tables().find(|table| table.kind() == kind);
        match (table, places.table(kind)) {
            (Some(table), Some(path)) => say(&mut text, kind.label(), table.len(), table.about(), Some(&path)),
            _ => {
                let label = kind.label();
                let _ = writeln!(
                    text,
                    "{label}: none; `make data` fetches one, `iotq-analyzer db import {label} FILE` takes one"
                );
            }
        }
    }
    for list in enrichment.lists() {
        let path =
            places.lists().map(|folder| folder.join(format!("{}.tsv", list.name()))).filter(|path| path.is_file());
        say(&mut text, &format!("owners {}", list.name()), list.len(), list.about(), path.as_deref());
    }
    let oui =
        About { source: OUI_SOURCE.into(), licence: OUI_LICENCE.into(), date: OUI_DATE.into(), note: String::new() };
    let _ = writeln!(text, "vendors: {}", described(&oui));
    text.push_str("  compiled in\n");
    problems(&mut text, &errors);
    text
}

fn licences(places: &Places) -> String {
    let (enrichment, errors) = Enrichment::load(places);
    let mut text = String::new();
    let tables = enrichment.tables().map(|table| (table.kind().label().to_owned(), table.about()));
    let lists = enrichment.lists().map(|list| (format!("owners {}", list.name()), list.about()));
    for (label, about) in tables.chain(lists) {
        let _ = writeln!(text, "{label}: {}\n  {}", known(&about.source), known(&about.licence));
    }
    let _ = writeln!(text, "vendors: {OUI_SOURCE}\n  {OUI_LICENCE}");
    let _ = writeln!(text, "public suffixes: Public Suffix List (publicsuffix.org)\n  MPL-2.0");
    problems(&mut text, &errors);
    text
}

fn say(text: &mut String, label: &str, entries: usize, about: &About, path: Option<&Path>) {
    let _ = writeln!(text, "{label}: {entries} entries; {}", described(about));
    if !about.note.is_empty() {
        let _ = writeln!(text, "  {}", about.note);
    }
    match path {
        Some(path) => {
            let _ = writeln!(text, "  {}", path.display());
        }
        None => text.push_str("  compiled in\n"),
    }
}

fn described(about: &About) -> String {
    format!("of {}; {}; licence: {}", known(&about.date), known(&about.source), known(&about.licence))
}

fn known(text: &str) -> &str {
    if text.is_empty() { "(not known)" } else { text }
}

fn problems(text: &mut String, errors: &[LoadError]) {
    for error in errors {
        let _ = writeln!(text, "not used: {}", Chain(error));
    }
}

impl DbKind {
    fn table(self) -> Option<Kind> {
        match self {
            Self::Asn => Some(Kind::Asn),
            Self::Country => Some(Kind::Country),
            Self::Owners => None,
        }
    }
}

const OUI_SOURCE: &str = "IEEE's public listing, by way of Wireshark's manuf";
const OUI_LICENCE: &str = "IEEE asserts no copyright in the listing";

#[cfg(test)]
mod tests {
    use super::*;

    fn run_in(folder: &Path, command: DbCommand) -> Result<String, DbError> {
        run(DbArgs { command, data_dir: Some(folder.to_owned()) })
    }

    fn import(kind: DbKind, file: PathBuf) -> DbCommand {
        let licence = Some("CC0-1.0".to_owned());
        DbCommand::Import(ImportArgs { kind, file, source: None, licence, date: Some("2026-01-02".into()) })
    }

    #[test]
    fn what_is_imported_is_used_and_its_terms_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let their = folder.path().join("theirs.csv");
        fs::write(&their, "1.0.0.0,1.0.0.255,64496,Example\n").unwrap();
        let list = folder.path().join("names.txt");
        fs::write(&list, "0.0.0.0 ads.example.com\n").unwrap();
        let text = run_in(folder.path(), import(DbKind::Asn, their)).unwrap();
        assert!(text.contains("1 entries are now in"), "{text}");
        run_in(folder.path(), import(DbKind::Owners, list)).unwrap();
        let status = run_in(folder.path(), DbCommand::Status).unwrap();
        assert!(status.contains("asn: 1 entries; of 2026-01-02; theirs.csv; licence: CC0-1.0"), "{status}");
        assert!(status.contains("owners names: 1 entries"), "{status}");
        assert!(status.contains("owners iotq: 1"), "{status}");
        let licences = run_in(folder.path(), DbCommand::Licences).unwrap();
        assert!(licences.contains("asn: theirs.csv\n  CC0-1.0"), "{licences}");
    }

    #[test]
    fn a_table_that_is_none_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let good = folder.path().join("good.csv");
        fs::write(&good, "1.0.0.0,1.0.0.255,64496,Example\n").unwrap();
        run_in(folder.path(), import(DbKind::Asn, good)).unwrap();
        let bad = folder.path().join("bad.csv");
        fs::write(&bad, "1.0.0.0,1.0.0.255,64496,Example\n1.0.1.0,oops,1,x\n").unwrap();
        let error = run_in(folder.path(), import(DbKind::Asn, bad)).unwrap_err();
        assert!(error.to_string().contains("bad.csv, line 2: `oops` is no address"), "{error}");
        assert!(run_in(folder.path(), DbCommand::Status).unwrap().contains("good.csv"));
    }
}
