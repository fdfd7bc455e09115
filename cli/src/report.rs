//! `iotq report`: what there is to know, on one page, in the words of whoever
//! owns the house.
//!
//! `findings` asks the analyzer the questions that exist anyway, `sections`
//! says what the answers mean, `page` is what the template shows. The page is
//! one file without scripts, and loads nothing.

mod chart;
mod findings;
mod page;
mod sections;

use std::{
    fs::OpenOptions,
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
};

use jiff::SignedDuration;

pub use self::findings::{Findings, gather};
use crate::{
    args::Format,
    client::{self, AskError},
    config::{Config, Wants},
    render::{Zoned, write_note},
};

/// A report on all of this: one HTML page, to read or to print
///
/// What is in the house, who talks most and to whom, what keeps the firewall open, what calls and gets no answer, what is
/// new, what stays in the house, what is sent in the clear, and how complete the data are. The range is the last 7 days
/// unless --since says otherwise; --limit says how many rows each table has [default: 25].
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:\n  iotq report\n  iotq report --since 30d --group iot -o iot.html\n  \
    iotq report -o - | mail -a 'Content-Type: text/html' -s House me")]
pub struct Report {
    /// Where to write it; - is standard output [default: iotq-report-YYYYmmdd.html]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Overwrite the file if there is one
    #[arg(long)]
    force: bool,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// An answer is missing.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// There is a file already.
    #[error("`{}` exists; --force overwrites it, -o names another", path.display())]
    Exists {
        /// Its path.
        path: PathBuf,
    },
    /// The file takes nothing.
    #[error("`{}` cannot be written", path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The output takes no more.
    #[error("the report could not be written")]
    Output(#[from] io::Error),
    /// The template failed.
    #[error("the page could not be made")]
    Page(#[from] askama::Error),
}

impl Report {
    /// What a report wants that differs from questions.
    #[must_use]
    pub fn wants() -> Wants {
        Wants { length: LENGTH, selects: true, rounds: true, ..Wants::nothing() }
    }

    /// Asks everything and writes the page.
    pub(crate) fn write(&self, config: &Config, mut out: impl Write, mut notes: impl Write) -> Result<(), ReportError> {
        if config.format != Format::Table {
            write_note(&mut notes, "a report is a page of HTML; the format that is set is that of answers");
        }
        if self.output.as_deref() == Some(Path::new("-")) {
            out.write_all(page(config)?.as_bytes())?;
            return Ok(out.flush()?);
        }
        let path = self.output.clone().unwrap_or_else(|| default_path(config));
        // Before minutes of work, and again when the file is made.
        if !self.force && path.exists() {
            return Err(ReportError::Exists { path });
        }
        let page = page(config)?;
        self.save(&path, &page)?;
        // Nobody has to read it.
        let _ = writeln!(notes, "wrote {}", path.display());
        Ok(())
    }

    fn save(&self, path: &Path, page: &str) -> Result<(), ReportError> {
        let mut options = OpenOptions::new();
        options.write(true).truncate(true).create(true).create_new(!self.force);
        let written = options.open(path).and_then(|mut file| file.write_all(page.as_bytes()));
        written.map_err(|source| match source.kind() {
            ErrorKind::AlreadyExists => ReportError::Exists { path: path.to_owned() },
            _ => ReportError::File { path: path.to_owned(), source },
        })
    }
}

/// The page as text.
///
/// # Errors
/// If the template fails.
pub fn render(findings: &Findings, config: &Config) -> Result<String, askama::Error> {
    // Templates end without the line feed that their file ends with.
    Ok(askama::Template::render(&sections::page(findings, config))? + "\n")
}

fn page(config: &Config) -> Result<String, ReportError> {
    let findings = gather(config, client::ask)?;
    Ok(render(&findings, config)?)
}

fn default_path(config: &Config) -> PathBuf {
    let at_ns = i64::try_from(config.now.as_nanosecond()).unwrap_or(i64::MAX);
    let today = Zoned { at_ns, time_zone: &config.terminal.time_zone };
    PathBuf::from(today.format("iotq-report-%Y%m%d.html"))
}

/// A week has all kinds of days in it.
const LENGTH: SignedDuration = SignedDuration::from_hours(7 * 24);
