//! What the answers mean, section by section.

mod clear;
mod completeness;
mod sums;

use std::collections::BTreeSet;

use iotq_proto::{
    address_from_octets,
    v1::{
        Connection, Destination, Device, Difference, FirstSeen, Keepalive, TimeServer, TopTalker, Unanswered,
        difference, keepalive::Kind,
    },
};
use jiff::tz::TimeZone;

use self::{
    clear::clear,
    completeness::completeness,
    sums::{Whose, by_owner},
};
use super::{
    chart::chart,
    findings::Findings,
    page::{Page, Section, Tables},
};
use crate::{
    config::Config,
    questions::{
        top_talkers::times_usual,
        wording::{name_or_address, name_or_id, owner_or_network, port_and_protocol},
    },
    render::{Cell, Column, Zoned},
};

/// The page that shows all of this.
pub(super) fn page(findings: &Findings, config: &Config) -> Page {
    let time_zone = &config.terminal.time_zone;
    let limit = usize::try_from(config.typed_limit.unwrap_or(ROWS)).unwrap_or(usize::MAX);
    let tables = Tables { time_zone, limit };
    let at = |at_ns| Zoned { at_ns, time_zone }.format("%Y-%m-%d %H:%M");
    let range = match (findings.header.since_ns, findings.header.until_ns) {
        (Some(since), Some(until)) => format!("{} to {}", at(since), at(until)),
        (Some(since), None) => format!("from {}", at(since)),
        (None, Some(until)) => format!("up to {}", at(until)),
        (None, None) => "everything that is stored".to_owned(),
    };
    let zone = Zoned { at_ns: now_ns(config), time_zone }.format("%Z");
    Page {
        range: format!("{range} ({zone})"),
        made: at(now_ns(config)),
        version: env!("CARGO_PKG_VERSION"),
        summary: summary(findings),
        sections: vec![
            devices(findings, &tables),
            talkers(findings, &tables),
            destinations(findings, &tables),
            holes(findings, &tables),
            unanswered(findings, &tables),
            time(findings, &tables),
            new(findings, &tables),
            local(findings, &tables),
            clear(findings, &tables),
            completeness(findings, &tables),
        ],
    }
}

fn now_ns(config: &Config) -> i64 {
    i64::try_from(config.now.as_nanosecond()).unwrap_or(i64::MAX)
}

/// What somebody reads who reads no further.
fn summary(findings: &Findings) -> Vec<String> {
    let devices = &findings.devices.rows;
    if devices.is_empty() {
        return vec!["No device was heard in this time.".to_owned()];
    }
    let local = devices.iter().filter(|it| it.local_only).count();
    let mut says = vec![format!(
        "{} heard. {} to the Internet, {} the house.",
        number(devices.len(), "device was", "devices were"),
        number(devices.len() - local, "talks", "talk"),
        number(local, "never leaves", "never leave"),
    )];
    let silent = findings.unanswered.rows.iter().map(|it| name_or_address(&it.peer_name, &it.peer_ip));
    let silent: BTreeSet<_> = silent.map(|cell| cell.in_table(&TimeZone::UTC)).collect();
    if !silent.is_empty() {
        let places = number(silent.len(), "place", "places");
        says.push(format!("{places} did not answer when called."));
    }
    let open = findings.keepalives.rows.iter().filter(|it| holds_open(it)).count();
    if open > 0 {
        says.push(format!("{} kept open through the firewall.", number(open, "connection was", "connections were")));
    }
    let new = findings.first_seen.rows.len();
    if new > 0 {
        says.push(format!("{} never talked to before.", number(new, "destination was", "destinations were")));
    }
    says
}

fn devices(findings: &Findings, tables: &Tables<'_>) -> Section {
    type Col = Column<Device>;
    let columns = vec![
        Col::drawn("Device", |it| name_or_id(&it.name, &it.device)),
        Col::drawn("Vendor", |it| Cell::text(&it.vendor)),
        Col::drawn("Groups", |it| Cell::text(&it.groups.join(", "))),
        Col::drawn("Address", |it| Cell::addresses(&it.ips)),
        Col::drawn("Last heard", |it| Cell::Time(it.last_seen_at_ns)),
        Col::drawn("Packets a minute", |it| Cell::Rate(it.packets_per_minute)).on_the_right(),
        Col::drawn("Leaves the house", |it| Cell::Bool(!it.local_only)),
    ];
    let found = &findings.devices;
    Section::new("house", "What is in the house").table_or(
        tables.table("Devices that were heard", columns, &found.rows, found.truncated),
        "No device was heard in this time.",
    )
}

