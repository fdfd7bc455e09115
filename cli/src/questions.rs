//! The questions, one file each. Each says what is asked, and in one list of
//! columns how the rows of the answer are written in all formats.

use std::io::Write;

use iotq_proto::v1::{self, question::Ask};

use crate::{
    args::Format,
    config::{Config, InvalidConfig, LimitRule},
    render::{Column, Csv, Sheet, Table},
};

pub mod connections;
pub mod conversations;
pub mod destinations;
pub mod devices;
pub mod diff;
pub mod dns;
pub mod first_seen;
pub mod groups;
pub mod keepalives;
pub mod packets;
pub mod status;
pub mod time_servers;
pub mod timeline;
pub mod tls;
pub mod top_talkers;
pub mod unanswered;
pub(crate) mod wording;

/// A question that can be asked.
///
/// A new one is a file in `questions/`, and a line each in `args::Command` and
/// in `run`.
pub trait Question {
    /// A row of the answer.
    type Row: 'static;

    /// What is sent.
    ///
    /// # Errors
    /// If what was typed makes no sense together with the range.
    fn ask(&self, config: &Config) -> Result<Ask, InvalidConfig>;

    /// This question's rows out of a message.
    fn rows(rows: v1::Rows) -> Vec<Self::Row>;

    /// How a row is written: names and order are those of `CONTRACT.md`.
    fn columns(&self) -> Vec<Column<Self::Row>>;

    /// Rows to ask for if nothing is typed.
    fn limit(&self, format: Format) -> LimitRule {
        LimitRule::Default(if format == Format::Table { TABLE_ROWS } else { 0 })
    }

    /// Whether the answer goes on until somebody stops it.
    fn follows(&self) -> bool {
        false
    }

    /// Whether time range, coverage and limit say something about the answer.
    fn is_about_packets(&self) -> bool {
        true
    }

    /// What an answer without rows says, if it is not that nothing was found; the range follows.
    fn if_nothing(&self) -> Option<&'static str> {
        None
    }

    /// What `--format table` writes.
    fn sheet<'a, W: Write + 'a>(&self, out: W, config: &'a Config) -> Box<dyn Sheet<Self::Row> + 'a> {
        Box::new(Table::new(out, self.columns(), &config.terminal))
    }

    /// What `--format csv` writes.
    fn csv<'a, W: Write + 'a>(&self, out: W, config: &'a Config) -> Box<dyn Sheet<Self::Row> + 'a> {
        Box::new(Csv::new(out, self.columns(), config.terminal.is_interactive))
    }
}

/// What a screen shows without scrolling.
pub(crate) const TABLE_ROWS: u64 = 20;
