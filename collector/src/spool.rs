//! Batches on disk until the analyzer has stored them: a file each.
//!
//! A file is written under another name, synced, and then renamed, so that one
//! that is there is whole; what a crash leaves half-written is removed at the next
//! start. An acknowledged batch is an unlinked file. Limits in octets and age give
//! up the oldest first, and what is given up is counted as lost.
//!
//! Knows nothing of connections: the uplink asks for the next one.

mod file;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use iotq_proto::{CollectorId, LossStage, error::Chain, v1};
use nix::fcntl::{Flock, FlockArg};
use prost::Message as _;
use tracing::{error, info, warn};

pub use self::file::{Header, Unreadable, read_file};
use crate::totals::Totals;

/// Where, and how much at most.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SpoolConfig {
    /// The folder; made if missing, used by one collector at a time.
    pub dir: PathBuf,
    /// Octets of all files.
    pub max_bytes: u64,
    /// Since they were sealed.
    pub max_age: Duration,
    /// Whether a batch has to survive a power cut as soon as it is in. Not where it
    /// can be read again from a capture file.
    pub is_durable: bool,
}

/// Why a folder is no spool of ours.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Not to be made, listed or written to.
    #[error("spool folder {dir} cannot be used: --spool-dir DIR names another")]
    Folder {
        /// Which.
        dir: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Somebody has it.
    #[error("spool folder {dir} is in use by another collector: each needs its own --spool-dir")]
    Locked {
        /// Which.
        dir: PathBuf,
    },
    /// Batches carry their collector's name.
    #[error("spool folder {dir} is that of collector `{owner}`: use --name {owner}, or another --spool-dir")]
    Foreign {
        /// Which.
        dir: PathBuf,
        /// Whose, as far as it can be printed.
        owner: String,
    },
}

/// A batch's place: its collector's start, and its number.
pub type Key = (u64, u64);

/// The batches in a folder.
#[derive(Debug)]
pub struct Spool {
    config: SpoolConfig,
    collector: CollectorId,
    _lock: Flock<File>,
    kept: BTreeMap<Key, Entry>,
    bytes: u64,
    /// On their way to the analyzer: not given up.
    loaded: BTreeSet<Key>,
    /// Those of them that were sent, and not answered.
    sent: BTreeSet<Key>,
    /// Of batches given up or damaged, that no batch has reported yet.
    losses: BTreeMap<LossStage, u64>,
    /// The last file was not written, at that time.
    failed_at: Option<Instant>,
    /// A file could not be read although it may be sound, at that time.
    unreadable_at: Option<Instant>,
    given_up: GivenUp,
    damaged_files: u64,
    failed: Failed,
}

/// What had to go, since the start.
#[derive(Clone, Copy, Debug, Default)]
struct GivenUp {
    batches: u64,
    frames: u64,
    /// Those that had not been lost before, and those of damaged files.
    lost_frames: u64,
}

/// Attempts on files that failed, since the start.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Failed {
    /// Batches that could not be written.
    pub writes: u64,
    /// Batches that could not be read although they may be sound.
    pub reads: u64,
    /// Stored batches that could not be removed.
    pub removals: u64,
    /// Damaged or refused batches that could not be set aside.
    pub set_asides: u64,
}

/// What is known of a file without reading it.
#[derive(Clone, Copy, Debug)]
struct Entry {
    bytes: u64,
    sealed_at_ns: i64,
    frames: u64,
}

impl Entry {
    fn new(bytes: u64, header: Header) -> Self {
        Self { bytes, sealed_at_ns: header.sealed_at_ns, frames: header.frames }
    }
}

/// How full it is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Level {
    /// Batches.
    pub batches: u64,
    /// Octets of their files.
    pub bytes: u64,
    /// Batches are kept in memory only, because the folder takes none.
    pub is_degraded: bool,
    /// When the oldest batch was sealed. `None`: there is none.
    pub oldest_sealed_at_ns: Option<i64>,
    /// Batches given up since the start.
    pub given_up_batches: u64,
    /// Their frames.
    pub given_up_frames: u64,
    /// Those of them that had not been lost before, and those of damaged files.
    pub lost_frames: u64,
    /// Damaged files found since the start.
    pub damaged_files: u64,
    /// What else went wrong since the start.
    pub failed: Failed,
}

/// One spool, for the uplink of this start and that of earlier ones.
#[derive(Clone, Debug)]
pub struct SharedSpool(Arc<Mutex<Spool>>);

