//! Looks whether the engine wrote what it believes to have written.
//!
//! The engine (chDB 26.7.3, ClickHouse 26.7.2) takes no notice when the last `write` to a file fails:
//! with `strace --inject=write:error=ENOSPC` on any file of a part it goes on to `close` and
//! `rename`, calls the insert or merge done, and serves the part from memory. At its next
//! start the part is broken, and what a merge was made of is removed after eight minutes.
//! So the files of each new part are looked at before what is in it is acknowledged, and
//! parts whose files are cut are set aside while no engine runs: then what was merged
//! counts again, and what was inserted is inserted once more.
//!
//! A part's `checksums.txt` names its other files and their sizes (`MergeTreeDataPartChecksums`):
//! a line `checksums format version: 4`, then a compressed block of a count and, for each file, its
//! name, its size, a hash of 16 octets, and whether another size and hash follow. Numbers are LEB128.

use std::{
    collections::{HashMap, HashSet},
    ffi::{OsStr, OsString},
    fs, io,
    path::{Path, PathBuf},
};

use super::tokens;

/// The parts of all tables of a store, as far as they were looked at.
#[derive(Debug)]
pub(crate) struct Parts {
    store_dir: PathBuf,
    /// Those that are whole, by their table's folder.
    whole: HashMap<PathBuf, HashSet<OsString>>,
}

/// A part that is not what the engine believes.
#[derive(Debug, thiserror::Error)]
#[error("ClickHouse wrote {}, but {what}: is the disk full, or failing?", path.display())]
pub struct Damage {
    /// Its folder, or its table's log of inserts.
    path: PathBuf,
    what: String,
}

impl Parts {
    /// None was looked at.
    pub(crate) fn new(data_dir: &Path) -> Self {
        Self { store_dir: super::files::store_dir(data_dir), whole: HashMap::new() }
    }

    /// Looks at those that were not there before, and at the tables' logs of inserts.
    ///
    /// # Errors
    /// If the disk says so.
    pub(crate) fn look(&mut self) -> io::Result<Option<Damage>> {
        let mut whole = HashMap::new();
        for table in tables(&self.store_dir)? {
            let before = self.whole.remove(&table).unwrap_or_default();
            let mut now = HashSet::with_capacity(before.len());
            for name in parts(&table)? {
                if !before.contains(&name) {
                    let path = table.join(&name);
                    if let Some(what) = damage(&path)? {
                        return Ok(Some(Damage { path, what }));
                    }
                }
                now.insert(name);
            }
            if let Some(what) = tokens::damage(&table)? {
                return Ok(Some(Damage { path: table, what }));
            }
            whole.insert(table, now);
        }
        self.whole = whole;
        Ok(None)
    }
}

/// Moves parts that are damaged, or whose token is, to their table's `detached` folder, while no
/// engine uses the store. Their number.
///
/// # Errors
/// If the disk says so.
pub(super) fn set_aside(store_dir: &Path) -> io::Result<usize> {
    let mut count = 0;
    for table in tables(store_dir)? {
        let without_token = tokens::cut_parts(&table)?;
        for name in parts(&table)? {
            let is_cut = without_token.iter().any(|part| name == part.as_str());
            if is_cut || damage(&table.join(&name))?.is_some() {
                detach(&table, &name)?;
                count += 1;
            }
        }
    }
    Ok(count)
}

/// As ClickHouse names what it sets aside itself: `system.detached_parts` shows it.
fn detach(table: &Path, name: &OsStr) -> io::Result<()> {
    let (part, detached) = (table.join(name), table.join("detached"));
    fs::create_dir_all(&detached)?;
    let name = name.to_string_lossy();
    for attempt in 0_u32.. {
        let suffix = if attempt == 0 { String::new() } else { format!("_try{attempt}") };
        let target = detached.join(format!("broken-on-start_{name}{suffix}"));
        if !target.try_exists()? {
            return fs::rename(part, target);
        }
    }
    Ok(())
}

/// `store/abc/abcdef01-…/`: a folder a table.
pub(super) fn tables(store_dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut tables = Vec::new();
    for group in tokens::folders(&store_dir.join("store"))? {
        tables.extend(tokens::folders(&group)?);
    }
    Ok(tables)
}

/// Thousands, at each insert: so nothing is asked of the system but their names.
fn parts(table: &Path) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in tokens::entries(table)? {
        let name = entry?.file_name();
        if name.to_str().is_some_and(tokens::is_part) {
            names.push(name);
        }
    }
    Ok(names)
}

