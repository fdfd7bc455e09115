//! How complete a range is: who reported on it, and where the holes are.
//!
//! A batch tells which stretch of packet time it reports on. ClickHouse puts together the live batches of each step of
//! the range that follow one another without a hole; what is not whole is read batch by batch. What that means is
//! told here.

mod runs;
mod seqs;

use std::collections::{BTreeMap, HashSet};

use iotq_proto::GapReason;

use self::runs::Runs;
use crate::store::{DaysRow, ReadError, Scope, StepKey, Store, StretchRow, TimeRange};

/// What batches say of a range.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    /// Collectors that should have reported: those that were capturing live in the range or until a week before it,
    /// and those whose files reach into it. Who replayed a file once, or was taken away long ago, is not missed.
    pub collectors_expected: u64,
    /// Collectors whose batches reach into it.
    pub collectors_reporting: u64,
    /// Frames of these batches, each counted as a whole.
    pub frames: u64,
    /// Packets that were lost, by the label of the stage.
    pub lost: Vec<(String, u64)>,
    /// Frames that could not be decoded.
    pub undecoded: u64,
    /// The union of the stretches, cut to the range.
    pub covered_ns: i64,
    /// How long the days of the range are of which sums are kept, but no batch.
    pub only_days_ns: i64,
    /// The newest hundred, newest first.
    pub gaps: Vec<Gap>,
}

/// A stretch of which a collector that had reported said nothing: between its live batches, between those of one
/// file, or since the last of them. It may have begun before the range; it ends within.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Gap {
    /// Whose.
    pub collector: String,
    /// From when.
    pub from_at_ns: i64,
    /// Until when.
    pub until_at_ns: i64,
    /// Why.
    pub reason: GapReason,
    /// How many batches are missing there, if that is why.
    pub missing_batches: u64,
}

/// A collector that captured live.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Heard {
    /// Its name.
    pub collector: String,
    /// When it first did, of all that is stored.
    pub from_at_ns: i64,
    /// When it last did.
    pub until_at_ns: i64,
}

/// What batches are there of. It may be some seconds old.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// All that captured live.
    pub heard: Vec<Heard>,
    /// Of what was captured before this only sums of days are kept. `None`: there is nothing.
    pub older_than_ns: Option<i64>,
}

impl Kept {
    /// Whether sums of days are kept of a part of the range of which batches are not.
    #[must_use]
    pub fn is_older(&self, range: &TimeRange) -> bool {
        self.older_than_ns.is_some_and(|older_than_ns| range.since_ns.is_none_or(|since_ns| since_ns < older_than_ns))
    }
}

impl Coverage {
    /// Reads it.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn read(store: &Store, scope: &Scope, kept: &Kept, now_ns: i64) -> Result<Self, ReadError> {
        let mut rows = store.stretches(scope).await?;
        let mut coverage = Self::summed(&rows, scope);
        let steps = to_look_into(&rows);
        if !steps.is_empty() {
            let looked_into: HashSet<_> = steps.iter().cloned().collect();
            rows.retain(|row| !row.is_live() || !looked_into.contains(&row.key()));
            rows.extend(store.each_stretch(scope, &steps).await?);
        }
        let days = if kept.is_older(&scope.range) { store.days(scope).await? } else { DaysRow::default() };
        (coverage.covered_ns, coverage.only_days_ns) = covered_ns(&rows, &days.days, scope);
        if rows.iter().any(|row| row.kind == JUMPING) {
            let row = store.coverage_jumping(scope).await?;
            (coverage.collectors_reporting, coverage.frames) = (row.collectors_reporting, row.frames);
            (coverage.lost, coverage.undecoded, coverage.covered_ns) = (row.lost, row.undecoded, row.covered_ns);
        }
        if coverage.only_days_ns > 0 {
            coverage.collectors_reporting = coverage.collectors_reporting.max(days.collectors);
        }

        let (since, until) = (scope.range.since_or_least(), scope.range.until_or_greatest());
        let expected_since = since.saturating_sub(EXPECTED_AFTER_NS);
        let mut runs = Runs::new(&rows, scope.range);
        let is_asked_for = |one: &&Heard| scope.collectors.is_empty() || scope.collectors.contains(&one.collector);
        let heard: Vec<_> = kept.heard.iter().filter(is_asked_for).collect();
        let missed = heard.iter().filter(|one| one.from_at_ns < until && one.until_at_ns > expected_since);
        let mut expected: HashSet<&str> = missed.map(|one| one.collector.as_str()).collect();
        expected.extend(rows.iter().filter(|row| row.kind == TIMED).map(|row| row.collector.as_str()));
        coverage.collectors_expected = (expected.len() as u64).max(coverage.collectors_reporting);

