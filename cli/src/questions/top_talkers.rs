//! Who talks most.

use clap::ValueEnum;
use iotq_proto::v1::{self, TopTalker, question::Ask, top_talkers_question::Order};

use super::{Question, wording::name_or_id};
use crate::{
    config::{Config, InvalidConfig},
    render::{Cell, Column},
};

/// How chatty each device is, and which is out of line
///
/// AWAKE counts only the minutes in which the device had a packet: a device that sleeps all day and chatters for five
/// minutes stands out there. USUAL compares PKT/MIN with the device's own median in the week before, the hours in which
/// it slept left out: 4.2× is a device that talks four times as much as it does.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example:\n  iotq top-talkers --since 24h --by rate")]
pub struct TopTalkers {
    /// What counts: packets, bytes, or packets a minute while awake
    #[arg(long, value_enum, default_value_t, value_name = "MEASURE")]
    by: By,
}

/// What talking most means.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum By {
    #[default]
    Packets,
    Bytes,
    Rate,
}

impl Question for TopTalkers {
    type Row = TopTalker;

    fn ask(&self, _config: &Config) -> Result<Ask, InvalidConfig> {
        let order = match self.by {
            By::Packets => Order::Packets,
            By::Bytes => Order::Bytes,
            By::Rate => Order::Rate,
        };
        Ok(Ask::TopTalkers(v1::TopTalkersQuestion { order: order.into() }))
    }

    fn rows(rows: v1::Rows) -> Vec<TopTalker> {
        rows.top_talkers
    }

    fn columns(&self) -> Vec<Column<TopTalker>> {
        type Col = Column<TopTalker>;
        vec![
            Col::left("device", "DEVICE", |it| Cell::text(&it.device))
                .shows(|it| name_or_id(&it.name, &it.device))
                .shortest(20),
            Col::data("name", |it| Cell::text(&it.name)),
            Col::left("vendor", "VENDOR", |it| Cell::text(&it.vendor)).shortest(8).rank(6),
            Col::left("group", "GROUP", |it| Cell::joined(&it.groups)).shortest(10).rank(4),
            Col::left("ips", "ADDRESSES", |it| Cell::addresses(&it.ips)).shortest(15).rank(7),
            Col::right("packets", "PACKETS", |it| Cell::Count(it.packets)),
            Col::right("wire_bytes", "BYTES", |it| Cell::Bytes(it.wire_bytes)),
            Col::right("packets_per_minute", "PKT/MIN", |it| Cell::Rate(it.packets_per_minute)),
            Col::right("awake_packets_per_minute", "AWAKE", |it| Cell::Rate(it.awake_packets_per_minute)).rank(2),
            Col::right("peers", "PEERS", |it| Cell::Count(it.peers)).rank(3),
            Col::right("share", "SHARE", |it| Cell::Share(it.share)).rank(5),
            Col::right("usual_packets_per_minute", "USUAL", |it| rate(it.usual_packets_per_minute))
                .shows(times_usual)
                .rank(1),
            Col::data("also_seen_by", |it| Cell::texts(&it.also_seen_by)),
        ]
    }
}

fn rate(rate: Option<f64>) -> Cell {
    rate.map_or(Cell::Null, Cell::Rate)
}

/// How its packets a minute compare with what it usually sends.
pub(crate) fn times_usual(it: &TopTalker) -> Cell {
    let usual = it.usual_packets_per_minute.filter(|usual| *usual > 0.0);
    usual.map_or(Cell::Null, |usual| Cell::Times(it.packets_per_minute / usual))
}
