//! `timeline`: packets and octets over time.

use iotq_proto::v1::{self, timeline_question::Key};

use super::{Analyst, AskError, Asked, Out, Pieces};
use crate::{
    enrich::{DeviceKey, mapped},
    store::{PointRow, TimeRange},
};

pub(super) async fn answer(
    analyst: &Analyst,
    asked: &Asked,
    question: v1::TimelineQuestion,
    out: &Out,
) -> Result<(), AskError> {
    let step_secs = match question.step_secs {
        0 => fitting_step(analyst, asked).await?,
        step => i64::try_from(step).unwrap_or(i64::MAX).min(LONGEST_STEP_SECS),
    };
    out.header(asked).await?;
    let mut rows = match question.by() {
        Key::Unspecified | Key::All => analyst.store.timeline(&asked.scope, step_secs)?,
        Key::Device => analyst.store.timeline_by(&asked.scope, step_secs, false)?,
        Key::Destination => analyst.store.timeline_by(&asked.scope, step_secs, true)?,
    };
    let mut pieces = Pieces::new(out, asked.scope.limit, |timeline| v1::Rows { timeline, ..v1::Rows::default() });
    while let Some(row) = rows.next().await? {
        if !pieces.push(point(analyst, asked, &row, step_secs)).await? {
            break;
        }
    }
    pieces.end().await
}

fn point(analyst: &Analyst, asked: &Asked, row: &PointRow, step_secs: i64) -> v1::TimelinePoint {
    let key = DeviceKey::from_columns(row.mac, row.vlan_id, row.ip);
    let name = match key {
        Some(DeviceKey::Ip(ip)) => {
            let device = key.filter(|key| asked.directory.entry(*key).is_some());
            analyst.peer_naming(asked, None, device, mapped(ip)).name
        }
        Some(key) => analyst.naming(asked, key).name,
        None => String::new(),
    };
    v1::TimelinePoint {
        at_ns: row.step_at.saturating_mul(1_000_000_000),
        key: key.map_or_else(|| "all".to_owned(), |key| key.to_string()),
        packets: row.packets,
        wire_bytes: row.wire_bytes,
        step_secs: step_secs.unsigned_abs(),
        name,
    }
}

/// The step with which the range makes a plot of a screen's width.
async fn fitting_step(analyst: &Analyst, asked: &Asked) -> Result<i64, AskError> {
    let TimeRange { since_ns, until_ns } = asked.scope.range;
    let (since_ns, until_ns) = match (since_ns, until_ns) {
        (Some(since), Some(until)) => (since, until),
        // Without bounds the stored times decide.
        (since, until) => {
            let collectors = analyst.store.collectors(&asked.scope.collectors).await?;
            let covered = collectors.iter().filter(|row| row.covered_until_at_ns != 0);
            let first = covered.clone().map(|row| row.covered_from_at_ns).min().unwrap_or_default();
            let last = covered.map(|row| row.covered_until_at_ns).max().unwrap_or_default();
            (since.unwrap_or(first), until.unwrap_or(last))
        }
    };
    let secs = until_ns.saturating_sub(since_ns) / 1_000_000_000;
    Ok(STEPS_SECS.into_iter().find(|step| secs / step <= POINTS).unwrap_or(LONGEST_STEP_SECS))
}

/// Points that fit a screen.
const POINTS: i64 = 120;
/// Steps that people know: seconds, minutes, hours, days, 30 days, a year.
const STEPS_SECS: [i64; 17] =
    [1, 5, 10, 30, 60, 300, 600, 1800, 3600, 7200, 21_600, 43_200, 86_400, 604_800, 2_592_000, 31_536_000, 315_360_000];
const LONGEST_STEP_SECS: i64 = 3_153_600_000;
