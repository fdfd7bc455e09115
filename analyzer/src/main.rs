//! `iotq-analyzer`: reads the arguments, then leaves the work to the library.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::Parser as _;
use iotq_analyzer::{
    args::{Cli, Command},
    backup,
    backup::BackupError,
    config::{ConfigError, Job},
    db, engine, pki,
    settings::{self, LoadError},
};
use iotq_proto::{error::Chain, service::Log, settings::TypedError};
use tracing::error;

fn main() -> ExitCode {
    // It is told all it needs by `serve`: a file that is wrong since must not stop it.
    if std::env::args_os().nth(1).is_some_and(|word| word == "engine")
        && let Command::Engine(args) = Cli::parse().command
    {
        return engine::child::main(&args);
    }
    let (settings, job) = match settings::load(std::env::args_os()) {
        Ok(loaded) => loaded,
        Err(LoadError::Typed(TypedError::Usage(refusal))) => refusal.exit(),
        Err(error) => {
            eprintln!("iotq-analyzer: {}", Chain(&error));
            let is_usage =
                matches!(error, LoadError::Typed(_) | LoadError::Config { error: ConfigError::LogLevel { .. }, .. });
            return ExitCode::from(if is_usage { 2 } else { 1 });
        }
    };
    match job {
        Job::Engine(args) => engine::child::main(&args),
        Job::Backup(args) => ended(backup::backup(&args)),
        Job::Restore(args) => ended(backup::restore(&args)),
        Job::Db(args) => match db::run(args) {
            Ok(text) => {
                // A closed pipe is no failure.
                let _ = io::stdout().write_all(text.as_bytes());
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("iotq-analyzer: {}", Chain(&error));
                ExitCode::from(1)
            }
        },
        Job::Pki(args) => match pki::command::run(&args, io::stdout().lock()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("iotq-analyzer: {}", Chain(&error));
                ExitCode::from(1)
            }
        },
        Job::Serve(serve) => {
            let log = Log::start(serve.log_filter, serve.log_style, io::stderr);
            match iotq_analyzer::serve(serve.config, settings, log) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    error!(error = %Chain(&error), "analyzer stopped");
                    ExitCode::from(1)
                }
            }
        }
    }
}

/// Says what was done, on standard error: standard output may be the backup.
fn ended(result: Result<String, BackupError>) -> ExitCode {
    match result {
        Ok(text) => {
            let _ = io::stderr().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("iotq-analyzer: {}", Chain(&error));
            ExitCode::from(1)
        }
    }
}
