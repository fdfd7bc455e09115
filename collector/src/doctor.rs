//! `doctor`: whether an interface really sees a mirror.
//!
//! [`tally`] counts frames, [`host`] asks the system, [`mod@judge`] makes up its mind from what
//! both found and touches nothing; here they are put together.

pub mod host;
pub mod judge;
pub mod report;
pub mod tally;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use iotq_proto::error::Chain;
use tokio::{task::spawn_blocking, time::timeout};
use tokio_util::sync::CancellationToken;

use self::{
    host::{Host, Statistics},
    judge::{Clock, Drops, Evidence, judge},
    report::Report,
    tally::{Tallied, Tally},
};
use crate::{
    capture::{
        live::{CaptureError, LiveOptions, OpenError},
        raw::RawCapture,
    },
    config::{DoctorConfig, SenderConfig},
    decode::LinkType,
    privileges,
    uplink::{self, BeforeConnect},
};

/// Why nothing could be said.
#[derive(Debug, thiserror::Error)]
pub enum DoctorError {
    /// No capture.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The interface went away.
    #[error(transparent)]
    Ended(#[from] CaptureError),
    /// A panic, printed already.
    #[error("listening ended early")]
    Listening(#[source] tokio::task::JoinError),
}

/// Listens, asks, and judges; a cancelled `stop` ends the listening early.
///
/// # Errors
/// If the interface cannot be listened on.
pub async fn examine(config: DoctorConfig, stop: CancellationToken) -> Result<Report, DoctorError> {
    let capture = RawCapture::open(&LiveOptions::new(config.interface.as_str()))?;
    // Nothing else needs rights, and the thread is still to come.
    privileges::give_up(None);
    let (interface, duration) = (config.interface.clone(), config.duration);
    let listening = spawn_blocking(move || listen(capture, &interface, duration, || stop.is_cancelled()));
    let clock = ask_for_the_time(&config.sender).await;
    let (tallied, host, drops, listened) = listening.await.map_err(DoctorError::Listening)??;
    let evidence = Evidence { interface: config.interface, listened, host, drops, tallied, clock };
    let checks = judge(&evidence);
    Ok(Report::new(evidence, checks))
}

type Heard = (Tallied, Host, Drops, Duration);

fn listen(
    mut capture: RawCapture,
    interface: &str,
    duration: Duration,
    stop: impl Fn() -> bool,
) -> Result<Heard, CaptureError> {
    // While it is open: that is what makes it promiscuous.
    let host = Host::of(interface);
    let before = Statistics::of(interface);
    let link_type = LinkType(capture.link_type());
    let mut tally = Tally::new(link_type, host.mac, host.mtu);
    let began_at = Instant::now();
    while began_at.elapsed() < duration && !stop() {
        let patience = PATIENCE.min(duration.saturating_sub(began_at.elapsed()));
        capture.read(MAX_FRAMES, patience, |frame| tally.observe(frame))?;
    }
    let lost = capture.drops();
    let damaged = Statistics::of(interface).damaged_since(before);
    let drops = Drops { kernel: lost.kernel, interface: lost.interface, damaged };
    Ok((tally.end(), host, drops, began_at.elapsed()))
}

async fn ask_for_the_time(sender: &SenderConfig) -> Clock {
    let host_secs = uplink::clock_ns() / 1_000_000_000;
    let mut reasons = Vec::new();
    // Frames of this connection are counted as this host's own, which they are.
    let nobody: BeforeConnect = Arc::new(|_, _| {});
    for analyzer in &sender.analyzers {
        let asking = uplink::clock_offset(analyzer.clone(), sender, Arc::clone(&nobody));
        match timeout(ANALYZER_LIMIT, asking).await {
            Ok(Ok(offset_ns)) => return Clock { host_secs, offset: Ok((analyzer.to_string(), offset_ns)) },
            Ok(Err(error)) => reasons.push(format!("{analyzer}: {}", Chain(&error))),
            Err(_) => reasons.push(format!("{analyzer}: no answer within {} s", ANALYZER_LIMIT.as_secs())),
        }
    }
    Clock { host_secs, offset: Err(reasons.join("; ")) }
}

/// How soon a request to stop is noticed.
const PATIENCE: Duration = Duration::from_millis(200);
/// Between two looks at the clock.
const MAX_FRAMES: usize = 4096;
/// An analyzer that is there answers within one; names may have to be looked up.
const ANALYZER_LIMIT: Duration = Duration::from_secs(5);
