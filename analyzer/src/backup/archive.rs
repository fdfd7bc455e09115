//! The file that a backup is: a tar archive that says at its end that it is whole.
//!
//! First `iotq-backup.json` with what it is, then the parts of each table as the engine
//! keeps them (`tables/TABLE/PART/FILE`), last `iotq-backup-end.json` with a digest of all
//! that was before. Nothing here knows the engine.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};
use tar::{Archive, Builder, EntryType, Header};

/// What is in a backup, at its begin.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct About {
    /// [`FORMAT`].
    pub(super) format: u32,
    /// The release of iotq that made it.
    pub(super) iotq: String,
    /// The engine's release.
    pub(super) clickhouse: String,
    /// The newest migration of its tables.
    pub(super) schema: u32,
    /// RFC 3339.
    pub(super) made_at: String,
}

/// A table's parts.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Parts {
    pub(super) table: String,
    pub(super) folder: PathBuf,
    /// Then there are some.
    pub(super) has_rows: bool,
}

/// What was in a backup, at its end.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct End {
    pub(super) files: u64,
    pub(super) bytes: u64,
    /// Of each table; those without rows are left out.
    pub(super) rows: Vec<(String, u64)>,
    /// SHA-256 over path, length and content of each file, as hexadecimal digits.
    pub(super) sha256: String,
}

/// Why an archive is no backup.
#[derive(Debug, thiserror::Error)]
pub(super) enum ArchiveError {
    #[error("this is no backup of iotq")]
    Foreign,
    #[error("the backup has format {found}, this iotq-analyzer knows {FORMAT}: use a newer one")]
    Format { found: u32 },
    #[error("the backup is not whole: its end is missing, so it was not finished or was cut")]
    NoEnd,
    #[error("the backup is damaged: {0}")]
    Damaged(String),
    #[error("the backup cannot be read")]
    Read(#[source] io::Error),
    #[error("`{path}` cannot be written")]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Writes a backup of these folders, each with the parts of a table.
pub(super) fn write(out: impl Write, about: &About, tables: &[Parts]) -> io::Result<End> {
    let mut tar = Builder::new(out);
    append_json(&mut tar, ABOUT, about)?;
    let mut digest = Digest::default();
    for Parts { table, folder, has_rows } in tables {
        // A table without parts has no folder.
        let parts = if folder.is_dir() { sorted(folder)? } else { Vec::new() };
        if *has_rows && parts.is_empty() {
            return Err(io::Error::other(format!("table `{table}` has rows, but no part in {}", folder.display())));
        }
        let mut rows = 0;
        for part in parts {
            rows += rows_of(&part)?;
            for path in files_below(&part)? {
                let relative = path.strip_prefix(folder).map_err(io::Error::other)?;
                let name = Path::new("tables").join(table).join(relative);
                let mut file = File::open(&path)?;
                let length = file.metadata()?.len();
                digest.begin(&name, length);
                let mut header = Header::new_ustar();
                header.set_size(length);
                header.set_mode(0o600);
                tar.append_data(&mut header, &name, Hashing { inner: &mut file, digest: &mut digest })?;
            }
        }
        if rows > 0 {
            digest.end.rows.push((table.clone(), rows));
        }
    }
    let end = digest.finish();
    append_json(&mut tar, END, &end)?;
    tar.into_inner()?.flush()?;
    Ok(end)
}

/// Reads a backup to its end. `begin` is told what it is, and answers with the folder for
/// the parts of each of its tables; a table that is not there ends it.
pub(super) fn read<E: From<ArchiveError>>(
    input: impl Read,
    begin: impl FnOnce(&About) -> Result<Vec<(String, PathBuf)>, E>,
) -> Result<(About, End), E> {
    let mut archive = Archive::new(input);
    // What is no archive at all is found by the first entry.
    let mut entries = archive.entries().map_err(|_| ArchiveError::Foreign)?;
    let first = entries.next().and_then(Result::ok).filter(|entry| entry.path_bytes() == ABOUT.as_bytes());
    let about: About = json(first.ok_or(ArchiveError::Foreign)?).ok_or(ArchiveError::Foreign)?;
    if about.format != FORMAT {
        return Err(ArchiveError::Format { found: about.format }.into());
    }
    let folders = begin(&about)?;
    let mut digest = Digest::default();
    for entry in entries {
        let mut entry = entry.map_err(cut_or_damaged)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if name == END {
            let end: End = json(entry).ok_or(ArchiveError::NoEnd)?;
            let read = End { rows: end.rows.clone(), ..digest.finish() };
            if read != end {
                return Err(ArchiveError::Damaged("its content is not what it was when it was made".into()).into());
            }
            return Ok((about, end));
        }
        let unsuitable = || ArchiveError::Damaged(format!("it has an entry `{}`", name.escape_debug()));
        let (table, relative) = placed(&name).ok_or_else(unsuitable)?;
        if entry.header().entry_type() != EntryType::Regular {
            return Err(unsuitable().into());
        }
        let (_, folder) = folders.iter().find(|(known, _)| known == table).ok_or_else(unsuitable)?;
        let path = folder.join(relative);
        digest.begin(Path::new(&name), entry.size());
        let failed = |source| ArchiveError::Write { path: path.clone(), source };
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(failed)?;
        }
        let mut file = File::create_new(&path).map_err(failed)?;
        let mut content = Hashing { inner: &mut entry, digest: &mut digest };
        copy(&mut content, &mut file, &path)?;
    }
    Err(ArchiveError::NoEnd.into())
}

/// The table and the rest of the path, if it is one that we wrote.
fn placed(name: &str) -> Option<(&str, &Path)> {
    let (table, relative) = name.strip_prefix("tables/")?.split_once('/')?;
    let is_plain = |word: &str| {
        !word.is_empty()
            && !word.starts_with('.')
            && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-%".contains(&byte))
    };
    let words = relative.split('/');
    // A part, perhaps a folder within it, a file.
    ((2..=4).contains(&words.clone().count()) && words.into_iter().all(is_plain))
        .then_some((table, Path::new(relative)))
}

/// As `io::copy`, telling the two sides' failures apart.
fn copy(from: &mut impl Read, to: &mut impl Write, path: &Path) -> Result<(), ArchiveError> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let read = match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(cut_or_damaged(error)),
        };
        let filled = buffer.get(..read).unwrap_or_default();
        to.write_all(filled).map_err(|source| ArchiveError::Write { path: path.to_owned(), source })?;
    }
}