fn talkers(findings: &Findings, tables: &Tables<'_>) -> Section {
    type Col = Column<TopTalker>;
    let columns = vec![
        Col::drawn("Device", |it| name_or_id(&it.name, &it.device)),
        Col::drawn("Share", |it| Cell::Share(it.share)).on_the_right(),
        Col::drawn("Packets", |it| Cell::Count(it.packets)).on_the_right(),
        Col::drawn("Data", |it| Cell::Bytes(it.wire_bytes)).on_the_right(),
        Col::drawn("A minute", |it| Cell::Rate(it.packets_per_minute)).on_the_right(),
        Col::drawn("A minute, awake", |it| Cell::Rate(it.awake_packets_per_minute)).on_the_right(),
        Col::drawn("Its usual", times_usual).on_the_right(),
    ];
    let found = &findings.top_talkers;
    let table = tables.table("Devices by packets", columns, &found.rows, found.truncated);
    let mut section = Section::new("talkers", "Who talks most");
    section.chart =
        chart(&findings.timeline.rows, findings.header.since_ns, findings.header.until_ns, tables.time_zone);
    if !found.rows.is_empty() {
        section = section.says(
            "“Awake” leaves out the minutes in which a device was silent. “Its usual” compares with the device's own \
             week before: 2.0× is twice as much.",
        );
    }
    section.table_or(table, "Nobody said anything in this time.")
}

fn destinations(findings: &Findings, tables: &Tables<'_>) -> Section {
    type OwnerCol = Column<Whose>;
    type Col = Column<Destination>;
    let columns = vec![
        Col::drawn("Destination", |it| Cell::text(&it.destination)),
        Col::drawn("Device", |it| name_or_id(&it.device_name, &it.device)),
        Col::drawn("Whose", |it| owner_or_network(&it.owner, &it.as_name)),
        Col::drawn("Country", |it| Cell::text(&it.country)),
        Col::drawn("Packets", |it| Cell::Count(it.packets)).on_the_right(),
        Col::drawn("Data", |it| Cell::Bytes(it.wire_bytes)).on_the_right(),
    ];
    let owner_columns = vec![
        OwnerCol::drawn("Whose", |it| Cell::text(&it.name)),
        OwnerCol::drawn("Countries", |it| Cell::text(&it.countries.join(", "))),
        OwnerCol::drawn("Devices", |it| Cell::Count(it.devices)).on_the_right(),
        OwnerCol::drawn("Packets", |it| Cell::Count(it.packets)).on_the_right(),
        OwnerCol::drawn("Data", |it| Cell::Bytes(it.wire_bytes)).on_the_right(),
        OwnerCol::drawn("Share of packets", |it| Cell::Share(it.share)).on_the_right(),
    ];
    let found = &findings.destinations;
    let rows = outside(&found.rows);
    let owners = by_owner(&rows);
    let mut section = Section::new("destinations", "Whom they talk to")
        .says("What devices say to each other in the house is left out.");
    if !owners.is_empty() {
        section.tables.push(tables.table("By who owns the destination", owner_columns, &owners, found.truncated));
    }
    section.table_or(
        tables.table("By destination and device", columns, &rows, found.truncated),
        "No device talked to anybody outside in this time.",
    )
}

/// It is open, and something is sent in it at regular intervals.
fn holds_open(it: &Keepalive) -> bool {
    it.kind() == Kind::WithinConnection && it.open
}