/// What is wrong with a part's files, if something is. Nothing is, if it is gone meanwhile.
fn damage(part: &Path) -> io::Result<Option<String>> {
    let found = match find_damage(part) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some("one of its files is missing".to_owned()),
        found => found?,
    };
    // The engine removes parts that were merged; before, it gives them another name.
    Ok(found.filter(|_| part.exists()))
}

fn find_damage(part: &Path) -> io::Result<Option<String>> {
    let checksums = fs::read(part.join("checksums.txt"))?;
    let files = match files_of(&checksums) {
        Checksums::Files(files) => files,
        Checksums::Cut => return Ok(Some("its checksums.txt is cut".to_owned())),
        // Of another engine.
        Checksums::Unknown => Vec::new(),
    };
    for (name, size) in files {
        // Projections are folders, and iotq has none.
        if name.contains('/') || name.ends_with(".proj") {
            continue;
        }
        let found = fs::metadata(part.join(&name))?.len();
        if found != size {
            return Ok(Some(format!("its {name} has {found} octets of {size}")));
        }
    }
    // Those that are not in it. Lists end with the end of a line.
    for (name, is_list) in [
        ("columns.txt", true),
        ("columns_substreams.txt", true),
        ("metadata_version.txt", false),
        ("default_compression_codec.txt", false),
    ] {
        let octets = match fs::read(part.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && name != "columns.txt" => continue,
            octets => octets?,
        };
        if octets.is_empty() || (is_list && octets.last() != Some(&b'\n')) {
            return Ok(Some(format!("its {name} is cut")));
        }
    }
    Ok(None)
}

/// What `checksums.txt` says.
#[derive(Debug, Eq, PartialEq)]
enum Checksums {
    /// Names and sizes, octets.
    Files(Vec<(String, u64)>),
    Cut,
    /// It is not as this engine writes it.
    Unknown,
}

fn files_of(octets: &[u8]) -> Checksums {
    let Some(block) = octets.strip_prefix(HEADING) else {
        return if HEADING.starts_with(octets) { Checksums::Cut } else { Checksums::Unknown };
    };
    // A hash of 16 octets, the method, the sizes of the block with this head and without compression.
    let Some((head, _)) = block.split_at_checked(16 + 9) else { return Checksums::Cut };
    let number = |at: usize| head.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
    let (Some(compressed), Some(plain)) = (number(17), number(21)) else { return Checksums::Cut };
    if head[16] != LZ4 || plain > MAX_CHECKSUMS {
        return Checksums::Unknown;
    }
    let end = 16_usize.saturating_add(compressed as usize);
    let Some(compressed) = block.get(16 + 9..end) else { return Checksums::Cut };
    match lz4_flex::block::decompress(compressed, plain as usize) {
        Ok(plain) => parse(&plain).map_or(Checksums::Unknown, Checksums::Files),
        Err(_) => Checksums::Cut,
    }
}

fn parse(mut octets: &[u8]) -> Option<Vec<(String, u64)>> {
    let mut files = Vec::new();
    for _ in 0..leb128(&mut octets)? {
        let length = usize::try_from(leb128(&mut octets)?).ok()?;
        let name = String::from_utf8(octets.split_off(..length)?.to_vec()).ok()?;
        let size = leb128(&mut octets)?;
        octets.split_off(..16)?;
        if *octets.split_off_first()? != 0 {
            leb128(&mut octets)?;
            octets.split_off(..16)?;
        }
        files.push((name, size));
    }
    Some(files)
}

