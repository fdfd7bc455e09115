//! What a series of instants says: is it a keepalive, and of which period?
//!
//! Functions of their arguments: no store, no clock, no I/O. Nothing here knows which traffic is DNS or NTP, or which
//! peer is local; who asks leaves that out.
//!
//! # Terms
//!
//! - **Event**: within a connection, an *exchange*: request, answer and acknowledgements, put together from slices
//!   with at most a second between them, also where a clock second ends amid them. Across connections, connections
//!   opened together: at most a second between one and the next.
//! - **Beat**: an event that may belong to a keepalive. Across connections each may. Within one, a beat is *small*:
//!   at most 2920 octets of payload (a full segment each way), 1000 a packet on average, 24 packets, 5 seconds. Larger
//!   ones are **bursts** of application data: video in chunks has a period too and is no keepalive. The limits stand,
//!   with their reasons, at the end of `keepalive.rs`.
//! - **Period** (`period_secs`): median of the intervals that are one period long. Those of two to five periods, over
//!   missing beats, are left out, not divided.
//! - **Jitter** (`jitter_secs`): median absolute deviation of the same intervals.
//! - **Beats** (`beats`): those seen in the rhythm; other small events between are not counted.
//! - **`beacon_score`**: RITA's, see `beacon.rs`. It ranks what was found; it does not decide what is.
//!
//! # Search
//!
//! 1. *Candidates.* Sorted intervals crowd at the period. For each of five jitters (1.2, 3.5, 7, 10.5 and 15 % of the
//!    period, as standard deviation) the six fullest windows of twice that to both sides are periods to try.
//! 2. *Evidence.* For a candidate of period P, an event is worth
//!    ln (f<sub>1</sub> / f<sub>0</sub>), where x is the time since the event before:
//!    f<sub>1</sub> = Σ w<sub>k</sub> N(x; kP, σ√k), k = 1 to 5 with w = 0.72, 0.17, 0.05, 0.014, 0.004 for missing
//!    beats, and f<sub>0</sub> is the log-normal density with median P and σ 0.8: intervals that crowd at P as those of
//!    people and programs do, without a timer. After a burst x is the time since the burst's end, P if it restarted
//!    the timer, or since the beat before it, kP if not. If the jitter is small, an event may also follow the second
//!    or third last one. Anything else is a miss, and is worth ln 0.1 (smallest jitter) to ln 0.015 (largest).
//! 3. *Stretches.* Dynamic programming (Viterbi) picks the stretches, each with one candidate, whose worth together is
//!    highest. A stretch costs 3.8 + ln (0.5 / jitter); to begin or end amid the series costs up to
//!    ln n + 2.5 each: most keepalives last as long as their connection, and a long series has many chance stretches.
//!    So a changed period gives two keepalives, and a silence or a jump of the clock costs one miss. Clocks set back mix
//!    two series; most beats are still found, by the second last event.
//! 4. *Enough.* Neighbours within 10 % of each other's period are one keepalive. It has at least 8 beats, 4 intervals of
//!    one period, and 25 seconds. Of more than 16 the longest stay.
//!
//! Across connections a search that found nothing is repeated with connections at most 10 seconds apart as one event:
//! a device that reports each five minutes may open three connections, one after the other.
//!
//! Periods are 2 seconds to 12 hours: with merging, events at random more often than each second look regular, so
//! P (1 − 2.5 jitter) has to be 1.7 seconds (with 10 seconds of merging, 40). A heartbeat each second is one long
//! exchange and not found. It takes O(n log n) time for n events; of more than 131,072 the latest count.
//!
//! # How often it is wrong
//!
//! Simulated, 10,000 seeds each, by the test `figures` (`cargo test -p iotq-analyzer --lib findings -- --ignored
//! --nocapture figures`). Noise: 8 to 400 events (evenly chosen from 8, 12, 20, 40, 100, 400; of 8 nearly as many are
//! wrong as of all others), median interval of 0.3 seconds to some minutes, as small exchanges within a connection and as
//! connections; the greater of both is given.
//!
//! | noise | taken for a keepalive |
//! | --- | --- |
//! | Poisson arrivals | 0.09 % |
//! | Poisson, rate changing by 10 | 0.08 % |
//! | Lomax 1.2 (heavy tail) | 0.04 % |
//! | browsing: pages each log-normal(25 s, 1.2), 2 to 40 connections each | 0.03 % |
//! | chat: log-normal(7 s, 0.8), pauses Pareto(120 s, 1) | 0.07 % |
//! | video: chunks each 2 to 10 s, exactly or not, small requests between | 0.03 % |
//! | log-normal intervals, σ 1 | 0.10 % |
//! | log-normal σ 0.7; gamma of shape 2; uniform 0 to 2 means | 0.4 %; 0.3 %; 0.5 % |
//! | Pareto 1.2 with a least interval: half are within 1.8 times it | 3.2 % |
//!
//! The last two rows are regular to a degree, and where the line is drawn. Keepalives, periods of 3 s to 1 h:
//!
//! | jitter of each interval | 12 beats seen | 12 seen, 20 % missing | 24 seen, 20 % missing |
//! | --- | --- | --- | --- |
//! | a clock ± 20 ms | 100 % | 99.96 % | 100 % |
//! | uniform ± 10 % | 100 % | 99.95 % | 100 % |
//! | normal, σ 10 % | 99.9 % | 99.2 % | 99.99 % |
//! | uniform 45 to 60 s | 99.99 % | 99.9 % | 100 % |
//! | uniform ± 25 % | 99.6 % | 92.9 % | 99.9 % |
//! | a grid, each beat off by σ 10 % (intervals by 14 %) | 94.4 % | 88.6 % | 99.4 % |
//!
//! With 8 beats seen and none missing: 97 % of uniform ± 10 %, 92 % of normal 10 %, if they last 25 seconds.
//!
//! Half an hour of a robot (handshake, keepalive 50 s ± 1 s or uniform 45 to 60 s, bursts of up to 12 seconds each five
//! minutes that restart the timer or do not): all of 1000. In the TCP and UDP flows of the 43 real captures, seven: the
//! beacon of `beacon-jitter-3s` (22 beats, 3.03 s ± 0.46 s), a Hue bridge that opens a connection each 2.05 s, after
//! asking for the name each time, and is asked each 2.04 s by a phone, a script that starts a browser each 2.59 s
//! (`tls-100-fingerprints`), an idle connection's 20.04 s (`web-tls13-v6`), and name-service broadcasts each 3.02 s.

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
    /// 0 to 1, RITA's score of these beats.
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
    let small = |merge_secs, min_interval_secs| {
        let mut found = keepalive::find(&keepalive::openings(starts, merge_secs), min_interval_secs);
        found.retain(|found| call_bytes(starts, found) <= CALL_MAX_BYTES);
        found
    };
    let found = small(MERGE_SECS, MIN_INTERVAL_SECS);
    if !found.is_empty() {
        return found;
    }
    small(LONG_MERGE_SECS, LONG_MIN_INTERVAL_SECS)
}