        if heard.iter().any(|one| runs.has_an_open_edge(one, expected_since)) {
            runs.add_edges(store.edges(scope, expected_since).await?);
        }
        // Of a range without begin it is told from now.
        let silent_since = scope.range.since_ns.unwrap_or(now_ns).saturating_sub(EXPECTED_AFTER_NS);
        let mut gaps = runs.gaps();
        gaps.extend(runs.silences(&heard, now_ns, silent_since));
        gaps.sort_by(|one, other| (other.from_at_ns, &one.collector).cmp(&(one.from_at_ns, &other.collector)));
        gaps.truncate(MAX_GAPS);
        coverage.gaps = gaps;
        Ok(coverage)
    }

    fn summed(rows: &[StretchRow], scope: &Scope) -> Self {
        let mut lost = BTreeMap::<&str, u64>::new();
        for (stage, packets) in rows.iter().flat_map(|row| row.lost.0.iter().zip(&row.lost.1)) {
            let sum = lost.entry(stage).or_default();
            *sum = sum.saturating_add(*packets);
        }
        // What has no time was captured at 0, as far as a range without bounds asks.
        let reaches = |row: &&StretchRow| {
            row.from_at_ns < scope.range.until_or_greatest() && row.until_at_ns > scope.range.since_or_least()
        };
        let reporting: HashSet<_> = rows.iter().filter(reaches).map(|row| &row.collector).collect();
        Self {
            collectors_reporting: reporting.len() as u64,
            frames: rows.iter().map(|row| row.frames).fold(0, u64::saturating_add),
            lost: lost.into_iter().map(|(stage, packets)| (stage.to_owned(), packets)).collect(),
            undecoded: rows.iter().map(|row| row.undecoded).fold(0, u64::saturating_add),
            ..Self::default()
        }
    }
}

impl StretchRow {
    fn is_live(&self) -> bool {
        self.kind == TIMED && self.source_fingerprint.is_empty()
    }

    fn key(&self) -> StepKey {
        (self.collector.clone(), self.epoch, self.number)
    }
}

/// The newest steps with a hole somewhere, as many as can be read: of others their begin and end is all that counts.
fn to_look_into(rows: &[StretchRow]) -> Vec<StepKey> {
    let mut steps: Vec<_> = rows.iter().filter(|row| row.is_live() && row.is_whole == 0).collect();
    steps.sort_by_key(|row| std::cmp::Reverse(row.until_at_ns));
    let mut left = MAX_BATCHES;
    let has_room = |row: &&StretchRow| {
        let rest = left.checked_sub(row.batches);
        left = rest.unwrap_or(left);
        rest.is_some()
    };
    steps.into_iter().filter(has_room).take(MAX_STEPS).map(StretchRow::key).collect()
}

/// How long anybody reported on, and how long the days are of which only sums are kept, cut to the range.
fn covered_ns(rows: &[StretchRow], days: &[i64], scope: &Scope) -> (i64, i64) {
    let timed = rows.iter().filter(|row| row.kind == TIMED);
    let stretches = union(timed.map(|row| (row.from_at_ns, row.until_at_ns)).collect());
    let ns = |secs: i64| secs.saturating_mul(1_000_000_000);
    let is_reported_on = |(from, until): &(i64, i64)| {
        let next = stretches.partition_point(|stretch| stretch.1 <= *from);
        stretches.get(next).is_some_and(|stretch| stretch.0 < *until)
    };
    let days = days.iter().map(|&day| (ns(day), ns(day.saturating_add(86_400))));
    let only_days: Vec<_> = days.filter(|day| !is_reported_on(day)).collect();
    let (since, until) = (scope.range.since_or_least(), scope.range.until_or_greatest());
    let within = |(from, to): &(i64, i64)| (*to).min(until).saturating_sub((*from).max(since)).max(0);
    let sum = |stretches: &[(i64, i64)]| stretches.iter().map(within).fold(0, i64::saturating_add);
    (sum(&stretches), sum(&only_days))
}

/// The same without overlaps, in order.
fn union(mut stretches: Vec<(i64, i64)>) -> Vec<(i64, i64)> {
    stretches.sort_unstable();
    let mut union = Vec::<(i64, i64)>::new();
    for (from, to) in stretches {
        match union.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => union.push((from, to)),
        }
    }
    union
}

/// Values of `kind` in `sql/stretches.sql`.
const TIMED: u8 = 0;
const JUMPING: u8 = 2;

/// A collector that was silent for so long was taken away; before that it is missed.
const EXPECTED_AFTER_NS: i64 = 7 * 24 * 3600 * 1_000_000_000;
/// Nobody reads more.
const MAX_GAPS: usize = 100;
/// Looked into at once; together their names are shorter than what ClickHouse takes as a parameter (128 KiB).
const MAX_STEPS: usize = 500;
/// Of these steps: 70 MB.
const MAX_BATCHES: u64 = 500_000;
