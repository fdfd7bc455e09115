//! Moments, durations and networks as people type them.

use std::net::IpAddr;

use iotq_proto::Timestamp;
use ipnet::IpNet;
use jiff::{SignedDuration, Span, SpanRelativeTo, civil::DateTime, tz::TimeZone};

/// A moment as it was typed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Moment {
    /// No bound.
    All,
    /// So long before now.
    Ago(SignedDuration),
    /// Said with its offset from UTC.
    At(jiff::Timestamp),
    /// A date, or date and time, in the time zone of the tables.
    Local(DateTime),
}

/// Half-open; nanoseconds since 1970. `None`: no bound on that side.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct TimeRange {
    /// The first instant in it.
    pub since_ns: Option<i64>,
    /// The first instant after it.
    pub until_ns: Option<i64>,
}

impl TimeRange {
    /// The range that was typed. What was not typed: up to now, or without end
    /// if `endless`; and of this `length`.
    ///
    /// # Errors
    /// If nothing can lie in the range.
    pub fn new(
        since: Option<Moment>,
        until: Option<Moment>,
        endless: bool,
        length: SignedDuration,
        now: jiff::Timestamp,
        time_zone: &TimeZone,
    ) -> Result<Self, InvalidRange> {
        let resolve = |moment: Moment| moment.resolve(now, time_zone);
        let end = match (since, until) {
            (_, Some(until)) => resolve(until)?,
            // "all" bounds neither side.
            (Some(Moment::All), None) => None,
            (_, None) if endless => None,
            (_, None) => Some(now),
        };
        let start = match since {
            Some(since) => resolve(since)?,
            None => Some(end.unwrap_or(now).saturating_sub(length).unwrap_or(jiff::Timestamp::MIN)),
        };
        if let (Some(start), Some(end)) = (start, end)
            && start >= end
        {
            return Err(InvalidRange::Empty { start, end });
        }
        let since_ns = start.map(|start| Timestamp::nearest(start.as_nanosecond()).0.as_nanos());
        // No packet can be later than the last instant the store holds: a range
        // that ends after it has no end.
        let until_ns = end.map(jiff::Timestamp::as_nanosecond).and_then(|end| match Timestamp::nearest(end) {
            (until, false) => Some(until.as_nanos()),
            (_, true) if end > 0 => None,
            (until, true) => Some(until.as_nanos()),
        });
        Ok(Self { since_ns, until_ns })
    }

    /// The same from the begin of the minute, or hour, if it is of a day, or a week, and its begin was not typed as a
    /// moment: sums are kept of minutes and hours, and the seconds before them take as long as all that follows.
    #[must_use]
    pub fn from_whole(self, since: Option<Moment>, now: jiff::Timestamp) -> Self {
        let is_moment = matches!(since, Some(Moment::At(_) | Moment::Local(_)));
        let until_ns = self.until_ns.unwrap_or(Timestamp::nearest(now.as_nanosecond()).0.as_nanos());
        let whole = |since_ns: i64| match until_ns.saturating_sub(since_ns) {
            length if length >= 7 * DAY_NS => since_ns - since_ns.rem_euclid(HOUR_NS),
            length if length >= DAY_NS => since_ns - since_ns.rem_euclid(MINUTE_NS),
            _ => since_ns,
        };
        Self { since_ns: self.since_ns.map(|since_ns| if is_moment { since_ns } else { whole(since_ns) }), ..self }
    }
}

const MINUTE_NS: i64 = 60 * 1_000_000_000;
const HOUR_NS: i64 = 60 * MINUTE_NS;
const DAY_NS: i64 = 24 * HOUR_NS;

impl Moment {
    /// The instant it is; `None`: no bound.
    fn resolve(self, now: jiff::Timestamp, time_zone: &TimeZone) -> Result<Option<jiff::Timestamp>, InvalidRange> {
        Ok(match self {
            Self::All => None,
            // Before the first year there is nothing to find anyway.
            Self::Ago(length) => Some(now.checked_sub(length).unwrap_or(jiff::Timestamp::MIN)),
            Self::At(at) => Some(at),
            Self::Local(local) => {
                let zoned = local.to_zoned(time_zone.clone());
                Some(zoned.map_err(|source| InvalidRange::Local { local, source })?.timestamp())
            }
        })
    }
}

/// Why nothing can lie between two moments.
#[derive(Debug, thiserror::Error)]
pub enum InvalidRange {
    /// They are the wrong way round, or the same.
    #[error("--since {start:.0} is not before --until {end:.0}")]
    Empty {
        /// Where it starts.
        start: jiff::Timestamp,
        /// Where it ends.
        end: jiff::Timestamp,
    },
    /// There is nothing before a range without a beginning, or as long as one without an end.
    #[error("nothing lies before this range to compare it with: give --since a time, or --against FROM..UNTIL")]
    NothingBefore,
    /// The calendar has no such moment.
    #[error("{local} is no moment in this time zone")]
    Local {
        /// What was typed.
        local: DateTime,
        #[source]
        /// Why.
        source: jiff::Error,
    },
}

