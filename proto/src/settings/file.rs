//! The file itself: which keys it has, and whether their values can be.

use std::{
    collections::BTreeMap,
    error::Error as _,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use clap::{
    Arg, ArgAction, Command, Id,
    builder::ValueParser,
    error::{ContextKind, ContextValue},
};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// Not there, or not for us.
    #[error("settings file {} not read", .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Something else than settings.
    #[error("settings file {}: more than {MAX_BYTES} octets", .path.display())]
    TooLarge {
        /// Which.
        path: PathBuf,
    },
    /// No TOML.
    #[error("{}, line {line}: {reason}", .path.display())]
    Syntax {
        /// Which.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What the parser says.
        reason: String,
    },
    /// Nobody knows it.
    #[error("{}, line {line}: unknown key `{key}`; the nearest one is `{nearest}`", .path.display())]
    UnknownKey {
        /// Which file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// As it stands there, as far as it is shown.
        key: String,
        /// The known key that is most like it.
        nearest: String,
    },
    /// Text instead of a number, and so on.
    #[error("{}, line {line}: `{key}` has to be {wanted}, not {found}", .path.display())]
    Type {
        /// Which file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// The key.
        key: String,
        /// What it takes.
        wanted: &'static str,
        /// What stands there.
        found: &'static str,
    },
    /// The right type, and still nothing that can be.
    #[error("{}, line {line}: `{key}` cannot be `{value}`: {reason}", .path.display())]
    Value {
        /// Which file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// The key.
        key: String,
        /// As it stands there, as far as it is shown.
        value: String,
        /// What is wrong.
        reason: String,
    },
    /// A password in the open.
    #[error(
        "{}, line {line}: `{key}` holds a password: put it into a file of its own that only its user can read, \
         and name that with one of the keys that end in `-file`",
        .path.display()
    )]
    Secret {
        /// Which file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// The key.
        key: String,
    },
}

/// A key that a file can have.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) key: String,
    pub(super) id: Id,
    pub(super) kind: Kind,
    pub(super) parser: ValueParser,
    pub(super) delimiter: Option<char>,
}

/// What a key takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Flag,
    Integer,
    Text,
    Texts,
}

impl Kind {
    fn wanted(self) -> &'static str {
        match self {
            Self::Flag => "true or false",
            Self::Integer => "a whole number",
            Self::Text => "a text in quotes",
            Self::Texts => "a text in quotes, or several in brackets",
        }
    }
}

/// A file whose keys are known and whose values can be.
#[derive(Debug)]
pub(super) struct SettingsFile {
    pub(super) path: PathBuf,
    pub(super) entries: BTreeMap<String, Entry>,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) line: usize,
    /// As they would be typed.
    pub(super) values: Vec<String>,
}

impl SettingsFile {
    pub(super) fn read(path: PathBuf, known: &[Known]) -> Result<Self, SettingsError> {
        let text = read(&path)?;
        Self::parse(path, &text, known)
    }

    pub(super) fn parse(path: PathBuf, text: &str, known: &[Known]) -> Result<Self, SettingsError> {
        let line_at = |offset: usize| 1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count();
        let table = DeTable::parse(text).map_err(|error| SettingsError::Syntax {
            path: path.clone(),
            line: line_at(error.span().map_or(0, |span| span.start)),
            reason: error.message().lines().collect::<Vec<_>>().join(", "),
        })?;
        let mut entries = BTreeMap::new();
        for (key, value) in table.get_ref() {
            let line = line_at(key.span().start);
            let key = key.get_ref().as_ref();
            let Some(known_key) = known.iter().find(|known| known.key == key) else {
                let nearest = nearest(key, known);
                return Err(SettingsError::UnknownKey { path, line, key: excerpt(key), nearest });
            };
            let values = known_key.values(value).map_err(|wrong| wrong.at(&path, line, key))?;
            entries.insert(key.to_owned(), Entry { line, values });
        }
        Ok(Self { path, entries })
    }
}

