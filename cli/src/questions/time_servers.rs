//! Who checks the time, and where.

use iotq_proto::v1::{self, TimeServer, question::Ask};

use super::{
    Question,
    wording::{name_or_address, name_or_id},
};
use crate::{
    config::{Config, InvalidConfig},
    render::{Cell, Column},
};

/// Who checks the time: at which NTP servers, and how often
///
/// EVERY is the median of the times between two requests.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example:\n  iotq time-servers --since 7d")]
pub struct TimeServers {}

impl Question for TimeServers {
    type Row = TimeServer;

    fn ask(&self, _config: &Config) -> Result<Ask, InvalidConfig> {
        Ok(Ask::TimeServers(v1::TimeServersQuestion {}))
    }

    fn rows(rows: v1::Rows) -> Vec<TimeServer> {
        rows.time_servers
    }

    fn columns(&self) -> Vec<Column<TimeServer>> {
        type Col = Column<TimeServer>;
        vec![
            Col::left("device", "DEVICE", |it| Cell::text(&it.device))
                .shows(|it| name_or_id(&it.device_name, &it.device))
                .shortest(12),
            Col::data("name", |it| Cell::text(&it.device_name)),
            Col::drawn("TIME SERVER", |it| name_or_address(&it.server_name, &it.server_ip)).shortest(16),
            Col::left("server_ip", "ADDRESS", |it| Cell::address(&it.server_ip)).shortest(15).rank(4),
            Col::data("server_name", |it| Cell::text(&it.server_name)),
            Col::left("name_source", "SOURCE", |it| Cell::text(&it.name_source)).rank(5),
            Col::right("requests", "REQUESTS", |it| Cell::Count(it.requests)),
            Col::right("replies", "REPLIES", |it| Cell::Count(it.replies)).rank(1),
            Col::right("median_interval_secs", "EVERY", |it| Cell::secs(it.median_interval_secs)),
            Col::left("first_at", "FIRST", |it| Cell::Time(it.first_at_ns)).rank(3),
            Col::left("last_at", "LAST", |it| Cell::Time(it.last_at_ns)).rank(2),
        ]
    }
}
