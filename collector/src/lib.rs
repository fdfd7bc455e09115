//! Reads packets from a mirror port or a capture file and sends what devices do,
//! summed up as flow slices, to the analyzer.
//!
//! `capture` → `decode` → `window` → `uplink`; ARCHITECTURE.md has the picture.

pub mod args;
pub mod capture;
pub mod chunk;
pub mod config;
pub mod decode;
pub mod doctor;
pub mod flow;
pub mod http;
pub mod interfaces;
pub mod live;
pub mod metrics;
pub mod names;
pub mod packet;
pub mod pick;
pub mod privileges;
pub mod replay;
pub mod save;
pub mod settings;
pub mod spool;
pub mod summary;
pub mod telemetry;
pub mod totals;
pub mod uplink;
pub mod window;

use std::io::Write as _;

use indicatif::MultiProgress;
use iotq_proto::{error::Chain, service::Log};
use tokio_util::sync::CancellationToken;

use crate::{config::CommandConfig, settings::Settings};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Live capture.
    #[error(transparent)]
    Live(#[from] live::LiveError),
    /// Reading files.
    #[error(transparent)]
    Replay(#[from] replay::ReplayError),
    /// Saving frames.
    #[error(transparent)]
    Save(#[from] save::SaveError),
    /// Judging an interface.
    #[error(transparent)]
    Doctor(#[from] doctor::DoctorError),
    /// Listing interfaces.
    #[error(transparent)]
    Interfaces(#[from] interfaces::InterfacesError),
    /// The answer could not be written.
    #[error("standard output not written")]
    Output(#[source] std::io::Error),
}

/// What a program that goes on for long has beside its configuration.
#[derive(Debug)]
pub struct Surroundings {
    /// To read the configuration again.
    pub settings: Settings,
    /// To change what is logged.
    pub log: Log,
    /// Where a progress bar is drawn.
    pub screen: MultiProgress,
}

/// Does what was asked for until it is done, or `shutdown` is cancelled. `false`:
/// it went to its end, but not everything was well, and the user was told.
///
/// # Errors
/// If it cannot be done.
pub async fn run(command: CommandConfig, shutdown: CancellationToken, around: Surroundings) -> Result<bool, RunError> {
    let screen = &around.screen;
    match command {
        CommandConfig::Run(config) => {
            live::run(config, around.settings, around.log, shutdown).await.map(|()| true).map_err(RunError::Live)
        }
        CommandConfig::Capture(config) => {
            let stop = shutdown.clone();
            let saving = tokio::task::spawn_blocking(move || save::save(&config, || stop.is_cancelled()));
            // A panic in there was printed already.
            let saved = saving.await.map_err(|error| RunError::Output(std::io::Error::other(error)))??;
            let lost = match saved.drops {
                drops if drops.kernel + drops.interface == 0 => String::new(),
                drops => format!(", {} lost in the kernel, {} in the interface", drops.kernel, drops.interface),
            };
            let line = format!("{} frames{lost}: {}\n", saved.frames, saved.path.display());
            // If stderr is closed, there is nobody to tell.
            let _ = std::io::stderr().write_all(line.as_bytes());
            Ok(true)
        }
        CommandConfig::Doctor(config) => {
            let format = config.format;
            let report = doctor::examine(config, shutdown).await?;
            report.write(format, std::io::stdout().lock()).map_err(RunError::Output)?;
            Ok(!report.has_failed())
        }
        CommandConfig::Interfaces(format) => {
            interfaces::list(format, std::io::stdout().lock())?;
            Ok(true)
        }
        CommandConfig::Replay(config) => {
            let format = config.format;
            let replayed = replay::replay(config, shutdown, screen).await?;
            if let Some(failure) = &replayed.failure {
                let kept = match &replayed.spooled {
                    Some(spooled) => format!(
                        "; {} in {}, to be sent by the next start with this --spool-dir: \
                         replaying the files again would store them twice",
                        match spooled.batches {
                            1 => "1 batch waits".to_owned(),
                            batches => format!("{batches} batches wait"),
                        },
                        spooled.dir.display()
                    ),
                    None => String::new(),
                };
                let line = format!("iotq-collector: not everything was stored: {}{kept}\n", Chain(failure));
                // If stderr is closed, there is nobody to tell.
                let _ = screen.suspend(|| std::io::stderr().write_all(line.as_bytes()));
            }
            replayed.summary.write(format, std::io::stdout().lock()).map_err(RunError::Output)?;
            Ok(replayed.failure.is_none() && replayed.summary.is_complete())
        }
    }
}