impl SharedSpool {
    /// Shares it.
    #[must_use]
    pub fn new(spool: Spool) -> Self {
        Self(Arc::new(Mutex::new(spool)))
    }

    /// For as long as one operation takes.
    pub fn lock(&self) -> MutexGuard<'_, Spool> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Spool {
    /// Takes the folder, and stock of what is in it. What is damaged is set aside
    /// and counted.
    ///
    /// # Errors
    /// If it cannot be used, or is another collector's.
    pub fn open(config: SpoolConfig, collector: &CollectorId) -> Result<Self, SpoolError> {
        let dir = config.dir.clone();
        let folder = |source| SpoolError::Folder { dir: dir.clone(), source };
        let lock = take_folder(&dir, collector)?;
        let mut spool = Self {
            config,
            collector: collector.clone(),
            _lock: lock,
            kept: BTreeMap::new(),
            bytes: 0,
            loaded: BTreeSet::new(),
            sent: BTreeSet::new(),
            losses: BTreeMap::new(),
            failed_at: None,
            unreadable_at: None,
            given_up: GivenUp::default(),
            damaged_files: 0,
            failed: Failed::default(),
        };
        spool.take_stock().map_err(folder)?;
        Ok(spool)
    }

    /// Keeps a batch: the encoded request, whole on disk when this returns. Older ones
    /// may be given up for it.
    ///
    /// # Errors
    /// If the folder does not take it. It is not kept then, and the next one is tried again.
    pub fn put(&mut self, key: Key, header: Header, message: &[u8]) -> io::Result<()> {
        let written = match self.write(key, header, message) {
            // Somebody removed the folder: it is made again.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                take_folder(&self.config.dir, &self.collector).map_err(io::Error::other).and_then(|lock| {
                    self._lock = lock;
                    self.write(key, header, message)
                })
            }
            written => written,
        };
        match &written {
            Ok(bytes) => {
                self.kept.insert(key, Entry::new(*bytes, header));
                self.bytes += bytes;
                if self.failed_at.take().is_some() {
                    info!(dir = %self.config.dir.display(), "spool folder takes batches again");
                }
                self.give_up(key, header.sealed_at_ns);
            }
            Err(error) => {
                self.failed.writes += 1;
                if self.failed_at.replace(Instant::now()).is_none() {
                    let dir = self.config.dir.display();
                    error!(%dir, %error, "spool folder takes no batches: they wait in memory, and are lost if that is full or this ends");
                }
            }
        }
        written.map(|_| ())
    }

    /// Asks a folder that took no batches whether it does so again.
    pub fn probe(&mut self) {
        if self.failed_at.is_none() || !self.is_worth_trying() {
            return;
        }
        let path = self.config.dir.join(PROBE);
        let written = fs::create_dir_all(&self.config.dir).and_then(|()| fs::write(&path, [0; PROBE_BYTES]));
        // Whether it is there or not.
        let _ = fs::remove_file(&path);
        if written.is_ok() {
            self.failed_at = None;
            info!(dir = %self.config.dir.display(), "spool folder takes batches again");
        } else {
            self.failed_at = Some(Instant::now());
        }
    }

    /// The oldest batch of an epoch that is not on its way yet, which it is from now on.
    /// Damaged ones are set aside meanwhile.
    pub fn load_next(&mut self, epoch: u64) -> Option<(u64, Bytes)> {
        if self.unreadable_at.is_some_and(|at| at.elapsed() < PAUSE_AFTER_FAILURE) {
            return None;
        }
        loop {
            let key = *self
                .kept
                .range((epoch, 0)..=(epoch, u64::MAX))
                .map(|(key, _)| key)
                .find(|key| !self.loaded.contains(key))?;
            match read_file(&self.path(key)) {
                Ok((header, message)) if (header.epoch, header.seq) == key => {
                    self.unreadable_at = None;
                    self.loaded.insert(key);
                    return Some((key.1, message.into()));
                }
                // No permission, no descriptor left, a disk that does not answer: the file may be sound.
                Err(Unreadable::Io(error)) if error.kind() != io::ErrorKind::NotFound => {
                    self.failed.reads += 1;
                    if self.unreadable_at.replace(Instant::now()).is_none() {
                        error!(file = %self.path(key).display(), %error, "batch in the spool cannot be read, trying again");
                    }
                    return None;
                }
                Ok(_) => self.set_aside_damaged(key, &Unreadable::Misnamed),
                Err(reason) => self.set_aside_damaged(key, &reason),
            }
        }
    }

    /// Has other limits from now on; they are applied when the next batch comes.
    pub fn set_limits(&mut self, max_bytes: u64, max_age: Duration) {
        (self.config.max_bytes, self.config.max_age) = (max_bytes, max_age);
    }

    /// Whether an epoch has batches that are not on their way.
    #[must_use]
    pub fn has_more(&self, epoch: u64) -> bool {
        self.kept.range((epoch, 0)..=(epoch, u64::MAX)).any(|(key, _)| !self.loaded.contains(key))
    }

    /// The batch was sent without being loaded from here.
    pub fn mark_loaded(&mut self, key: Key) {
        if self.kept.contains_key(&key) {
            self.loaded.insert(key);
        }
    }

    /// It was sent.
    pub fn mark_sent(&mut self, key: Key) {
        if self.kept.contains_key(&key) {
            self.sent.insert(key);
        }
    }

    /// The connection on which an epoch's were sent has ended: they will be again.
    pub fn rewind(&mut self, epoch: u64) {
        self.sent.retain(|key| key.0 != epoch);
    }

    /// The analyzer has it: its file goes. Whether there was one.
    pub fn remove(&mut self, key: Key) -> bool {
        self.loaded.remove(&key);
        self.sent.remove(&key);
        let Some(entry) = self.kept.remove(&key) else { return false };
        self.bytes -= entry.bytes;
        if let Err(error) = fs::remove_file(self.path(key)) {
            // It will be sent again by the next start, and found to be stored.
            self.failed.removals += 1;
            warn!(file = %self.path(key).display(), %error, "acknowledged batch not removed from the spool");
        }
        true
    }

    /// The analyzer has all of an epoch up to this number. How many there were.
    pub fn remove_through(&mut self, epoch: u64, seq: u64) -> u64 {
        let keys: Vec<Key> = self.kept.range((epoch, 0)..=(epoch, seq)).map(|(key, _)| *key).collect();
        keys.into_iter().filter(|key| self.remove(*key)).count() as u64
    }

    /// The analyzer will never take it: out of the way, for somebody to look at.
    pub fn reject(&mut self, key: Key) {
        self.loaded.remove(&key);
        self.sent.remove(&key);
        if let Some(entry) = self.kept.remove(&key) {
            self.bytes -= entry.bytes;
            self.set_aside(REJECTED, &self.path(key));
        }
    }

    /// Adds losses to be reported by a later batch.
    pub fn note_losses(&mut self, lost: &BTreeMap<LossStage, u64>) {
        for (stage, packets) in lost {
            *self.losses.entry(*stage).or_default() += packets;
        }
    }

    /// Losses that a batch is to report now.
    pub fn take_losses(&mut self) -> BTreeMap<LossStage, u64> {
        std::mem::take(&mut self.losses)
    }

    /// Epochs that have batches, but for this one.
    #[must_use]
    pub fn epochs_but(&self, epoch: u64) -> Vec<u64> {
        let all: BTreeSet<u64> = self.kept.keys().map(|(epoch, _)| *epoch).collect();
        all.into_iter().filter(|other| *other != epoch).collect()
    }

    /// Whether another batch fits without giving one up.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.bytes < self.config.max_bytes && self.is_worth_trying()
    }

    /// Whether the folder takes batches, or has not been asked for a while.
    #[must_use]
    pub fn is_worth_trying(&self) -> bool {
        self.failed_at.is_none_or(|failed_at| failed_at.elapsed() >= PAUSE_AFTER_FAILURE)
    }

    /// Whether there are losses to be reported.
    #[must_use]
    pub fn has_losses(&self) -> bool {
        !self.losses.is_empty()
    }

    /// How many batches of an epoch there are.
    #[must_use]
    pub fn batches_of(&self, epoch: u64) -> u64 {
        self.kept.range((epoch, 0)..=(epoch, u64::MAX)).count() as u64
    }

    /// How full it is.
    #[must_use]
    pub fn level(&self) -> Level {
        Level {
            batches: self.kept.len() as u64,
            bytes: self.bytes,
            is_degraded: self.failed_at.is_some(),
            oldest_sealed_at_ns: self.kept.first_key_value().map(|(_, entry)| entry.sealed_at_ns),
            given_up_batches: self.given_up.batches,
            given_up_frames: self.given_up.frames,
            lost_frames: self.given_up.lost_frames,
            damaged_files: self.damaged_files,
            failed: self.failed,
        }
    }

    /// The same without what is on its way.
    #[must_use]
    pub fn waiting(&self) -> Level {
        let sent = self.sent.iter().filter_map(|key| self.kept.get(key));
        let (batches, bytes) = sent.fold((0, 0), |(batches, bytes), entry| (batches + 1, bytes + entry.bytes));
        let oldest = self.kept.iter().find(|(key, _)| !self.sent.contains(key));
        let level = self.level();
        Level {
            batches: level.batches.saturating_sub(batches),
            bytes: level.bytes.saturating_sub(bytes),
            oldest_sealed_at_ns: oldest.map(|(_, entry)| entry.sealed_at_ns),
            ..level
        }
    }

    /// The folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.config.dir
    }

    fn path(&self, (epoch, seq): Key) -> PathBuf {
        self.config.dir.join(file_name(epoch, seq))
    }

    /// Returns the file's octets.
    fn write(&self, key: Key, header: Header, message: &[u8]) -> io::Result<u64> {
        let path = self.path(key);
        let unfinished = path.with_extension(UNFINISHED);
        let head = header.encode(message);
        let written = (|| {
            let mut file = File::options().create(true).truncate(true).write(true).mode(0o600).open(&unfinished)?;
            file.write_all(&head)?;
            file.write_all(message)?;
            if self.config.is_durable {
                file.sync_data()?;
            }
            fs::rename(&unfinished, &path)?;
            if self.config.is_durable {
                File::open(&self.config.dir)?.sync_all()?;
            }
            Ok((head.len() + message.len()) as u64)
        })();
        if written.is_err() {
            // Whichever there is; without either there is nothing to do.
            let _ = fs::remove_file(&unfinished);
            let _ = fs::remove_file(&path);
        }
        written
    }

    fn take_stock(&mut self) -> io::Result<()> {
        for entry in fs::read_dir(&self.config.dir)? {
            let entry = entry?;
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == UNFINISHED) {
                fs::remove_file(&path)?;
                continue;
            }
            if path.extension().is_none_or(|extension| extension != BATCH) || !entry.file_type()?.is_file() {
                continue;
            }
            let bytes = entry.metadata()?.len();
            match (parse_name(&path), Header::read(&path)) {
                (Some(key), Ok(header)) if key == (header.epoch, header.seq) => {
                    self.kept.insert(key, Entry::new(bytes, header));
                    self.bytes += bytes;
                }
                (_, Ok(header)) => self.count_damaged(&path, &Unreadable::Misnamed, header.frames),
                (_, Err(reason)) => {
                    // Of one that was cut short the header may still tell.
                    let frames = Header::peek(&path).map_or(0, |header| header.frames);
                    self.count_damaged(&path, &reason, frames);
                }
            }
        }
        Ok(())
    }

    /// Gives up the oldest until the limits are kept: neither what is on its way, nor
    /// the one just written, which is one too many at most.
    fn give_up(&mut self, written: Key, now_ns: i64) {
        let max_age_ns = i64::try_from(self.config.max_age.as_nanos()).unwrap_or(i64::MAX);
        let mut given_up = Totals::default();
        let mut lost_before = 0_u64;
        let mut batches = 0_u64;
        let mut span: Option<(i64, i64)> = None;
        loop {
            let may_go = |key: &Key| *key != written && !self.loaded.contains(key);
            let oldest = self.kept.iter().find(|(key, _)| may_go(key)).map(|(key, entry)| (*key, *entry));
            let Some((key, entry)) = oldest else { break };
            // A clock that was not set yet tells no age.
            let is_old = entry.sealed_at_ns > CLOCK_IS_SET_NS && now_ns.saturating_sub(entry.sealed_at_ns) > max_age_ns;
            if self.bytes <= self.config.max_bytes && !is_old {
                break;
            }
            match read_file(&self.path(key)).map(|(_, message)| v1::PushRequest::decode(message.as_slice())) {
                Ok(Ok(v1::PushRequest { kind: Some(v1::push_request::Kind::Batch(batch)) })) => {
                    lost_before += batch.lost.iter().map(|count| count.packets).sum::<u64>();
                    given_up.add(&Totals::of(&batch).lost_at(LossStage::Spool));
                    if let (Some(from), Some(until)) = (batch.covered_from_at_ns, batch.covered_until_at_ns) {
                        let (first, last) = span.unwrap_or((from, until));
                        span = Some((first.min(from), last.max(until)));
                    }
                }
                _ => {
                    given_up.add(&Totals { frames: entry.frames, ..Totals::default() }.lost_at(LossStage::Spool));
                }
            }
            batches += 1;
            self.remove(key);
        }
        if batches > 0 {
            let at = |nanos: i64| jiff::Timestamp::from_nanosecond(nanos.into()).unwrap_or_default().to_string();
            let (from, until) = span.map_or((String::new(), String::new()), |(from, until)| (at(from), at(until)));
            warn!(
                batches,
                frames = given_up.frames,
                from,
                until,
                "spool is full or batches too old: the oldest were given up"
            );
            self.note_losses(&given_up.lost);
            self.given_up.batches += batches;
            self.given_up.frames = self.given_up.frames.saturating_add(given_up.frames);
            self.given_up.lost_frames += given_up.frames.saturating_sub(lost_before);
        }
    }

    fn set_aside_damaged(&mut self, key: Key, reason: &Unreadable) {
        if let Some(entry) = self.kept.remove(&key) {
            self.bytes -= entry.bytes;
            self.count_damaged(&self.path(key), reason, entry.frames);
        }
    }

    fn count_damaged(&mut self, path: &Path, reason: &Unreadable, frames: u64) {
        error!(file = %path.display(), reason = %Chain(reason), frames, "damaged file in the spool set aside");
        self.damaged_files += 1;
        if frames > 0 {
            self.note_losses(&BTreeMap::from([(LossStage::Spool, frames)]));
            self.given_up.lost_frames += frames;
        }
        self.set_aside(DAMAGED, path);
    }

    /// Into a folder beside the others, as long as there are not too many there.
    fn set_aside(&mut self, folder: &str, path: &Path) {
        let folder = self.config.dir.join(folder);
        let moved = (|| {
            fs::create_dir_all(&folder)?;
            if fs::read_dir(&folder)?.count() >= MAX_SET_ASIDE {
                return fs::remove_file(path);
            }
            fs::rename(path, folder.join(path.file_name().unwrap_or_default()))
        })();
        if let Err(error) = moved {
            self.failed.set_asides += 1;
            warn!(file = %path.display(), %error, "file in the spool not set aside");
        }
    }
}

