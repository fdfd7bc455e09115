//! Which names are looked up, and what the answers are.

use iotq_proto::{
    RecordType, rcode_mnemonic,
    v1::{self, Dns, DnsRecord, question::Ask},
};

use super::{Question, wording::name_or_id};
use crate::{
    config::{Config, InvalidConfig},
    render::{Cell, Column, nested},
};

/// Names that devices looked up, and the answers they got
///
/// One row for each question that was seen, over DNS, mDNS and LLMNR.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:\n  iotq dns --device Kindle --since 24h\n  \
    iotq dns --since 24h --format json | jq -r '.rows[].qname' | sort | uniq -c")]
pub struct DnsQuestions {}

impl Question for DnsQuestions {
    type Row = Dns;

    fn ask(&self, _config: &Config) -> Result<Ask, InvalidConfig> {
        Ok(Ask::Dns(v1::DnsQuestion {}))
    }

    fn rows(rows: v1::Rows) -> Vec<Dns> {
        rows.dns
    }

    fn columns(&self) -> Vec<Column<Dns>> {
        type Col = Column<Dns>;
        vec![
            Col::left("asked_at", "ASKED", |it| Cell::Time(it.asked_at_ns)),
            Col::left("kind", "KIND", |it| Cell::text(&it.kind)).rank(3),
            Col::left("device", "DEVICE", |it| Cell::text(&it.device))
                .shows(|it| name_or_id(&it.device_name, &it.device))
                .shortest(10),
            Col::data("device_name", |it| Cell::text(&it.device_name)),
            Col::left("client_ip", "CLIENT", |it| Cell::address(&it.client_ip)).shortest(15).rank(4),
            Col::left("server_ip", "SERVER", |it| Cell::address(&it.server_ip)).shortest(15).rank(2),
            Col::left("qname", "NAME", |it| Cell::text(&it.qname)).shortest(16),
            Col::left("qtype", "TYPE", |it| Cell::Text(record_type(it.qtype))),
            Col::data("rcode", |it| Cell::code(it.rcode)),
            Col::data("rcode_name", |it| it.rcode.map_or(Cell::Null, |rcode| Cell::Text(rcode_name(rcode)))),
            Col::left("answers", "ANSWER", |it| {
                Cell::List(it.answers.iter().map(|it| Cell::Text(it.data.clone())).collect())
            })
            .shows(answer)
            .shortest(12),
            Col::data("answer_records", |it| Cell::List(it.answers.iter().map(record).collect())),
            Col::data("answered_at", |it| Cell::time(it.answered_at_ns)),
            Col::drawn("TOOK", took).on_the_right().rank(5),
            Col::data("protocol", |it| Cell::protocol(it.protocol)),
            Col::left("collector", "COLLECTOR", |it| Cell::text(&it.collector)).rank(6),
            Col::data("also_seen_by", |it| Cell::texts(&it.also_seen_by)),
        ]
    }
}

fn record_type(code: u32) -> String {
    u16::try_from(code).map_or_else(|_| format!("TYPE{code}"), |code| RecordType(code).to_string())
}

fn rcode_name(rcode: u32) -> String {
    rcode_mnemonic(rcode).map_or_else(|| format!("RCODE{rcode}"), str::to_owned)
}

/// In a table: the last answer, where aliases come before what they stand for;
/// else why there is none.
fn answer(it: &Dns) -> Cell {
    match (it.rcode, it.answers.as_slice()) {
        (None, []) => Cell::text("no answer seen"),
        (Some(0) | None, [.., last]) if it.answers.len() > 1 => {
            Cell::Text(format!("{} +{}", last.data, it.answers.len() - 1))
        }
        (Some(0) | None, [one, ..]) => Cell::text(&one.data),
        (Some(0), []) => Cell::text("nothing"),
        (Some(rcode), _) => Cell::Text(rcode_name(rcode)),
    }
}

fn record(record: &DnsRecord) -> Cell {
    type Col = Column<DnsRecord>;
    let columns = [
        Col::data("name", |it| Cell::text(&it.name)),
        Col::data("type", |it| Cell::Text(record_type(it.r#type))),
        Col::data("ttl_secs", |it| Cell::Count(it.ttl_secs.into())),
        Col::data("data", |it| Cell::Text(it.data.clone())),
    ];
    nested(&columns, record)
}

/// From question to answer.
fn took(it: &Dns) -> Cell {
    #[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
    let secs = |answered: i64| answered.saturating_sub(it.asked_at_ns) as f64 / 1e9;
    Cell::secs(it.answered_at_ns.map(secs))
}