/// What tar says when a file ends too early is text; the end is missing either way.
fn cut_or_damaged(error: io::Error) -> ArchiveError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => ArchiveError::NoEnd,
        // In the middle of a file, and of what comes before one.
        _ if ["unexpected EOF", "entire block"].iter().any(|text| error.to_string().contains(text)) => {
            ArchiveError::NoEnd
        }
        // What tar itself finds wrong: a checksum, a number.
        io::ErrorKind::Other | io::ErrorKind::InvalidData => ArchiveError::Damaged(error.to_string()),
        _ => ArchiveError::Read(error),
    }
}

fn append_json<W: Write>(tar: &mut Builder<W>, name: &str, value: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_vec(value)?;
    let mut header = Header::new_ustar();
    header.set_size(text.len() as u64);
    header.set_mode(0o600);
    tar.append_data(&mut header, name, text.as_slice())
}

fn json<T: DeserializeOwned>(entry: impl Read) -> Option<T> {
    serde_json::from_reader(entry.take(MAX_JSON_BYTES)).ok()
}

/// The rows of a part, which it says in a file.
fn rows_of(part: &Path) -> io::Result<u64> {
    let text = fs::read_to_string(part.join("count.txt"))?;
    text.trim().parse().map_err(io::Error::other)
}

fn sorted(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort_unstable();
    Ok(paths)
}

/// Parts have folders only for projections: no deeper.
fn files_below(part: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in sorted(part)? {
        if path.is_dir() {
            files.extend(sorted(&path)?);
        } else {
            files.push(path);
        }
    }
    Ok(files)
}

/// Counts and digests what goes through.
#[derive(Default)]
struct Digest {
    hash: Sha256,
    end: End,
}

impl Digest {
    fn begin(&mut self, name: &Path, length: u64) {
        self.hash.update(name.as_os_str().as_encoded_bytes());
        self.hash.update([0]);
        self.hash.update(length.to_le_bytes());
        self.end.files += 1;
    }

    fn finish(self) -> End {
        let hash = self.hash.finalize();
        End { sha256: hash.iter().map(|octet| format!("{octet:02x}")).collect(), ..self.end }
    }
}

struct Hashing<'a, R> {
    inner: &'a mut R,
    digest: &'a mut Digest,
}

impl<R: Read> Read for Hashing<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.digest.hash.update(buffer.get(..read).unwrap_or_default());
        self.digest.end.bytes += read as u64;
        Ok(read)
    }
}

