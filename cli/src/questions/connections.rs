//! Which connections there were, and which are open.

use iotq_proto::{
    address_of_version,
    v1::{self, Connection, question::Ask},
};
use jiff::SignedDuration;

use super::Question;
use crate::{
    render::{Cell, Column},
    time_range::parse_duration,
};

/// List connections: who opened them, how long they lasted, which are open now
///
/// All packets of a five-tuple in the range are one connection.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example:\n  iotq connections --open --longer-than 1h --group roomba")]
pub struct Connections {
    /// Only those that are open at the end of the range
    #[arg(long)]
    open: bool,
    /// Only those that lasted at least this long
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    longer_than: Option<SignedDuration>,
}

impl Question for Connections {
    type Row = Connection;

    fn ask(&self) -> Ask {
        let longer_than = self.longer_than.map_or(0, |length| length.as_nanos());
        Ask::Connections(v1::ConnectionsQuestion {
            open: self.open,
            states: Vec::new(),
            longer_than_ns: u64::try_from(longer_than).unwrap_or(u64::MAX),
        })
    }

    fn rows(rows: v1::Rows) -> Vec<Connection> {
        rows.connections
    }

    fn columns(&self) -> Vec<Column<Connection>> {
        type Col = Column<Connection>;
        vec![
            Col::left("started_at", "STARTED", |it| Cell::Time(it.started_at_ns)).rank(1),
            Col::drawn("ORIGINATOR", originator).shortest(18),
            Col::drawn("RESPONDER", responder).shortest(18),
            Col::data("orig_ip", |it| Cell::packet_address(&it.orig_ip, it.ip_version)),
            Col::data("orig_port", |it| Cell::code(it.orig_port)),
            Col::data("resp_ip", |it| Cell::packet_address(&it.resp_ip, it.ip_version)),
            Col::data("resp_port", |it| Cell::code(it.resp_port)),
            Col::left("protocol", "PROTO", |it| Cell::protocol(it.protocol)).shortest(5),
            // Tables show it when the analyzer knows it.
            Col::data("state", |it| Cell::text(&it.state)),
            Col::drawn("LASTED", lasted).rank(2),
            Col::data("ended_at", |it| Cell::time(it.ended_at_ns)),
            Col::data("last_at", |it| Cell::Time(it.last_at_ns)),
            Col::right("orig_packets", "SENT", |it| Cell::Count(it.orig_packets)),
            Col::right("resp_packets", "RECEIVED", |it| Cell::Count(it.resp_packets)),
            Col::right("orig_wire_bytes", "SENT BYTES", |it| Cell::Bytes(it.orig_wire_bytes)).rank(3),
            Col::right("resp_wire_bytes", "RECEIVED BYTES", |it| Cell::Bytes(it.resp_wire_bytes)).rank(4),
            Col::data("device", |it| Cell::text(&it.device)),
            Col::data("device_name", |it| Cell::text(&it.device_name)),
            Col::data("peer_name", |it| Cell::text(&it.peer_name)),
            Col::data("name_source", |it| Cell::text(&it.name_source)),
        ]
    }
}

fn originator(it: &Connection) -> Cell {
    Cell::Text(endpoint(&it.orig_name, &it.orig_ip, it.orig_port, it.ip_version))
}

fn responder(it: &Connection) -> Cell {
    Cell::Text(endpoint(&it.resp_name, &it.resp_ip, it.resp_port, it.ip_version))
}

fn endpoint(name: &str, octets: &[u8], port: Option<u32>, ip_version: u32) -> String {
    let address = || address_of_version(octets, ip_version).map_or_else(|_| "?".to_owned(), |ip| ip.to_string());
    let host = if name.is_empty() { address() } else { name.to_owned() };
    match port {
        Some(port) => format!("{host}.{port}"),
        None => host,
    }
}

/// Until its end, or as long as it was seen if it is open.
fn lasted(it: &Connection) -> Cell {
    let nanos = it.ended_at_ns.unwrap_or(it.last_at_ns).saturating_sub(it.started_at_ns).max(0);
    let secs = nanos / 1_000_000_000;
    let (minutes, hours, days) = (secs / 60, secs / 3_600, secs / 86_400);
    let text = match () {
        () if secs < 60 => format!("{secs}.{}s", nanos / 100_000_000 % 10),
        () if hours < 1 => format!("{minutes}m{:02}s", secs % 60),
        () if days < 1 => format!("{hours}h{:02}m", minutes % 60),
        () => format!("{days}d{:02}h", hours % 24),
    };
    Cell::Text(if it.ended_at_ns.is_none() { format!("{text} open") } else { text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_read_well() {
        let lasted_secs = |secs: i64, ended: bool| {
            let end = secs * 1_000_000_000;
            let it = Connection { last_at_ns: end, ended_at_ns: ended.then_some(end), ..Default::default() };
            lasted(&it)
        };
        for (secs, ended, text) in [
            (0, true, "0.0s"),
            (61, true, "1m01s"),
            (3_720, false, "1h02m open"),
            (90_000, true, "1d01h"),
            (-5, true, "0.0s"),
        ] {
            assert_eq!(lasted_secs(secs, ended), Cell::Text(text.to_owned()));
        }
    }
}
