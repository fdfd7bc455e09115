//! What standard output is, read once from the environment.

use std::{
    env, fs,
    io::{self, IsTerminal as _},
};

use jiff::tz::TimeZone;
use terminal_size::{Width, terminal_size};

/// Where tables are drawn.
#[derive(Clone, Debug)]
pub struct Terminal {
    /// Columns there are; `None`: no terminal, as many as it takes. Tables for
    /// another program are neither cut nor short of a column.
    pub width: Option<usize>,
    /// Whether a person looks at it.
    pub is_interactive: bool,
    /// Whether colours may be used.
    pub color: bool,
    /// The zone of times in tables.
    pub time_zone: TimeZone,
}

impl Terminal {
    /// The terminal, file or pipe that standard output is.
    #[must_use]
    pub fn of_standard_output(no_color: bool, utc: bool) -> Self {
        let is_interactive = io::stdout().is_terminal();
        // Shells set COLUMNS without exporting it; exported, somebody means it.
        let width = env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok()).filter(|width| *width > 0);
        let size = || terminal_size().filter(|_| is_interactive).map(|(Width(width), _)| usize::from(width));
        // https://no-color.org: set and not empty.
        let refused = no_color || env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = env::var_os("TERM").is_none_or(|name| name == "dumb");
        Self {
            width: width.or_else(size),
            is_interactive,
            color: is_interactive && !refused && !dumb,
            time_zone: if utc { TimeZone::UTC } else { local_time_zone() },
        }
    }

    /// The width to draw in where something has to be chosen.
    #[must_use]
    pub fn drawing_width(&self) -> usize {
        self.width.unwrap_or(WIDTH_WITHOUT_TERMINAL)
    }
}

/// Without `TZ` that of `/etc/localtime`, which tells all but its name: to find that jiff walks through the folders of all
/// zones, which takes a third of the time of a whole question.
fn local_time_zone() -> TimeZone {
    let told = if env::var_os("TZ").is_some() { None } else { fs::read("/etc/localtime").ok() };
    let zone = told.and_then(|data| TimeZone::tzif("Local", &data).ok());
    zone.unwrap_or_else(TimeZone::system)
}

/// Wide enough for a plot, and still readable in a mail or an issue.
const WIDTH_WITHOUT_TERMINAL: usize = 120;
