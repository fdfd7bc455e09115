//! Whom devices talk to.

use clap::ValueEnum;
use iotq_proto::v1::{self, Destination, destinations_question::Key, question::Ask};

use super::{
    Question,
    wording::{asn, name_or_id, owner_or_network},
};
use crate::{
    config::{Config, InvalidConfig},
    render::{Cell, Column},
};

/// Whom each device talks to: names, owners, countries
///
/// WHOSE is the owner by the lists the analyzer has, else the name of the network that announces the address. ENCRYPTED
/// is the share of the packets with payload that nobody on the way can read.
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
    /// The part of the name that somebody registered: example.co.uk
    Domain,
    /// The network (autonomous system) that announces the address
    Asn,
    /// The country
    Country,
    /// The address
    Ip,
}

impl Question for Destinations {
    type Row = Destination;

    fn ask(&self, _config: &Config) -> Result<Ask, InvalidConfig> {
        let by = match self.by {
            By::Name => Key::Name,
            By::Domain => Key::Domain,
            By::Asn => Key::Asn,
            By::Country => Key::Country,
            By::Ip => Key::Ip,
        };
        Ok(Ask::Destinations(v1::DestinationsQuestion { by: by.into() }))
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
            Col::left("name_source", "SOURCE", |it| Cell::text(&it.name_source)).rank(7),
            Col::left("ips", "ADDRESSES", |it| Cell::addresses(&it.ips)).shortest(15).rank(6),
            Col::drawn("WHOSE", |it| owner_or_network(&it.owner, &it.as_name)).shortest(8).rank(2),
            Col::left("asn", "ASN", |it| asn(it.asn)).rank(9),
            Col::data("as_name", |it| Cell::text(&it.as_name)),
            Col::left("country", "COUNTRY", |it| Cell::text(&it.country)).rank(3),
            Col::data("owner", |it| Cell::text(&it.owner)),
            Col::left("category", "CATEGORY", |it| Cell::text(&it.category)).rank(8),
            Col::right("packets", "PACKETS", |it| Cell::Count(it.packets)),
            Col::right("wire_bytes", "BYTES", |it| Cell::Bytes(it.wire_bytes)).rank(1),
            Col::left("first_seen_at", "FIRST SEEN", |it| Cell::Time(it.first_seen_at_ns)).rank(10),
            Col::left("last_seen_at", "LAST SEEN", |it| Cell::Time(it.last_seen_at_ns)).rank(5),
            Col::right("encrypted_share", "ENCRYPTED", |it| it.encrypted_share.map_or(Cell::Null, Cell::Share)).rank(4),
            Col::data("name_at", |it| Cell::time(it.name_at_ns)),
        ]
    }
}
