//! The packets themselves.

use std::io::Write;

use iotq_proto::v1::{self, Packet, question::Ask};

use super::{Question, TABLE_ROWS};
use crate::{
    args::Format,
    config::{Config, InvalidConfig, LimitRule},
    render::{Cell, Column, PacketLines, Sheet},
};

/// Packets as text, a line each, of the past or as they come
///
/// A line is, as tcpdump writes it but with names where they are known:
///
///   12:00:01.123456 Kindle.51234 > api.example.com.443: tcp [P.], payload 120, wire 186
///
/// that is: time (with the date where the range is longer than a day), source and destination with their ports,
/// protocol, TCP flags (S SYN, F FIN, R RST, P PSH, . ACK, U URG, E ECE, W CWR), octets of payload, length on the wire,
/// and the VLAN if there is one. Addresses are those of the outermost IP header.
#[derive(Clone, Debug, clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:\n  iotq packets --device Kindle --since 10m -n 0\n  \
    iotq packets --follow --group iot"
)]
pub struct Packets {
    /// Packets as they are stored from now on, until Ctrl-C or as many as -n says; the range does not count
    #[arg(long)]
    follow: bool,
}

impl Question for Packets {
    type Row = Packet;

    fn ask(&self, _config: &Config) -> Result<Ask, InvalidConfig> {
        Ok(Ask::Packets(v1::PacketsQuestion { follow: self.follow }))
    }

    fn rows(rows: v1::Rows) -> Vec<Packet> {
        rows.packets
    }

    fn columns(&self) -> Vec<Column<Packet>> {
        type Col = Column<Packet>;
        vec![
            Col::data("captured_at", |it| Cell::Time(it.captured_at_ns)),
            Col::data("collector", |it| Cell::text(&it.collector)),
            Col::data("src_ip", |it| Cell::packet_address(&it.src_ip, it.ip_version)),
            Col::data("src_port", |it| Cell::code(it.src_port)),
            Col::data("dst_ip", |it| Cell::packet_address(&it.dst_ip, it.ip_version)),
            Col::data("dst_port", |it| Cell::code(it.dst_port)),
            Col::data("protocol", |it| Cell::protocol(it.protocol)),
            Col::data("wire_bytes", |it| Cell::Bytes(it.wire_bytes.into())),
            Col::data("payload_bytes", |it| Cell::Bytes(it.payload_bytes.into())),
            Col::data("tcp_flags", |it| Cell::tcp_flags(it.tcp_flags)),
            Col::data("vlan_id", |it| Cell::code(it.vlan_id)),
            Col::data("device", |it| Cell::text(&it.device)),
            Col::data("device_name", |it| Cell::text(&it.device_name)),
            Col::data("peer_name", |it| Cell::text(&it.peer_name)),
            Col::data("src_name", |it| Cell::text(&it.src_name)),
            Col::data("dst_name", |it| Cell::text(&it.dst_name)),
            Col::data("also_seen_by", |it| Cell::texts(&it.also_seen_by)),
        ]
    }

    fn limit(&self, format: Format) -> LimitRule {
        LimitRule::Default(if format == Format::Table && !self.follow { TABLE_ROWS } else { 0 })
    }

    fn follows(&self) -> bool {
        self.follow
    }

    fn sheet<'a, W: Write + 'a>(&self, out: W, config: &'a Config) -> Box<dyn Sheet<Packet> + 'a> {
        Box::new(PacketLines::new(out, config))
    }
}
