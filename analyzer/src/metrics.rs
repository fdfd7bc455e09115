//! All counters of the analyzer, registered once.

use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};

/// What `/metrics` shows. Names end as Prometheus' conventions say.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
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
}

impl Metrics {
    /// Registers all of them.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("iotq_analyzer");
        let mut counter = |name: &str, help: &str| {
            let counter = Counter::default();
            registry.register(name, help, counter.clone());
            counter
        };
        let batches_stored = counter("batches_stored", "Batches stored for the first time");
        let batches_repeated = counter("batches_repeated", "Batches that were stored already");
        let batches_recovered =
            counter("batches_recovered", "Batches stored at a start because a stop had interrupted that");
        let batches_rejected = counter("batches_rejected", "Batches that can never be stored");
        let store_retries = counter("store_retries", "Attempts to store that failed and were repeated");
        let packets_stored = counter("packets_stored", "Packets stored");
        let packets_lost = counter("packets_lost", "Packets that collectors report as lost");
        let frames_undecoded = counter("frames_undecoded", "Frames that collectors could not read");
        let questions = counter("questions", "Questions asked");
        let questions_failed = counter("questions_failed", "Questions that could not be answered");
        let questions_refused = counter("questions_refused", "Questions refused because there were too many at once");
        let answers_unread = counter("answers_unread", "Answers ended because nobody read them");
        let connections_refused = counter("connections_refused", "Connections closed because there were too many");
        let help = "Streams of collectors ended: too many of one, or too much on one that was refused";
        let streams_ended = counter("streams_ended", help);
        let engine_restarts = counter("engine_restarts", "Times the embedded ClickHouse was started again");
        let partitions_dropped = counter("partitions_dropped", "Partitions dropped because their time was up");
        let collectors_connected = Gauge::default();
        registry.register("collectors_connected", "Collectors connected just now", collectors_connected.clone());
        let store_full = Gauge::default();
        let help = "1 while nothing is stored because the store's disk is full";
        registry.register("store_full", help, store_full.clone());
        let certificate_expires_at = Gauge::default();
        let help = "When the analyzer's certificate ends, in seconds since 1970; 0: there is none";
        registry.register("certificate_expires_timestamp_seconds", help, certificate_expires_at.clone());
        Self {
            registry,
            batches_stored,
            batches_repeated,
            batches_recovered,
            batches_rejected,
            store_retries,
            packets_stored,
            packets_lost,
            frames_undecoded,
            collectors_connected,
            store_full,
            certificate_expires_at,
            questions,
            questions_failed,
            questions_refused,
            answers_unread,
            connections_refused,
            streams_ended,
            engine_restarts,
            partitions_dropped,
        }
    }

    /// In Prometheus' (`OpenMetrics`) text format.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
