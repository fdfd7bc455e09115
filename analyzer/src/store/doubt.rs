//! Whether the engine can be believed about what is stored.
//!
//! ClickHouse notes an insert's token before the insert is done, in memory and on disk. Where the
//! disk is full in between it goes on believing the insert done, and ignores it when it is repeated.
//! It goes on as well where it could not write a part to its end ([`crate::engine::parts`]).
//! After either the embedded engine is started anew, which looks both through.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{Mutex, RwLock};
use tracing::warn;

use super::{InsertError, NotDurable};
use crate::engine::Restart;

#[derive(Debug)]
pub(super) struct Doubt {
    /// `None`: an external server is not ours to restart.
    restart: Option<Restart>,
    is_there: AtomicBool,
    /// One restarts, the others wait.
    healing: Mutex<()>,
}

impl Doubt {
    pub(super) fn new(restart: Option<Restart>) -> Self {
        Self { restart, is_there: AtomicBool::new(false), healing: Mutex::new(()) }
    }

    /// Takes to heart why an insert failed.
    pub(super) fn note(&self, error: &InsertError) {
        match error {
            InsertError::NotDurable(error) => self.note_not_durable(error),
            error if error.is_out_of_space() => self.is_there.store(true, Ordering::Release),
            _ => {}
        }
    }

    /// Takes to heart why nothing is sure of what was stored.
    pub(super) fn note_not_durable(&self, error: &NotDurable) {
        if matches!(error, NotDurable::Damaged(_)) {
            self.is_there.store(true, Ordering::Release);
        }
    }

    /// Starts the engine anew, if need be: when no insert is under way any more.
    pub(super) async fn heal(&self, storing: &RwLock<()>) {
        let Some(restart) = &self.restart else { return };
        if !self.is_there.load(Ordering::Acquire) {
            return;
        }
        let _healing = self.healing.lock().await;
        let _alone = storing.write().await;
        if self.is_there.swap(false, Ordering::AcqRel) {
            warn!("the engine may take for stored what is not: it is started anew");
            if !restart.now().await {
                // It stops; what is tried meanwhile fails, and is tried again after the next start.
                self.is_there.store(true, Ordering::Release);
            }
        }
    }
}