/// Makes the folder if there is none, and locks it.
fn take_folder(dir: &Path, collector: &CollectorId) -> Result<Flock<File>, SpoolError> {
    let folder = |source| SpoolError::Folder { dir: dir.to_owned(), source };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(folder)?;
    let file = File::options().create(true).append(true).open(dir.join(LOCK)).map_err(folder)?;
    let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
        nix::errno::Errno::EWOULDBLOCK => SpoolError::Locked { dir: dir.to_owned() },
        errno => folder(errno.into()),
    })?;
    own(dir, collector)?;
    Ok(lock)
}

/// The first collector that uses a folder owns it.
fn own(dir: &Path, collector: &CollectorId) -> Result<(), SpoolError> {
    let folder = |source| SpoolError::Folder { dir: dir.to_owned(), source };
    let path = dir.join(OWNER);
    match fs::read(&path) {
        Ok(owner) if owner.trim_ascii() == collector.as_str().as_bytes() => Ok(()),
        Ok(owner) if owner.trim_ascii().is_empty() => fs::write(&path, collector.as_str()).map_err(folder),
        Ok(owner) => {
            let owner: String =
                String::from_utf8_lossy(&owner).chars().filter(|char| !char.is_control()).take(64).collect();
            Err(SpoolError::Foreign { dir: dir.to_owned(), owner })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::write(&path, collector.as_str()).map_err(folder),
        Err(error) => Err(folder(error)),
    }
}

fn file_name(epoch: u64, seq: u64) -> String {
    // Hexadecimal of one width: a listing is in order.
    format!("{epoch:016x}-{seq:016x}.{BATCH}")
}

fn parse_name(path: &Path) -> Option<Key> {
    let (epoch, seq) = path.file_stem()?.to_str()?.split_once('-')?;
    let number = |text: &str| (text.len() == 16).then(|| u64::from_str_radix(text, 16).ok()).flatten();
    Some((number(epoch)?, number(seq)?))
}

const LOCK: &str = "lock";
const OWNER: &str = "collector";
const BATCH: &str = "batch";
const UNFINISHED: &str = "unfinished";
/// Removed at the next start, should a crash leave it.
const PROBE: &str = "probe.unfinished";
/// More than a file system finds room for in an inode.
const PROBE_BYTES: usize = 64 << 10;
const DAMAGED: &str = "damaged";
const REJECTED: &str = "rejected";

/// A full disk is asked again that often.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(5);

/// Enough to see what is wrong; more would fill the disk with it.
const MAX_SET_ASIDE: usize = 64;

/// 2020-01-01: a clock that tells less has not been set.
const CLOCK_IS_SET_NS: i64 = 1_577_836_800 * 1_000_000_000;
