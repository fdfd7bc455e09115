//! Logs, on stderr, without getting in the way of a progress bar there.

use std::io::{self, Write};

use indicatif::MultiProgress;
use iotq_proto::service::{Log, LogStyle};
use tracing_subscriber::fmt::MakeWriter;

use crate::{args::LogFormat, config::LogConfig};

/// Starts logging. Lines go above whatever `screen` draws.
pub fn start(config: LogConfig, screen: MultiProgress) -> Log {
    let style = match config.format {
        LogFormat::Text => LogStyle::Text,
        LogFormat::Json => LogStyle::Json,
    };
    Log::start(config.filter, style, Stderr { screen })
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
