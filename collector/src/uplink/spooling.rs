//! Batches on their way from the window: into the spool, out of it, or past it.

use std::collections::BTreeMap;

use bytes::Bytes;
use iotq_proto::{LossStage, v1};
use prost::Message as _;
use tokio::time::Instant;

use super::{Connection, Uplink, accounted::accounted, clock_ns, unacknowledged::Waiting};
use crate::{spool::Header, totals::Totals};

impl Uplink {
    /// Numbers the batch, encodes it, and keeps it until it is answered.
    pub(super) fn accept(&mut self, mut batch: v1::Batch) {
        self.seq += 1;
        let totals = Totals::of(&batch);
        let mut carried = std::mem::take(&mut self.carried);
        if let Some(spool) = &self.config.spool {
            for (stage, packets) in spool.lock().take_losses() {
                *carried.entry(stage).or_default() += packets;
            }
        }
        add_losses(&mut batch, &carried);
        batch.collector = self.config.collector.as_str().to_owned();
        batch.epoch = self.config.epoch;
        batch.seq = self.seq;
        batch.sealed_at_ns = clock_ns().saturating_add(self.clock_offset_ns);
        let header =
            Header { epoch: batch.epoch, seq: batch.seq, sealed_at_ns: batch.sealed_at_ns, frames: batch.frames };
        let source = batch.source.clone();
        let request = v1::PushRequest { kind: Some(v1::push_request::Kind::Batch(batch)) };
        if self.is_all_answered() {
            // From now on somebody has to answer.
            self.progress_at = Instant::now();
        }
        let message = Bytes::from(request.encode_to_vec());
        let mut is_spooled = false;
        if let Some(spool) = &self.config.spool {
            let mut spool = spool.lock();
            // What is on disk already goes first.
            let is_next = self.may_load() && self.store.has_room() && !spool.has_more(header.epoch);
            is_spooled =
                (self.config.live || !is_next) && spool.put((header.epoch, header.seq), header, &message).is_ok();
            if is_spooled && !is_next {
                return;
            }
            spool.mark_loaded((header.epoch, header.seq));
        }
        self.store.push(self.seq, Waiting { message, totals, carried, source, is_spooled });
    }

    /// How the spool is, as an addition to an encoded batch: of a message that is there
    /// twice Protocol Buffers make one, with the fields of both. So it tells what is now,
    /// not what was when the batch was sealed.
    pub(super) fn state(&self) -> Bytes {
        let (batches, bytes) = self.store.unspooled();
        let spool = match &self.config.spool {
            Some(spool) => {
                let level = spool.lock().waiting();
                v1::SpoolState {
                    batches: level.batches + batches,
                    bytes: level.bytes + bytes,
                    oldest_sealed_at_ns: level.oldest_sealed_at_ns,
                    degraded: level.is_degraded,
                    given_up_frames: level.given_up_frames,
                    damaged_files: level.damaged_files,
                }
            }
            None if self.config.live => v1::SpoolState { batches, bytes, degraded: true, ..v1::SpoolState::default() },
            None => return Bytes::new(),
        };
        let batch = v1::Batch { spool: Some(spool), ..v1::Batch::default() };
        v1::PushRequest { kind: Some(v1::push_request::Kind::Batch(batch)) }.encode_to_vec().into()
    }

    /// Puts live batches that had to stay in memory into a spool that works again.
    pub(super) fn respool(&mut self) {
        let Some(spool) = self.config.spool.clone().filter(|_| self.config.live) else { return };
        let mut spool = spool.lock();
        spool.probe();
        while !spool.level().is_degraded {
            let Some((seq, batch)) = self.store.first_unspooled() else { return };
            let key = (self.config.epoch, seq);
            let header = Header { epoch: key.0, seq, sealed_at_ns: clock_ns(), frames: batch.totals.frames };
            if spool.put(key, header, &batch.message).is_err() {
                return;
            }
            spool.mark_loaded(key);
            self.store.note_spooled(seq);
        }
    }

    /// Reads batches from the spool, as many as there is room for.
    pub(super) fn load(&mut self) {
        let Some(spool) = self.config.spool.as_ref().filter(|_| self.may_load()) else { return };
        while self.store.has_room() {
            let Some((seq, message)) = spool.lock().load_next(self.config.epoch) else { return };
            let (totals, source) = accounted(&message);
            self.store.push(seq, Waiting { message, totals, carried: BTreeMap::new(), source, is_spooled: true });
        }
    }

    /// Live batches are read from the spool when there is somebody to send them to: what is
    /// in memory is not given up, and would be beyond the spool's limits.
    pub(super) fn may_load(&self) -> bool {
        !self.config.live || matches!(self.connection, Connection::Up(_))
    }

    pub(super) fn is_all_answered(&self) -> bool {
        let is_more_spooled =
            || self.config.spool.as_ref().is_some_and(|spool| spool.lock().has_more(self.config.epoch));
        self.store.is_empty() && !is_more_spooled()
    }

    /// Whether another batch may come. A live one pushes the oldest out of the
    /// spool; a file can wait.
    pub(super) fn has_room(&self) -> bool {
        self.store.has_room()
            || self.config.spool.as_ref().is_some_and(|spool| {
                let spool = spool.lock();
                // One that takes none is asked by `respool`: here each attempt would be a batch more in memory.
                if self.config.live { !spool.level().is_degraded } else { spool.has_room() }
            })
    }

    /// Tells the spool that a batch was answered.
    pub(super) fn unspool(&self, seq: u64, batch: &Waiting, is_stored: bool) {
        let Some(spool) = self.config.spool.as_ref().filter(|_| batch.is_spooled) else { return };
        if is_stored {
            spool.lock().remove((self.config.epoch, seq));
        } else {
            spool.lock().reject((self.config.epoch, seq));
        }
    }

    /// When the last batches were refused, no other reports it: one more does.
    pub(super) fn push_last_losses(&mut self) -> bool {
        let are_more = || self.config.spool.as_ref().is_some_and(|spool| spool.lock().has_losses());
        if self.config.is_left_behind || (self.carried.is_empty() && !are_more()) {
            return false;
        }
        let source = self.carried_source.take();
        self.accept(v1::Batch { source, ..Default::default() });
        true
    }
}

fn add_losses(batch: &mut v1::Batch, carried: &BTreeMap<LossStage, u64>) {
    for (stage, packets) in carried {
        batch.frames += packets;
        match batch.lost.iter_mut().find(|count| count.stage() == *stage) {
            Some(count) => count.packets += packets,
            None => batch.lost.push(v1::LossCount { stage: (*stage).into(), packets: *packets }),
        }
    }
}
