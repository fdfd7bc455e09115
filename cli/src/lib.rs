//! `iotq`: asks an analyzer what the devices say, and to whom.
//!
//! `args` is what was typed, `config` what it means, `client` asks over gRPC,
//! `render` writes the answer; `questions` has one file for each question. Data
//! goes to standard output, everything else to standard error. Nothing here
//! opens the store or a capture: the analyzer does.

mod analyzer_url;
pub mod args;
pub mod client;
mod completions;
pub mod config;
pub mod questions;
pub mod render;
pub mod terminal;
pub mod time_range;

use std::{
    ffi::OsString,
    io::{self, ErrorKind, Write},
    process::ExitCode,
};

use clap::CommandFactory as _;
use iotq_proto::error::Chain;

use crate::{
    args::{Args, Command},
    config::{Config, InvalidConfig, Wants},
    questions::Question,
    render::RenderError,
    terminal::Terminal,
};

/// Runs the command that was typed and says how it went: 0 done, 1 failed, 2
/// usage.
pub fn run(typed: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args = match Args::from_words(typed) {
        Ok(args) => args,
        Err(refusal) => {
            // Help for a reader that has gone is no failure.
            let _ = refusal.print();
            return ExitCode::from(if refusal.use_stderr() { USAGE } else { DONE });
        }
    };
    match args.command {
        Command::TopTalkers(ref question) => answer(question, &args),
        Command::Devices(ref question) => answer(question, &args),
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
        Command::Status(ref question) => answer(question, &args),
        Command::Completions(ref wanted) => match completions::write(wanted, &mut io::stdout()) {
            Ok(()) => ExitCode::from(DONE),
            Err(error) => failed(&RenderError::Output(error)),
        },
    }
}

/// Asks one question and writes the answer.
fn answer<Q: Question>(question: &Q, args: &Args) -> ExitCode {
    let terminal = Terminal::of_standard_output(args.common.no_color, args.common.utc);
    let wants = Wants::of(question, args.common.format);
    let config = match Config::new(&args.common, &wants, jiff::Timestamp::now(), terminal) {
        Ok(config) => config,
        Err(error) => return misused(&error),
    };
    let ask = match question.ask(&config) {
        Ok(ask) => ask,
        Err(error) => return misused(&error),
    };
    let answers = client::ask(&config, ask);
    // Locked once: a line in a terminal is then one write, not two locks and one.
    let (out, notes) = (io::stdout().lock(), io::stderr());
    match render::render(question, &config, answers, out, notes) {
        Ok(()) => ExitCode::from(DONE),
        Err(error) => failed(&error),
    }
}

/// What was typed makes no sense.
fn misused(error: &InvalidConfig) -> ExitCode {
    let _ = Args::command().error(clap::error::ErrorKind::ValueValidation, Chain(error)).print();
    ExitCode::from(USAGE)
}

fn failed(error: &RenderError) -> ExitCode {
    match error {
        // The reader has what it wanted, as `head` does.
        RenderError::Output(source) if source.kind() == ErrorKind::BrokenPipe => ExitCode::from(DONE),
        error => {
            // There is nobody to tell if this fails.
            let _ = writeln!(io::stderr(), "error: {}", Chain(error));
            ExitCode::from(FAILED)
        }
    }
}

const DONE: u8 = 0;
const FAILED: u8 = 1;
const USAGE: u8 = 2;
