//! What was issued and revoked: a line each, with tabs.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

use super::{Role, hex, write_secret};

/// All that was issued, oldest first.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Records(Vec<Record>);

/// One certificate or token.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Record {
    /// What it is.
    pub kind: Kind,
    /// What it allows.
    pub role: Role,
    /// Whom.
    pub name: String,
    /// Hexadecimal.
    pub serial: String,
    /// Seconds since 1970.
    pub issued_at: i64,
    /// Seconds since 1970.
    pub expires_at: i64,
    /// Seconds since 1970. `None`: it was not.
    pub revoked_at: Option<i64>,
}

/// What was issued.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Kind {
    /// X.509.
    Certificate,
    /// A token, as its SHA-256.
    Token(String),
}

/// Why the record cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// Not there, or not for us.
    #[error("{} not read", .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Damaged.
    #[error("{} line {line} is no record: mend it, or restore the file", .path.display())]
    Line {
        /// Which.
        path: PathBuf,
        /// From 1.
        line: usize,
    },
    /// The disk.
    #[error("{} not written", .0.display())]
    Write(PathBuf),
}

impl Record {
    pub(super) fn new(kind: Kind, role: Role, name: &str, serial: &str, now: i64, days: u32) -> Self {
        let expires_at = now + i64::from(days) * 86_400;
        Self {
            kind,
            role,
            name: name.to_owned(),
            serial: serial.to_owned(),
            issued_at: now,
            expires_at,
            revoked_at: None,
        }
    }

    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split('\t');
        let mut next = || fields.next();
        let kind = match next()?.split_once(':') {
            Some(("token", hash)) => Kind::Token(hash.to_owned()),
            None => Kind::Certificate,
            Some(_) => return None,
        };
        let record = Self {
            kind,
            role: Role::of_label(next()?)?,
            name: next()?.to_owned(),
            serial: next()?.to_owned(),
            issued_at: next()?.parse().ok()?,
            expires_at: next()?.parse().ok()?,
            revoked_at: match next()? {
                "-" => None,
                at => Some(at.parse().ok()?),
            },
        };
        next().is_none().then_some(record)
    }

    fn line(&self) -> String {
        let kind = match &self.kind {
            Kind::Certificate => "certificate".to_owned(),
            Kind::Token(hash) => format!("token:{hash}"),
        };
        let revoked_at = self.revoked_at.map_or_else(|| "-".to_owned(), |at| at.to_string());
        format!(
            "{kind}\t{}\t{}\t{}\t{}\t{}\t{revoked_at}\n",
            self.role.label(),
            self.name,
            self.serial,
            self.issued_at,
            self.expires_at
        )
    }
}

impl Records {
    pub(super) fn load(path: &Path) -> Result<Self, RecordsError> {
        let text = fs::read_to_string(path).map_err(|source| RecordsError::Read { path: path.to_owned(), source })?;
        let parsed = text.lines().enumerate().map(|(at, line)| {
            Record::parse(line).ok_or_else(|| RecordsError::Line { path: path.to_owned(), line: at + 1 })
        });
        Ok(Self(parsed.collect::<Result<_, _>>()?))
    }

    pub(super) fn save(&self, path: &Path) -> Result<(), RecordsError> {
        let text: String = self.0.iter().map(Record::line).collect();
        write_secret(path, &text).map_err(|_| RecordsError::Write(path.to_owned()))
    }

    pub(super) fn add(&mut self, record: Record) {
        self.0.push(record);
    }

    pub(super) fn revoke(&mut self, what: &str, now: i64) -> Vec<Record> {
        let wanted = self.0.iter_mut().filter(|it| it.revoked_at.is_none() && (it.name == what || it.serial == what));
        wanted
            .map(|record| {
                record.revoked_at = Some(now);
                record.clone()
            })
            .collect()
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> &[Record] {
        &self.0
    }
}

/// SHA-256 of a token, hexadecimal: 256 random bits need no salt and no slow hash.
#[must_use]
pub fn token_hash(token: &str) -> String {
    hex(&Sha256::digest(token.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        for kind in [Kind::Certificate, Kind::Token(token_hash("iotq_1"))] {
            let mut record = Record::new(kind, Role::Reader, "kitchen", "ab12", 1000, 2);
            assert_eq!(Record::parse(record.line().trim_end()), Some(record.clone()));
            record.revoked_at = Some(7);
            assert_eq!(Record::parse(record.line().trim_end()), Some(record));
        }
        for line in
            ["", "certificate\tking\tx\t1\t1\t1\t-", "certificate\tadmin\tx\t1\t1\t1", "x:y\tadmin\tx\t1\t1\t1\t-"]
        {
            assert_eq!(Record::parse(line), None, "{line}");
        }
    }

    #[test]
    fn revoking_names_what_it_revoked_and_does_it_once() {
        let mut records = Records::default();
        records.add(Record::new(Kind::Certificate, Role::Reader, "kitchen", "1", 0, 1));
        records.add(Record::new(Kind::Certificate, Role::Reader, "kitchen", "2", 0, 1));
        assert_eq!(records.revoke("2", 5).len(), 1);
        assert_eq!(records.revoke("kitchen", 6).first().map(|record| record.serial.clone()), Some("1".to_owned()));
        assert!(records.revoke("kitchen", 7).is_empty());
    }
}
