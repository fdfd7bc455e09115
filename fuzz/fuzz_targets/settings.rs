//! Files of settings, as all three programs read them; here with the collector's keys.
#![no_main]

use std::sync::LazyLock;

use clap::{Command, CommandFactory as _};
use iotq_collector::{args::Cli, settings::KEYS};
use iotq_fuzz::seeds;
use iotq_proto::settings::{check, key_names, uncommented};
use libfuzzer_sys::fuzz_target;

static COMMAND: LazyLock<Command> = LazyLock::new(Cli::command);
static KNOWN: LazyLock<Vec<String>> = LazyLock::new(|| key_names(&COMMAND, KEYS));

fuzz_target!(init: seeds::texts(&[("example", EXAMPLE), ("all", &uncommented(EXAMPLE))]), |octets: &[u8]| {
    let Ok(text) = std::str::from_utf8(octets) else { return };
    match check(&COMMAND, KEYS, text) {
        Ok(keys) => assert!(keys.iter().all(|key| KNOWN.contains(key))),
        // What is wrong may be as long as the file; what is said about it is not.
        Err(error) => assert!(error.to_string().len() < 2000, "{error}"),
    }
});

const EXAMPLE: &str = include_str!("../../deploy/collector.toml");
