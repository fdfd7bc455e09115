//! `iotq`: asks an analyzer what the devices say, and to whom.
//!
//! `args` is what was typed, `config` what it means, `client` asks over gRPC,
//! `render` writes the answer; `questions` has one file for each question,
//! `report` asks many and makes a page of the answers, `naming` names devices. Data
//! goes to standard output, everything else to standard error. Nothing here
//! opens the store or a capture: the analyzer does.

mod analyzer_url;
pub mod args;
pub mod client;
mod completions;
pub mod config;
pub mod export;
pub mod forget;
pub mod help;
mod man;
pub mod naming;
pub mod questions;
pub mod render;
pub mod report;
pub mod terminal;
pub mod time_range;

use std::{
    error::Error,
    ffi::OsString,
    io::{self, ErrorKind, Write},
    process::ExitCode,
};

use iotq_proto::{error::Chain, settings::TypedError};
use jiff::{RoundMode, TimestampRound, Unit};

use crate::{
    args::{Args, Command},
    config::{Config, InvalidConfig, Wants},
    export::Export,
    forget::ForgetCommand,
    naming::NamingError,
    questions::Question,
    report::Report,
    terminal::Terminal,
};

/// Runs the command that was typed and says how it went: 0 done, 1 failed, 2
/// usage.
pub fn run(typed: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args = match Args::from_words(typed) {
        Ok(args) => args,
        Err(TypedError::File(error)) => return misused(&error),
        Err(TypedError::Usage(refusal)) => {
            // Help for a reader that has gone is no failure.
            let _ = refusal.print();
            return ExitCode::from(if refusal.use_stderr() { USAGE } else { DONE });
        }
    };
    match args.command {
        Command::TopTalkers(ref question) => answer(question, &args),
        Command::Devices(ref question) => match question.import() {
            Some(import) => naming(&args, |config| naming::import(import, config, io::stdout())),
            None => answer(question, &args),
        },
        Command::Destinations(ref question) => answer(question, &args),
        Command::Conversations(ref question) => answer(question, &args),
        Command::Connections(ref question) => answer(question, &args),
        Command::Timeline(ref question) => answer(question, &args),
        Command::Unanswered(ref question) => answer(question, &args),
        Command::Keepalives(ref question) => answer(question, &args),
        Command::Dns(ref question) => answer(question, &args),
        Command::Tls(ref question) => answer(question, &args),
        Command::TimeServers(ref question) => answer(question, &args),
        Command::Packets(ref question) => answer(question, &args),
        Command::FirstSeen(ref question) => answer(question, &args),
        Command::Diff(ref question) => answer(question, &args),
        Command::Groups(ref question) => answer(question, &args),
        Command::Device(ref wanted) => naming(&args, |config| naming::set(wanted, config, io::stdout(), io::stderr())),
        Command::Export(ref wanted) => match config(&args, &Export::wants()) {
            Ok(config) => match wanted.write(&config, io::stderr()) {
                Err(error) if error.is_misuse() => misused(&error),
                written => ended(written),
            },
            Err(error) => misused(&error),
        },
        Command::Forget(ref wanted) => forgotten(wanted, &args),
        Command::Report(ref wanted) => reported(wanted, &args),
        Command::Status(ref question) => answer(question, &args),
        Command::Completions(ref wanted) => ended(completions::write(wanted, &mut io::stdout())),
        Command::Man(ref wanted) => ended(man::write(wanted, help::command(), &mut io::stdout())),
    }
}

/// Asks one question and writes the answer.
fn answer<Q: Question>(question: &Q, args: &Args) -> ExitCode {
    let prepared = config(args, &Wants::of(question, args.common.format))
        .and_then(|config| question.ask(&config).map(|ask| (config, ask)));
    let (config, ask) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return misused(&error),
    };
    let answers = client::ask(&config, ask);
    // Locked once: a line in a terminal is then one write, not two locks and one.
    let (out, notes) = (io::stdout().lock(), io::stderr());
    ended(render::render(question, &config, answers, out, notes))
}

/// Sets names or groups and says what was set.
fn naming(args: &Args, set: impl FnOnce(&Config) -> Result<(), NamingError>) -> ExitCode {
    match config(args, &Wants::nothing()) {
        Ok(config) => ended(set(&config)),
        Err(error) => misused(&error),
    }
}

/// Has something forgotten.
fn forgotten(wanted: &ForgetCommand, args: &Args) -> ExitCode {
    let config = match config(args, &ForgetCommand::wants()) {
        Ok(config) => config,
        Err(error) => return misused(&error),
    };
    match ForgetCommand::request(&args.common, &config) {
        Ok(request) => ended(wanted.run(request, &config, io::stdout(), io::stderr())),
        Err(error) => misused(&error),
    }
}

/// Writes the report.
fn reported(wanted: &Report, args: &Args) -> ExitCode {
    match config(args, &Report::wants()) {
        Ok(config) => ended(wanted.write(&config, io::stdout(), io::stderr())),
        Err(error) => misused(&error),
    }
}

fn config(args: &Args, wants: &Wants) -> Result<Config, InvalidConfig> {
    let terminal = Terminal::of_standard_output(args.common.no_color, args.common.utc);
    Config::new(&args.common, wants, now(), terminal)
}

/// The end of this second: what is asked for up to now is of whole seconds, of which sums are kept.
fn now() -> jiff::Timestamp {
    let now = jiff::Timestamp::now();
    now.round(TimestampRound::new().smallest(Unit::Second).mode(RoundMode::Ceil)).unwrap_or(now)
}

/// What was typed makes no sense.
fn misused(error: &(dyn Error + 'static)) -> ExitCode {
    let _ = help::command().error(clap::error::ErrorKind::ValueValidation, Chain(error)).print();
    ExitCode::from(USAGE)
}

fn ended(result: Result<(), impl Error + 'static>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::from(DONE),
        // The reader has what it wanted, as `head` does.
        Err(error) if is_closed_pipe(&error) => ExitCode::from(DONE),
        Err(error) => {
            // There is nobody to tell if this fails.
            let _ = writeln!(io::stderr(), "error: {}", Chain(&error));
            ExitCode::from(FAILED)
        }
    }
}

fn is_closed_pipe(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<io::Error>().is_some_and(|io| io.kind() == ErrorKind::BrokenPipe) {
            return true;
        }
        cause = error.source();
    }
    false
}

const DONE: u8 = 0;
const FAILED: u8 = 1;
const USAGE: u8 = 2;
