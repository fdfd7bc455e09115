//! Logs, on stderr, without getting in the way of a progress bar there.

use std::io::{self, Write};

use indicatif::MultiProgress;
use tracing_subscriber::fmt::MakeWriter;

use crate::{args::LogFormat, config::LogConfig};

/// Starts logging. Lines go above whatever `screen` draws.
pub fn start(config: LogConfig, screen: MultiProgress) {
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(config.filter)
        .with_ansi(io::IsTerminal::is_terminal(&io::stderr()))
        .with_target(false)
        .with_writer(Stderr { screen });
    // Somebody who calls us as a library may log already: theirs wins.
    let _ = match config.format {
        LogFormat::Text => subscriber.try_init(),
        LogFormat::Json => subscriber.json().flatten_event(true).try_init(),
    };
}

struct Stderr {
    screen: MultiProgress,
}

/// One line.
struct Line<'a> {
    screen: &'a MultiProgress,
}

impl<'a> MakeWriter<'a> for Stderr {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { screen: &self.screen }
    }
}

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.screen.suspend(|| io::stderr().write(line))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
