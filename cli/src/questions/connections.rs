//! Which connections there were, and which are open.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use iotq_proto::v1::{self, Connection, question::Ask};
use jiff::SignedDuration;

use super::{
    Question,
    wording::{endpoint, tls_version},
};
use crate::{
    config::{Config, InvalidConfig},
    render::{Cell, Column},
    time_range::parse_duration,
};

/// Connections: how they went, how long, which are open now
///
/// STATE is what Zeek calls `conn_state`; --state lists them. SENT and RECEIVED count packets, as the originator sees it.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:\n  iotq connections --open --longer-than 1h --group roomba\n  \
    iotq connections --state S0 --state REJ --since 24h")]
pub struct Connections {
    /// Only those that are open at the end of the range
    #[arg(long)]
    open: bool,
    /// Only those in this state, as Zeek names them (may be repeated)
    #[arg(long = "state", value_name = "STATE", value_parser = states(), ignore_case = true)]
    states: Vec<String>,
    /// Only those that lasted at least this long
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    longer_than: Option<SignedDuration>,
}

impl Question for Connections {
    type Row = Connection;

    fn ask(&self, _config: &Config) -> Result<Ask, InvalidConfig> {
        let longer_than = self.longer_than.map_or(0, |length| length.as_nanos());
        Ok(Ask::Connections(v1::ConnectionsQuestion {
            open: self.open,
            states: self.states.clone(),
            longer_than_ns: u64::try_from(longer_than).unwrap_or(u64::MAX),
        }))
    }

    fn rows(rows: v1::Rows) -> Vec<Connection> {
        rows.connections
    }

    fn columns(&self) -> Vec<Column<Connection>> {
        type Col = Column<Connection>;
        vec![
            Col::left("started_at", "STARTED", |it| Cell::Time(it.started_at_ns)).rank(5),
            Col::drawn("ORIGINATOR", originator).shortest(16),
            Col::drawn("RESPONDER", responder).shortest(16),
            Col::data("orig_ip", |it| Cell::packet_address(&it.orig_ip, it.ip_version)),
            Col::data("orig_port", |it| Cell::code(it.orig_port)),
            Col::data("resp_ip", |it| Cell::packet_address(&it.resp_ip, it.ip_version)),
            Col::data("resp_port", |it| Cell::code(it.resp_port)),
            Col::left("protocol", "PROTO", |it| Cell::protocol(it.protocol)).shortest(5),
            Col::left("service", "SERVICE", |it| Cell::text(&it.service)).rank(2),
            Col::left("state", "STATE", |it| Cell::text(&it.state)),
            Col::drawn("LASTED", lasted).on_the_right(),
            Col::drawn("OPEN", is_open).rank(1),
            Col::data("ended_at", |it| Cell::time(it.ended_at_ns)),
            Col::data("last_at", |it| Cell::Time(it.last_at_ns)),
            Col::right("orig_packets", "SENT", |it| Cell::Count(it.orig_packets)),
            Col::right("resp_packets", "RECEIVED", |it| Cell::Count(it.resp_packets)),
            Col::right("orig_wire_bytes", "SENT BYTES", |it| Cell::Bytes(it.orig_wire_bytes)).rank(6),
            Col::right("resp_wire_bytes", "RECEIVED BYTES", |it| Cell::Bytes(it.resp_wire_bytes)).rank(7),
            Col::data("orig_payload_bytes", |it| Cell::Bytes(it.orig_payload_bytes)),
            Col::data("resp_payload_bytes", |it| Cell::Bytes(it.resp_payload_bytes)),
            Col::data("orig_retransmitted", |it| Cell::Count(it.orig_retransmitted)),
            Col::data("resp_retransmitted", |it| Cell::Count(it.resp_retransmitted)),
            Col::drawn("AGAIN", retransmitted).on_the_right().rank(9),
            Col::left("history", "HISTORY", |it| Cell::text(&it.history)).shortest(7).rank(11),
            Col::right("handshake_rtt_ns", "RTT", |it| it.handshake_rtt_ns.map_or(Cell::Null, Cell::Count))
                .shows(round_trip)
                .rank(8),
            Col::left("tls_version", "TLS", |it| tls_version(it.tls_version)).rank(4),
            Col::right("keepalive_period_secs", "BEATS EVERY", |it| Cell::secs(it.keepalive_period_secs)).rank(3),
            Col::data("end", |it| Cell::text(&it.end)),
            Col::data("device", |it| Cell::text(&it.device)),
            Col::data("device_name", |it| Cell::text(&it.device_name)),
            Col::data("peer_name", |it| Cell::text(&it.peer_name)),
            Col::data("name_source", |it| Cell::text(&it.name_source)),
            Col::left("collector", "COLLECTOR", |it| Cell::text(&it.collector)).rank(12),
            Col::data("also_seen_by", |it| Cell::texts(&it.also_seen_by)),
        ]
    }
}

fn originator(it: &Connection) -> Cell {
    Cell::Text(endpoint(&it.orig_name, &it.orig_ip, it.orig_port, it.ip_version))
}

fn responder(it: &Connection) -> Cell {
    Cell::Text(endpoint(&it.resp_name, &it.resp_ip, it.resp_port, it.ip_version))
}

/// Until its end, or as long as it was seen if it is open.
fn lasted(it: &Connection) -> Cell {
    let nanos = it.ended_at_ns.unwrap_or(it.last_at_ns).saturating_sub(it.started_at_ns);
    #[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
    let secs = nanos.max(0) as f64 / 1e9;
    Cell::Secs(secs)
}

/// How long the first handshake took.
fn round_trip(it: &Connection) -> Cell {
    #[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
    let secs = |nanos: u64| nanos as f64 / 1e9;
    Cell::secs(it.handshake_rtt_ns.map(secs))
}

/// Sent again by either.
fn retransmitted(it: &Connection) -> Cell {
    Cell::Count(it.orig_retransmitted.saturating_add(it.resp_retransmitted))
}

fn is_open(it: &Connection) -> Cell {
    Cell::Bool(it.ended_at_ns.is_none())
}

/// Zeek's states, in whatever case.
fn states() -> impl TypedValueParser<Value = String> {
    let known = STATES.map(|(state, meaning)| PossibleValue::new(state).help(meaning));
    PossibleValuesParser::new(known).map(|state| state.to_ascii_uppercase())
}

/// Zeek's states (`conn_state` in its conn.log), in its order.
const STATES: [(&str, &str); 13] = [
    ("S0", "tried, no answer"),
    ("S1", "open, not ended"),
    ("SF", "opened and ended normally"),
    ("REJ", "refused"),
    ("S2", "only the originator has ended it"),
    ("S3", "only the responder has ended it"),
    ("RSTO", "open, then broken off by the originator"),
    ("RSTR", "open, then broken off by the responder"),
    ("RSTOS0", "tried, then broken off by the originator, no answer"),
    ("RSTRH", "answered, then broken off by the responder, no SYN seen"),
    ("SH", "tried, then ended by the originator, no answer"),
    ("SHR", "answered, then ended by the responder, no SYN seen"),
    ("OTH", "neither beginning nor end was seen"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_lasts_until_its_end_or_its_last_packet() {
        let it = Connection { started_at_ns: 5, last_at_ns: 1_500_000_005, ..Default::default() };
        assert_eq!((lasted(&it), is_open(&it)), (Cell::Secs(1.5), Cell::Bool(true)));
        let it = Connection { started_at_ns: 5, ended_at_ns: Some(0), ..it };
        assert_eq!((lasted(&it), is_open(&it)), (Cell::Secs(0.0), Cell::Bool(false)));
    }
}
