//! `iotq-analyzer`: reads the arguments, then leaves the work to the library.

use std::{io::Write as _, process::ExitCode};

use clap::Parser as _;
use iotq_analyzer::{
    args::{Cli, Command},
    backup,
    backup::BackupError,
    config::Config,
    db, engine, pki, telemetry,
};
use iotq_proto::error::Chain;
use tracing::error;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command {
        Command::Engine(args) => engine::child::main(&args),
        Command::Backup(args) => ended(backup::backup(&args)),
        Command::Restore(args) => ended(backup::restore(&args)),
        Command::Db(args) => match db::run(args) {
            Ok(text) => {
                // A closed pipe is no failure.
                let _ = std::io::stdout().write_all(text.as_bytes());
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("iotq-analyzer: {}", Chain(&error));
                ExitCode::from(1)
            }
        },
        Command::Pki(args) => match pki::command::run(&args, std::io::stdout().lock()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("iotq-analyzer: {}", Chain(&error));
                ExitCode::from(1)
            }
        },
        Command::Serve(args) => {
            if let Err(error) = telemetry::init(&args.log_level, args.log_format) {
                eprintln!("iotq-analyzer: {}", Chain(&error));
                return ExitCode::from(2);
            }
            let config = match Config::try_from(*args) {
                Ok(config) => config,
                Err(error) => {
                    eprintln!("iotq-analyzer: {}", Chain(&error));
                    return ExitCode::from(1);
                }
            };
            match iotq_analyzer::serve(config) {
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
            let _ = std::io::stderr().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("iotq-analyzer: {}", Chain(&error));
            ExitCode::from(1)
        }
    }
}
