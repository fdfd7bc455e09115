//! All counters of the collector, registered once.

use std::sync::{Mutex, PoisonError};

use iotq_proto::{
    LossStage,
    service::{Counters, LogEvents, Metered},
};
use prometheus_client::metrics::{counter::Counter, gauge::Gauge};

use crate::{names::LeftOut, spool::Level, totals::Totals};

/// What `/metrics` shows of a collector that captures live.
#[derive(Debug)]
pub struct Metrics {
    metered: Metered,
    /// Frames by what became of them, up to the queue to the uplink.
    frames: Counter,
    packets: Counter,
    no_ip_frames: Counter,
    undecoded_frames: Counter,
    clamped_times: Counter,
    lost: Counters,
    left_out: Counters,
    left_out_before: Mutex<LeftOut>,
    /// Interfaces that are being captured on.
    pub interfaces: Gauge,
    /// Interfaces that were lost.
    pub captures_ended: Counter,
    /// Rights that could not be dropped at the start.
    pub privileges_kept: Gauge,
    /// Chunks offered to the window, and taken by it.
    pub chunks_in: Counter,
    /// See [`chunks_in`](Self::chunks_in).
    pub chunks_out: Counter,
    /// Batches offered to the uplink, and taken by it.
    pub batches_in: Counter,
    /// See [`batches_in`](Self::batches_in).
    pub batches_out: Counter,
    /// Batches that an analyzer has stored.
    pub batches_stored: Counter,
    /// Batches that an analyzer refused for ever.
    pub batches_refused: Counter,
    /// Batches that nobody had answered for at the end and that are in no spool.
    pub batches_left_behind: Counter,
    /// Connections made to an analyzer.
    pub connects: Counter,
    /// Connections that failed or broke.
    pub disconnects: Counter,
    /// Connections left because nothing was answered.
    pub stalls: Counter,
    /// 1 while an analyzer is connected.
    pub connected: Gauge,
    /// Times that an analyzer said it can store nothing.
    pub holds: Counter,
    /// 1 while it says so.
    pub held: Gauge,
    /// What has to be added to this host's clock to get the analyzer's.
    pub clock_offset_ms: Gauge,
    /// Connections given up for others.
    connections_evicted: Counter,
    connections_open: Gauge,
    spool: SpoolMetrics,
    /// Changed settings that need a restart.
    pub settings_waiting: Gauge,
    /// Settings read again.
    pub reloads: Counter,
    /// Settings that were not taken because they are wrong.
    pub reloads_failed: Counter,
}

#[derive(Debug)]
struct SpoolMetrics {
    present: Gauge,
    degraded: Gauge,
    batches: Gauge,
    bytes: Gauge,
    oldest: Gauge,
    given_up_frames: Counter,
    given_up_batches: Counter,
    damaged_files: Counter,
    failures: Counters,
}

impl Metrics {
    /// Registers all of them.
    #[must_use]
    pub fn new(log: &LogEvents) -> Self {
        let mut m = Metered::new("iotq_collector");
        let events = "Warnings and errors in the log, whether or not they were shown";
        m.register("log_warnings", events, log.warnings.clone());
        m.register("log_errors", events, log.errors.clone());
        let stages = STAGES.into_iter().map(LossStage::label);
        Self {
            frames: m.counter("frames", "Frames accounted for"),
            packets: m.counter("packets", "Frames that are packets in slices"),
            no_ip_frames: m.counter("no_ip_frames", "Frames without IP"),
            undecoded_frames: m.counter("undecoded_frames", "Frames that could not be read"),
            clamped_times: m.counter("clamped_times", "Packets whose time was out of range"),
            lost: m.counters("lost_packets", "Packets known to be missing, by where they were lost", "stage", stages),
            left_out: m.counters("names_left_out", "What there was no room for to find names", "what", LEFT_OUT),
            left_out_before: Mutex::default(),
            interfaces: m.gauge("interfaces", "Interfaces that are captured on"),
            captures_ended: m.counter("captures_ended", "Interfaces that were lost"),
            privileges_kept: m.gauge("privileges_kept", "Rights that could not be dropped at the start"),
            chunks_in: m.counter("chunks_in", "Chunks of packets offered to the window"),
            chunks_out: m.counter("chunks_out", "Chunks of packets taken by the window"),
            batches_in: m.counter("batches_in", "Batches taken by the queue to the uplink"),
            batches_out: m.counter("batches_out", "Batches taken by the uplink"),
            batches_stored: m.counter("batches_stored", "Batches that an analyzer has stored"),
            batches_refused: m.counter("batches_refused", "Batches that an analyzer refused for ever"),
            batches_left_behind: m.counter("batches_left_behind", "Batches that are neither answered nor in a spool"),
            connects: m.counter("uplink_connects", "Connections made to an analyzer"),
            disconnects: m.counter("uplink_disconnects", "Connections to an analyzer that failed or broke"),
            stalls: m.counter("uplink_stalls", "Connections left because the analyzer answered for nothing"),
            connected: m.gauge("uplink_connected", "1 while an analyzer is connected"),
            holds: m.counter("uplink_holds", "Times that the analyzer could store nothing"),
            held: m.gauge("uplink_held", "1 while the analyzer can store nothing"),
            clock_offset_ms: m.gauge("clock_offset_milliseconds", "The analyzer's clock minus this host's"),
            connections_evicted: m.counter("connections_evicted", "Connections given up for others"),
            connections_open: m.gauge("connections_open", "Connections that are followed"),
            spool: SpoolMetrics::new(&mut m),
            settings_waiting: m.gauge("settings_waiting", "Settings that changed and need a restart"),
            reloads: m.counter("reloads", "Settings read again"),
            reloads_failed: m.counter("reloads_failed", "Settings not taken because they are wrong"),
            metered: m,
        }
    }

