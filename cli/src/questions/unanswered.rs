//! What devices try to reach in vain.

use iotq_proto::v1::{self, Unanswered, question::Ask};

use super::{
    Question,
    wording::{name_or_address, name_or_id, port_and_protocol},
};
use crate::{
    config::{Config, InvalidConfig},
    render::{Cell, Column},
};

/// Attempts to phone home, or elsewhere, that nobody answers
///
/// TRIES counts attempts without any answer, each with its repetitions (SYNS); REFUSED those that were turned down. EVERY
/// is the median of the times between two attempts. ASKED: a DNS answer had told the device the address before.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:\n  iotq unanswered --since 24h\n  \
    iotq unanswered --group iot --format json | jq '.rows[] | .peer_name'")]
pub struct UnansweredAttempts {}

impl Question for UnansweredAttempts {
    type Row = Unanswered;

    fn ask(&self, _config: &Config) -> Result<Ask, InvalidConfig> {
        Ok(Ask::Unanswered(v1::UnansweredQuestion {}))
    }

    fn rows(rows: v1::Rows) -> Vec<Unanswered> {
        rows.unanswered
    }

    fn columns(&self) -> Vec<Column<Unanswered>> {
        type Col = Column<Unanswered>;
        vec![
            Col::left("device", "DEVICE", |it| Cell::text(&it.device))
                .shows(|it| name_or_id(&it.device_name, &it.device))
                .shortest(12),
            Col::data("name", |it| Cell::text(&it.device_name)),
            Col::drawn("NO ANSWER FROM", |it| name_or_address(&it.peer_name, &it.peer_ip)).shortest(18),
            Col::data("peer_name", |it| Cell::text(&it.peer_name)),
            Col::left("name_source", "SOURCE", |it| Cell::text(&it.name_source)).rank(8),
            Col::left("peer_ip", "ADDRESS", |it| Cell::address(&it.peer_ip)).shortest(15).rank(7),
            Col::drawn("PORT", |it| port_and_protocol(Some(it.peer_port), it.protocol)),
            Col::data("peer_port", |it| Cell::Code(it.peer_port.into())),
            Col::data("protocol", |it| Cell::protocol(it.protocol)),
            Col::right("attempts", "TRIES", |it| Cell::Count(it.attempts)),
            Col::right("syns", "SYNS", |it| Cell::Count(it.syns)).rank(3),
            Col::right("refused", "REFUSED", |it| Cell::Count(it.refused)).rank(2),
            Col::right("unreachable", "UNREACHABLE", |it| Cell::Count(it.unreachable)).rank(5),
            Col::right("median_interval_secs", "EVERY", |it| Cell::secs(it.median_interval_secs)),
            Col::left("first_at", "FIRST", |it| Cell::Time(it.first_at_ns)).rank(6),
            Col::left("last_at", "LAST", |it| Cell::Time(it.last_at_ns)).rank(1),
            Col::left("asked_dns", "ASKED", |it| Cell::Bool(it.asked_dns)).rank(4),
            Col::data("orig_ip", |it| Cell::address(&it.orig_ip)),
            Col::left("since_at", "SINCE", |it| Cell::Time(it.since_at_ns)).rank(3),
        ]
    }
}
