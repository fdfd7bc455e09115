//! What an answer was read from: the tables of its queries, and of the roll-ups how much.

use std::{
    fmt::Write as _,
    sync::{Mutex, PoisonError},
};

use super::super::range::{Pieces, TimeRange};

/// A line for each query so far.
#[derive(Debug, Default)]
pub struct Explained(Mutex<Vec<String>>);

impl Explained {
    /// `pieces` of the range, if the query is made of them.
    pub(super) fn note(&self, sql: &str, range: TimeRange, pieces: Option<&Pieces>) {
        let line = explain(sql, range, pieces);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    /// The lines, in the order of their letters.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // Several are asked at once.
        lines.sort();
        lines
    }
}

/// `what it is for: tables`. What it is for stands in the query's first comment.
fn explain(sql: &str, range: TimeRange, pieces: Option<&Pieces>) -> String {
    // What has no end because nothing is beyond it was asked for until then.
    let asked_until = |unit: i64| {
        let whole = |until: i64| until.saturating_sub(1).div_euclid(unit * 1_000_000_000) * unit + unit;
        range.until_ns.map_or(i64::MAX, whole)
    };
    let length = |stretches: &[(i64, i64)], unit: i64| {
        stretches.iter().map(|(from, until)| (until.min(&asked_until(unit)) - from).max(0)).sum::<i64>()
    };
    let bounded = range.since_ns.is_some() && range.until_ns.is_some();
    let units = |secs: i64, unit: i64, what: &str| match secs {
        0 => "none".to_owned(),
        _ if !bounded && unit >= 3600 => format!("all {what}"),
        secs => format!("{} {what}", secs.div_euclid(unit) + i64::from(secs.rem_euclid(unit) != 0)),
    };
    let mut line = format!("{}: ", purpose(sql));
    for (index, table) in tables(sql).into_iter().enumerate() {
        let of = pieces.map_or_else(String::new, |pieces| match table {
            "traffic_day" => units(length(&[pieces.days], 3600), 86_400, "days"),
            "traffic_hour" | "endpoint_hour" => units(length(&pieces.hours, 3600), 3600, "hours"),
            "traffic_minute" => units(length(&pieces.minutes, 60), 60, "minutes"),
            "slices" => units(length(&pieces.seconds, 1) + length(&pieces.cut, 1), 1, "seconds"),
            _ => String::new(),
        });
        let of = if of.is_empty() { of } else { format!(" ({of})") };
        let _ = write!(line, "{}{table}{of}", if index == 0 { "" } else { ", " });
    }
    line
}

fn purpose(sql: &str) -> String {
    let comment = sql.lines().map_while(|line| line.strip_prefix("-- ")).collect::<Vec<_>>().join(" ");
    let end = comment.find(['.', ':', ';']).unwrap_or(comment.len());
    if end == 0 { "query".to_owned() } else { comment[..end].to_owned() }
}

/// Those that are read, in the order in which the query names them.
fn tables(sql: &str) -> Vec<&str> {
    let code = sql.lines().filter(|line| !line.trim_start().starts_with("--"));
    let mut words = code.flat_map(|line| line.split(|c: char| !(c.is_alphanumeric() || c == '_'))).peekable();
    let mut found = Vec::new();
    while let Some(word) = words.next() {
        if word != "FROM" && word != "JOIN" {
            continue;
        }
        while words.next_if(|word| word.is_empty()).is_some() {}
        if let Some(table) = words.next_if(|word| TABLES.contains(word))
            && !found.contains(&table)
        {
            found.push(table);
        }
    }
    found
}

const TABLES: [&str; 15] = [
    "batches",
    "connections",
    "dns",
    "endpoint_hour",
    "endpoints",
    "given_names",
    "no_ip",
    "peer_names",
    "sightings",
    "slices",
    "time_requests",
    "tls_hellos",
    "traffic_day",
    "traffic_hour",
    "traffic_minute",
];

#[cfg(test)]
mod tests {
    use super::{super::super::range::Coarsest, *};

    #[test]
    fn tables_and_stretches_are_told() {
        let sql = "-- One row a device: up to some.\nSELECT 1 FROM (SELECT * FROM traffic_hour)\n\
                   -- FROM dns\nUNION ALL SELECT * FROM traffic_minute UNION ALL SELECT * FROM slices\n\
                   UNION ALL SELECT * FROM slices LEFT JOIN batches USING x FROM seen";
        let explained = |range: TimeRange| explain(sql, range, Some(&range.pieces(Coarsest::Hour)));
        let hours = |since: i64, until: i64| TimeRange {
            since_ns: Some(since * 1_000_000_000),
            until_ns: Some(until * 1_000_000_000 + 1),
        };
        assert_eq!(
            explained(hours(3540, 10_801)),
            "One row a device: traffic_hour (2 hours), traffic_minute (1 minutes), slices (2 seconds), batches"
        );
        let all = TimeRange { since_ns: None, until_ns: None };
        assert_eq!(
            explained(all),
            "One row a device: traffic_hour (all hours), traffic_minute (none), slices (none), batches"
        );
        let day = hours(0, 86_400);
        assert_eq!(
            explain(sql, day, Some(&day.unless_beyond(Some(0)).pieces(Coarsest::Hour))),
            "One row a device: traffic_hour (25 hours), traffic_minute (none), slices (none), batches",
            "the last one was begun"
        );
        let minutes = hours(60, 3601);
        assert_eq!(
            explain(sql, minutes, Some(&minutes.unless_beyond(Some(3600)).pieces(Coarsest::Minute))),
            "One row a device: traffic_hour (none), traffic_minute (60 minutes), slices (none), batches"
        );
        assert_eq!(explain("-- Else.\nSELECT 1 FROM slices", day, None), "Else: slices");
    }
}