/// Why a text is no moment, duration or network.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidText {
    /// Neither of the forms a moment has.
    #[error("neither a time ago (90s, 1h, 7d, 1h30m), a date (2026-05-01), RFC 3339 (2026-05-01T14:00:00Z) nor `all`")]
    Moment,
    /// No duration.
    #[error("no duration like 90s, 1h, 7d or 1h30m")]
    Duration,
    /// A duration of nothing.
    #[error("a duration above zero is needed")]
    Zero,
    /// Parts of a second, where there can be none.
    #[error("whole seconds are needed")]
    Parts,
    /// No network.
    #[error("no network like 192.0.2.0/24, 2001:db8::/32 or 192.0.2.7")]
    Net,
}

/// Reads `90s`, `1h ago`, RFC 3339, `2026-05-01`, `2026-05-01 14:00`, `now`, `all`.
///
/// # Errors
/// If it is none of these.
pub fn parse_moment(text: &str) -> Result<Moment, InvalidText> {
    let text = text.trim();
    if text.len() > MAX_TEXT_BYTES {
        return Err(InvalidText::Moment);
    }
    match text {
        "all" => return Ok(Moment::All),
        "now" => return Ok(Moment::Ago(SignedDuration::ZERO)),
        _ => {}
    }
    if let Ok(at) = text.parse() {
        return Ok(Moment::At(at));
    }
    if let Ok(local) = text.parse() {
        return Ok(Moment::Local(local));
    }
    let length = text.strip_suffix("ago").map_or(text, str::trim_end);
    duration(length).map(Moment::Ago).ok_or(InvalidText::Moment)
}

/// Reads `90s`, `1h`, `7d`, `1h30m`; not zero.
///
/// # Errors
/// If it is no duration, or none.
pub fn parse_duration(text: &str) -> Result<SignedDuration, InvalidText> {
    let length = duration(text.trim()).ok_or(InvalidText::Duration)?;
    if length.is_zero() { Err(InvalidText::Zero) } else { Ok(length) }
}

/// Reads a network, or an address as the network of this address alone.
///
/// # Errors
/// If it is neither.
pub fn parse_net(text: &str) -> Result<IpNet, InvalidText> {
    let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    net.map(|net| net.trunc()).map_err(|_| InvalidText::Net)
}

/// A day has 24 hours, a week seven days; months and years have no fixed length.
fn duration(text: &str) -> Option<SignedDuration> {
    if text.len() > MAX_TEXT_BYTES {
        return None;
    }
    let span: Span = text.parse().ok()?;
    let length = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
    (!length.is_negative()).then_some(length)
}

