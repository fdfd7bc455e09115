//! Writes answers. Functions of their arguments: no clock, no environment.

mod cell;
mod column;
mod csv;
mod json;
mod layout;
mod notes;
mod plot;
mod safe;
mod sections;
mod table;
mod text;
mod units;

use std::io::{self, Write};

use iotq_proto::v1::{Header, answer::Kind};

use self::json::JsonAnswer;
pub use self::{
    cell::Cell,
    column::Column,
    csv::Csv,
    json::JsonLines,
    plot::{Measure, Plot},
    safe::safe,
    sections::Sections,
    table::Table,
    text::{PacketLines, tcp_flag_letters},
};
pub(crate) use self::{
    cell::{label_counts, protocol_name},
    column::nested,
    json::gap_cell,
    notes::{gap_in_words, incomplete, lost_by_stage},
    sections::stored_bytes,
    units::{Zoned, length},
};
use crate::{args::Format, client::AskError, config::Config, questions::Question};

/// Something an answer is written on, in one of the formats.
pub trait Sheet<R> {
    /// Called once, before the rows.
    fn begin(&mut self, header: &Header) -> io::Result<()>;

    /// Called for each row. May be kept until the end, but only so many.
    fn row(&mut self, row: &R) -> io::Result<()>;

    /// What was written so far goes out.
    fn flush(&mut self) -> io::Result<()>;

    /// Called once, after the last row. Flushes.
    fn end(&mut self, truncated: bool) -> io::Result<()>;

    /// Called instead of `end` when the answer breaks off: shows what there is
    /// in a way that nobody takes for complete. Flushes.
    fn break_off(&mut self) -> io::Result<()> {
        self.flush()
    }

    /// What a person should know beside what was drawn. Asked after the end.
    fn remark(&self) -> Option<String> {
        None
    }
}

/// Why an answer could not be written.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// There is no answer, or not all of it.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// The output takes no more.
    #[error("the answer could not be written")]
    Output(#[from] io::Error),
}

/// Writes an answer to `out` and what else is to be said about it to `notes`.
///
/// # Errors
/// If the answer is not complete or cannot be written.
pub fn render<Q: Question>(
    question: &Q,
    config: &Config,
    answers: impl IntoIterator<Item = Result<Kind, AskError>>,
    out: impl Write,
    mut notes: impl Write,
) -> Result<(), RenderError> {
    let mut sheet = sheet_for(question, config, io::BufWriter::with_capacity(OUT_BYTES, out));
    // A person who waits, or a program that follows, sees rows when they come.
    let prompt = config.follow || config.terminal.is_interactive;
    let mut progress = Progress::default();
    for answer in answers {
        let step = answer.map_err(RenderError::from);
        match step.and_then(|kind| progress.take::<Q>(kind, sheet.as_mut(), prompt)) {
            Ok(()) => {}
            Err(RenderError::Ask(error)) => {
                sheet.break_off()?;
                return Err(error.into());
            }
            Err(error) => return Err(error),
        }
    }
    // Without a header nothing was asked to the end: the user stopped it.
    let Some(header) = progress.header else { return Ok(()) };
    sheet.end(progress.truncated)?;
    if let Some(remark) = sheet.remark() {
        notes::write(&mut notes, &remark);
    }
    if !config.unused.is_empty() {
        let options = config.unused.join(", ");
        notes::write(&mut notes, &format!("this is about everything that is stored, whatever is selected ({options})"));
    }
    for line in &progress.explanation {
        notes::explain(&mut notes, line);
    }
    if question.is_about_packets() {
        notes::write_all(&mut notes, config, &header, progress.rows, progress.truncated, question.if_nothing());
    }
    Ok(())
}

/// Says what is missing from a file that was written.
pub(crate) fn write_coverage(mut notes: impl Write, config: &Config, header: &Header) {
    notes::write_all(&mut notes, config, header, 1, false, None);
}

/// Writes one line about an answer.
pub(crate) fn write_note(notes: &mut impl Write, line: &str) {
    notes::write(notes, line);
}

fn sheet_for<'a, Q: Question>(question: &Q, config: &'a Config, out: impl Write + 'a) -> Box<dyn Sheet<Q::Row> + 'a> {
    let columns = question.columns();
    match config.format {
        // Parquet is refused with what was typed.
        Format::Table | Format::Parquet => question.sheet(out, config),
        Format::Json => Box::new(JsonAnswer::new(out, columns)),
        Format::Jsonl => Box::new(JsonLines::new(out, columns)),
        Format::Csv => question.csv(out, config),
    }
}

/// How far an answer has come.
#[derive(Default)]
struct Progress {
    header: Option<Header>,
    rows: u64,
    truncated: bool,
    explanation: Vec<String>,
}

impl Progress {
    fn take<Q: Question>(
        &mut self,
        kind: Kind,
        sheet: &mut (dyn Sheet<Q::Row> + '_),
        prompt: bool,
    ) -> Result<(), RenderError> {
        match kind {
            Kind::Header(header) if self.header.is_none() => {
                sheet.begin(&header)?;
                self.header = Some(header);
            }
            Kind::Header(_) => return Err(AskError::Malformed("two headers").into()),
            _ if self.header.is_none() => return Err(AskError::Malformed("no header").into()),
            Kind::Rows(rows) => {
                for row in Q::rows(rows) {
                    sheet.row(&row)?;
                    self.rows += 1;
                }
            }
            Kind::Trailer(trailer) => {
                self.truncated = trailer.truncated;
                self.explanation = trailer.explanation;
            }
        }
        if prompt { Ok(sheet.flush()?) } else { Ok(()) }
    }
}

/// Large enough that writing costs little beside making the text.
const OUT_BYTES: usize = 64 << 10;
