//! What became of the batches.

use std::time::Duration;

use super::LinkError;
use crate::totals::Totals;

/// What became of the batches.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Batches that are stored.
    pub batches: u64,
    /// What they account for.
    pub stored: Totals,
    /// What batches accounted for that were refused, as lost.
    pub rejected: Totals,
    /// What those accounted for that nobody answered for, as lost.
    pub unacknowledged: Totals,
    /// Batches that nobody answered for, and that are not in the spool either.
    pub unacknowledged_batches: u64,
    /// Batches that wait in the spool for the next start.
    pub spooled_batches: u64,
    /// Why it ended before all batches were answered.
    pub failure: Option<UplinkError>,
}

/// Why batches were left behind.
#[derive(Debug, thiserror::Error)]
pub enum UplinkError {
    /// Nobody answered for too long.
    #[error("no answer from an analyzer for {} s: is `iotq-analyzer serve` running, and is {tried} where it listens, with https:// if it has certificates?", .after.as_secs())]
    GaveUp {
        /// For how long.
        after: Duration,
        /// The URLs.
        tried: String,
        /// What the last attempt died of.
        #[source]
        source: Option<LinkError>,
    },
    /// It is there, but its store is full.
    #[error("nothing was stored for {} s: the analyzer at {url} says that {reason}", .after.as_secs())]
    Held {
        /// For how long.
        after: Duration,
        /// Which one.
        url: String,
        /// What it said.
        reason: String,
    },
    /// Trying again does not help.
    #[error("the analyzer at {url} refuses this collector")]
    Refused {
        /// Which one.
        url: String,
        /// What it said.
        #[source]
        source: LinkError,
    },
    /// We had to end.
    #[error("ended before the analyzer had answered for everything")]
    Abandoned,
}
