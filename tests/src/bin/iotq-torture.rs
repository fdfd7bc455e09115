//! `make torture`: kills, stops, cuts and fills disks at random, then counts.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use iotq_tests::{
    system::has_engine,
    torture::{enter_namespaces, torture},
};

/// Let everything go wrong at random moments, and see that nothing is lost or doubled.
#[derive(Debug, Parser)]
#[command(version, after_help = "Example:\n  iotq-torture --secs 600 --seed 7")]
struct Cli {
    /// How long, before everything is let recover
    #[arg(long, env = "TORTURE_SECS", default_value_t = 60)]
    secs: u64,
    /// What is done, and when, depends on it [default: the time]
    #[arg(long, env = "TORTURE_SEED")]
    seed: Option<u64>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if !has_engine() {
        return ExitCode::FAILURE;
    }
    // Faults are the last that is printed, with no backtrace after them: who reads only the end of a log finds them.
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("torture: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<()> {
    enter_namespaces()?;
    let seed = cli.seed.unwrap_or_else(|| u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or_default());
    println!("torture: {} s, TORTURE_SEED={seed}", cli.secs);
    println!("{}", torture(seed, cli.secs)?);
    println!("torture: nothing is lost and nothing is there twice");
    Ok(())
}
