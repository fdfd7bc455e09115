//! Registering counters and showing them.

use axum::{
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};
use prometheus_client::{
    encoding::{EncodeMetric, text::encode},
    metrics::{TypedMetric, counter::Counter, family::Family, gauge::Gauge},
    registry::{Metric, Registry},
};

/// The metrics of one program. Names end as Prometheus' conventions say.
#[derive(Debug)]
pub struct Metered {
    registry: Registry,
}

/// Labels of a family: one, whose values come from an enum.
type Label = [(&'static str, &'static str); 1];

impl Metered {
    /// None yet; names will begin with this.
    #[must_use]
    pub fn new(prefix: &str) -> Self {
        Self { registry: Registry::with_prefix(prefix) }
    }

    /// A counter; its name gets `_total`.
    pub fn counter(&mut self, name: &str, help: &str) -> Counter {
        self.register(name, help, Counter::default())
    }

    /// A value that goes up and down.
    pub fn gauge(&mut self, name: &str, help: &str) -> Gauge {
        self.register(name, help, Gauge::default())
    }

    /// A counter for each value of a label. All are there from the start, at 0: an alert cannot
    /// see the first step of what appears with it.
    pub fn counters(
        &mut self,
        name: &str,
        help: &str,
        label: &'static str,
        values: impl IntoIterator<Item = &'static str>,
    ) -> Counters {
        let family: Family<Label, Counter> = self.register(name, help, Family::default());
        for value in values {
            drop(family.get_or_create(&[(label, value)]));
        }
        Counters { family, label }
    }

    /// In Prometheus' (`OpenMetrics`) text format.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    /// Shows a metric that there is already.
    pub fn register<M: Clone + EncodeMetric + Metric + TypedMetric>(&mut self, name: &str, help: &str, metric: M) -> M {
        self.registry.register(name, help, metric.clone());
        metric
    }
}

/// A counter for each value of one label.
#[derive(Clone, Debug)]
pub struct Counters {
    family: Family<Label, Counter>,
    label: &'static str,
}

impl Counters {
    /// Adds to one of them.
    pub fn add(&self, value: &'static str, count: u64) {
        if count > 0 {
            self.of(value).inc_by(count);
        }
    }

    /// One of them.
    #[must_use]
    pub fn of(&self, value: &'static str) -> Counter {
        self.family.get_or_create(&[(self.label, value)]).clone()
    }
}

/// The answer to `/metrics`.
#[must_use]
pub fn open_metrics(text: String) -> Response {
    ([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response()
}

/// The answer to `/healthz`.
pub const HEALTHY: &str = "ok\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_happened_is_shown_as_never() {
        let mut metered = Metered::new("iotq_test");
        let stages = metered.counters("lost_packets", "Lost", "stage", ["ring", "queue"]);
        let restarts = metered.counter("restarts", "Restarts");
        stages.add("ring", 3);
        restarts.inc();
        let text = metered.text();
        for line in [
            "iotq_test_lost_packets_total{stage=\"ring\"} 3",
            "iotq_test_lost_packets_total{stage=\"queue\"} 0",
            "iotq_test_restarts_total 1",
            "# EOF",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} is not in\n{text}");
        }
    }
}
