//! Groups of small batches, written down before they are inserted.
//!
//! An insert costs ClickHouse nearly the same whatever is in it, so small batches are
//! inserted together, under one token. Whoever inserts a part of a group again after a
//! crash has to insert all of it, and its collectors may send its batches again in
//! any order, or not at all. So the group lies in a file, synced, until its batches are
//! in `batches`; what is found at a start is inserted before anything else is.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use iotq_proto::{BatchId, CheckedBatch, MAX_BATCH_BYTES, v1};
use prost::Message as _;
use tokio::task::spawn_blocking;
use tracing::{error, info};

use super::{InsertError, Store};

/// The folder of groups under way.
#[derive(Debug)]
pub(super) struct Journal {
    dir: PathBuf,
    /// Differs from that of each other start, so that no token is used twice.
    start: u64,
    next: AtomicU64,
}

/// Batches that are inserted together.
#[derive(Clone, Debug)]
pub struct Group {
    /// Its name, and the inserts' token.
    token: String,
    batches: Arc<[Arc<CheckedBatch>]>,
    /// `None`: one batch, which has its own id as token.
    file: Option<PathBuf>,
}

impl Group {
    /// A batch alone.
    #[must_use]
    pub fn alone(batch: Arc<CheckedBatch>) -> Self {
        Self { token: batch.id().to_string(), batches: [batch].into(), file: None }
    }

    /// Its batches.
    #[must_use]
    pub fn batches(&self) -> &[Arc<CheckedBatch>] {
        &self.batches
    }

    /// What its inserts are known by.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }
}

impl Journal {
    /// Makes the folder, if need be, and clears away files that were not finished.
    ///
    /// # Errors
    /// If the disk says so.
    pub(super) fn open(data_dir: &Path) -> io::Result<Self> {
        let dir = data_dir.join("journal");
        fs::create_dir_all(&dir)?;
        for entry in fs::read_dir(&dir)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "tmp") {
                fs::remove_file(path)?;
            }
        }
        Ok(Self { dir, start: rand::random(), next: AtomicU64::new(1) })
    }

    fn write(&self, batches: &[Arc<CheckedBatch>]) -> io::Result<Group> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let token = format!("group-{:016x}-{number}", self.start);
        let path = self.dir.join(format!("{token}.{EXTENSION}"));
        let unfinished = path.with_extension("tmp");
        let written = (|| {
            let mut file = File::create(&unfinished)?;
            file.write_all(&encode(batches))?;
            file.sync_data()?;
            fs::rename(&unfinished, &path)?;
            // The name as well has to be there after a power cut.
            File::open(&self.dir)?.sync_all()
        })();
        if let Err(error) = written {
            // Nothing was inserted for it yet; the next start would clear it away too.
            let _ = fs::remove_file(&unfinished);
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        Ok(Group { token, batches: batches.into(), file: Some(path) })
    }

    /// Groups of earlier starts. A damaged file is set aside: what it held was not
    /// acknowledged, so that collectors still have it.
    fn unfinished(&self) -> io::Result<Vec<Group>> {
        let mut groups = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            let token = path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned);
            let is_group = path.extension().is_some_and(|extension| extension == EXTENSION);
            let (Some(token), true) = (token, is_group) else { continue };
            if let Some(batches) = decode(&fs::read(&path)?) {
                groups.push(Group { token, batches: batches.into(), file: Some(path) });
            } else {
                let aside = path.with_extension("damaged");
                error!(
                    file = %aside.display(),
                    "a group's file is damaged and was set aside; what of it was inserted already may be stored twice"
                );
                fs::rename(&path, &aside)?;
            }
        }
        // In the order they were begun, of each start.
        groups.sort_by(|a, b| (a.token.len(), &a.token).cmp(&(b.token.len(), &b.token)));
        Ok(groups)
    }
}

impl Store {
    /// Whether this batch is to be inserted together with others. Always the same for
    /// the same batch: under another token it would be stored twice.
    #[must_use]
    pub fn is_grouped(&self, batch: &CheckedBatch) -> bool {
        self.journal.is_some() && batch.packets() <= SMALL_PACKETS && batch.encoded_len() <= SMALL_BYTES
    }

    /// Whether this batch can be in a group with that one.
    #[must_use]
    pub fn fits_with(&self, batch: &CheckedBatch, other: &CheckedBatch) -> bool {
        // A block of one partition is one part.
        self.arrived_on(batch) == self.arrived_on(other)
    }

    /// Writes down that these are inserted together.
    ///
    /// # Errors
    /// If the disk says so.
    pub async fn begin_group(&self, batches: &[Arc<CheckedBatch>]) -> Result<Group, InsertError> {
        let Some(journal) = self.journal.clone() else {
            return Err(InsertError::Journal(io::ErrorKind::Unsupported.into()));
        };
        self.room.wait().await;
        let batches = batches.to_vec();
        blocking(move || journal.write(&batches)).await
    }

    /// Stores a group; returns those of its batches that ClickHouse does not take.
    ///
    /// # Errors
    /// As [`Store::insert`].
    pub async fn insert_group(&self, group: &Group) -> Result<Vec<(BatchId, InsertError)>, InsertError> {
        self.insert_together(&group.token, &group.batches).await
    }

