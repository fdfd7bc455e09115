//! What programs that run for long have in common: their logs, and what `/metrics` shows.

mod log;
mod metrics;

pub use self::{
    log::{Log, LogEvents, LogStyle, log_filter},
    metrics::{Counters, HEALTHY, Metered, open_metrics},
};
