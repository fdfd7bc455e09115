//! Whether the store has room: a full disk is a state, not a failure.
//!
//! The embedded store's file system is looked at each second. Below a reserve nothing
//! is inserted any more, so that merges and deletions, which make room, can still
//! be done. An external server is believed when it says that it has no space.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use nix::sys::statvfs::statvfs;
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::InsertError;

/// Says whether there is room, and to whoever wants to know when that changes.
#[derive(Debug)]
pub(super) struct Room {
    /// `None`: an external server's disks are not ours.
    dir: Option<PathBuf>,
    /// Why there is none. `None`: there is.
    full: watch::Sender<Option<String>>,
}

impl Room {
    pub(super) fn new(dir: Option<&Path>) -> Self {
        let room = Self { dir: dir.map(Path::to_path_buf), full: watch::Sender::new(None) };
        room.look();
        room
    }

    pub(super) fn watch(&self) -> watch::Receiver<Option<String>> {
        self.full.subscribe()
    }

    /// Returns at once if there is room, else when there is.
    pub(super) async fn wait(&self) {
        // An external server's state is known only by trying.
        if self.dir.is_some() {
            // The sender is ours: it is not dropped meanwhile.
            let _ = self.full.subscribe().wait_for(Option::is_none).await;
        }
    }

    /// Takes to heart how an insert ended.
    pub(super) fn note(&self, result: Result<&(), &InsertError>) {
        match result {
            Ok(()) if self.dir.is_none() => self.set(None),
            Err(error) if error.is_out_of_space() => {
                self.set(Some("ClickHouse has no space left on its disk".to_owned()));
            }
            Ok(()) | Err(_) => {}
        }
    }

    /// Looks each second, until `stop`.
    pub(super) async fn run(&self, stop: CancellationToken) {
        let mut ticks = interval(LOOK_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => self.look(),
            }
        }
    }

    fn look(&self) {
        let Some(dir) = &self.dir else { return };
        // A folder that cannot be asked about says nothing about room; inserts will tell.
        let Ok(space) = Space::of(dir) else { return };
        let is_full = self.full.borrow().is_some();
        // Twice as much before it goes on: else each merge would be a change.
        let needed = if is_full { space.reserve() * 2 } else { space.reserve() };
        if space.free < needed {
            let mib = |bytes: u64| bytes >> 20;
            self.set(Some(format!(
                "the disk of {} is full: {} MiB are free, {} MiB are needed",
                dir.display(),
                mib(space.free),
                mib(needed)
            )));
        } else {
            self.set(None);
        }
    }

    fn set(&self, reason: Option<String>) {
        self.full.send_if_modified(|full| {
            let has_changed = full.is_some() != reason.is_some();
            match &reason {
                Some(reason) if has_changed => {
                    error!(
                        reason,
                        "the store is full: nothing is stored until there is room, collectors keep what they have"
                    );
                }
                None if has_changed => info!("the store has room again"),
                _ => {}
            }
            *full = reason;
            has_changed
        });
    }
}

/// Of a file system, in octets.
#[derive(Clone, Copy, Debug)]
struct Space {
    free: u64,
    total: u64,
}

impl Space {
    fn of(dir: &Path) -> io::Result<Self> {
        let stat = statvfs(dir)?;
        // Without what only root may take: the engine may run as somebody else.
        let free = stat.blocks_available().saturating_mul(stat.fragment_size());
        Ok(Self { free, total: stat.blocks().saturating_mul(stat.fragment_size()) })
    }

    fn reserve(self) -> u64 {
        (self.total / RESERVE_SHARE).clamp(MIN_RESERVE, MAX_RESERVE)
    }
}

/// An insert needs some 10 MiB at once, and four run at a time.
const MIN_RESERVE: u64 = 24 << 20;
/// A merge writes its result before it deletes what it was made from.
const MAX_RESERVE: u64 = 512 << 20;
const RESERVE_SHARE: u64 = 20;
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_disks_keep_enough_for_inserts_and_large_ones_not_too_much() {
        let reserve = |total| Space { free: 0, total }.reserve();
        assert_eq!(reserve(60 << 20), 24 << 20);
        assert_eq!(reserve(2 << 30), (2 << 30) / 20);
        assert_eq!(reserve(4 << 40), 512 << 20);
    }

    #[test]
    fn those_who_watch_hear_of_changes_only() {
        let room = Room::new(None);
        let watch = room.watch();
        room.set(None);
        assert!(!watch.has_changed().unwrap());
        room.set(Some("full".to_owned()));
        room.set(Some("fuller".to_owned()));
        assert!(watch.has_changed().unwrap());
        assert_eq!(watch.borrow().as_deref(), Some("fuller"));
    }
}
