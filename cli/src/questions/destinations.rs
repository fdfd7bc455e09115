//! Whom devices talk to.

use clap::ValueEnum;
use iotq_proto::v1::{self, Destination, destinations_question::Key, question::Ask};

use super::{Question, top_talkers::name_or_id};
use crate::render::{Cell, Column};

/// Show whom each device talks to
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example:\n  iotq destinations --device Kindle --since 7d --by ip")]
pub struct Destinations {
    /// What counts as one destination
    #[arg(long, value_enum, default_value_t, value_name = "KEY")]
    by: By,
}

/// What counts as one destination.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum By {
    /// The best name known, else the address
    #[default]
    Name,
    /// The address
    Ip,
}

impl Question for Destinations {
    type Row = Destination;

    fn ask(&self) -> Ask {
        let by = match self.by {
            By::Name => Key::Name,
            By::Ip => Key::Ip,
        };
        Ask::Destinations(v1::DestinationsQuestion { by: by.into() })
    }

    fn rows(rows: v1::Rows) -> Vec<Destination> {
        rows.destinations
    }

    fn columns(&self) -> Vec<Column<Destination>> {
        type Col = Column<Destination>;
        vec![
            Col::left("device", "DEVICE", |it| Cell::text(&it.device))
                .shows(|it| name_or_id(&it.device_name, &it.device))
                .shortest(12),
            Col::data("device_name", |it| Cell::text(&it.device_name)),
            Col::left("destination", "DESTINATION", |it| Cell::text(&it.destination)).shortest(20),
            Col::left("name_source", "SOURCE", |it| Cell::text(&it.name_source)).rank(6),
            Col::left("ips", "ADDRESSES", |it| Cell::addresses(&it.ips)).shortest(15).rank(5),
            // Tables show these when the analyzer knows them.
            Col::data("asn", |it| Cell::code(Some(it.asn).filter(|asn| *asn != 0))),
            Col::data("as_name", |it| Cell::text(&it.as_name)),
            Col::data("country", |it| Cell::text(&it.country)),
            Col::right("packets", "PACKETS", |it| Cell::Count(it.packets)),
            Col::right("wire_bytes", "BYTES", |it| Cell::Bytes(it.wire_bytes)),
            Col::left("first_seen_at", "FIRST SEEN", |it| Cell::Time(it.first_seen_at_ns)).rank(8),
            Col::left("last_seen_at", "LAST SEEN", |it| Cell::Time(it.last_seen_at_ns)).rank(3),
            Col::data("encrypted_share", |it| it.encrypted_share.map_or(Cell::Null, Cell::Share)),
        ]
    }
}
