//! How complete the data behind an answer are.

use std::sync::Arc;

use iotq_proto::{LossStage, v1};

use tokio::sync::{Mutex, OnceCell};
use tokio_util::task::AbortOnDropHandle;

use super::{Analyst, AskError, CACHE_AGE, Holdings};
use crate::{
    clock::now_ns,
    coverage::{Coverage, Gap},
    store::{ReadError, Scope, Store},
};

/// What a header tells, and what rates are computed with.
#[derive(Clone, Debug, Default)]
pub(super) struct Covered {
    pub(super) coverage: v1::Coverage,
    /// How long a collector reported.
    pub(super) covered_ns: i64,
    /// And how long the days are of which only sums are kept.
    pub(super) only_days_ns: i64,
    /// Of a range on which nobody reported: from when to when anybody ever did.
    pub(super) stored: Option<(i64, i64)>,
}

/// It is read while the question's own queries run.
pub(super) struct Covering {
    /// `None`: it was read just before.
    task: Option<Mutex<AbortOnDropHandle<Result<Covered, ReadError>>>>,
    covered: OnceCell<Covered>,
}

impl Covering {
    pub(super) fn start(analyst: &Analyst, scope: &Scope, holdings: &Arc<Holdings>) -> Self {
        let changes = analyst.registry.changes();
        if analyst.may_keep(scope)
            && let Some(known) = analyst.covered.find(changes, CACHE_AGE)
            && known.0.is_about_the_same(scope)
        {
            return Self { task: None, covered: OnceCell::new_with(Some(known.1.clone())) };
        }
        let (store, scope, cache) = (analyst.store.clone(), scope.clone(), Arc::clone(&analyst.covered));
        let holdings = Arc::clone(holdings);
        let task = tokio::spawn(async move {
            let covered = Covered::read(&store, &scope, &holdings).await?;
            cache.put(changes, &Arc::new((scope, covered.clone())));
            Ok(covered)
        });
        Self { task: Some(Mutex::new(AbortOnDropHandle::new(task))), covered: OnceCell::new() }
    }

    /// What was read.
    pub(super) async fn get(&self) -> Result<&Covered, AskError> {
        let wait = async || {
            let Some(task) = &self.task else { return Err(AskError::Stopping) };
            match (&mut *task.lock().await).await {
                Ok(read) => Ok(read?),
                // It panicked, or the runtime is going down.
                Err(_) => Err(AskError::Stopping),
            }
        };
        self.covered.get_or_try_init(wait).await
    }
}

impl Covered {
    /// Reads the batches that reach into the range.
    async fn read(store: &Store, scope: &Scope, holdings: &Holdings) -> Result<Self, ReadError> {
        let read = Coverage::read(store, scope, &holdings.kept, now_ns()).await?;
        let coverage = v1::Coverage {
            collectors_expected: u32::try_from(read.collectors_expected).unwrap_or(u32::MAX),
            collectors_reporting: u32::try_from(read.collectors_reporting).unwrap_or(u32::MAX),
            frames: read.frames,
            lost_packets: read.lost.iter().map(|(_, packets)| *packets).fold(0, u64::saturating_add),
            lost_by_stage: losses(&read.lost),
            undecoded: read.undecoded,
            gaps: read.gaps.into_iter().map(gap).collect(),
        };
        let stored = if read.collectors_reporting == 0 { stored(store, &scope.collectors).await? } else { None };
        Ok(Self { coverage, covered_ns: read.covered_ns, only_days_ns: read.only_days_ns, stored })
    }
}

/// From when to when these collectors, or all, ever reported.
async fn stored(store: &Store, collectors: &[String]) -> Result<Option<(i64, i64)>, ReadError> {
    let rows = store.collectors(collectors).await?;
    let rows = rows.iter().filter(|row| row.covered_until_at_ns != 0);
    let (from, until): (Vec<_>, Vec<_>) = rows.map(|row| (row.covered_from_at_ns, row.covered_until_at_ns)).unzip();
    Ok(from.into_iter().min().zip(until.into_iter().max()))
}

/// A gap as a message.
pub(super) fn gap(gap: Gap) -> v1::Gap {
    v1::Gap {
        collector: gap.collector,
        from_at_ns: gap.from_at_ns,
        until_at_ns: gap.until_at_ns,
        reason: gap.reason.into(),
        missing_batches: gap.missing_batches,
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
