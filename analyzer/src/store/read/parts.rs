//! Puts SQL together from its parts.
//!
//! Names in the files of `analyzer/sql` (`{{device}}`, …) stand for fixed parts of ours, numbers of a range, and nothing
//! else. What a question does not need is not put in: ClickHouse takes as long to look at it as at the rest.

use super::{IdentityColumns, Scope};
use crate::store::range::Pieces;

/// A question's SQL with all its parts, and whether it reads these pieces of its range.
pub(super) fn assembled(sql: &str, scope: &Scope, pieces: &Pieces) -> (String, bool) {
    let way = if scope.is_newest_first() { "DESC" } else { "ASC" };
    let sql = of_devices(sql, scope.devices.is_some());
    let sql = with_parts(&sql, scope.several_collectors, &scope.identity).replace("{{way}}", way);
    let is_of_pieces = sql.contains("{{pairs}}") || sql.contains(IN_HOURS);
    let sql = sql
        .replace("{{pairs}}", &pairs_of(pieces, &sql))
        .replace("{{and_ends}}", &ends_of(pieces))
        .replace(IN_HOURS, &in_stretches("hour", &pieces.hours));
    (of_collectors_and_nets(&sql, scope), is_of_pieces)
}

/// Puts the parts in. Where several collectors may have seen the same, rows of all
/// but one are left out (`sql/parts/*once.sql`); that costs, so it is done only then.
pub(in crate::store) fn with_parts(sql: &str, several_collectors: bool, identity: &IdentityColumns) -> String {
    let parts = if several_collectors { SEVERAL_COLLECTORS } else { ONE_COLLECTOR };
    let device = device_parts(identity);
    let all = parts.iter().chain(&PARTS).chain(&device);
    all.fold(sql.to_owned(), |sql, (name, part)| sql.replace(name, part.trim_end()))
}

/// Conditions on devices, where any were asked for: else nobody has to tell them.
fn of_devices(sql: &str, are_asked_for: bool) -> String {
    let parts = if are_asked_for { OF_DEVICES } else { OF_ALL };
    parts.iter().fold(sql.to_owned(), |sql, (name, part)| sql.replace(name, part))
}

/// Conditions on collectors and networks, where any were asked for: ClickHouse takes as long to look at a condition that
/// is always true as at another.
fn of_collectors_and_nets(sql: &str, scope: &Scope) -> String {
    let asked = [
        (BY_COLLECTORS, !scope.collectors.is_empty()),
        (PAIR_IN_NETS, !scope.nets.is_empty()),
        (CLIENT_IN_NETS, !scope.nets.is_empty()),
        (ORIG_IN_NETS, !scope.nets.is_empty()),
    ];
    let part_of = |((name, part), is_asked)| (name, if is_asked { part } else { "" });
    asked.map(part_of).iter().fold(sql.to_owned(), |sql, (name, part)| sql.replace(name, part))
}

const BY_COLLECTORS: Part = ("{{and_by_collectors}}", "AND collector IN {collectors:Array(String)}");
const PAIR_IN_NETS: Part = (
    "{{and_pair_in_nets}}",
    "AND arrayExists(net -> (a_ip >= net.1 AND a_ip <= net.2) OR (b_ip >= net.1 AND b_ip <= net.2), \
     {nets:Array(Tuple(IPv6, IPv6))})",
);
const CLIENT_IN_NETS: Part = (
    "{{and_client_in_nets}}",
    "AND arrayExists(net -> (client_ip >= net.1 AND client_ip <= net.2) OR (server_ip >= net.1 AND server_ip <= net.2), \
     {nets:Array(Tuple(IPv6, IPv6))})",
);
const ORIG_IN_NETS: Part = (
    "{{and_orig_in_nets}}",
    "AND arrayExists(net -> (orig_ip >= net.1 AND orig_ip <= net.2) OR (resp_ip >= net.1 AND resp_ip <= net.2), \
     {nets:Array(Tuple(IPv6, IPv6))})",
);

