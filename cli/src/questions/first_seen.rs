//! What is new: destinations of a device that it had none of before.

use iotq_proto::v1::{self, FirstSeen, question::Ask};

use super::{
    Question,
    wording::{asn, name_or_id, owner_or_network},
};
use crate::{
    config::{Config, InvalidConfig},
    render::{Cell, Column},
};

/// Destinations that a device had never talked to before
///
/// A destination is listed if the first packet ever between it and the device lies in the range.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example:\n  iotq first-seen --since 7d --group iot")]
pub struct FirstSeenDestinations {}

impl Question for FirstSeenDestinations {
    type Row = FirstSeen;

    fn ask(&self, _config: &Config) -> Result<Ask, InvalidConfig> {
        Ok(Ask::FirstSeen(v1::FirstSeenQuestion {}))
    }

    fn rows(rows: v1::Rows) -> Vec<FirstSeen> {
        rows.first_seen
    }

    fn columns(&self) -> Vec<Column<FirstSeen>> {
        type Col = Column<FirstSeen>;
        vec![
            Col::left("first_seen_at", "FIRST SEEN", |it| Cell::Time(it.first_seen_at_ns)),
            Col::left("device", "DEVICE", |it| Cell::text(&it.device))
                .shows(|it| name_or_id(&it.device_name, &it.device))
                .shortest(12),
            Col::data("name", |it| Cell::text(&it.device_name)),
            Col::left("destination", "DESTINATION", |it| Cell::text(&it.destination)).shortest(18),
            Col::left("name_source", "SOURCE", |it| Cell::text(&it.name_source)).rank(4),
            Col::drawn("WHOSE", |it| owner_or_network(&it.owner, &it.as_name)).shortest(8).rank(1),
            Col::data("asn", |it| asn(it.asn)),
            Col::data("as_name", |it| Cell::text(&it.as_name)),
            Col::left("country", "COUNTRY", |it| Cell::text(&it.country)).rank(2),
            Col::data("owner", |it| Cell::text(&it.owner)),
            Col::left("last_seen_at", "LAST SEEN", |it| Cell::Time(it.last_seen_at_ns)).rank(3),
        ]
    }
}
