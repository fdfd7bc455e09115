//! Reading settings, names and tables again at SIGHUP, without a restart.

use std::{io, path::PathBuf, sync::Arc};

use iotq_proto::{error::Chain, names_file::Names, service::Log};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, error, info, info_span, warn};

use crate::{
    access::Access,
    config::Job,
    enrich::{SharedEnrichment, installed::Places},
    load_enrichment,
    metrics::Metrics,
    query::Analyst,
    settings::Settings,
};

/// Whom it concerns.
pub(crate) struct Reload {
    pub(crate) settings: Settings,
    pub(crate) log: Log,
    /// The names file in force.
    pub(crate) names: Option<PathBuf>,
    pub(crate) places: Places,
    pub(crate) analyst: Arc<Analyst>,
    pub(crate) enrichment: SharedEnrichment,
    pub(crate) access: Arc<Access>,
    pub(crate) metrics: Arc<Metrics>,
}

impl Reload {
    /// Reads all of it again at each SIGHUP, until `stop`.
    ///
    /// # Errors
    /// If signals are not to be had.
    pub(crate) fn at_each_hangup(mut self, stop: CancellationToken) -> io::Result<()> {
        let mut hangup = signal(SignalKind::hangup())?;
        let reading = async move {
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = received(&mut hangup) => {}
                }
                self.metrics.reloads.inc();
                self.take_settings();
                self.access.refresh();
                load_enrichment(self.places.clone(), &self.enrichment).await;
                self.read_names();
            }
        };
        tokio::spawn(reading.instrument(info_span!("reload")));
        Ok(())
    }

    /// A file that is wrong changes nothing.
    fn take_settings(&mut self) {
        let reread = match self.settings.read_again() {
            Ok(reread) => reread,
            Err(error) => {
                self.metrics.reloads_failed.inc();
                error!(error = %Chain(&error), "settings not read again, the old ones stay");
                return;
            }
        };
        // The command is typed, not in the file.
        let Job::Serve(serve) = reread.config else { return };
        self.log.set_filter(serve.log_filter);
        self.analyst.set_local_nets(serve.config.local_nets);
        self.names = serve.config.names;
        self.metrics.settings_waiting.set(i64::try_from(reread.waiting.len()).unwrap_or(i64::MAX));
        info!(changed = reread.taken.join(" "), "settings read again");
        if !reread.waiting.is_empty() {
            warn!(settings = reread.waiting.join(" "), "changed settings need a restart");
        }
    }

    /// A names file that has errors changes nothing.
    fn read_names(&self) {
        match self.names.as_deref().map(Names::read) {
            Some(Ok(names)) => {
                self.analyst.rename(names);
                info!("names read again");
            }
            Some(Err(error)) => {
                self.metrics.reloads_failed.inc();
                warn!(error = %Chain(&error), "names not read again, the old ones stay");
            }
            None => {
                self.analyst.rename(Names::default());
                info!("no names file to read again");
            }
        }
    }
}

async fn received(hangup: &mut Signal) {
    if hangup.recv().await.is_none() {
        std::future::pending::<()>().await;
    }
}