/// How devices are told, without what this house has none of. ClickHouse copies a lambda to
/// wherever it is used and looks at each copy: with all of it that took longer than the answer.
fn device_parts(identity: &IdentityColumns) -> Parts<3> {
    let where_needed = |is_needed: bool, part: &'static str| if is_needed { part } else { "" };
    let is_placed = !identity.placed.is_empty();
    [
        ("{{or_on_link}}", where_needed(!identity.on_link.is_empty(), OR_ON_LINK)),
        ("{{or_half_tagged}}", where_needed(!identity.half_tagged.is_empty(), OR_HALF_TAGGED)),
        ("{{device_of}}", if is_placed { include_str!("../../../sql/parts/device_placed.sql") } else { DEVICE_OF }),
    ]
}

const OR_ON_LINK: &str = " OR arrayExists(
            link -> link.1 = link_collector AND link.2 IN (0, link_mac) AND link_ip >= link.3 AND link_ip <= link.4,
            {on_link:Array(Tuple(String, UInt64, IPv6, IPv6))})";
const OR_HALF_TAGGED: &str = " OR (link_collector, link_mac) IN {half_tagged:Array(Tuple(String, UInt64))}";
const DEVICE_OF: &str = "(device_collector, device_vlan, device_mac, device_ip) -> \
                         device_at(toString(device_collector), device_vlan, device_mac, device_ip)";

/// What each pair exchanged: the tables that these pieces of a range are read from, and no others; and the columns that
/// the question names.
fn pairs_of(pieces: &Pieces, question: &str) -> String {
    let stretches = [
        ("day", "{{in_days}}", std::slice::from_ref(&pieces.days)),
        ("hour", IN_HOURS, &pieces.hours),
        ("minute", "{{in_minutes}}", &pieces.minutes),
        ("second", "{{in_seconds}}", &pieces.seconds),
        ("second", "{{in_cut_seconds}}", &pieces.cut),
    ];
    // An empty range has an answer, too: of no hours.
    let is_empty = *pieces == Pieces::default();
    let branches = include_str!("../../../sql/parts/pairs.sql").trim_end().split(UNION).zip(stretches);
    let branches = branches.filter_map(|(branch, (column, place, stretches))| {
        let within = in_stretches(column, stretches);
        (within != NOWHERE || is_empty && place == IN_HOURS).then(|| branch.replace(place, &within))
    });
    let left_out: Vec<_> = OPTIONAL.into_iter().filter(|name| words(question).all(|word| word != *name)).collect();
    let is_asked_for = |line: &&str| {
        let column = line.strip_suffix(',').and_then(|line| line.rsplit_once(" AS "));
        column.is_none_or(|(_, name)| !left_out.contains(&name))
    };
    let branches = branches.map(|branch| branch.lines().filter(is_asked_for).collect::<Vec<_>>().join("\n"));
    branches.collect::<Vec<_>>().join(UNION)
}

/// Columns of pairs that not every question needs, each in a line of its own (`sql/parts/pairs.sql`).
const OPTIONAL: [&str; 6] = ["ip_version", "at", "hour", "awake_minutes", "first_at_ns", "last_at_ns"];

fn words(sql: &str) -> impl Iterator<Item = &str> {
    sql.split(|char: char| char != '_' && !char.is_ascii_alphanumeric())
}

/// What endpoints exchanged beside whole hours, if there is something.
fn ends_of(pieces: &Pieces) -> String {
    let ends = Pieces { days: (0, 0), hours: [(0, 0); 2], ..*pieces };
    if ends == Pieces::default() {
        return String::new();
    }
    format!("{UNION}{}", ENDPOINTS.trim_end().replace("{{their_pairs}}", &format!("({})", pairs_of(&ends, ENDPOINTS))))
}

pub(super) const ENDPOINTS: &str = include_str!("../../../sql/parts/endpoints.sql");
const IN_HOURS: &str = "{{in_hours}}";
const NOWHERE: &str = "0";

fn in_stretches(column: &str, stretches: &[(i64, i64)]) -> String {
    let within = stretches.iter().filter(|(from, until)| from < until);
    let within: Vec<_> = within.map(|stretch| in_stretch(column, *stretch)).collect();
    if within.is_empty() { NOWHERE.to_owned() } else { format!("({})", within.join(" OR ")) }
}

