//! Batches that an earlier start left in the spool.

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::{BeforeConnect, Outcome, Uplink, UplinkConfig};

/// Delivers what earlier starts left in the spool, the oldest first, each on a
/// stream of its own. What could not be delivered stays where it is.
pub async fn deliver_left_behind(
    config: UplinkConfig,
    before_connect: BeforeConnect,
    abandon: CancellationToken,
) -> Outcome {
    let mut sum = Outcome::default();
    let Some(spool) = config.spool.clone() else { return sum };
    let epochs = spool.lock().epochs_but(config.epoch);
    for epoch in epochs {
        // There are no new batches of that start.
        let (_, none) = mpsc::channel(1);
        let config = UplinkConfig { epoch, is_left_behind: true, ..config.clone() };
        let outcome = Uplink::new(config, none, before_connect.clone()).run(abandon.clone()).await;
        sum.batches += outcome.batches;
        sum.stored.add(&outcome.stored);
        sum.rejected.add(&outcome.rejected);
        sum.spooled_batches += outcome.spooled_batches;
        if outcome.failure.is_some() {
            sum.failure = outcome.failure;
            break;
        }
    }
    if sum.batches > 0 {
        info!(batches = sum.batches, frames = sum.stored.frames, "batches that an earlier start had left are stored");
    }
    sum
}
