//! Repairs what ClickHouse knows about inserts that are done.
//!
//! A table without Keeper keeps the tokens of its last inserts in
//! `deduplication_logs/deduplication_log_N.txt`: lines of an operation (1: added, 2: dropped), a part's
//! name and a token, parted by tabs. The engine writes a token down *before* the part is in its place
//! (seen with strace in 26.7.2), so that one killed in between believes an insert done whose
//! rows are not there, and ignores it when it is repeated: rows would be lost. And where a disk
//! is full a line may be cut, which hides all lines behind it: rows would be doubled. So before
//! each start tokens go whose part is not there, and lines that are none; a part whose token
//! was cut goes with it ([`super::parts`]).

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use super::parts::tables;

/// What was wrong.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Repaired {
    /// Tokens forgotten, because their part is not there.
    pub(super) orphans: usize,
    /// Lines that were cut.
    pub(super) damaged: usize,
}

/// Looks through all tables of a store that no engine uses.
///
/// # Errors
/// If the disk says so. Each file is replaced as a whole, or not at all.
pub(super) fn repair(store_dir: &Path) -> io::Result<Repaired> {
    let mut repaired = Repaired::default();
    for table in tables(store_dir)? {
        repair_table(&table, &store_dir.join("iotq-tokens.new"), &mut repaired)?;
    }
    Ok(repaired)
}

/// Parts whose token was cut: who inserts them again cannot be told that they are there.
///
/// # Errors
/// If the disk says so.
pub(super) fn cut_parts(table: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for (_, path) in logs_of(&table.join("deduplication_logs"))? {
        let octets = fs::read(path)?;
        let text = String::from_utf8_lossy(&octets);
        names.extend(text.split_inclusive('\n').filter_map(cut_part).map(str::to_owned));
    }
    Ok(names)
}

/// The part of a line that was cut in its token, alone or with another line behind it.
fn cut_part(line: &str) -> Option<&str> {
    let mut fields = line.split('\t');
    let (operation, name, _token) = (fields.next()?, fields.next()?, fields.next()?);
    let is_cut = !line.ends_with('\n') || fields.next().is_some();
    (is_cut && operation == "1" && is_part(name)).then_some(name)
}

/// What is wrong with the last tokens of a table, if something is.
///
/// # Errors
/// If the disk says so.
pub(super) fn damage(table: &Path) -> io::Result<Option<String>> {
    let Some((_, path)) = logs_of(&table.join("deduplication_logs"))?.pop() else { return Ok(None) };
    let is_whole = |text: &str| {
        let mut records = text.split_inclusive('\n').map(Record::of);
        records.all(|record| record.is_some_and(|record| !record.is_behind_another))
    };
    let mut text = tail(&path)?;
    if !is_whole(&text) {
        // A line may be half there while the engine appends it.
        thread::sleep(Duration::from_millis(20));
        text = tail(&path)?;
    }
    Ok((!is_whole(&text)).then(|| "its last token is cut".to_owned()))
}

/// The whole lines, and what follows them, at a file's end. Of one that is gone: none.
fn tail(path: &Path) -> io::Result<String> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        file => file?,
    };
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut octets = Vec::new();
    file.read_to_end(&mut octets)?;
    let text = String::from_utf8_lossy(&octets);
    let lines = if length > TAIL { text.split_once('\n').map_or("", |(_, lines)| lines) } else { &text };
    Ok(lines.to_owned())
}

/// Whether this is a part's name.
pub(super) fn is_part(name: &str) -> bool {
    Part::of(name).is_some()
}

/// Octets at a log's end: the tokens of some ninety inserts.
const TAIL: u64 = 1 << 13;

fn repair_table(table: &Path, new: &Path, repaired: &mut Repaired) -> io::Result<()> {
    let logs = logs_of(&table.join("deduplication_logs"))?;
    if logs.is_empty() {
        return Ok(());
    }
    let names = folders(table)?;
    let parts: Vec<_> = names.iter().filter_map(|path| Part::of(path.file_name()?.to_str()?)).collect();
    for (_, path) in logs {
        let octets = fs::read(&path)?;
        let text = String::from_utf8_lossy(&octets);
        let (kept, found) = repair_text(&text, &parts);
        if kept.as_bytes() == octets {
            continue;
        }
        let mut file = File::create(new)?;
        file.write_all(kept.as_bytes())?;
        file.sync_all()?;
        fs::rename(new, &path)?;
        repaired.orphans += found.orphans;
        repaired.damaged += found.damaged;
    }
    Ok(())
}

