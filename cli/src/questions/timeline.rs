//! When there was how much traffic.

use std::io::Write;

use clap::ValueEnum;
use iotq_proto::v1::{self, TimelinePoint, question::Ask, timeline_question::Key};
use jiff::SignedDuration;

use super::{Question, TABLE_ROWS};
use crate::{
    args::Format,
    config::{Config, InvalidConfig, LimitRule},
    render::{Cell, Column, Measure, Plot, Sheet},
    time_range::{InvalidText, parse_duration},
};

/// When there was how much traffic: as a table, a plot
///
/// With --by, each device or destination has a line of its own, scaled to its own peak; --limit says how many are
/// drawn, the busiest first.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example:\n  iotq timeline --by device --group iot --since 24h --step 15m")]
pub struct Timeline {
    /// A line for each device or destination, not one for all
    #[arg(long, value_enum, value_name = "KEY")]
    by: Option<By>,
    /// How long a point lasts [default: chosen to fit the range]
    #[arg(long, value_name = "TIME", value_parser = parse_step)]
    step: Option<SignedDuration>,
    /// Draw bytes, not packets
    #[arg(long)]
    bytes: bool,
}

/// What has a line of its own.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum By {
    Device,
    Destination,
}

impl Question for Timeline {
    type Row = TimelinePoint;

    fn ask(&self, _config: &Config) -> Result<Ask, InvalidConfig> {
        let by = match self.by {
            None => Key::All,
            Some(By::Device) => Key::Device,
            Some(By::Destination) => Key::Destination,
        };
        let step_secs = self.step.map_or(0, |step| u64::try_from(step.as_secs()).unwrap_or_default());
        Ok(Ask::Timeline(v1::TimelineQuestion { by: by.into(), step_secs }))
    }

    fn rows(rows: v1::Rows) -> Vec<TimelinePoint> {
        rows.timeline
    }

    fn columns(&self) -> Vec<Column<TimelinePoint>> {
        type Col = Column<TimelinePoint>;
        vec![
            Col::data("at", |it| Cell::Time(it.at_ns)),
            Col::data("key", |it| Cell::text(&it.key)),
            Col::data("name", |it| Cell::text(&it.name)),
            Col::data("packets", |it| Cell::Count(it.packets)),
            Col::data("wire_bytes", |it| Cell::Bytes(it.wire_bytes)),
            Col::data("step_secs", |it| Cell::Count(it.step_secs)),
        ]
    }

    fn limit(&self, format: Format) -> LimitRule {
        // A plot of the first points would be a wrong one: its limit is that of the keys.
        if format == Format::Table { LimitRule::All } else { LimitRule::Default(0) }
    }

    fn sheet<'a, W: Write + 'a>(&self, out: W, config: &'a Config) -> Box<dyn Sheet<TimelinePoint> + 'a> {
        let measure = if self.bytes { Measure::Bytes } else { Measure::Packets };
        let keys = config.typed_limit.unwrap_or(TABLE_ROWS);
        Box::new(Plot::new(out, &config.terminal, measure, keys, self.step.is_some()))
    }
}

/// Whole seconds, as sums are kept of no less.
fn parse_step(text: &str) -> Result<SignedDuration, InvalidText> {
    let step = parse_duration(text)?;
    if step.subsec_nanos() == 0 { Ok(step) } else { Err(InvalidText::Parts) }
}