    /// Counts a batch that found room behind the window.
    pub fn count_batch(&self, totals: &Totals) {
        self.batches_in.inc();
        self.frames.inc_by(totals.frames);
        self.packets.inc_by(totals.packets);
        self.no_ip_frames.inc_by(totals.no_ip_frames());
        self.undecoded_frames.inc_by(totals.undecoded_frames());
        self.clamped_times.inc_by(totals.clamped_times);
        for (stage, packets) in &totals.lost {
            self.lost.add(stage.label(), *packets);
        }
    }

    /// Counts frames that were in a batch and are lost.
    pub fn count_lost(&self, stage: LossStage, frames: u64) {
        self.lost.add(stage.label(), frames);
    }

    /// Counts what the window has left out or given up since it was last told.
    pub fn note_window(&self, now: LeftOut, (evicted, open): (u64, usize)) {
        let before = std::mem::replace(&mut *self.left_out_before.lock().unwrap_or_else(PoisonError::into_inner), now);
        let [rows, sightings, questions, beginnings, payloads] = LEFT_OUT;
        for (what, now, before) in [
            (rows, now.rows, before.rows),
            (sightings, now.sightings, before.sightings),
            (questions, now.questions, before.questions),
            (beginnings, now.beginnings, before.beginnings),
            (payloads, now.payloads, before.payloads),
        ] {
            self.left_out.add(what, now.saturating_sub(before));
        }
        catch_up(&self.connections_evicted, evicted);
        self.connections_open.set(i64::try_from(open).unwrap_or(i64::MAX));
    }

    /// In Prometheus' text format. `None`: there is no spool.
    #[must_use]
    pub fn text(&self, spool: Option<Level>) -> String {
        self.spool.note(spool);
        let lost = spool.map_or(0, |level| level.lost_frames);
        catch_up(&self.lost.of(LossStage::Spool.label()), lost);
        self.metered.text()
    }
}

impl SpoolMetrics {
    fn new(m: &mut Metered) -> Self {
        Self {
            present: m.gauge("spool_present", "1 if batches survive the end of this program"),
            degraded: m.gauge("spool_degraded", "1 while the spool's folder takes no batches"),
            batches: m.gauge("spool_batches", "Batches in the spool"),
            bytes: m.gauge("spool_bytes", "Octets of the files in the spool"),
            oldest: m.gauge(
                "spool_oldest_timestamp_seconds",
                "When the oldest batch in the spool was sealed, in seconds since 1970; 0: there is none",
            ),
            given_up_frames: m.counter("spool_given_up_frames", "Frames of batches given up for the spool's limits"),
            given_up_batches: m.counter("spool_given_up_batches", "Batches given up for the spool's limits"),
            damaged_files: m.counter("spool_damaged_files", "Damaged files found in the spool"),
            failures: m.counters(
                "spool_failures",
                "Attempts on files in the spool that failed",
                "what",
                SPOOL_FAILURES,
            ),
        }
    }

