//! What changed between two stretches of time.

use iotq_proto::v1::{
    self, Difference,
    difference::{Change, Kind},
    question::Ask,
};
use jiff::SignedDuration;

use super::{Question, wording::name_or_id};
use crate::{
    config::{Config, InvalidConfig},
    render::{Cell, Column},
    time_range::{InvalidRange, InvalidText, Moment, TimeRange, parse_duration, parse_moment},
};

/// What is new, gone or different from before
///
/// Compares the range with an earlier one: which devices, destinations, owners and countries are new or gone, and which
/// intervals have changed. For intervals BEFORE and AFTER are lengths of time, else packets a minute.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:\n  iotq diff --since 7d\n  \
    iotq diff --since 1d --against 2026-05-01..2026-05-08")]
pub struct Diff {
    /// The stretch of this length just before the range (7d), or FROM..UNTIL [default: as long as the range]
    #[arg(long, value_name = "RANGE", value_parser = parse_against)]
    against: Option<Against>,
}

/// What to compare with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Against {
    /// So long, up to where the range begins.
    Before(SignedDuration),
    /// From here to there.
    Range(Moment, Moment),
}

impl Question for Diff {
    type Row = Difference;

    fn ask(&self, config: &Config) -> Result<Ask, InvalidConfig> {
        let range = (config.selection.since_ns, config.selection.until_ns);
        let (since_ns, until_ns) = match (self.against, range) {
            (Some(Against::Range(from, until)), _) => {
                let (none, time_zone) = (SignedDuration::ZERO, &config.terminal.time_zone);
                let range = TimeRange::new(Some(from), Some(until), false, none, config.now, time_zone)?;
                (range.since_ns.unwrap_or(i64::MIN), range.until_ns.unwrap_or(i64::MAX))
            }
            (Some(Against::Before(length)), (Some(since), _)) => (before(since, length.as_nanos()), since),
            (None, (Some(since), Some(until))) => (before(since, i128::from(until) - i128::from(since)), since),
            _ => return Err(InvalidRange::NothingBefore.into()),
        };
        Ok(Ask::Diff(v1::DiffQuestion { against_since_ns: since_ns, against_until_ns: until_ns }))
    }

    fn rows(rows: v1::Rows) -> Vec<Difference> {
        rows.diff
    }

    fn if_nothing(&self) -> Option<&'static str> {
        Some("nothing is new, gone or different")
    }

    fn columns(&self) -> Vec<Column<Difference>> {
        type Col = Column<Difference>;
        vec![
            Col::left("change", "CHANGE", |it| Cell::text(change(it.change()))),
            Col::left("kind", "KIND", |it| Cell::text(kind(it.kind()))),
            Col::left("device", "DEVICE", |it| Cell::text(&it.device))
                .shows(|it| name_or_id(&it.device_name, &it.device))
                .shortest(12),
            Col::data("name", |it| Cell::text(&it.device_name)),
            Col::left("what", "WHAT", |it| Cell::text(&it.what)).shortest(18),
            Col::right("before", "BEFORE", |it| amount(it, it.before)),
            Col::right("after", "AFTER", |it| amount(it, it.after)),
        ]
    }
}

/// Where a stretch begins that ends here.
fn before(until_ns: i64, length_ns: i128) -> i64 {
    i64::try_from(i128::from(until_ns) - length_ns).unwrap_or(i64::MIN)
}

fn amount(it: &Difference, amount: Option<f64>) -> Cell {
    match amount {
        None => Cell::Null,
        Some(secs) if it.kind() == Kind::Period => Cell::Secs(secs),
        Some(rate) => Cell::Rate(rate),
    }
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Unspecified => "",
        Kind::Device => "device",
        Kind::Destination => "destination",
        Kind::Owner => "owner",
        Kind::Country => "country",
        Kind::Period => "period",
    }
}

fn change(change: Change) -> &'static str {
    match change {
        Change::Unspecified => "",
        Change::New => "new",
        Change::Gone => "gone",
        Change::Changed => "changed",
    }
}

/// Reads `7d` or `FROM..UNTIL`, each as `--since` takes it.
fn parse_against(text: &str) -> Result<Against, InvalidText> {
    match text.split_once("..") {
        Some((from, until)) => Ok(Against::Range(parse_moment(from)?, parse_moment(until)?)),
        None => parse_duration(text).map(Against::Before),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read() {
        assert_eq!(parse_against("7d"), Ok(Against::Before(SignedDuration::from_hours(7 * 24))));
        let ago = |hours| Moment::Ago(SignedDuration::from_hours(hours));
        assert_eq!(parse_against("2h..1h"), Ok(Against::Range(ago(2), ago(1))));
        assert_eq!(parse_against("2026-05-01"), Err(InvalidText::Duration));
        assert_eq!(parse_against("1h..soon"), Err(InvalidText::Moment));
    }

    #[test]
    fn before_the_first_instant_there_is_none() {
        assert_eq!(before(i64::MIN + 5, 10), i64::MIN);
        assert_eq!(before(100, 30), 70);
    }
}
