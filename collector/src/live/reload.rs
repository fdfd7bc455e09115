//! Taking over settings while capturing goes on.

use std::sync::Arc;

use iotq_proto::{error::Chain, service::Log};
use tokio::{signal::unix::Signal, sync::watch};
use tracing::{error, info, warn};

use crate::{
    config::{CommandConfig, SenderConfig},
    metrics::Metrics,
    settings::Settings,
    spool::SharedSpool,
};

/// Whom a change concerns.
pub(super) struct Reload {
    pub(super) settings: Settings,
    pub(super) log: Log,
    pub(super) spool: Option<SharedSpool>,
    pub(super) senders: watch::Sender<SenderConfig>,
    pub(super) metrics: Arc<Metrics>,
}

impl Reload {
    /// Reads the settings again at each SIGHUP, until it is dropped.
    pub(super) async fn at_each(mut self, mut hangup: Signal) {
        while hangup.recv().await.is_some() {
            self.take_over();
        }
    }

    /// A file that is wrong changes nothing.
    fn take_over(&mut self) {
        let reread = match self.settings.read_again() {
            Ok(reread) => reread,
            Err(error) => {
                self.metrics.reloads_failed.inc();
                error!(error = %Chain(&error), "settings not read again, the old ones stay");
                return;
            }
        };
        // The command is typed, not in the file.
        let CommandConfig::Run(config) = reread.config.command else { return };
        self.log.set_filter(reread.config.log.filter);
        if let (Some(spool), Some(limits)) = (&self.spool, &config.spool) {
            spool.lock().set_limits(limits.max_bytes, limits.max_age);
        }
        self.senders.send_if_modified(|sender| {
            // The name is what the analyzer knows this start by.
            let wanted = SenderConfig { collector: sender.collector.clone(), ..config.sender };
            let is_other = wanted != *sender;
            *sender = wanted;
            is_other
        });
        self.metrics.reloads.inc();
        self.metrics.settings_waiting.set(i64::try_from(reread.waiting.len()).unwrap_or(i64::MAX));
        info!(changed = reread.taken.join(" "), "settings read again");
        if !reread.waiting.is_empty() {
            warn!(settings = reread.waiting.join(" "), "changed settings need a restart");
        }
    }
}
