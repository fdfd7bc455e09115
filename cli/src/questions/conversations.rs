//! Which addresses talk to each other.

use iotq_proto::v1::{self, Conversation, question::Ask};

use super::Question;
use crate::{
    config::{Config, InvalidConfig},
    render::{Cell, Column},
};

/// Which addresses exchange packets, and how much each sends
///
/// One row for each unordered pair of outermost addresses, broadcast and multicast included.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example:\n  iotq conversations --net 192.0.2.0/24 --since 24h -n 50")]
pub struct Conversations {}

impl Question for Conversations {
    type Row = Conversation;

    fn ask(&self, _config: &Config) -> Result<Ask, InvalidConfig> {
        Ok(Ask::Conversations(v1::ConversationsQuestion {}))
    }

    fn rows(rows: v1::Rows) -> Vec<Conversation> {
        rows.conversations
    }

    fn columns(&self) -> Vec<Column<Conversation>> {
        type Col = Column<Conversation>;
        vec![
            Col::left("a_ip", "A", |it| Cell::packet_address(&it.a_ip, it.ip_version)).shortest(18),
            Col::left("b_ip", "B", |it| Cell::packet_address(&it.b_ip, it.ip_version)).shortest(18),
            Col::right("a_packets", "A PACKETS", |it| Cell::Count(it.a_packets)),
            Col::right("b_packets", "B PACKETS", |it| Cell::Count(it.b_packets)),
            Col::right("a_wire_bytes", "A BYTES", |it| Cell::Bytes(it.a_wire_bytes)),
            Col::right("b_wire_bytes", "B BYTES", |it| Cell::Bytes(it.b_wire_bytes)),
            Col::left("first_at", "FIRST", |it| Cell::Time(it.first_at_ns)).rank(2),
            Col::left("last_at", "LAST", |it| Cell::Time(it.last_at_ns)).rank(1),
        ]
    }
}
