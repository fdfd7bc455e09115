//! How complete the data behind an answer are.

use iotq_proto::{LossStage, v1};

use super::{Analyst, AskError};
use crate::store::Scope;

/// What a header tells, and what rates are computed with.
#[derive(Clone, Debug, Default)]
pub(super) struct Covered {
    pub(super) coverage: v1::Coverage,
    /// Minutes of the range for which a collector reported, at least 1.
    pub(super) minutes: f64,
}

impl Analyst {
    /// Reads the batches that reach into the range.
    pub(super) async fn covered(&self, scope: &Scope) -> Result<Covered, AskError> {
        let expected = self.store.expected_collectors(scope);
        let (row, gaps, expected) = tokio::try_join!(self.store.coverage(scope), self.store.gaps(scope), expected)?;
        let coverage = v1::Coverage {
            collectors_expected: u32::try_from(expected).unwrap_or(u32::MAX),
            collectors_reporting: u32::try_from(row.collectors_reporting).unwrap_or(u32::MAX),
            frames: row.frames,
            lost_packets: row.lost.iter().map(|(_, packets)| packets).sum(),
            lost_by_stage: losses(&row.lost),
            undecoded: row.undecoded,
            gaps: gaps
                .into_iter()
                .map(|gap| v1::Gap {
                    collector: gap.collector,
                    from_at_ns: gap.from_at_ns,
                    until_at_ns: gap.until_at_ns,
                })
                .collect(),
        };
        #[expect(clippy::cast_precision_loss, reason = "minutes need no more than 52 bits")]
        let minutes = (row.covered_ns as f64 / 60e9).max(1.0);
        Ok(Covered { coverage, minutes })
    }
}

/// Counts by the label in the store, as messages.
pub(super) fn losses(counts: &[(String, u64)]) -> Vec<v1::LossCount> {
    let stage = |label: &str| STAGES.into_iter().find(|stage| stage.label() == label).unwrap_or_default();
    counts.iter().map(|(label, packets)| v1::LossCount { stage: stage(label).into(), packets: *packets }).collect()
}

const STAGES: [LossStage; 7] = [
    LossStage::Interface,
    LossStage::KernelRing,
    LossStage::WindowQueue,
    LossStage::UplinkQueue,
    LossStage::Rejected,
    LossStage::Unacknowledged,
    LossStage::Spool,
];
