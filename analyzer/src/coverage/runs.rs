//! What belongs together of a collector's stretches, and the holes in it.

use std::collections::{BTreeMap, HashMap};

use iotq_proto::GapReason;

use super::{Gap, Heard, TIMED, seqs};
use crate::store::{EdgeRow, StretchRow, TimeRange};

/// All that was captured live by one collector is one run, and so is each file of a start.
#[derive(Debug)]
pub(super) struct Runs {
    since_ns: i64,
    until_ns: i64,
    runs: BTreeMap<RunKey, Vec<Stretch>>,
    /// Which batches of a collector's start are stored.
    seqs: HashMap<(String, u64), seqs::Seqs>,
}

#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct RunKey {
    collector: String,
    /// Of a file, its start and fingerprint.
    file: Option<(u64, String)>,
}

/// Batches of one start that follow one another.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    from_at_ns: i64,
    until_at_ns: i64,
    epoch: u64,
    first_seq: u64,
    last_seq: u64,
}

impl Runs {
    pub(super) fn new(rows: &[StretchRow], range: TimeRange) -> Self {
        let mut runs = BTreeMap::<_, Vec<_>>::new();
        let mut numbers = HashMap::<_, Vec<_>>::new();
        for row in rows {
            let numbers = numbers.entry((row.collector.clone(), row.epoch)).or_default();
            if row.kind != TIMED {
                numbers.extend(seqs::of_bits(row.number, row.seqs));
                continue;
            }
            numbers.push((row.first_seq, row.last_seq));
            let file = (!row.is_live()).then(|| (row.epoch, row.source_fingerprint.clone()));
            let StretchRow { from_at_ns, until_at_ns, epoch, first_seq, last_seq, .. } = *row;
            let stretch = Stretch { from_at_ns, until_at_ns, epoch, first_seq, last_seq };
            runs.entry(RunKey { collector: row.collector.clone(), file }).or_default().push(stretch);
        }
        let seqs = numbers.into_iter().map(|(epoch, numbers)| (epoch, seqs::Seqs::new(numbers))).collect();
        Self { since_ns: range.since_or_least(), until_ns: range.until_or_greatest(), runs, seqs }
    }

    /// Whether a collector was there shortly before the range, or after it, and its stretches do not reach to that end.
    pub(super) fn has_an_open_edge(&self, heard: &Heard, expected_since_ns: i64) -> bool {
        let stretches = self.live(&heard.collector);
        let from = stretches.iter().map(|stretch| stretch.from_at_ns).min().unwrap_or(i64::MAX);
        let until = stretches.iter().map(|stretch| stretch.until_at_ns).max().unwrap_or(i64::MIN);
        let was_there = heard.from_at_ns < self.since_ns && heard.until_at_ns > expected_since_ns;
        let begins_late = was_there && from.saturating_sub(LIVE_HOLE_NS) > self.since_ns;
        let goes_on = heard.from_at_ns < self.until_ns && heard.until_at_ns > self.until_ns;
        let ends_early = goes_on && until.saturating_add(LIVE_HOLE_NS) < self.until_ns;
        begins_late || ends_early
    }

    /// What was captured live before and after the range.
    pub(super) fn add_edges(&mut self, rows: Vec<EdgeRow>) {
        for row in rows {
            let EdgeRow { collector, epoch, from_at_ns, until_at_ns, first_seq, last_seq } = row;
            let stretch = Stretch { from_at_ns, until_at_ns, epoch, first_seq, last_seq };
            self.runs.entry(RunKey { collector, file: None }).or_default().push(stretch);
        }
    }

    /// The holes between stretches, as far as the range.
    pub(super) fn gaps(&self) -> Vec<Gap> {
        self.runs.iter().flat_map(|(run, stretches)| self.gaps_of(run, stretches)).collect()
    }

    fn gaps_of(&self, run: &RunKey, stretches: &[Stretch]) -> Vec<Gap> {
        let hole_ns = if run.file.is_none() { LIVE_HOLE_NS } else { FILE_HOLE_NS };
        let mut stretches = stretches.to_vec();
        stretches.sort_unstable_by_key(|stretch| (stretch.from_at_ns, stretch.until_at_ns));
        let mut gaps = Vec::new();
        let mut before: Option<Stretch> = None;
        for next in stretches {
            if let Some(before) = before
                && next.from_at_ns > before.until_at_ns.saturating_add(hole_ns)
                && before.until_at_ns < self.until_ns
                && next.from_at_ns > self.since_ns
            {
                let (reason, missing_batches) = self.reason(&run.collector, &before, &next);
                gaps.push(Gap {
                    collector: run.collector.clone(),
                    from_at_ns: before.until_at_ns,
                    until_at_ns: next.from_at_ns.min(self.until_ns),
                    reason,
                    missing_batches,
                });
            }
            if before.is_none_or(|before| next.until_at_ns > before.until_at_ns) {
                before = Some(next);
            }
        }
        gaps
    }

    fn reason(&self, collector: &str, before: &Stretch, next: &Stretch) -> (GapReason, u64) {
        if before.epoch != next.epoch {
            return (GapReason::NotRunning, 0);
        }
        let seqs = self.seqs.get(&(collector.to_owned(), next.epoch));
        match seqs.map_or(0, |seqs| seqs.missing_between(before.last_seq, next.first_seq)) {
            0 => (GapReason::ClockJumped, 0),
            missing => (GapReason::BatchesMissing, missing),
        }
    }

    /// Who captured live, and has not been heard of since, until the end of the range or now.
    pub(super) fn silences(&self, heard: &[&Heard], now_ns: i64, silent_since_ns: i64) -> Vec<Gap> {
        let end = self.until_ns.min(now_ns);
        let mut last: BTreeMap<_, _> = heard.iter().map(|one| (&one.collector, one.until_at_ns)).collect();
        for (run, stretches) in self.runs.iter().filter(|(run, _)| run.file.is_none()) {
            let until = stretches.iter().map(|stretch| stretch.until_at_ns).max().unwrap_or(i64::MIN);
            let known = last.entry(&run.collector).or_insert(until);
            *known = until.max(*known);
        }
        let is_silent = |last: i64| end.saturating_sub(last) > SILENCE_NS && last > silent_since_ns;
        let silent = last.into_iter().filter(|(_, last)| is_silent(*last));
        let gap = |(collector, from_at_ns): (&String, i64)| Gap {
            collector: collector.clone(),
            from_at_ns,
            until_at_ns: end,
            reason: GapReason::Silent,
            missing_batches: 0,
        };
        silent.map(gap).collect()
    }

    fn live(&self, collector: &str) -> &[Stretch] {
        let run = RunKey { collector: collector.to_owned(), file: None };
        self.runs.get(&run).map(Vec::as_slice).unwrap_or_default()
    }
}

/// Live batches follow one another without a hole.
const LIVE_HOLE_NS: i64 = 1_000_000;
/// Between the parts of a file a second is no outage.
const FILE_HOLE_NS: i64 = 1_000_000_000;
/// A quiet collector sends a batch each ten seconds; what is later than this is not just late.
const SILENCE_NS: i64 = 60 * 1_000_000_000;
