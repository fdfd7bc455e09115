//! Telling systemd how we are (`sd_notify(3)`). Without it nothing happens.

use std::time::Duration;

use sd_notify::NotifyState;

/// From now on we do what we are for.
pub fn ready() {
    tell(NotifyState::Ready);
}

/// Does what has to be done first, however long that takes: the unit's `TimeoutStartSec=` counts from when nothing
/// is heard.
pub async fn while_starting<T>(work: impl Future<Output = T>) -> T {
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            () = tokio::time::sleep(STILL_STARTING / 4) => {
                tell(NotifyState::ExtendTimeoutUsec(u32::try_from(STILL_STARTING.as_micros()).unwrap_or(u32::MAX)));
            }
        }
    }
}

/// We were told to end, and do.
pub fn stopping() {
    tell(NotifyState::Stopping);
}

/// Shows that we are alive, twice in the time that the unit's `WatchdogSec=` allows, as
/// long as `is_alive` says so. Does not end; without a watchdog it does nothing.
pub async fn watchdog(mut is_alive: impl AsyncFnMut() -> bool) {
    let Some(limit) = sd_notify::watchdog_enabled() else { return std::future::pending().await };
    loop {
        if is_alive().await {
            tell(NotifyState::Watchdog);
        }
        tokio::time::sleep((limit / 2).max(Duration::from_millis(10))).await;
    }
}

/// Longer than the steps between which a start shows that it goes on.
const STILL_STARTING: Duration = Duration::from_secs(120);

fn tell(state: NotifyState<'_>) {
    // Nobody listens, or no longer: systemd will find out by itself.
    let _ = sd_notify::notify(&[state]);
}