/// The lines that are to stay.
fn repair_text(text: &str, parts: &[Part<'_>]) -> (String, Repaired) {
    let mut found = Repaired::default();
    let mut records = Vec::new();
    for line in text.split_inclusive('\n') {
        let record = Record::of(line);
        found.damaged += usize::from(record.as_ref().is_none_or(|record| record.is_behind_another));
        records.extend(record);
    }
    // A part that was dropped is not there, and the log says so itself.
    let mut dropped = HashMap::<&str, usize>::new();
    for record in records.iter().filter(|record| record.is_drop) {
        *dropped.entry(record.token).or_default() += 1;
    }
    let mut kept = String::with_capacity(text.len());
    for record in &records {
        let is_dropped = dropped.get(record.token).is_some_and(|times| *times > 0);
        if record.is_drop {
            dropped.entry(record.token).and_modify(|times| *times -= 1);
        } else if !is_dropped && !parts.iter().any(|part| part.holds(record.part)) {
            found.orphans += 1;
            continue;
        }
        kept.push_str(if record.is_drop { "2\t" } else { "1\t" });
        kept.push_str(record.name);
        kept.push('\t');
        kept.push_str(record.token);
        kept.push('\n');
    }
    (kept, found)
}

/// A line.
#[derive(Clone, Copy, Debug)]
struct Record<'a> {
    is_drop: bool,
    name: &'a str,
    part: Part<'a>,
    token: &'a str,
    /// It was written behind one that was cut.
    is_behind_another: bool,
}

impl<'a> Record<'a> {
    /// Of a line that was cut and another that follows it: the other.
    fn of(line: &'a str) -> Option<Self> {
        let mut fields = line.strip_suffix('\n')?.rsplit('\t');
        let (token, name, operation) = (fields.next()?, fields.next()?, fields.next()?);
        let is_drop = match operation.chars().next_back()? {
            '1' => false,
            '2' => true,
            _ => return None,
        };
        let is_behind_another = operation.len() > 1 || fields.next().is_some();
        let part = Part::of(name)?;
        (!token.is_empty()).then_some(Self { is_drop, name, part, token, is_behind_another })
    }
}

/// Which blocks of a table a part holds: `PARTITION_MIN_MAX_LEVEL[_MUTATION]`.
#[derive(Clone, Copy, Debug)]
struct Part<'a> {
    partition: &'a str,
    min: u64,
    max: u64,
}

impl<'a> Part<'a> {
    /// `None`: no part's name.
    fn of(name: &'a str) -> Option<Self> {
        let mut fields = name.split('_');
        let partition = fields.next().filter(|partition| !partition.is_empty())?;
        let (min, max) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let _level: u64 = fields.next()?.parse().ok()?;
        if let Some(mutation) = fields.next() {
            let _mutation: u64 = mutation.parse().ok()?;
        }
        fields.next().is_none().then_some(Self { partition, min, max })
    }

    /// Whether the other's blocks are in this one: it is the same, or was merged into it.
    fn holds(&self, other: Part<'_>) -> bool {
        self.partition == other.partition && self.min <= other.min && other.max <= self.max
    }
}

/// Oldest first.
fn logs_of(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut logs = Vec::new();
    for entry in entries(dir)? {
        let entry = entry?.path();
        let name = entry.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let number = name.strip_prefix("deduplication_log_").and_then(|rest| rest.strip_suffix(".txt"));
        if let Some(number) = number.and_then(|number| number.parse().ok()) {
            logs.push((number, entry));
        }
    }
    logs.sort();
    Ok(logs)
}

/// Those that are links to folders as well.
pub(super) fn folders(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for entry in entries(dir)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let path = entry.path();
        if kind.is_dir() || (kind.is_symlink() && path.is_dir()) {
            folders.push(path);
        }
    }
    Ok(folders)
}

