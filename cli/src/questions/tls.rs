//! What encrypted connections show of themselves when they begin.

use iotq_proto::v1::{self, Tls, question::Ask};

use super::{
    Question,
    wording::{name_or_id, tls_version},
};
use crate::{
    config::{Config, InvalidConfig},
    render::{Cell, Column},
};

/// How connections are encrypted: server names, versions, JA4
///
/// One row for each `ClientHello` that was seen. VERSION is the highest that the client offered; JA4 says what kind of
/// program it is. With ECH the name is the outer one.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Example:\n  iotq tls --since 24h --format json | jq -r '.rows[] | select(.version < \"1.2\").sni'"
)]
pub struct TlsHellos {}

impl Question for TlsHellos {
    type Row = Tls;

    fn ask(&self, _config: &Config) -> Result<Ask, InvalidConfig> {
        Ok(Ask::Tls(v1::TlsQuestion {}))
    }

    fn rows(rows: v1::Rows) -> Vec<Tls> {
        rows.tls
    }

    fn columns(&self) -> Vec<Column<Tls>> {
        type Col = Column<Tls>;
        vec![
            Col::left("seen_at", "SEEN", |it| Cell::Time(it.seen_at_ns)),
            Col::left("device", "DEVICE", |it| Cell::text(&it.device))
                .shows(|it| name_or_id(&it.device_name, &it.device))
                .shortest(10),
            Col::data("device_name", |it| Cell::text(&it.device_name)),
            Col::left("client_ip", "CLIENT", |it| Cell::address(&it.client_ip)).shortest(15).rank(6),
            Col::data("client_port", |it| Cell::Code(it.client_port.into())),
            Col::left("server_ip", "SERVER", |it| Cell::address(&it.server_ip)).shortest(15).rank(3),
            Col::right("server_port", "PORT", |it| Cell::Code(it.server_port.into())).rank(2),
            Col::left("transport", "OVER", |it| Cell::text(&it.transport)).rank(1),
            Col::left("version", "VERSION", |it| tls_version(it.version)),
            Col::left("sni", "SERVER NAME", |it| Cell::text(&it.sni)).shortest(18),
            Col::left("alpn", "ALPN", |it| Cell::texts(&it.alpn)).rank(4),
            Col::left("ja4", "JA4", |it| Cell::text(&it.ja4)).rank(5),
            Col::left("ech", "ECH", |it| Cell::Bool(it.ech)).rank(7),
            Col::left("collector", "COLLECTOR", |it| Cell::text(&it.collector)).rank(8),
            Col::data("also_seen_by", |it| Cell::texts(&it.also_seen_by)),
        ]
    }
}
