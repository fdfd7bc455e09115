//! The collector's program: what was typed, then [`iotq_collector::run`].

use std::{
    io::Write as _,
    process::{ExitCode, exit},
};

use indicatif::MultiProgress;
use iotq_collector::{
    Surroundings,
    config::CommandConfig,
    settings::{self, LoadError},
    telemetry,
};
use iotq_proto::{error::Chain, settings::TypedError};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

fn main() -> ExitCode {
    let (settings, config) = match settings::load(std::env::args_os()) {
        Ok(loaded) => loaded,
        Err(LoadError::Typed(TypedError::Usage(refusal))) => refusal.exit(),
        Err(error) => {
            say(&format!("error: {}\n\nFor more information, try '--help'.", Chain(&error)));
            return ExitCode::from(2);
        }
    };
    let screen = MultiProgress::new();
    let log = telemetry::start(config.log, screen.clone());
    match start(config.command, Surroundings { settings, log, screen }) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("iotq-collector: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn start(command: CommandConfig, around: Surroundings) -> anyhow::Result<bool> {
    // One thread: capture and the window have their own, and sending takes a
    // tenth of what they do.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let shutdown = CancellationToken::new();
        let signals = [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?];
        tokio::spawn(listen(signals, shutdown.clone()));
        Ok(iotq_collector::run(command, shutdown, around).await?)
    })
}

/// The first signal ends the program in order, the second one at once.
async fn listen([mut terminate, mut interrupt]: [Signal; 2], shutdown: CancellationToken) {
    let mut signalled = async || {
        tokio::select! {
            _ = terminate.recv() => 15,
            _ = interrupt.recv() => 2,
        }
    };
    signalled().await;
    shutdown.cancel();
    let number = signalled().await;
    exit(128 + number);
}

/// A line on stderr; if that is closed, there is nobody to tell.
fn say(line: &str) {
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}