/// Of a folder that is not there: none.
pub(super) fn entries(dir: &Path) -> io::Result<impl Iterator<Item = io::Result<fs::DirEntry>>> {
    match fs::read_dir(dir) {
        Ok(entries) => Ok(Some(entries).into_iter().flatten()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None.into_iter().flatten()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repaired(text: &str, parts: &[&str]) -> (String, usize, usize) {
        let parts: Vec<_> = parts.iter().map(|name| Part::of(name).unwrap()).collect();
        let (kept, found) = repair_text(text, &parts);
        (kept, found.orphans, found.damaged)
    }

    #[test]
    fn tokens_of_parts_that_are_there_or_were_merged_or_dropped_stay() {
        let log = "1\t20261128_1_1_0\ta\n1\t20261128_2_2_0\tb\n1\tall_7_7_0\tc\n2\tall_7_7_0\tc\n";
        assert_eq!(repaired(log, &["20261128_1_3_1_9"]), (log.to_owned(), 0, 0));
    }

    #[test]
    fn a_token_without_its_part_goes() {
        let log = "1\t20261128_1_1_0\ta\n1\t20261128_4_4_0\tb\n1\t20261127_2_2_0\tc\n";
        assert_eq!(repaired(log, &["20261128_1_3_1"]), ("1\t20261128_1_1_0\ta\n".to_owned(), 2, 0));
    }

    #[test]
    fn one_that_was_dropped_and_added_again_is_looked_at_again() {
        let log = "1\tall_1_1_0\ta\n2\tall_1_1_0\ta\n1\tall_2_2_0\ta\n";
        assert_eq!(repaired(log, &[]), ("1\tall_1_1_0\ta\n2\tall_1_1_0\ta\n".to_owned(), 1, 0));
    }

    #[test]
    fn a_line_that_was_cut_hides_no_other() {
        let log = "1\tall_1_1_0\ta\n1\tall_2_2_0\tall_451\tall_3_3_0\tc\n1\tall_4_1\tall_4_4_0\td\n1\tall_5_5_0\te";
        let kept = "1\tall_1_1_0\ta\n1\tall_3_3_0\tc\n1\tall_4_4_0\td\n";
        assert_eq!(repaired(log, &["all_1_9_1"]), (kept.to_owned(), 0, 3));
    }

    #[test]
    fn parts_whose_token_was_cut_are_known() {
        assert_eq!(cut_part("1\tall_1_1_0\ta\n"), None);
        assert_eq!(cut_part("1\tall_1_1_0\tall_45"), Some("all_1_1_0"));
        assert_eq!(cut_part("1\tall_1_1_0\tall_451\tall_3_3_0\tc\n"), Some("all_1_1_0"));
        assert_eq!(cut_part("1\tall_1_1_"), None, "its name may be cut");
        assert_eq!(cut_part("1\tall_1_1\tall_3_3_0\tc\n"), None, "as this one's is");
        assert_eq!(cut_part("2\tall_1_1_0\tall_45"), None, "it was to go anyway");
    }

    #[test]
    fn a_store_is_repaired_where_it_lies() {
        let store = tempfile::tempdir().unwrap();
        assert_eq!(repair(store.path()).unwrap(), Repaired::default(), "a new one");
        let table = store.path().join("store/abc/abc-def");
        let log = table.join("deduplication_logs/deduplication_log_12.txt");
        fs::create_dir_all(table.join("deduplication_logs")).unwrap();
        fs::create_dir_all(table.join("all_1_1_0")).unwrap();
        fs::create_dir_all(table.join("tmp_insert_all_2_2_0")).unwrap();
        fs::write(&log, "1\tall_1_1_0\ta\n1\tall_2_2_0\tb\n1\tall_3").unwrap();
        assert_eq!(repair(store.path()).unwrap(), Repaired { orphans: 1, damaged: 1 });
        assert_eq!(fs::read_to_string(&log).unwrap(), "1\tall_1_1_0\ta\n");
        assert_eq!(repair(store.path()).unwrap(), Repaired::default(), "again");
    }
}