/// Of the archive's layout; another is not understood.
pub(super) const FORMAT: u32 = 1;
const ABOUT: &str = "iotq-backup.json";
const END: &str = "iotq-backup-end.json";
/// Some hundred octets are needed.
const MAX_JSON_BYTES: u64 = 64 << 10;
/// Fewer calls than with the 8 KiB of `io::copy`.
const BUFFER_BYTES: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn about() -> About {
        let text = || "x".to_owned();
        About { format: FORMAT, iotq: text(), clickhouse: text(), schema: 7, made_at: text() }
    }

    /// An archive of one table with two parts.
    fn archive(about: &About) -> (Vec<u8>, End) {
        let folder = tempfile::tempdir().unwrap();
        for (part, rows) in [("all_1_1_0", "3"), ("all_2_2_0", "4")] {
            let part = folder.path().join(part);
            fs::create_dir(&part).unwrap();
            fs::write(part.join("count.txt"), rows).unwrap();
            fs::write(part.join("data.bin"), vec![7; 100_000]).unwrap();
        }
        let mut out = Vec::new();
        let parts =
            |table: &str, folder: &Path, has_rows| Parts { table: table.into(), folder: folder.into(), has_rows };
        let tables = [parts("dns", Path::new("/nowhere"), false), parts("slices", folder.path(), true)];
        let end = write(&mut out, about, &tables).unwrap();
        (out, end)
    }

    fn restored(bytes: &[u8]) -> Result<(About, End), ArchiveError> {
        let folder = tempfile::tempdir().unwrap();
        read(bytes, |_| Ok(vec![("slices".to_owned(), folder.path().to_owned())]))
    }

    #[test]
    fn what_was_written_is_read() {
        let (bytes, end) = archive(&about());
        assert_eq!((end.files, end.bytes), (4, 200_002));
        assert_eq!(end.rows, [("slices".to_owned(), 7)]);
        assert_eq!(restored(&bytes).unwrap(), (about(), end));
    }

    #[test]
    fn what_is_cut_anywhere_is_not_whole() {
        let (bytes, _) = archive(&about());
        // The two blocks of zeros after the last entry say nothing.
        let (whole, last) = (bytes.len() - 1024, bytes.len() - 1024 - 512);
        for length in (512..last).step_by(4999).chain([last, last - 1]) {
            let error = restored(&bytes[..length]).unwrap_err();
            assert!(
                matches!(error, ArchiveError::NoEnd | ArchiveError::Damaged(_) | ArchiveError::Foreign),
                "{length}: {error:?}"
            );
        }
        restored(&bytes[..whole]).unwrap();
    }

    #[test]
    fn no_octet_can_be_changed_unnoticed() {
        let (bytes, _) = archive(&about());
        let found = |text: &[u8], nth: usize| {
            let places = bytes.windows(text.len()).enumerate().filter(|(_, octets)| *octets == text);
            places.map(|(at, _)| at).nth(nth).unwrap()
        };
        // Names and contents; what fills a block up says nothing.
        let places = [
            found(b"all_1_1_0/count.txt", 0),
            found(b"all_1_1_0/data.bin", 0) + 4,
            found(b"all_2_2_0/data.bin", 0),
            found(&[7; 64], 0),
            found(&[7; 64], 99_000),
            found(&[7; 64], 150_000),
        ];
        for at in places {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            assert!(matches!(restored(&damaged), Err(ArchiveError::Damaged(_) | ArchiveError::NoEnd)), "{at}");
        }
    }

    #[test]
    fn what_is_something_else_is_refused() {
        for foreign in [&b""[..], b"PK\x03\x04", &[0; 4096], &[b'x'; 100_000]] {
            assert!(matches!(restored(foreign), Err(ArchiveError::Foreign)));
        }
        let mut other = Builder::new(Vec::new());
        append_json(&mut other, "README", &1).unwrap();
        assert!(matches!(restored(&other.into_inner().unwrap()), Err(ArchiveError::Foreign)));
        let (newer, _) = archive(&About { format: 2, ..about() });
        assert!(matches!(restored(&newer), Err(ArchiveError::Format { found: 2 })));
    }

    #[test]
    fn nothing_is_written_elsewhere() {
        for name in [
            "tables/slices/../../../etc/passwd",
            "tables/slices//etc/passwd",
            "tables/slices/.hidden/file",
            "tables/slices/file",
            "other/slices/part/file",
            "/tables/slices/part/file",
        ] {
            assert_eq!(placed(name), None, "{name}");
        }
        assert!(placed("tables/slices/20260101_1_1_0/data.bin").is_some());
    }
}