/// The median of what a connection carried in all while the habit lasted.
fn call_bytes(starts: &[Start], found: &Keepalive) -> u64 {
    let lasted = found.first_at_ns..=found.last_at_ns;
    let mut bytes: Vec<u64> =
        starts.iter().filter(|start| lasted.contains(&start.at_ns)).map(|start| start.wire_bytes).collect();
    bytes.sort_unstable();
    bytes.get(bytes.len() / 2).copied().unwrap_or_default()
}

/// A TLS handshake with its certificates has some 6 KiB, a report some more; a call
/// that carries more than this is somebody using something. Of nine made days, cut into
/// six hours each, two had a laptop's visits to a page (20 to 35 KB) taken for regular.
const CALL_MAX_BYTES: u64 = 16 << 10;

/// Round trips, delayed acknowledgements (RFC 1122: half a second) and a first retransmission (RFC 6298: a second) are
/// within it; browsers open their six connections to a host in less.
const MERGE_SECS: f64 = 1.0;
/// Intervals that merging leaves and that are still told from random ones, see above.
const MIN_INTERVAL_SECS: f64 = 1.7;
/// What one report of a device takes with all connections that follow from the first.
const LONG_MERGE_SECS: f64 = 10.0;
/// Four times that: it then is a part of the period, not the period.
const LONG_MIN_INTERVAL_SECS: f64 = 40.0;
