//! Logs: structured, to standard error.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::{EnvFilter, filter::ParseError};

use crate::args::LogFormat;

/// The level or filter is none.
#[derive(Debug, thiserror::Error)]
#[error("`{filter}` is no log level (error, warn, info, debug, trace) or filter")]
pub struct InvalidLogLevel {
    filter: String,
    #[source]
    source: ParseError,
}

/// Starts logging.
///
/// # Errors
/// If the level is neither a level nor a filter of `tracing-subscriber`.
pub fn init(level: &str, format: LogFormat) -> Result<(), InvalidLogLevel> {
    let filter = EnvFilter::try_new(level)
        .map_err(|source| InvalidLogLevel { filter: level.chars().take(80).collect(), source })?;
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    // An error means that a subscriber is there already (tests): keep it.
    let _ = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    Ok(())
}