    /// Forgets a group that is stored.
    pub async fn end_group(&self, group: Group) {
        let Some(file) = group.file else { return };
        if let Err(error) = blocking(move || fs::remove_file(file)).await {
            // The next start finds its batches stored and removes it then.
            error!(%error, token = group.token, "file of a stored group not removed");
        }
    }

    /// Stores what earlier starts had begun; returns how many batches that were.
    ///
    /// # Errors
    /// As [`Store::insert`]. May be called again.
    pub async fn finish_groups(&self) -> Result<usize, InsertError> {
        let Some(journal) = self.journal.clone() else { return Ok(0) };
        let mut finished = 0;
        for group in blocking(move || journal.unfinished()).await? {
            if !self.is_any_stored(&group).await? {
                let refused = self.insert_group(&group).await?;
                finished += group.batches.len() - refused.len();
                info!(token = group.token, batches = group.batches.len(), "group finished that a stop had interrupted");
            }
            self.end_group(group).await;
        }
        Ok(finished)
    }

    /// A group's batches are entered in `batches` by one insert: all or none.
    async fn is_any_stored(&self, group: &Group) -> Result<bool, InsertError> {
        for batch in &*group.batches {
            let id = batch.id();
            let stored = self.stored_seqs(&id.collector, id.epoch).await;
            let stored = stored.map_err(|source| InsertError::Table { table: "batches", source })?;
            if stored.contains(id.seq) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T, InsertError> {
    let done = spawn_blocking(work).await;
    done.map_err(io::Error::other).and_then(|result| result).map_err(InsertError::Journal)
}

/// Magic, then length and octets of each batch, then a checksum of all that.
fn encode(batches: &[Arc<CheckedBatch>]) -> Vec<u8> {
    let mut octets = MAGIC.to_vec();
    for batch in batches {
        let message = batch.batch().encode_to_vec();
        octets.extend_from_slice(&(message.len() as u64).to_le_bytes());
        octets.extend_from_slice(&message);
    }
    let checksum = crc32fast::hash(&octets);
    octets.extend_from_slice(&checksum.to_le_bytes());
    octets
}

fn decode(octets: &[u8]) -> Option<Vec<Arc<CheckedBatch>>> {
    let (octets, checksum) = octets.split_last_chunk::<4>()?;
    if crc32fast::hash(octets) != u32::from_le_bytes(*checksum) {
        return None;
    }
    let mut rest = octets.strip_prefix(MAGIC)?;
    let mut batches = Vec::new();
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk::<8>()?;
        let length = usize::try_from(u64::from_le_bytes(*length)).ok().filter(|length| *length <= MAX_BATCH_BYTES)?;
        let (message, after) = after.split_at_checked(length)?;
        let batch = v1::Batch::decode(message).ok()?;
        batches.push(Arc::new(CheckedBatch::try_from(batch).ok()?));
        rest = after;
    }
    (!batches.is_empty()).then_some(batches)
}

/// The last octet is the format's version.
const MAGIC: &[u8] = b"iotqgrp\x01";
const EXTENSION: &str = "group";
/// Up to here a batch is small. A larger one costs ClickHouse more for
/// its rows than for being an insert, and needs no second copy on the disk. Changing
/// this changes how a batch is inserted that a crash interrupted: not between releases
/// without need.
const SMALL_PACKETS: u64 = 8192;
const SMALL_BYTES: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(seq: u64) -> Arc<CheckedBatch> {
        let batch = v1::Batch {
            collector: "attic".into(),
            epoch: 5,
            seq,
            sealed_at_ns: 1_700_000_100_000_000_000,
            ..Default::default()
        };
        Arc::new(CheckedBatch::try_from(batch).unwrap())
    }

    fn ids(group: &Group) -> Vec<String> {
        group.batches().iter().map(|batch| batch.id().to_string()).collect()
    }

    #[test]
    fn what_was_begun_is_found_again_until_it_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path()).unwrap();
        let first = journal.write(&[batch(1), batch(2)]).unwrap();
        let second = journal.write(&[batch(3)]).unwrap();
        assert_ne!(first.token(), second.token());

        let again = Journal::open(dir.path()).unwrap();
        let found = again.unfinished().unwrap();
        let tokens: Vec<_> = found.iter().map(Group::token).collect();
        assert_eq!(tokens, [first.token(), second.token()]);
        assert_eq!(ids(&found[0]), ["attic/5/1", "attic/5/2"]);
        fs::remove_file(first.file.unwrap()).unwrap();
        assert_eq!(again.unfinished().unwrap().len(), 1);
        assert_ne!(again.write(&[batch(4)]).unwrap().token(), second.token(), "no token is used twice");
    }

    #[test]
    fn a_damaged_file_is_set_aside_wherever_the_damage_is() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path()).unwrap();
        let path = journal.write(&[batch(1), batch(2)]).unwrap().file.unwrap();
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x40;
            assert!(decode(&damaged).is_none(), "octet {at}");
            assert!(decode(&whole[..at]).is_none(), "cut at {at}");
        }
        fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        assert!(journal.unfinished().unwrap().is_empty());
        assert!(path.with_extension("damaged").exists());
    }

    #[test]
    fn a_file_that_was_not_finished_is_cleared_away() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path()).unwrap();
        let unfinished = journal.dir.join("group-1-1.tmp");
        fs::write(&unfinished, b"iotq").unwrap();
        let again = Journal::open(dir.path()).unwrap();
        assert!(again.unfinished().unwrap().is_empty() && !unfinished.exists());
    }
}
