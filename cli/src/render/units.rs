//! Numbers and times as people read them: in tables only.

use std::fmt;

use jiff::{Timestamp, tz::TimeZone};

/// `1,234,567`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `999 B`, `1.2 KiB`, `34.5 MiB`.
pub(super) fn bytes(number: u64) -> String {
    if number < 1024 {
        return format!("{number} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
    let mut rest = number as f64 / 1024.0;
    let mut units = ["KiB", "MiB", "GiB", "TiB", "PiB"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    // 1023.95 would be shown as 1024.0.
    while rest >= 1023.95
        && let Some(larger) = units.next()
    {
        rest /= 1024.0;
        unit = larger;
    }
    format!("{rest:.1} {unit}")
}

/// `0.02`, `2.4`, `77.4`, `12,345`.
pub(super) fn rate(number: f64) -> String {
    if !number.is_finite() {
        "-".to_owned()
    } else if number >= 999.95 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, and casts saturate")]
        count(number.round() as u64)
    } else if number >= 0.1 || number <= 0.0 {
        format!("{number:.1}")
    } else {
        format!("{number:.2}")
    }
}

/// `12.3%`.
pub(super) fn share(number: f64) -> String {
    if number.is_finite() { format!("{:.1}%", number * 100.0) } else { "-".to_owned() }
}

/// `4.2×`.
pub(super) fn times(number: f64) -> String {
    if number.is_finite() { format!("{}×", rate(number)) } else { "-".to_owned() }
}

/// `12ms`, `4.5s`, `1m01s`, `1h02m`, `3d04h`: what matters of a length of time.
pub(crate) fn length(secs: f64) -> String {
    if !secs.is_finite() {
        return "-".to_owned();
    }
    let secs = secs.max(0.0);
    // 59.96 would be shown as 60.0.
    if secs < 0.0995 && secs > 0.0 {
        return format!("{:.0}ms", (secs * 1_000.0).max(1.0));
    } else if secs < 59.95 {
        return format!("{secs:.1}s");
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, and casts saturate")]
    let secs = secs.round() as u64;
    match (secs / 60, secs / 3_600, secs / 86_400) {
        (minutes, 0, _) => format!("{minutes}m{:02}s", secs % 60),
        (minutes, hours, 0) => format!("{hours}h{:02}m", minutes % 60),
        (_, hours, days) => format!("{days}d{:02}h", hours % 24),
    }
}

/// `1m`, `90s`, `2h`, `1d`: the largest unit that divides it.
pub(super) fn seconds(secs: u64) -> String {
    let fits = |unit: u64| secs >= unit && secs.is_multiple_of(unit);
    match [(86_400, "d"), (3_600, "h"), (60, "m")].into_iter().find(|(unit, _)| fits(*unit)) {
        Some((unit, letter)) => format!("{}{letter}", secs / unit),
        None => format!("{secs}s"),
    }
}

/// An instant in a time zone, written with one of the formats below.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Zoned<'a> {
    /// Nanoseconds since 1970.
    pub(crate) at_ns: i64,
    /// Where the reader is.
    pub(crate) time_zone: &'a TimeZone,
}

impl Zoned<'_> {
    /// With a strftime format of jiff's.
    pub(crate) fn format(self, format: &str) -> String {
        instant(self.at_ns).to_zoned(self.time_zone.clone()).strftime(format).to_string()
    }
}

/// `2026-05-01 14:03:07`.
impl fmt::Display for Zoned<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.format("%Y-%m-%d %H:%M:%S"))
    }
}

/// RFC 3339 in UTC with nine decimals, as in all formats for programs.
pub(super) struct Rfc3339(pub(super) i64);

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.9}", instant(self.0))
    }
}

fn instant(nanos: i64) -> Timestamp {
    Timestamp::from_nanosecond(nanos.into()).expect("jiff's years -9999 to 9999 hold what 64 bits do, 1677 to 2262")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [0, 1023, 1024, 1_048_575, 1_048_576, u64::MAX].map(bytes),
            ["0 B", "1023 B", "1.0 KiB", "1.0 MiB", "1.0 MiB", "16384.0 PiB"]
        );
        assert_eq!(
            [0.0, 0.024, 2.44, 999.9, 999.96, 12_345.6].map(rate),
            ["0.0", "0.02", "2.4", "999.9", "1,000", "12,346"]
        );
        assert_eq!([f64::NAN, f64::INFINITY].map(rate), ["-", "-"]);
        assert_eq!(share(0.4567), "45.7%");
        assert_eq!([1, 60, 90, 3600, 5400, 86_400].map(seconds), ["1s", "1m", "90s", "1h", "90m", "1d"]);
    }

    #[test]
    fn lengths_read_well() {
        let lengths = [0.0, 0.0123, 0.000_000_1, 45.04, 59.96, 61.0, 3_720.0, 90_000.0, -5.0, f64::NAN].map(length);
        assert_eq!(lengths, ["0.0s", "12ms", "1ms", "45.0s", "1m00s", "1m01s", "1h02m", "1d01h", "0.0s", "-"]);
        assert!(length(f64::MAX).ends_with('h'));
        assert_eq!([4.24, 0.05, f64::INFINITY].map(times), ["4.2×", "0.05×", "-"]);
    }

    #[test]
    fn times_have_nine_decimals_whatever_the_year() {
        assert_eq!(Rfc3339(0).to_string(), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(Rfc3339(-1).to_string(), "1969-12-31T23:59:59.999999999Z");
        for extreme in [i64::MIN, i64::MAX] {
            assert_eq!(Rfc3339(extreme).to_string().len(), 30);
        }
    }
}