/// The hours of seconds are named as well: the sorting key of slices has both, and ClickHouse looks only at the
/// seconds, which stand at its end, if it is not told the hours.
fn in_stretch(column: &str, (from, until): (i64, i64)) -> String {
    let within = format!("{column} >= {from} AND {column} < {until}");
    if column != "second" {
        return format!("({within})");
    }
    // As `intDiv` has it, towards zero.
    let (first, last) = (from / 3600, (until - 1) / 3600);
    format!("(intDiv(second, 3600) >= {first} AND intDiv(second, 3600) <= {last} AND {within})")
}

const OF_DEVICES: Parts<6> = [
    (
        "{{and_is_of_devices}}",
        "AND (a_ip, b_ip) IN (SELECT a_ip, b_ip FROM traffic_hour \
         WHERE hour > {first_second:Int64} - 3600 AND hour <= {last_second:Int64} AND {{is_of_pair}} GROUP BY a_ip, b_ip)",
    ),
    ("{{with_device}}", "WITH\n{{device}}"),
    ("{{device_if_asked}}", "{{device}},"),
    (
        "{{is_of_pair}}",
        concat!(
            "(device_of(collector, vlan_id, a_mac, a_ip) IN {devices:Array(Tuple(UInt64, UInt16, IPv6))} ",
            "OR device_of(collector, vlan_id, b_mac, b_ip) IN {devices:Array(Tuple(UInt64, UInt16, IPv6))})"
        ),
    ),
    (
        "{{is_of_ends}}",
        concat!(
            "(device_of(collector, vlan_id, orig_mac, orig_ip) IN {devices:Array(Tuple(UInt64, UInt16, IPv6))} ",
            "OR device_of(collector, vlan_id, resp_mac, resp_ip) IN {devices:Array(Tuple(UInt64, UInt16, IPv6))})"
        ),
    ),
    (
        "{{is_of_orig}}",
        "device_of(collector, vlan_id, orig_mac, orig_ip) IN {devices:Array(Tuple(UInt64, UInt16, IPv6))}",
    ),
];
const OF_ALL: Parts<6> = [
    ("{{and_is_of_devices}}", ""),
    ("{{with_device}}", ""),
    ("{{device_if_asked}}", ""),
    ("{{is_of_pair}}", "1"),
    ("{{is_of_ends}}", "1"),
    ("{{is_of_orig}}", "1"),
];

const UNION: &str = "\nUNION ALL\n";

/// A name in the SQL, and what stands for it.
type Part = (&'static str, &'static str);
type Parts<const COUNT: usize> = [Part; COUNT];

const ONE_COLLECTOR: Parts<7> = [
    ("{{most_first}}", ""),
    ("{{pairs_counted}}", "pairs AS ({{pairs}})"),
    ("{{connections_counted}}", "SELECT *, CAST([], 'Array(String)') AS also_seen_by FROM ({{connections}})"),
    ("{{slices_counted}}", "slices"),
    ("{{slices_seen_by}}", "CAST([], 'Array(String)')"),
    ("{{counted}}", "seen"),
    ("{{also_seen_by}}", "CAST([], 'Array(String)')"),
];

const SEVERAL_COLLECTORS: Parts<7> = [
    ("{{most_first}}", "ORDER BY a_ip, b_ip, protocol, a_port, b_port, length(seconds) DESC, collector"),
    ("{{pairs_counted}}", "doubles AS ({{doubles}}), pairs AS ({{pairs_once}})"),
    ("{{connections_counted}}", include_str!("../../../sql/parts/connections_once.sql")),
    ("{{slices_counted}}", include_str!("../../../sql/parts/slices_once.sql")),
    ("{{slices_seen_by}}", "arraySort(arrayFilter(one -> one != toString(collector), seen_by))"),
    ("{{counted}}", include_str!("../../../sql/parts/once.sql")),
    ("{{also_seen_by}}", "also"),
];

/// Those that hold others come first.
const PARTS: Parts<7> = [
    ("{{doubles}}", include_str!("../../../sql/parts/doubles.sql")),
    ("{{pairs_once}}", include_str!("../../../sql/parts/pairs_once.sql")),
    ("{{connections}}", include_str!("../../../sql/parts/connections.sql")),
    ("{{may_be_a_device}}", include_str!("../../../sql/parts/may_be_a_device.sql")),
    ("{{device}}", include_str!("../../../sql/parts/device.sql")),
    ("{{resolved}}", include_str!("../../../sql/parts/resolved.sql")),
    ("{{sides}}", include_str!("../../../sql/parts/sides.sql")),
];