fn holes(findings: &Findings, tables: &Tables<'_>) -> Section {
    type OpenCol = Column<Connection>;
    type Col = Column<Keepalive>;
    let columns = || {
        vec![
            Col::drawn("Device", |it| name_or_id(&it.device_name, &it.device)),
            Col::drawn("With", |it| name_or_address(&it.peer_name, &it.peer_ip)),
            Col::drawn("Port", |it| port_and_protocol(it.peer_port, it.protocol)),
            Col::drawn("Every", |it| Cell::Secs(it.period_secs)).on_the_right(),
            Col::drawn("±", |it| Cell::Secs(it.jitter_secs)).on_the_right(),
            Col::drawn("Times", |it| Cell::Count(it.beats)).on_the_right(),
            Col::drawn("Since", |it| Cell::Time(it.first_at_ns)),
        ]
    };
    let connection_columns = vec![
        OpenCol::drawn("From", |it| name_or_address(&it.orig_name, &it.orig_ip)),
        OpenCol::drawn("To", |it| name_or_address(&it.resp_name, &it.resp_ip)),
        OpenCol::drawn("Port", |it| port_and_protocol(it.resp_port, it.protocol)),
        OpenCol::drawn("Kind", |it| Cell::text(&it.service)),
        OpenCol::drawn("Opened", |it| Cell::Time(it.started_at_ns)),
        OpenCol::drawn("Last packet", |it| Cell::Time(it.last_at_ns)),
    ];
    let found = &findings.keepalives;
    let (held, others): (Vec<_>, Vec<_>) = found.rows.iter().cloned().partition(holds_open);
    let calls: Vec<_> = others.into_iter().filter(|it| it.kind() == Kind::AcrossConnections).collect();
    let leaves = |it: &&Connection| !(is_private(&it.orig_ip) && is_private(&it.resp_ip));
    let open: Vec<_> = findings.open.rows.iter().filter(leaves).cloned().collect();
    let mut section = Section::new("holes", "What keeps a hole in the firewall open")
        .says(
            "A connection that a device opens from inside lets the other end send back in for as long as it is open. \
             Small packets at regular intervals keep it so.",
        )
        .table_or(
            tables.table("Kept open at the end of this time", columns(), &held, found.truncated),
            "Nothing was kept open at regular intervals.",
        );
    if !calls.is_empty() {
        let caption = "A new connection at regular intervals";
        section.tables.push(tables.table(caption, columns(), &calls, found.truncated));
    }
    section.table_or(
        tables.table("All connections open at the end", connection_columns, &open, findings.open.truncated),
        "No connection out of the house was open at the end of this time.",
    )
}

/// Those that are not in the house.
fn outside(rows: &[Destination]) -> Vec<Destination> {
    let is_local = |row: &Destination| !row.ips.is_empty() && row.ips.iter().all(|ip| is_private(ip));
    rows.iter().filter(|row| !is_local(row)).cloned().collect()
}

/// Local by its address alone (RFC 1918, RFC 4193, link-local, multicast).
fn is_private(octets: &[u8]) -> bool {
    match address_from_octets(octets) {
        Ok(std::net::IpAddr::V4(ip)) => {
            ip.is_private() || ip.is_link_local() || ip.is_multicast() || ip.is_broadcast() || ip.is_loopback()
        }
        Ok(std::net::IpAddr::V6(ip)) => {
            ip.is_unique_local() || ip.is_unicast_link_local() || ip.is_multicast() || ip.is_loopback()
        }
        Err(_) => false,
    }
}

fn unanswered(findings: &Findings, tables: &Tables<'_>) -> Section {
    type Col = Column<Unanswered>;
    let columns = vec![
        Col::drawn("Device", |it| name_or_id(&it.device_name, &it.device)),
        Col::drawn("Calls", |it| name_or_address(&it.peer_name, &it.peer_ip)),
        Col::drawn("Port", |it| port_and_protocol(Some(it.peer_port), it.protocol)),
        Col::drawn("Tries", |it| Cell::Count(it.attempts)).on_the_right(),
        Col::drawn("Refused", |it| Cell::Count(it.refused)).on_the_right(),
        Col::drawn("Every", |it| Cell::secs(it.median_interval_secs)).on_the_right(),
        Col::drawn("Since", |it| Cell::Time(it.since_at_ns)),
        Col::drawn("Last", |it| Cell::Time(it.last_at_ns)),
    ];
    let found = &findings.unanswered;
    Section::new("unanswered", "What calls and gets no answer").table_or(
        tables.table("Calls without an answer", columns, &found.rows, found.truncated),
        if findings.header.coverage.as_ref().is_some_and(|coverage| coverage.collectors_reporting > 0) {
            "Every call was answered."
        } else {
            "Nothing was recorded in this time, so nothing is known."
        },
    )
}

