//! What was done and what was wrong, in the order it happened.

use std::{fmt, time::Instant};

/// Notes, with their time since the beginning.
#[derive(Debug)]
pub(super) struct Journal {
    began: Instant,
    notes: Vec<String>,
    faults: Vec<String>,
}

impl Journal {
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), notes: Vec::new(), faults: Vec::new() }
    }

    pub(super) fn note(&mut self, what: impl fmt::Display) {
        self.notes.push(format!("{:>8.3}  {what}", self.began.elapsed().as_secs_f64()));
    }

    /// Something that must not be.
    pub(super) fn fault(&mut self, what: impl fmt::Display) {
        self.note(format!("FAULT: {what}"));
        self.faults.push(what.to_string());
    }

    /// A program ended by itself.
    pub(super) fn ended(&mut self, who: &str, log: &str, is_excused: bool) {
        self.check_log(who, log);
        let lines: Vec<_> = log.lines().rev().take(5).collect();
        let said = lines.into_iter().rev().collect::<Vec<_>>().join("\n            ");
        if is_excused {
            self.note(format!("{who} ended while the disk was full: {said}"));
        } else {
            self.fault(format!("{who} ended by itself: {said}"));
        }
    }

    /// A program that panicked has a fault, whatever came of it.
    pub(super) fn check_log(&mut self, who: &str, log: &str) {
        if let Some(at) = log.find("panicked at") {
            let said: String = log.get(at..).unwrap_or_default().chars().take(600).collect();
            self.fault(format!("{who} {said}"));
        }
    }

    pub(super) fn faults(&self) -> &[String] {
        &self.faults
    }
}

impl fmt::Display for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.notes.iter().try_for_each(|note| writeln!(f, "{note}"))
    }
}