#[cfg(test)]
mod tests {
    use std::{fs, net::Ipv6Addr, path::Path};

    use super::*;
    use crate::store::{TimeRange, range::Coarsest};

    /// ClickHouse skips hours by the first expression of the sorting key only if it is told hours: it knows that
    /// `second` lies within `intDiv(second, 3600)`, but takes the key's last column, `second` itself, for it.
    #[test]
    fn who_asks_for_a_time_names_its_hour() {
        let keys = [
            ("second", "3600"),
            ("asked_at_ns", "3600000000000"),
            ("seen_at_ns", "3600000000000"),
            ("requested_at_ns", "3600000000000"),
        ];
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql");
        let files = ["", "parts", "export"].map(|name| fs::read_dir(folder.join(name)).unwrap());
        let mut bounds = 0;
        for entry in files.into_iter().flatten() {
            let path = entry.unwrap().path();
            let Ok(sql) = fs::read_to_string(&path) else { continue };
            for (column, unit) in keys {
                let told = sql.matches(&format!(" {column} >= {{")).count();
                let hours = sql.matches(&format!("intDiv({column}, {unit}) >= intDiv({{")).count();
                assert_eq!(told, hours, "{}: {column}", path.display());
                bounds += told;
            }
        }
        assert!(bounds >= 12, "{bounds}");
    }

    #[test]
    fn only_tables_that_the_range_needs_are_read() {
        let of = |since_ns, until_ns| pairs_of(&TimeRange { since_ns, until_ns }.pieces(Coarsest::Hour), "");
        let tables = |sql: &str| {
            let tables = ["traffic_hour", "traffic_minute", "slices"];
            assert!(!sql.contains("FROM traffic_day"), "{sql}");
            tables.map(|table| sql.contains(&format!("FROM {table}")))
        };
        let hour = 3600 * 1_000_000_000;
        assert_eq!(tables(&of(Some(hour), Some(2 * hour))), [true, false, false]);
        assert_eq!(tables(&of(Some(1), Some(hour - 1))), [false, true, true]);
        assert_eq!(tables(&of(Some(hour / 2), Some(2 * hour + 1))), [true, true, true]);
        // Something has to answer that there is nothing.
        assert_eq!(tables(&of(Some(7), Some(7))), [true, false, false]);
    }

    #[test]
    fn only_columns_that_the_question_names_are_read() {
        let pieces = TimeRange { since_ns: Some(1), until_ns: Some(7200 * 1_000_000_001) }.pieces(Coarsest::Hour);
        let columns = |question: &str| {
            let branches = pairs_of(&pieces, question);
            let named = OPTIONAL.map(|name| branches.matches(&format!(" AS {name},")).count());
            assert_eq!(branches.matches("SELECT\n").count() - 1, 4, "{branches}");
            named
        };
        assert_eq!(columns("SELECT a_packets FROM pairs"), [0; 6]);
        assert_eq!(columns("SELECT min(first_at_ns), hours FROM pairs"), [0, 0, 0, 0, 4, 0]);
        assert_eq!(columns("SELECT at, ip_version"), [4, 4, 0, 0, 0, 0]);
    }

    #[test]
    fn a_house_without_oddities_is_asked_without_them() {
        let plain = with_parts("{{device}}", false, &IdentityColumns::default());
        let odd = IdentityColumns {
            half_tagged: vec![(String::new(), 1)],
            on_link: vec![(String::new(), 1, Ipv6Addr::LOCALHOST, Ipv6Addr::LOCALHOST)],
            placed: vec![(String::new(), Ipv6Addr::LOCALHOST, 1, 2)],
            ..IdentityColumns::default()
        };
        let odd = with_parts("{{device}}", false, &odd);
        for parameter in ["{half_tagged:", "{on_link:", "{placed:"] {
            assert!(!plain.contains(parameter) && odd.contains(parameter), "{parameter}");
        }
        assert!(!plain.contains("{{") && !odd.contains("{{"));
    }
}