fn leb128(octets: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let octet = *octets.split_off_first()?;
        value |= u64::from(octet & 0x7f) << shift;
        if octet & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

const HEADING: &[u8] = b"checksums format version: 4\n";
/// `CompressionMethodByte::LZ4`.
const LZ4: u8 = 0x82;
/// Octets: thousands of files.
const MAX_CHECKSUMS: u32 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    /// As the engine writes it.
    fn checksums(files: &[(&str, u64)]) -> Vec<u8> {
        let mut plain = vec![u8::try_from(files.len()).unwrap()];
        for (name, size) in files {
            plain.push(u8::try_from(name.len()).unwrap());
            plain.extend(name.as_bytes());
            let mut rest = *size;
            while rest >= 0x80 {
                plain.push(u8::try_from(rest & 0x7f).unwrap() | 0x80);
                rest >>= 7;
            }
            plain.push(u8::try_from(rest).unwrap());
            plain.extend([7; 16]);
            plain.push(1);
            plain.push(100);
            plain.extend([8; 16]);
        }
        let compressed = lz4_flex::block::compress(&plain);
        let mut octets = [HEADING, &[9; 16], &[LZ4]].concat();
        octets.extend((u32::try_from(compressed.len()).unwrap() + 9).to_le_bytes());
        octets.extend(u32::try_from(plain.len()).unwrap().to_le_bytes());
        octets.extend(compressed);
        octets
    }

    fn part(table: &Path, name: &str) -> PathBuf {
        let part = table.join(name);
        fs::create_dir_all(&part).unwrap();
        fs::write(part.join("checksums.txt"), checksums(&[("data.bin", 300), ("count.txt", 1)])).unwrap();
        fs::write(part.join("data.bin"), [0; 300]).unwrap();
        fs::write(part.join("count.txt"), "5").unwrap();
        fs::write(part.join("columns.txt"), "columns format version: 1\n1 columns:\n`a` UInt64\n").unwrap();
        fs::write(part.join("metadata_version.txt"), "0").unwrap();
        part
    }

    #[test]
    fn each_file_that_is_cut_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let part = part(dir.path(), "all_1_1_0");
        assert_eq!(damage(&part).unwrap(), None);
        for name in ["checksums.txt", "data.bin", "count.txt", "columns.txt", "metadata_version.txt"] {
            let file = part.join(name);
            let whole = fs::read(&file).unwrap();
            for length in [0, whole.len() - 1] {
                fs::write(&file, &whole[..length]).unwrap();
                assert!(damage(&part).unwrap().is_some(), "{name} of {length} octets");
            }
            fs::remove_file(&file).unwrap();
            assert_eq!(damage(&part).unwrap().is_some(), name != "metadata_version.txt", "no {name}");
            fs::write(&file, whole).unwrap();
        }
        assert_eq!(damage(&part).unwrap(), None);
        assert_eq!(damage(&dir.path().join("all_9_9_0")).unwrap(), None, "gone");
    }

    #[test]
    fn checksums_are_read_however_they_are_cut() {
        let whole = checksums(&[("data.bin", 300), ("primary.cidx", 70_000)]);
        let files = vec![("data.bin".to_owned(), 300), ("primary.cidx".to_owned(), 70_000)];
        assert_eq!(files_of(&whole), Checksums::Files(files));
        for length in 0..whole.len() {
            assert_eq!(files_of(&whole[..length]), Checksums::Cut, "{length} octets");
        }
        assert_eq!(files_of(b"checksums format version: 5\n..."), Checksums::Unknown);
    }

    #[test]
    fn damaged_parts_are_set_aside_and_the_others_are_whole() {
        let dir = tempfile::tempdir().unwrap();
        let store = super::super::files::store_dir(dir.path());
        let table = store.join("store/abc/abc-def");
        part(&table, "all_1_1_0");
        let mut parts = Parts::new(dir.path());
        assert!(parts.look().unwrap().is_none());
        let broken = part(&table, "all_2_2_0");
        fs::write(broken.join("data.bin"), "").unwrap();
        let log = table.join("deduplication_logs/deduplication_log_1.txt");
        fs::create_dir_all(log.parent().unwrap()).unwrap();
        let found = parts.look().unwrap().unwrap().to_string();
        assert!(found.contains("all_2_2_0, but its data.bin has 0 octets of 300"), "{found}");
        // A token that was cut while its part is whole.
        part(&table, "all_3_3_0");
        fs::write(&log, "1\tall_1_1_0\ta\n1\tall_2_2_0\tb\n1\tall_3_3_0\tc").unwrap();
        fs::create_dir_all(table.join("detached/broken-on-start_all_2_2_0")).unwrap();
        assert_eq!(set_aside(&store).unwrap(), 2);
        assert!(table.join("detached/broken-on-start_all_2_2_0_try1").exists());
        assert!(table.join("detached/broken-on-start_all_3_3_0").exists());
        let found = parts.look().unwrap().unwrap().to_string();
        assert!(found.contains("its last token is cut"), "{found}");
        tokens::repair(&store).unwrap();
        assert!(parts.look().unwrap().is_none());
        assert_eq!(set_aside(&store).unwrap(), 0);
        assert!(table.join("all_1_1_0").exists());
    }
}
