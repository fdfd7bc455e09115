//! The command line and the file beneath it, read at the start and again at SIGHUP.

use std::ffi::OsString;

use iotq_proto::settings::{self, Keys};

use crate::{
    args::Cli,
    config::{ConfigError, Job},
};

/// Settings that are in force, and how to read them again.
pub type Settings = settings::Settings<Cli, Job>;

/// Why settings make no sense.
pub type LoadError = settings::LoadError<ConfigError>;

/// What a file of settings can say: what `serve` can be told.
pub const KEYS: Keys = Keys { commands: &["serve"], is_key: |_| true };

/// Reads a command line, the program's name first, and the file that it names.
///
/// # Errors
/// If they make no sense, or ask for help.
pub fn load(words: impl IntoIterator<Item = OsString>) -> Result<(Settings, Job), LoadError> {
    Settings::load(KEYS, &AT_ONCE, words)
}

/// What a running analyzer takes from settings that are read again. The rest is in sockets, in
/// the engine, or in what has been told to others.
const AT_ONCE: [&str; 3] = ["local-nets", "log-level", "names"];

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use iotq_proto::settings::{check, key_names};

    use super::*;

    #[test]
    fn the_example_names_every_key_and_can_be_used_as_it_is() {
        let example = include_str!("../../deploy/analyzer.toml");
        assert!(check(&Cli::command(), KEYS, example).unwrap().is_empty());
        let named = check(&Cli::command(), KEYS, &settings::uncommented(example)).unwrap();
        assert_eq!(named, key_names(&Cli::command(), KEYS));
    }

    #[test]
    fn parts_of_tls_that_stand_in_different_places_belong_together() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("analyzer.toml");
        std::fs::write(&path, "tls-cert = 'some.pem'\nclickhouse-url = 'http://127.0.0.1:1'\n").unwrap();
        let line = |flags: &str| {
            let line = format!("iotq-analyzer serve --config {} {flags}", path.display());
            load(line.split_whitespace().map(OsString::from).collect::<Vec<_>>())
        };
        let error = line("").unwrap_err().to_string();
        assert!(error.contains("--tls-cert, --tls-key and --tls-ca belong together"), "{error}");
        assert!(error.ends_with("analyzer.toml: `tls-cert` in line 1)"), "{error}");
        let (_, job) = line("--tls-key key.pem --tls-ca ca.pem").unwrap();
        assert!(matches!(job, Job::Serve(serve) if serve.config.tls.is_some()));
    }
}