/// No moment takes more; what is longer is garbage and need not be parsed.
const MAX_TEXT_BYTES: usize = 100;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: SignedDuration = SignedDuration::from_hours(1);

    fn range(since: Option<&str>, until: Option<&str>) -> Result<TimeRange, InvalidRange> {
        let now = "2026-05-01T12:00:00Z".parse().unwrap();
        let moment = |text: &str| parse_moment(text).unwrap();
        TimeRange::new(since.map(moment), until.map(moment), false, HOUR, now, &TimeZone::UTC)
    }

    fn at(text: &str) -> Option<i64> {
        Some(i64::try_from(text.parse::<jiff::Timestamp>().unwrap().as_nanosecond()).unwrap())
    }

    #[test]
    fn every_form_of_a_moment_is_read() {
        for (text, since) in [
            ("90s", "2026-05-01T11:58:30Z"),
            ("1h", "2026-05-01T11:00:00Z"),
            ("7d", "2026-04-24T12:00:00Z"),
            ("1h30m", "2026-05-01T10:30:00Z"),
            ("1 hour ago", "2026-05-01T11:00:00Z"),
            ("2w", "2026-04-17T12:00:00Z"),
            ("2026-04-30T14:00:00+02:00", "2026-04-30T12:00:00Z"),
            ("2026-04-30T14:00:00.123456789Z", "2026-04-30T14:00:00.123456789Z"),
            ("2026-04-30", "2026-04-30T00:00:00Z"),
            ("2026-04-30 14:00", "2026-04-30T14:00:00Z"),
            ("1969-12-31T23:59:59Z", "1969-12-31T23:59:59Z"),
        ] {
            let range = range(Some(text), None).unwrap();
            assert_eq!(range, TimeRange { since_ns: at(since), until_ns: at("2026-05-01T12:00:00Z") }, "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in
            ["", "1", "60", "h", "-1h", "1 fortnight", "2026-13-01", "2026-02-30", "All", "1y", &"9".repeat(500)]
        {
            assert_eq!(parse_moment(text), Err(InvalidText::Moment), "{text}");
        }
        assert_eq!(parse_duration("0s"), Err(InvalidText::Zero));
    }

    #[test]
    fn nothing_typed_is_the_last_hour() {
        let hour = TimeRange { since_ns: at("2026-05-01T11:00:00Z"), until_ns: at("2026-05-01T12:00:00Z") };
        assert_eq!(range(None, None).unwrap(), hour);
        let before = TimeRange { since_ns: at("2026-05-01T09:00:00Z"), until_ns: at("2026-05-01T10:00:00Z") };
        assert_eq!(range(None, Some("2h")).unwrap(), before);
    }

    #[test]
    fn all_bounds_neither_side() {
        assert_eq!(range(Some("all"), None).unwrap(), TimeRange::default());
        let until_ns = at("2026-05-01T11:00:00Z");
        assert_eq!(range(Some("all"), Some("1h")).unwrap(), TimeRange { since_ns: None, until_ns });
        let since_ns = at("2026-05-01T11:00:00Z");
        assert_eq!(range(Some("1h"), Some("all")).unwrap(), TimeRange { since_ns, until_ns: None });
    }

    #[test]
    fn what_is_long_begins_with_a_whole_minute_or_hour() {
        let now = "2026-05-01T12:34:56Z".parse().unwrap();
        let since = |text: &str| {
            let since = Some(parse_moment(text).unwrap());
            let range = TimeRange::new(since, None, false, HOUR, now, &TimeZone::UTC).unwrap();
            range.from_whole(since, now).since_ns
        };
        assert_eq!(since("23h"), at("2026-04-30T13:34:56Z"));
        assert_eq!(since("24h"), at("2026-04-30T12:34:00Z"));
        assert_eq!(since("7d"), at("2026-04-24T12:00:00Z"));
        assert_eq!(since("2026-04-24T12:34:56Z"), at("2026-04-24T12:34:56Z"));
        assert_eq!((since("all"), since("1000000d")), (None, Some(Timestamp::MIN.as_nanos())));
        let hour_of_last_week =
            TimeRange::new(None, Some(parse_moment("8d").unwrap()), false, HOUR, now, &TimeZone::UTC);
        assert_eq!(hour_of_last_week.unwrap().from_whole(None, now).since_ns, at("2026-04-23T11:34:56Z"));
        let report = TimeRange::new(None, None, false, SignedDuration::from_hours(168), now, &TimeZone::UTC).unwrap();
        assert_eq!(report.from_whole(None, now).since_ns, at("2026-04-24T12:00:00Z"));
    }

    #[test]
    fn a_range_the_wrong_way_round_is_refused() {
        for (since, until) in [("1h", "2h"), ("1h", "1h"), ("now", "now"), ("2030-01-01", "2029-01-01")] {
            assert!(range(Some(since), Some(until)).is_err(), "{since} {until}");
        }
        assert!(range(Some("2030-01-01"), None).is_err());
    }

    #[test]
    fn what_no_packet_can_reach_bounds_nothing() {
        let wide = range(Some("0001-01-01"), Some("9999-01-01")).unwrap();
        assert_eq!(wide, TimeRange { since_ns: Some(Timestamp::MIN.as_nanos()), until_ns: None });
        let ages = range(Some("1000000d"), None).unwrap();
        assert_eq!(ages.since_ns, Some(Timestamp::MIN.as_nanos()));
    }

    #[test]
    fn dates_are_local() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        let now = "2026-05-01T12:00:00Z".parse().unwrap();
        let since = parse_moment("2026-05-01").unwrap();
        let range = TimeRange::new(Some(since), None, true, HOUR, now, &zone).unwrap();
        assert_eq!(range, TimeRange { since_ns: at("2026-04-30T22:00:00Z"), until_ns: None });
    }

    proptest! {
        #[test]
        fn foreign_text_never_panics(text in "\\PC{0,40}", now in -100_000_000_000i64..100_000_000_000) {
            let now = jiff::Timestamp::from_second(now).unwrap();
            if let Ok(moment) = parse_moment(&text) {
                let _ = TimeRange::new(Some(moment), Some(moment), false, HOUR, now, &TimeZone::UTC);
                let _ = TimeRange::new(Some(moment), None, false, HOUR, now, &TimeZone::UTC);
            }
            let _ = parse_duration(&text);
            let _ = parse_net(&text);
        }
    }
}
