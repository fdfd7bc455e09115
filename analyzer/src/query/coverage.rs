//! How complete the data behind an answer are.

use iotq_proto::{GapReason, LossStage, v1};

use super::{Analyst, AskError};
use crate::{
    clock::now_ns,
    store::{GapRow, Scope},
};

/// What a header tells, and what rates are computed with.
#[derive(Clone, Debug, Default)]
pub(super) struct Covered {
    pub(super) coverage: v1::Coverage,
    /// Minutes of the range for which a collector reported, at least 1.
    pub(super) minutes: f64,
    /// Of a range on which nobody reported: from when to when anybody ever did.
    pub(super) stored: Option<(i64, i64)>,
}

impl Analyst {
    /// Reads the batches that reach into the range.
    pub(super) async fn covered(&self, scope: &Scope) -> Result<Covered, AskError> {
        let expected = self.store.expected_collectors(scope);
        let gaps = self.store.gaps(scope, now_ns());
        let (row, gaps, expected) = tokio::try_join!(self.store.coverage(scope), gaps, expected)?;
        let coverage = v1::Coverage {
            collectors_expected: u32::try_from(expected.max(row.collectors_reporting)).unwrap_or(u32::MAX),
            collectors_reporting: u32::try_from(row.collectors_reporting).unwrap_or(u32::MAX),
            frames: row.frames,
            lost_packets: row.lost.iter().map(|(_, packets)| packets).sum(),
            lost_by_stage: losses(&row.lost),
            undecoded: row.undecoded,
            gaps: gaps.into_iter().map(gap).collect(),
        };
        #[expect(clippy::cast_precision_loss, reason = "minutes need no more than 52 bits")]
        let minutes = (row.covered_ns as f64 / 60e9).max(1.0);
        let stored = if row.collectors_reporting == 0 { self.stored(&scope.collectors).await? } else { None };
        Ok(Covered { coverage, minutes, stored })
    }

    /// From when to when these collectors, or all, ever reported.
    async fn stored(&self, collectors: &[String]) -> Result<Option<(i64, i64)>, AskError> {
        let rows = self.store.collectors(collectors).await?;
        let rows = rows.iter().filter(|row| row.covered_until_at_ns != 0);
        let (from, until): (Vec<_>, Vec<_>) = rows.map(|row| (row.covered_from_at_ns, row.covered_until_at_ns)).unzip();
        Ok(from.into_iter().min().zip(until.into_iter().max()))
    }
}

/// A gap as a message.
pub(super) fn gap(row: GapRow) -> v1::Gap {
    let reason = GAP_REASONS.into_iter().find(|reason| reason.label() == row.reason).unwrap_or_default();
    v1::Gap {
        collector: row.collector,
        from_at_ns: row.from_at_ns,
        until_at_ns: row.until_at_ns,
        reason: reason.into(),
        missing_batches: row.missing_batches,
    }
}

/// Counts by the label in the store, as messages.
pub(super) fn losses(counts: &[(String, u64)]) -> Vec<v1::LossCount> {
    let stage = |label: &str| STAGES.into_iter().find(|stage| stage.label() == label).unwrap_or_default();
    counts.iter().map(|(label, packets)| v1::LossCount { stage: stage(label).into(), packets: *packets }).collect()
}

const GAP_REASONS: [GapReason; 4] =
    [GapReason::NotRunning, GapReason::BatchesMissing, GapReason::ClockJumped, GapReason::Silent];

const STAGES: [LossStage; 7] = [
    LossStage::Interface,
    LossStage::KernelRing,
    LossStage::WindowQueue,
    LossStage::UplinkQueue,
    LossStage::Rejected,
    LossStage::Unacknowledged,
    LossStage::Spool,
];
