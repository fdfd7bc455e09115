//! What a series of instants says: is it a keepalive, with which period?

mod beacon;
mod intervals;
mod keepalive;

pub use intervals::median_interval_secs;

/// Traffic of one connection within one clock second, both directions together.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Beat {
    /// The first packet, in nanoseconds since 1970.
    pub at_ns: i64,
    /// The last packet.
    pub end_ns: i64,
    /// Packets of both directions.
    pub packets: u64,
    /// Their payload, from the IP lengths.
    pub payload_bytes: u64,
    /// Their length on the wire.
    pub wire_bytes: u64,
}

/// One connection's begin, and its octets in all.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Start {
    /// The first packet, in nanoseconds since 1970.
    pub at_ns: i64,
    /// Length on the wire of all its packets.
    pub wire_bytes: u64,
}

/// A stretch of time with one period.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Keepalive {
    /// Median of the intervals that are one period long.
    pub period_secs: f64,
    /// Their median absolute deviation.
    pub jitter_secs: f64,
    /// Beats seen; those missing are not counted.
    pub beats: u64,
    /// Median length on the wire of a beat.
    pub bytes_per_beat: f64,
    /// The first beat.
    pub first_at_ns: i64,
    /// The last beat's first packet.
    pub last_at_ns: i64,
    /// 0 to 1, see [`beacon`].
    pub beacon_score: f64,
}

/// Keepalives inside one connection. The order of `beats` does not matter.
#[must_use]
pub fn within_connection(beats: &[Beat]) -> Vec<Keepalive> {
    keepalive::find(&keepalive::exchanges(beats), MIN_INTERVAL_SECS)
}

/// Connections that one device opens to one peer again and again. The order of `starts` does not matter.
#[must_use]
pub fn across_connections(starts: &[Start]) -> Vec<Keepalive> {
    let found = keepalive::find(&keepalive::openings(starts, MERGE_SECS), MIN_INTERVAL_SECS);
    if !found.is_empty() {
        return found;
    }
    keepalive::find(&keepalive::openings(starts, LONG_MERGE_SECS), LONG_MIN_INTERVAL_SECS)
}

const MERGE_SECS: f64 = 1.0;
const MIN_INTERVAL_SECS: f64 = 1.7;
const LONG_MERGE_SECS: f64 = 10.0;
const LONG_MIN_INTERVAL_SECS: f64 = 40.0;
