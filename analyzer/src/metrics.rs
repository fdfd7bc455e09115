//! All counters of the analyzer, registered once.

use iotq_proto::service::{LogEvents, Metered};
use prometheus_client::metrics::{counter::Counter, gauge::Gauge};

/// What `/metrics` shows. Names end as Prometheus' conventions say.
#[derive(Debug)]
pub struct Metrics {
    metered: Metered,
    /// Batches stored for the first time.
    pub batches_stored: Counter,
    /// Batches that were stored already.
    pub batches_repeated: Counter,
    /// Batches that were stored at a start, because a stop had interrupted that.
    pub batches_recovered: Counter,
    /// Batches that can never be stored.
    pub batches_rejected: Counter,
    /// Attempts to store that failed and were repeated.
    pub store_retries: Counter,
    /// Packets stored.
    pub packets_stored: Counter,
    /// Packets that collectors report as lost.
    pub packets_lost: Counter,
    /// Frames that collectors could not read.
    pub frames_undecoded: Counter,
    /// Collectors connected just now.
    pub collectors_connected: Gauge,
    /// 1 while nothing is stored because the disk is full.
    pub store_full: Gauge,
    /// When the analyzer's certificate ends, in seconds since 1970; 0: there is none.
    pub certificate_expires_at: Gauge,
    /// Questions asked.
    pub questions: Counter,
    /// Questions that could not be answered.
    pub questions_failed: Counter,
    /// Questions refused because there were too many at once.
    pub questions_refused: Counter,
    /// Answers ended because nobody read them.
    pub answers_unread: Counter,
    /// Connections closed because there were too many.
    pub connections_refused: Counter,
    /// Streams of collectors ended because they had too many, or sent too much that was refused.
    pub streams_ended: Counter,
    /// Times the embedded ClickHouse was started again.
    pub engine_restarts: Counter,
    /// Partitions dropped because their time was up.
    pub partitions_dropped: Counter,
    /// Times that this failed.
    pub retention_failures: Counter,
    /// Changed settings that need a restart.
    pub settings_waiting: Gauge,
    /// Times that settings, names and tables were read again.
    pub reloads: Counter,
    /// Settings or names that were not taken because they are wrong.
    pub reloads_failed: Counter,
}

impl Metrics {
    /// Registers all of them.
    #[must_use]
    pub fn new() -> Self {
        Self::counting(&LogEvents::default())
    }

    /// Shows the warnings and errors of the log, too.
    #[must_use]
    pub fn counting(log: &LogEvents) -> Self {
        let mut m = Metered::new("iotq_analyzer");
        let events = "Warnings and errors in the log, whether or not they were shown";
        m.register("log_warnings", events, log.warnings.clone());
        m.register("log_errors", events, log.errors.clone());
        Self {
            batches_stored: m.counter("batches_stored", "Batches stored for the first time"),
            batches_repeated: m.counter("batches_repeated", "Batches that were stored already"),
            batches_recovered: m
                .counter("batches_recovered", "Batches stored at a start because a stop had interrupted that"),
            batches_rejected: m.counter("batches_rejected", "Batches that can never be stored"),
            store_retries: m.counter("store_retries", "Attempts to store that failed and were repeated"),
            packets_stored: m.counter("packets_stored", "Packets stored"),
            packets_lost: m.counter("packets_lost", "Packets that collectors report as lost"),
            frames_undecoded: m.counter("frames_undecoded", "Frames that collectors could not read"),
            collectors_connected: m.gauge("collectors_connected", "Collectors connected just now"),
            store_full: m.gauge("store_full", "1 while nothing is stored because the store's disk is full"),
            certificate_expires_at: m.gauge(
                "certificate_expires_timestamp_seconds",
                "When the analyzer's certificate ends, in seconds since 1970; 0: there is none",
            ),
            questions: m.counter("questions", "Questions asked"),
            questions_failed: m.counter("questions_failed", "Questions that could not be answered"),
            questions_refused: m.counter("questions_refused", "Questions refused because there were too many at once"),
            answers_unread: m.counter("answers_unread", "Answers ended because nobody read them"),
            connections_refused: m.counter("connections_refused", "Connections closed because there were too many"),
            streams_ended: m.counter(
                "streams_ended",
                "Streams of collectors ended: too many of one, or too much on one that was refused",
            ),
            engine_restarts: m.counter("engine_restarts", "Times the embedded ClickHouse was started again"),
            partitions_dropped: m.counter("partitions_dropped", "Partitions dropped because their time was up"),
            retention_failures: m.counter("retention_failures", "Times that old partitions could not be dropped"),
            settings_waiting: m.gauge("settings_waiting", "Settings that changed and need a restart"),
            reloads: m.counter("reloads", "Times that settings, names and tables were read again"),
            reloads_failed: m.counter("reloads_failed", "Settings or names not taken because they are wrong"),
            metered: m,
        }
    }

    /// In Prometheus' (`OpenMetrics`) text format.
    #[must_use]
    pub fn text(&self) -> String {
        self.metered.text()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
