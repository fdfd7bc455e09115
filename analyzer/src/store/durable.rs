//! Makes what was stored survive a power cut.
//!
//! ClickHouse does not fsync what it inserts, and with its settings for that each
//! insert syncs every file of five tables' parts on its own (ARCHITECTURE.md has
//! the figures). One `syncfs` does it for all batches stored since the last one:
//! a batch is acknowledged after the next that begins once it is stored. It is looked
//! as well whether the engine wrote all it believes ([`crate::engine::parts`]).

use std::{
    fs::File,
    io,
    path::Path,
    sync::{
        Arc, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use nix::unistd::syncfs;
use tokio::{sync::Mutex, task::spawn_blocking};

use crate::engine::parts::{Damage, Parts};

/// Why what was stored may not be there tomorrow.
#[derive(Debug, thiserror::Error)]
pub enum NotDurable {
    /// The disk did not keep it.
    #[error("stored data not synced to the disk")]
    Sync(#[source] io::Error),
    /// The engine believes that it is there, and is wrong.
    #[error("stored data not whole")]
    Damaged(#[source] Damage),
}

/// The file system the embedded store lies on.
#[derive(Debug)]
pub(super) struct Durable {
    dir: Arc<File>,
    parts: Arc<std::sync::Mutex<Parts>>,
    /// How many syncs have begun.
    begun: AtomicU64,
    /// The last that succeeded; held by the one that runs.
    done: Mutex<u64>,
}

impl Durable {
    /// Opens the folder.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        Ok(Self {
            dir: Arc::new(File::open(dir)?),
            parts: Arc::new(Parts::new(dir).into()),
            begun: AtomicU64::new(0),
            done: Mutex::new(0),
        })
    }

    /// Returns when everything that was written before the call is on the disk.
    ///
    /// # Errors
    /// If the disk says so, or if what the engine wrote is not there.
    pub(super) async fn wait(&self) -> Result<(), NotDurable> {
        let before = self.begun.load(Ordering::Acquire);
        let mut done = self.done.lock().await;
        // Others waited for the lock too: a sync that began after we came covers us.
        if *done > before {
            return Ok(());
        }
        let number = self.begun.fetch_add(1, Ordering::AcqRel) + 1;
        let (dir, parts) = (Arc::clone(&self.dir), Arc::clone(&self.parts));
        let result = spawn_blocking(move || {
            syncfs(&*dir)?;
            parts.lock().unwrap_or_else(PoisonError::into_inner).look()
        });
        match result.await {
            Ok(Ok(None)) => {
                *done = number;
                Ok(())
            }
            Ok(Ok(Some(damage))) => Err(NotDurable::Damaged(damage)),
            Ok(Err(error)) => Err(NotDurable::Sync(error)),
            Err(error) => Err(NotDurable::Sync(io::Error::other(error))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn many_waiters_share_few_syncs() {
        let dir = tempfile::tempdir().unwrap();
        let durable = Arc::new(Durable::open(dir.path()).unwrap());
        let waiters: Vec<_> = (0..50)
            .map(|_| {
                let durable = Arc::clone(&durable);
                tokio::spawn(async move { durable.wait().await })
            })
            .collect();
        for waiter in waiters {
            waiter.await.unwrap().unwrap();
        }
        let syncs = durable.begun.load(Ordering::Relaxed);
        assert!((1..=4).contains(&syncs), "{syncs} syncs for 50 waiters");
    }
}
