//! What is sent again and again at regular intervals.

use iotq_proto::v1::{self, Keepalive, keepalive::Kind, question::Ask};

use super::{
    Question,
    wording::{name_or_address, name_or_id, port_and_protocol},
};
use crate::{
    config::{Config, InvalidConfig},
    render::{Cell, Column},
};

/// Keepalives, and whatever else is sent at regular intervals
///
/// Within a connection, beats keep it open, and with it a hole in the firewall; across connections, each beat is a
/// connection of its own. EVERY is the median time between two beats, ± the median deviation from it. SCORE is 0 to 1,
/// the higher the more regular. Regular is not malicious. Within connections the newest 30 million packets of the range
/// are looked at; a note says so where there are more.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example:\n  iotq keepalives --group roomba --since 24h")]
pub struct Keepalives {}

impl Question for Keepalives {
    type Row = Keepalive;

    fn ask(&self, _config: &Config) -> Result<Ask, InvalidConfig> {
        Ok(Ask::Keepalives(v1::KeepalivesQuestion::default()))
    }

    fn rows(rows: v1::Rows) -> Vec<Keepalive> {
        rows.keepalives
    }

    fn columns(&self) -> Vec<Column<Keepalive>> {
        type Col = Column<Keepalive>;
        vec![
            Col::left("device", "DEVICE", |it| Cell::text(&it.device))
                .shows(|it| name_or_id(&it.device_name, &it.device))
                .shortest(12),
            Col::data("name", |it| Cell::text(&it.device_name)),
            Col::drawn("WITH", |it| name_or_address(&it.peer_name, &it.peer_ip)).shortest(16),
            Col::data("peer_name", |it| Cell::text(&it.peer_name)),
            Col::left("name_source", "SOURCE", |it| Cell::text(&it.name_source)).rank(9),
            Col::left("peer_ip", "ADDRESS", |it| Cell::address(&it.peer_ip)).shortest(15).rank(8),
            Col::drawn("PORT", |it| port_and_protocol(it.peer_port, it.protocol)).rank(2),
            Col::data("peer_port", |it| Cell::code(it.peer_port)),
            Col::data("protocol", |it| Cell::protocol(it.protocol)),
            Col::left("kind", "KIND", |it| Cell::text(kind(it.kind()))).shows(|it| Cell::text(short_kind(it.kind()))),
            Col::right("period_secs", "EVERY", |it| Cell::Secs(it.period_secs)),
            Col::right("jitter_secs", "±", |it| Cell::Secs(it.jitter_secs)).rank(1),
            Col::right("beats", "BEATS", |it| Cell::Count(it.beats)),
            Col::right("bytes_per_beat", "BYTES/BEAT", |it| Cell::Rate(it.bytes_per_beat)).rank(5),
            Col::left("first_at", "FIRST", |it| Cell::Time(it.first_at_ns)).rank(6),
            Col::left("last_at", "LAST", |it| Cell::Time(it.last_at_ns)).rank(3),
            Col::right("beacon_score", "SCORE", |it| Cell::Rate(it.beacon_score)).rank(7),
            Col::left("open", "OPEN", |it| Cell::Bool(it.open)),
        ]
    }
}

/// As in JSON.
fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Unspecified => "",
        Kind::WithinConnection => "within_connection",
        Kind::AcrossConnections => "across_connections",
    }
}

/// As in tables.
fn short_kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Unspecified => "",
        Kind::WithinConnection => "within",
        Kind::AcrossConnections => "across",
    }
}
