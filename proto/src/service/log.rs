//! Logs: lines to read or JSON objects, with the spans they are in, at a level that can be
//! changed; and how many warnings and errors there were, whatever the level.

use std::io::{self, IsTerminal as _};

use prometheus_client::metrics::counter::Counter;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::{LevelFilter, ParseError},
    fmt::MakeWriter,
    layer::{Context, SubscriberExt as _},
    reload,
    util::SubscriberInitExt as _,
};

/// How lines look.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LogStyle {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What was started.
#[derive(Clone, Debug)]
pub struct Log {
    filter: reload::Handle<EnvFilter, Registry>,
    /// Warnings and errors so far.
    pub events: LogEvents,
}

impl Log {
    /// Starts logging to `writer`. A log that somebody started before stays.
    pub fn start<W>(filter: EnvFilter, style: LogStyle, writer: W) -> Self
    where
        W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
    {
        let events = LogEvents::default();
        let (filter, handle) = reload::Layer::new(filter);
        let lines = tracing_subscriber::fmt::layer().with_writer(writer);
        let lines = match style {
            LogStyle::Text => lines.with_target(false).with_ansi(io::stderr().is_terminal()).boxed(),
            LogStyle::Json => lines.with_ansi(false).json().flatten_event(true).boxed(),
        };
        let counting = events.clone().with_filter(LevelFilter::WARN);
        let _ = tracing_subscriber::registry().with(lines.with_filter(filter)).with(counting).try_init();
        Self { filter: handle, events }
    }

    /// Logs what this filter lets through, from now on.
    pub fn set_filter(&self, filter: EnvFilter) {
        // Fails where somebody else's log stayed: theirs to say.
        let _ = self.filter.reload(filter);
    }
}

/// Reads what is to be logged. A bare level means that of our own programs: HTTP/2 has a line for every frame, and
/// ClickHouse's client enters its span for every row.
///
/// # Errors
/// If it is neither a level nor a filter.
pub fn log_filter(text: &str) -> Result<EnvFilter, ParseError> {
    EnvFilter::builder().parse(match text.to_ascii_lowercase().as_str() {
        level @ ("info" | "debug" | "trace") => format!("warn,iotq={level}"),
        _ => text.to_owned(),
    })
}

/// Counts the warnings and errors of our own code.
#[derive(Clone, Debug, Default)]
pub struct LogEvents {
    /// WARN.
    pub warnings: Counter,
    /// ERROR.
    pub errors: Counter,
}

impl<S: Subscriber> Layer<S> for LogEvents {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if is_ours(event.metadata()) {
            match *event.metadata().level() {
                Level::ERROR => self.errors.inc(),
                _ => self.warnings.inc(),
            };
        }
    }
}

fn is_ours(metadata: &Metadata<'_>) -> bool {
    metadata.target().starts_with("iotq")
}
