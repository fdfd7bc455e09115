//! `iotq export`: stored data in bulk, written by ClickHouse, into a file that is whole or
//! not there.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, IsTerminal as _, Write},
    path::{Path, PathBuf},
};

use clap::ValueEnum;
use iotq_proto::v1::{self, export_request};

use crate::{
    args::Format,
    client::{self, AskError},
    config::{Config, LimitRule, Wants},
    render::write_coverage,
};

/// Write stored data into a file: CSV, JSON lines or Parquet
///
/// Everything that is selected, in the order of time, as ClickHouse writes it: for spreadsheets, notebooks and other
/// databases. Names of devices and owners of addresses are not in it: they are made when a question is asked. A file that
/// breaks off is not left behind. The range is the last hour unless --since says otherwise.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:\n  iotq export packets --since 24h -o day.parquet\n  \
    iotq export dns --since all --format jsonl | jq -r .qname | sort | uniq -c\n  \
    iotq export connections --device Kindle --since 7d -o kindle.csv")]
pub struct Export {
    /// What to export
    #[arg(value_enum)]
    table: Table,
    /// Where to write it; - is standard output
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    /// Overwrite the file if there is one
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Table {
    /// A row a packet; one that several collectors saw once
    Packets,
    /// A row a flow and second, with its packets as lists, of each collector
    Slices,
    /// A row a connection, of each collector
    Connections,
    /// A row a question
    Dns,
    /// A row a ClientHello
    Tls,
    /// A row an NTP request
    TimeRequests,
    /// A row a batch, with its counters
    Batches,
}

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The analyzer.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// There is a file already.
    #[error("`{}` exists; --force overwrites it, -o names another", path.display())]
    Exists {
        /// Its path.
        path: PathBuf,
    },
    /// A format that this has not.
    #[error("an export is csv, jsonl or parquet; questions answer as {0}")]
    Format(&'static str),
    /// The name says another.
    #[error("`{}`: exports end in .csv, .jsonl or .parquet; --format says what it is to be otherwise", path.display())]
    Name {
        /// Its path.
        path: PathBuf,
    },
    /// Nobody can read it there.
    #[error("Parquet is not for a terminal: -o FILE writes it into a file")]
    Terminal,
    /// The file takes nothing.
    #[error("`{}` cannot be written", path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Export {
    /// What it wants that differs from questions.
    pub(crate) fn wants() -> Wants {
        Wants { limit: LimitRule::Default(0), selects: true, parquet: true, ..Wants::nothing() }
    }

    /// Writes the file.
    pub(crate) fn write(&self, config: &Config, notes: impl Write) -> Result<(), ExportError> {
        let format = self.format(config.format)?;
        let request = v1::ExportRequest {
            selection: Some(config.selection.clone()),
            table: self.table.as_message().into(),
            format: format.into(),
        };
        let header = if self.output == Path::new("-") {
            let mut out = io::stdout().lock();
            if format == export_request::Format::Parquet && io::stdout().is_terminal() {
                return Err(ExportError::Terminal);
            }
            let header = pieces(config, request, &mut out, Path::new("-"))?;
            out.flush().map_err(|source| ExportError::File { path: "-".into(), source })?;
            header
        } else {
            self.write_file(config, request)?
        };
        write_coverage(notes, config, &header);
        Ok(())
    }

    /// Under another name until it is whole.
    fn write_file(&self, config: &Config, request: v1::ExportRequest) -> Result<v1::Header, ExportError> {
        let path = &self.output;
        if !self.force && path.exists() {
            return Err(ExportError::Exists { path: path.clone() });
        }
        let mut unfinished = path.clone().into_os_string();
        unfinished.push(".unfinished");
        let unfinished = PathBuf::from(unfinished);
        let failed = |source| ExportError::File { path: path.clone(), source };
        let mut open = OpenOptions::new();
        let file = open.create(true).truncate(true).write(true).open(&unfinished).map_err(failed)?;
        let written = (|| {
            let mut out = io::BufWriter::with_capacity(1 << 20, file);
            let header = pieces(config, request, &mut out, path)?;
            let file: File = out.into_inner().map_err(|error| failed(error.into_error()))?;
            file.sync_all().map_err(failed)?;
            fs::rename(&unfinished, path).map_err(failed)?;
            Ok(header)
        })();
        if written.is_err() {
            let _ = fs::remove_file(&unfinished);
        }
        written
    }

    /// As typed, if an export has that: `IOTQ_FORMAT` may be set for questions. Else by the file's name, else CSV.
    fn format(&self, typed: Format) -> Result<export_request::Format, ExportError> {
        match typed {
            Format::Csv => return Ok(export_request::Format::Csv),
            Format::Jsonl => return Ok(export_request::Format::Jsonl),
            Format::Parquet => return Ok(export_request::Format::Parquet),
            Format::Table | Format::Json => {}
        }
        let extension = self.output.extension().map(|extension| extension.to_str());
        match extension {
            Some(Some("parquet")) => Ok(export_request::Format::Parquet),
            Some(Some("jsonl" | "ndjson")) => Ok(export_request::Format::Jsonl),
            Some(Some("csv")) => Ok(export_request::Format::Csv),
            _ if typed == Format::Json => Err(ExportError::Format("json")),
            Some(_) if !self.output.exists() || self.output.is_file() => {
                Err(ExportError::Name { path: self.output.clone() })
            }
            _ => Ok(export_request::Format::Csv),
        }
    }
}

impl ExportError {
    /// Whether something else has to be typed.
    pub(crate) fn is_misuse(&self) -> bool {
        matches!(self, Self::Format(_) | Self::Name { .. } | Self::Terminal)
    }
}

impl Table {
    fn as_message(self) -> export_request::Table {
        match self {
            Self::Packets => export_request::Table::Packets,
            Self::Slices => export_request::Table::Slices,
            Self::Connections => export_request::Table::Connections,
            Self::Dns => export_request::Table::Dns,
            Self::Tls => export_request::Table::Tls,
            Self::TimeRequests => export_request::Table::TimeRequests,
            Self::Batches => export_request::Table::Batches,
        }
    }
}

fn pieces(
    config: &Config,
    request: v1::ExportRequest,
    out: &mut impl Write,
    path: &Path,
) -> Result<v1::Header, ExportError> {
    client::export(config, request, |data| {
        out.write_all(data).map_err(|source| ExportError::File { path: path.to_owned(), source })
    })
}
