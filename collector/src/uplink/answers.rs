//! What the analyzer says, and what follows from it.

use iotq_proto::{LossStage, v1};
use tokio::{sync::mpsc, time::Instant};
use tracing::{debug, error, info, warn};

use super::{Connection, Uplink, codec::Message, link::Link, unacknowledged::Waiting};
use crate::totals::Totals;

impl Uplink {
    pub(super) fn opened(&mut self, link: Link) -> mpsc::Sender<Message> {
        let analyzer = self.url();
        if self.reported_down {
            info!(%analyzer, version = link.welcome.version, "connected to the analyzer again");
        } else {
            info!(%analyzer, version = link.welcome.version, "connected to the analyzer");
        }
        self.reported_down = false;
        self.refusals = 0;
        if !self.welcomed {
            // It was started late: that is progress, but only once.
            self.welcomed = true;
            self.progress_at = Instant::now();
        }
        self.heard_at = Instant::now();
        self.set_held(None);
        self.return_at = (self.analyzer > 0).then(|| Instant::now() + self.limits.return_after);
        self.clock_offset_ns = link.clock_offset_ns;
        self.count(|metrics| {
            metrics.connects.inc();
            metrics.clock_offset_ms.set(link.clock_offset_ns / 1_000_000);
        });
        // 0 would be a promise never to store anything: one at a time, then.
        self.max_in_flight = usize::try_from(link.welcome.max_unacknowledged).unwrap_or(usize::MAX).max(1);
        self.rewind();
        let stored_through = link.welcome.stored_through_seq;
        for (seq, batch) in self.store.settle_through(stored_through) {
            self.unspool(seq, &batch, true);
            self.stored(&batch);
        }
        if let Some(spool) = &self.config.spool {
            self.outcome.batches += spool.lock().remove_through(self.config.epoch, stored_through);
        }
        self.set_connection(Connection::Up(Box::new(link.responses)));
        link.requests
    }

    pub(super) fn answered(&mut self, response: v1::PushResponse) {
        if let Some(v1::push_response::Kind::Hold(hold)) = response.kind {
            // No answer: from an analyzer that stays like that, the next one is to take over.
            self.hold(hold.reason);
            return;
        }
        self.heard_at = Instant::now();
        match response.kind {
            Some(v1::push_response::Kind::Ack(ack)) => {
                // An answer repeated is none.
                let Some(batch) = self.store.settle(ack.seq) else { return };
                debug!(seq = ack.seq, packets = batch.totals.packets, "batch stored");
                if let Some(stored_at_ns) = ack.source_stored_at_ns {
                    self.warn_stored_again(batch.source.as_ref(), stored_at_ns);
                }
                self.unspool(ack.seq, &batch, true);
                self.stored(&batch);
            }
            Some(v1::push_response::Kind::Reject(reject)) => {
                let Some(batch) = self.store.settle(reject.seq) else { return };
                self.unspool(reject.seq, &batch, false);
                self.rejected(&reject, batch);
            }
            // A second welcome, or something that a later release says.
            Some(v1::push_response::Kind::Welcome(_) | v1::push_response::Kind::Hold(_)) | None => {}
        }
    }

    /// The analyzer cannot store anything, or can again.
    pub(super) fn hold(&mut self, reason: String) {
        if reason.is_empty() {
            if self.set_held(None).is_some() {
                info!(analyzer = self.url(), "the analyzer stores again");
            }
        } else if self.held.is_none() {
            warn!(analyzer = self.url(), reason, "the analyzer cannot store anything, batches wait");
            self.count(|metrics| {
                metrics.holds.inc();
            });
            self.set_held(Some(reason));
        }
    }

    /// Returns what was said before.
    pub(super) fn set_held(&mut self, reason: Option<String>) -> Option<String> {
        self.count(|metrics| {
            metrics.held.set(i64::from(reason.is_some()));
        });
        std::mem::replace(&mut self.held, reason)
    }

    pub(super) fn stored(&mut self, batch: &Waiting) {
        self.backoff.reset();
        self.progressed();
        self.count(|metrics| {
            metrics.batches_stored.inc();
        });
        self.outcome.batches += 1;
        self.outcome.stored.add(&batch.totals);
    }

    pub(super) fn rejected(&mut self, reject: &v1::Reject, batch: Waiting) {
        let lost = batch.totals.lost_at(LossStage::Rejected);
        let newly_lost = lost.frames.saturating_sub(batch.totals.lost_packets());
        self.count(|metrics| {
            metrics.batches_refused.inc();
            metrics.count_lost(LossStage::Rejected, newly_lost);
        });
        error!(seq = reject.seq, frames = lost.frames, reason = reject.reason, "batch refused by the analyzer");
        self.progressed();
        if let Some(spool) = self.config.spool.as_ref().filter(|_| self.config.is_left_behind) {
            // A batch of the present start reports it.
            spool.lock().note_losses(&lost.lost);
        } else if batch.totals != Totals::default() || batch.carried.is_empty() {
            // Unless all it had to say was losses like this: nobody wants to know.
            for losses in [&lost.lost, &batch.carried] {
                for (stage, packets) in losses {
                    *self.carried.entry(*stage).or_default() += packets;
                }
            }
            self.carried_source = batch.source;
        }
        self.outcome.rejected.add(&lost);
    }

    pub(super) fn progressed(&mut self) {
        self.progress_at = Instant::now();
        self.welcomed = false;
    }

    pub(super) fn warn_stored_again(&mut self, source: Option<&v1::ReplaySource>, stored_at_ns: i64) {
        let Some(source) = source else { return };
        if self.warned_sources.insert(source.fingerprint.clone()) {
            let stored_at = jiff::Timestamp::from_nanosecond(stored_at_ns.into()).unwrap_or_default();
            warn!(file = source.name, %stored_at, "a capture that begins like this one is stored already: stored again");
        }
    }
}