    fn note(&self, spool: Option<Level>) {
        self.present.set(i64::from(spool.is_some()));
        let level = spool.unwrap_or_default();
        let gauge = |gauge: &Gauge, value: u64| gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        self.degraded.set(i64::from(level.is_degraded));
        gauge(&self.batches, level.batches);
        gauge(&self.bytes, level.bytes);
        self.oldest.set(level.oldest_sealed_at_ns.map_or(0, |nanos| nanos / 1_000_000_000));
        catch_up(&self.given_up_frames, level.given_up_frames);
        catch_up(&self.given_up_batches, level.given_up_batches);
        catch_up(&self.damaged_files, level.damaged_files);
        let [write, read, remove, set_aside] = SPOOL_FAILURES;
        for (what, total) in [
            (write, level.failed.writes),
            (read, level.failed.reads),
            (remove, level.failed.removals),
            (set_aside, level.failed.set_asides),
        ] {
            catch_up(&self.failures.of(what), total);
        }
    }
}

/// Brings a counter up to a sum that is kept elsewhere.
fn catch_up(counter: &Counter, total: u64) {
    counter.inc_by(total.saturating_sub(counter.get()));
}

/// Where a collector that captures live can lose packets.
const STAGES: [LossStage; 6] = [
    LossStage::Interface,
    LossStage::KernelRing,
    LossStage::WindowQueue,
    LossStage::UplinkQueue,
    LossStage::Spool,
    LossStage::Rejected,
];
const LEFT_OUT: [&str; 5] = ["rows", "sightings", "questions", "beginnings", "payloads"];
const SPOOL_FAILURES: [&str; 4] = ["write", "read", "remove", "set_aside"];

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::spool::Failed;

    fn value(text: &str, metric: &str) -> u64 {
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("iotq_collector_{metric} ")));
        line.unwrap_or_else(|| panic!("no {metric} in\n{text}")).parse().unwrap()
    }

    #[test]
    fn every_stage_and_kind_is_there_before_anything_happens() {
        let text = Metrics::new(&LogEvents::default()).text(None);
        for stage in STAGES {
            assert_eq!(value(&text, &format!("lost_packets_total{{stage=\"{}\"}}", stage.label())), 0);
        }
        for what in LEFT_OUT {
            assert_eq!(value(&text, &format!("names_left_out_total{{what=\"{what}\"}}")), 0);
        }
        assert_eq!(value(&text, "spool_present"), 0);
    }

    #[test]
    fn batches_add_up() {
        let metrics = Metrics::new(&LogEvents::default());
        let lost = BTreeMap::from([(LossStage::KernelRing, 3)]);
        metrics.count_batch(&Totals { frames: 10, packets: 7, lost, ..Totals::default() });
        metrics.count_lost(LossStage::Rejected, 7);
        let text = metrics.text(None);
        assert_eq!((value(&text, "frames_total"), value(&text, "packets_total")), (10, 7));
        assert_eq!(value(&text, "lost_packets_total{stage=\"kernel_ring\"}"), 3);
        assert_eq!(value(&text, "lost_packets_total{stage=\"rejected\"}"), 7);
    }

    #[test]
    fn sums_kept_elsewhere_are_caught_up_with() {
        let metrics = Metrics::new(&LogEvents::default());
        for rows in [2, 5] {
            metrics.note_window(LeftOut { rows, payloads: 1, ..LeftOut::default() }, (rows, 9));
        }
        let failed = Failed { writes: 4, ..Failed::default() };
        let oldest_sealed_at_ns = Some(5_000_000_000);
        let level = Level {
            batches: 3,
            is_degraded: true,
            given_up_frames: 8,
            oldest_sealed_at_ns,
            failed,
            ..Level::default()
        };
        let _ = metrics.text(Some(level));
        let text = metrics.text(Some(level));
        assert_eq!(value(&text, "names_left_out_total{what=\"rows\"}"), 5);
        assert_eq!(value(&text, "names_left_out_total{what=\"payloads\"}"), 1);
        assert_eq!((value(&text, "connections_evicted_total"), value(&text, "connections_open")), (5, 9));
        assert_eq!((value(&text, "spool_batches"), value(&text, "spool_degraded")), (3, 1));
        assert_eq!(
            (value(&text, "spool_given_up_frames_total"), value(&text, "spool_oldest_timestamp_seconds")),
            (8, 5)
        );
        assert_eq!(value(&text, "spool_failures_total{what=\"write\"}"), 4);
    }
}