impl Known {
    /// As they would be typed.
    fn values(&self, value: &Spanned<DeValue<'_>>) -> Result<Vec<String>, Wrong> {
        let value = value.get_ref();
        let wrong = |found: &DeValue<'_>| Wrong::Type { wanted: self.kind.wanted(), found: name_of(found) };
        let values = match (self.kind, value) {
            (Kind::Flag, DeValue::Boolean(is_set)) => return Ok(vec![is_set.to_string()]),
            (Kind::Integer, DeValue::Integer(number)) if number.radix() == 10 => {
                vec![number.as_str().trim_start_matches('+').to_owned()]
            }
            (Kind::Text | Kind::Texts, DeValue::String(text)) => vec![text.to_string()],
            (Kind::Texts, DeValue::Array(items)) => {
                let text = |item: &Spanned<DeValue<'_>>| match item.get_ref() {
                    DeValue::String(text) => Ok(text.to_string()),
                    other => Err(wrong(other)),
                };
                items.iter().map(text).collect::<Result<Vec<_>, _>>()?
            }
            (_, other) => return Err(wrong(other)),
        };
        for value in &values {
            if has_password(value) {
                return Err(Wrong::Secret);
            }
            let parts: Vec<&str> = match self.delimiter {
                Some(delimiter) => value.split(delimiter).collect(),
                None => vec![value],
            };
            for part in parts {
                self.check(part).map_err(|reason| Wrong::Value { value: excerpt(part), reason })?;
            }
        }
        Ok(values)
    }

    /// Has the flag's own parser look at it.
    fn check(&self, value: &str) -> Result<(), String> {
        let flag = Arg::new("value").long("value").action(ArgAction::Set).value_parser(self.parser.clone());
        let command = Command::new("settings").no_binary_name(true).arg(flag);
        let error = match command.try_get_matches_from([format!("--value={value}")]) {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        Err(match (error.source(), error.get(ContextKind::ValidValue)) {
            (Some(source), _) => source.to_string(),
            (None, Some(ContextValue::Strings(valid))) if !valid.is_empty() => format!("one of {}", valid.join(", ")),
            _ => "not a value of this setting".to_owned(),
        })
    }
}

/// What is wrong with a value.
enum Wrong {
    Type { wanted: &'static str, found: &'static str },
    Value { value: String, reason: String },
    Secret,
}

impl Wrong {
    fn at(self, path: &Path, line: usize, key: &str) -> SettingsError {
        let (path, key) = (path.to_owned(), key.to_owned());
        match self {
            Self::Type { wanted, found } => SettingsError::Type { path, line, key, wanted, found },
            Self::Value { value, reason } => SettingsError::Value { path, line, key, value, reason },
            Self::Secret => SettingsError::Secret { path, line, key },
        }
    }
}

fn read(path: &Path) -> Result<String, SettingsError> {
    let failed = |source| SettingsError::Read { path: path.to_owned(), source };
    let mut text = String::new();
    File::open(path).map_err(failed)?.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(SettingsError::TooLarge { path: path.to_owned() });
    }
    Ok(text)
}

fn nearest(key: &str, known: &[Known]) -> String {
    // Comparing takes the product of both lengths.
    let key: String = key.chars().take(MAX_SHOWN).collect::<String>().replace('_', "-").to_lowercase();
    let nearest = known.iter().min_by_key(|known| strsim::damerau_levenshtein(&key, &known.key));
    nearest.map(|known| known.key.clone()).unwrap_or_default()
}

/// `scheme://user:password@host`.
fn has_password(value: &str) -> bool {
    let Some((_, rest)) = value.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
}

fn name_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(number) if number.radix() == 10 => "a whole number",
        DeValue::Integer(_) => "a number that is not decimal",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn excerpt(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { '?' } else { char }).take(MAX_SHOWN).collect()
}

/// Some hundred settings with a page of comment each.
const MAX_BYTES: u64 = 256 << 10;
/// What is wrong may be megabytes of garbage: its beginning says which it is.
const MAX_SHOWN: usize = 80;