fn time(findings: &Findings, tables: &Tables<'_>) -> Section {
    type Col = Column<TimeServer>;
    let columns = vec![
        Col::drawn("Device", |it| name_or_id(&it.device_name, &it.device)),
        Col::drawn("Asks", |it| name_or_address(&it.server_name, &it.server_ip)),
        Col::drawn("Times", |it| Cell::Count(it.requests)).on_the_right(),
        Col::drawn("Answers", |it| Cell::Count(it.replies)).on_the_right(),
        Col::drawn("Every", |it| Cell::secs(it.median_interval_secs)).on_the_right(),
        Col::drawn("Last", |it| Cell::Time(it.last_at_ns)),
    ];
    let found = &findings.time_servers;
    Section::new("time", "Who checks the time").table_or(
        tables.table("Time servers that were asked", columns, &found.rows, found.truncated),
        "No device asked for the time.",
    )
}

fn new(findings: &Findings, tables: &Tables<'_>) -> Section {
    type Col = Column<FirstSeen>;
    let columns = vec![
        Col::drawn("First seen", |it| Cell::Time(it.first_seen_at_ns)),
        Col::drawn("Device", |it| name_or_id(&it.device_name, &it.device)),
        Col::drawn("Destination", |it| Cell::text(&it.destination)),
        Col::drawn("Whose", |it| owner_or_network(&it.owner, &it.as_name)),
        Col::drawn("Country", |it| Cell::text(&it.country)),
    ];
    let found = &findings.first_seen;
    let mut section = Section::new("new", "What is new");
    let changes = [
        (difference::Kind::Device, difference::Change::New, "was not heard in as long a time before"),
        (difference::Kind::Device, difference::Change::Gone, "was heard before, and is silent now"),
        (difference::Kind::Country, difference::Change::New, "is a country not talked to before"),
    ];
    for (kind, change, meaning) in changes {
        let names: Vec<_> = findings
            .diff
            .rows
            .iter()
            .filter(|it| it.kind() == kind && it.change() == change)
            .map(|it| subject(it, tables))
            .collect();
        section.says.extend(names.iter().take(NAMES).map(|name| format!("{name} {meaning}.")));
        if names.len() > NAMES {
            section.says.push(format!("The same goes for {} more.", names.len() - NAMES));
        }
    }
    section.table_or(
        tables.table("Destinations never talked to before", columns, &found.rows, found.truncated),
        "No device talked to anybody it had not talked to before.",
    )
}

/// What a change is about.
fn subject(it: &Difference, tables: &Tables<'_>) -> String {
    let device = name_or_id(&it.device_name, &it.device).in_table(tables.time_zone);
    match it.kind() {
        difference::Kind::Device => device,
        _ => format!("{} ({device})", Cell::text(&it.what).in_table(tables.time_zone)),
    }
}

fn local(findings: &Findings, tables: &Tables<'_>) -> Section {
    type Col = Column<Device>;
    let columns = vec![
        Col::drawn("Device", |it| name_or_id(&it.name, &it.device)),
        Col::drawn("Vendor", |it| Cell::text(&it.vendor)),
        Col::drawn("Packets", |it| Cell::Count(it.packets)).on_the_right(),
        Col::drawn("Last heard", |it| Cell::Time(it.last_seen_at_ns)),
    ];
    let rows: Vec<_> = findings.devices.rows.iter().filter(|it| it.local_only).cloned().collect();
    Section::new("local", "What never leaves the house").table_or(
        tables.table("Devices that talk inside only", columns, &rows, findings.devices.truncated),
        "Every device talked to the Internet.",
    )
}

/// `1 device was`, `14 devices were`.
fn number(count: usize, one: &str, many: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {many}") }
}

/// Rows of a table unless told: a page of paper has some fifty lines.
const ROWS: u64 = 25;
/// Sentences of one kind: more are no longer read.
const NAMES: usize = 10;
