//! The judgement, to read or as JSON.

use std::io::{self, Write};

use serde::Serialize;

use super::judge::{Check, Evidence, Verdict};
use crate::args::OutputFormat;

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    listened_secs: f64,
    #[serde(flatten)]
    evidence: Evidence,
    checks: Vec<Check>,
}

impl Report {
    /// Of what was judged.
    #[must_use]
    pub fn new(evidence: Evidence, checks: Vec<Check>) -> Self {
        Self { listened_secs: evidence.listened.as_secs_f64(), evidence, checks }
    }

    /// Whether anything is as it must not be.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.checks.iter().any(|check| check.verdict == Verdict::Fail)
    }

    /// Writes it; a reader that has gone is no failure.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, format: OutputFormat, mut to: impl Write) -> io::Result<()> {
        let text = match format {
            OutputFormat::Table => self.lines(),
            OutputFormat::Json => serde_json::to_string(self)? + "\n",
        };
        match to.write_all(text.as_bytes()).and_then(|()| to.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
            _ => Ok(()),
        }
    }

    /// One a check.
    fn lines(&self) -> String {
        let line = |check: &Check| {
            let advice = if check.advice.is_empty() { String::new() } else { format!("; {}", check.advice) };
            // What an analyzer says is shown as it is, but on this line.
            let said = format!("{}{advice}", check.seen).replace(char::is_control, " ");
            format!("{:<7}  {:<15}  {said}\n", label(check.verdict), check.check.replace('_', " "))
        };
        self.checks.iter().map(line).collect()
    }
}

fn label(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Ok => "ok",
        Verdict::Warn => "warn",
        Verdict::Fail => "fail",
        Verdict::Unknown => "unknown",
    }
}
