//! `iotq forget`: have what is stored of a device, or of a stretch of time, removed.

use std::io::{self, BufRead as _, IsTerminal as _, Write};

use iotq_proto::v1::{ForgetRequest, ForgetResponse, ForgottenRows};

use crate::{
    args::{CommonArgs, Format},
    client::{self, AskError},
    config::{Config, Wants},
    render::{Cell, Column, Csv, JsonLines, Sheet as _, Zoned, nested, safe},
};

/// Remove what is stored of a device, or of a stretch of time
///
/// From all tables, sums and names too; it cannot be undone. Either --device, or both --since and --until. Connections that
/// reach into a stretch of time go whole; one that is still open comes back with its next report. Says first what
/// would go and asks, unless told --yes. Takes an administrator's certificate where the analyzer has certificates.
#[derive(Clone, Debug, clap::Args)]
#[command(override_usage = "iotq forget --device <DEVICE> [OPTIONS]\n       \
    iotq forget --since <TIME> --until <TIME> [OPTIONS]")]
#[command(after_help = "Examples:\n  iotq forget --device Kindle --dry-run\n  \
    iotq forget --since 2026-05-01T20:00:00Z --until 2026-05-02T01:00:00Z --yes")]
pub struct ForgetCommand {
    /// Only say what would go
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long, conflicts_with = "dry_run")]
    yes: bool,
}

/// Why nothing was forgotten.
#[derive(Debug, thiserror::Error)]
pub enum ForgetError {
    /// The analyzer.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// Nobody can be asked.
    #[error("this removes data for ever: --yes says that it is meant, --dry-run says what would go")]
    Unconfirmed,
    /// Somebody said no.
    #[error("nothing was removed")]
    Declined,
    /// The output takes no more.
    #[error("the answer could not be written")]
    Output(#[from] io::Error),
}

/// What was typed does not say what is to go.
#[derive(Debug, thiserror::Error)]
#[error(
    "forget takes one --device, or both --since and --until with a begin and an end, and nothing else that selects"
)]
pub struct Unclear;

impl ForgetCommand {
    pub(crate) fn wants() -> Wants {
        Wants { selects: true, ..Wants::nothing() }
    }

    /// What is to go.
    pub(crate) fn request(common: &CommonArgs, config: &Config) -> Result<ForgetRequest, Unclear> {
        let selection = &config.selection;
        let typed = common.typed_selection();
        match (common.devices.as_slice(), typed.as_slice()) {
            ([device], ["--device"]) => Ok(ForgetRequest { device: device.clone(), ..ForgetRequest::default() }),
            ([], ["--since", "--until"]) if selection.since_ns.is_some() && selection.until_ns.is_some() => {
                let (since_ns, until_ns) = (selection.since_ns, selection.until_ns);
                Ok(ForgetRequest { since_ns, until_ns, ..ForgetRequest::default() })
            }
            _ => Err(Unclear),
        }
    }

    /// Asks whether it is meant, and has it done.
    pub(crate) fn run(
        &self,
        request: ForgetRequest,
        config: &Config,
        out: impl Write,
        mut notes: impl Write,
    ) -> Result<(), ForgetError> {
        if !self.dry_run && !self.yes {
            if !io::stdin().is_terminal() {
                return Err(ForgetError::Unconfirmed);
            }
            let would_go = client::forget(config, ForgetRequest { dry_run: true, ..request.clone() })?;
            notes.write_all(in_words(&would_go, config, false).as_bytes())?;
            write!(notes, "Remove this for ever? Type yes: ")?;
            notes.flush()?;
            let mut typed = String::new();
            io::stdin().lock().read_line(&mut typed)?;
            if typed.trim() != "yes" {
                return Err(ForgetError::Declined);
            }
        }
        let response = client::forget(config, ForgetRequest { dry_run: self.dry_run, ..request })?;
        self.write(&response, config, out)?;
        for note in &response.notes {
            writeln!(notes, "note: {}", safe(note))?;
        }
        Ok(())
    }

    fn write(&self, response: &ForgetResponse, config: &Config, mut out: impl Write) -> io::Result<()> {
        let columns = columns();
        match config.format {
            Format::Table | Format::Parquet => out.write_all(in_words(response, config, !self.dry_run).as_bytes()),
            Format::Json | Format::Jsonl => {
                let mut lines = JsonLines::new(out, columns);
                lines.row(response)?;
                lines.end(false)
            }
            Format::Csv => {
                let mut csv = Csv::new(out, table_columns(), config.terminal.is_interactive);
                csv.begin(&iotq_proto::v1::Header::default())?;
                response.tables.iter().try_for_each(|row| csv.row(row))?;
                csv.end(false)
            }
        }
    }
}

fn columns() -> Vec<Column<ForgetResponse>> {
    type Col = Column<ForgetResponse>;
    vec![
        Col::data("device", |it| Cell::text(&it.device)),
        Col::data("name", |it| Cell::text(&it.device_name)),
        Col::data("since", |it| Cell::time(it.since_ns)),
        Col::data("until", |it| Cell::time(it.until_ns)),
        Col::data("tables", |it| Cell::List(it.tables.iter().map(|row| nested(&table_columns(), row)).collect())),
    ]
}

fn table_columns() -> Vec<Column<ForgottenRows>> {
    type Col = Column<ForgottenRows>;
    vec![Col::data("table", |it| Cell::text(&it.table)), Col::data("rows", |it| Cell::Count(it.rows))]
}

fn in_words(it: &ForgetResponse, config: &Config, is_done: bool) -> String {
    let at = |at_ns| Zoned { at_ns, time_zone: &config.terminal.time_zone };
    let what = match (it.since_ns, it.until_ns) {
        (Some(since), Some(until)) => format!("from {} to {}", at(since), at(until)),
        _ if it.device_name.is_empty() => safe(&it.device).into_owned(),
        _ => format!("{} ({})", safe(&it.device_name), safe(&it.device)),
    };
    let mut text = format!("{} {what}:\n", if is_done { "Forgotten" } else { "Would be forgotten" });
    if it.tables.is_empty() {
        text.push_str("  nothing: nothing is stored of it\n");
    }
    for row in &it.tables {
        let rows = Cell::Count(row.rows).in_table(&config.terminal.time_zone);
        text.push_str(&format!("  {:<20} {rows:>14} rows\n", safe(&row.table)));
    }
    text
}
