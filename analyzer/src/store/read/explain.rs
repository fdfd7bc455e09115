//! What an answer was read from: the tables of its queries, and of the roll-ups how much.

use std::{
    fmt::Write as _,
    sync::{Mutex, PoisonError},
};

use super::super::range::{Coarsest, TimeRange};

/// A line for each query so far.
#[derive(Debug, Default)]
pub struct Explained(Mutex<Vec<String>>);

impl Explained {
    pub(super) fn note(&self, sql: &str, range: TimeRange, coarsest: Coarsest) {
        let line = explain(sql, range, coarsest);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    /// The lines.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// `what it is for: tables`. What it is for stands in the query's first comment.
fn explain(sql: &str, range: TimeRange, coarsest: Coarsest) -> String {
    let pieces = range.pieces(coarsest);
    let length = |stretches: &[(i64, i64)]| stretches.iter().map(|(from, until)| until - from).sum::<i64>();
    let bounded = range.since_ns.is_some() && range.until_ns.is_some();
    let units = |secs: i64, unit: i64, what: &str| match secs {
        0 => "none".to_owned(),
        _ if !bounded && unit == 3600 => "all hours".to_owned(),
        secs => format!("{} {what}", secs / unit),
    };
    let mut line = format!("{}: ", purpose(sql));
    for (index, table) in tables(sql).into_iter().enumerate() {
        let of = match table {
            // Only where the query is about these stretches.
            "traffic_hour" if sql.contains("{hour_from:") => units(length(&[pieces.hours]), 3600, "hours"),
            "traffic_minute" if sql.contains("{minute_from:") => units(length(&pieces.minutes), 60, "minutes"),
            "slices" if sql.contains("{second_from:") => units(length(&pieces.seconds), 1, "seconds"),
            _ => String::new(),
        };
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

const TABLES: [&str; 14] = [
    "batches",
    "connections",
    "dns",
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
    use super::*;

    #[test]
    fn tables_and_stretches_are_told() {
        let sql = "-- One row a device: up to some.\nSELECT 1 FROM (SELECT * FROM traffic_hour WHERE at >= {hour_from:Int64})\n\
                   -- FROM dns\nUNION ALL SELECT * FROM traffic_minute WHERE {minute_from:Int64} UNION ALL SELECT * FROM slices\n\
                   WHERE {second_from:Int64} UNION ALL SELECT * FROM slices LEFT JOIN batches USING x FROM seen";
        let hours = |since: i64, until: i64| TimeRange {
            since_ns: Some(since * 1_000_000_000),
            until_ns: Some(until * 1_000_000_000 + 1),
        };
        assert_eq!(
            explain(sql, hours(3540, 10_801), Coarsest::Hour),
            "One row a device: traffic_hour (2 hours), traffic_minute (1 minutes), slices (2 seconds), batches"
        );
        let all = TimeRange { since_ns: None, until_ns: None };
        assert_eq!(
            explain(sql, all, Coarsest::Hour),
            "One row a device: traffic_hour (all hours), traffic_minute (none), slices (none), batches"
        );
    }
}
