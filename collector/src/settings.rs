//! The command line and the file beneath it, read at the start and again at SIGHUP.

use std::ffi::OsString;

use iotq_proto::settings::{self, Keys};

use crate::{
    args::Cli,
    config::{Config, ConfigError},
};

/// Settings that are in force, and how to read them again.
pub type Settings = settings::Settings<Cli, Config>;

/// Why settings make no sense.
pub type LoadError = settings::LoadError<ConfigError>;

/// What a file of settings can say: what `run` and `replay` can be told.
pub const KEYS: Keys = Keys { commands: &["run", "replay"], is_key: |_| true };

/// Reads a command line, the program's name first, and the file that it names.
///
/// # Errors
/// If they make no sense, or ask for help.
pub fn load(words: impl IntoIterator<Item = OsString>) -> Result<(Settings, Config), LoadError> {
    Settings::load(KEYS, &AT_ONCE, words)
}

/// What a running collector takes from settings that are read again. All else is in
/// the capture or in what it has told the analyzer already.
const AT_ONCE: [&str; 10] = [
    "analyzer",
    "insecure-plaintext",
    "log-level",
    "spool-max-age",
    "spool-max-bytes",
    "tls",
    "tls-ca",
    "tls-cert",
    "tls-key",
    "token-file",
];

#[cfg(test)]
mod tests {
    use std::fs;

    use clap::CommandFactory as _;
    use iotq_proto::{
        error::Chain,
        settings::{check, key_names},
    };

    use super::*;
    use crate::config::CommandConfig;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn the_example_names_every_key_and_can_be_used_as_it_is() {
        let example = include_str!("../../deploy/collector.toml");
        assert_eq!(check(&Cli::command(), KEYS, example).unwrap(), ["interface"]);
        let named = check(&Cli::command(), KEYS, &settings::uncommented(example)).unwrap();
        assert_eq!(named, key_names(&Cli::command(), KEYS));
    }

    #[test]
    fn what_changed_is_taken_or_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("collector.toml");
        let write = |text: &str| fs::write(&path, text).unwrap();
        write("interface = 'a'\nname = 'attic'\nsnaplen = 1000\n");
        let line = format!("iotq-collector run --config {}", path.display());
        let (mut settings, config) = load(words(&line)).unwrap();
        let CommandConfig::Run(run) = config.command else { panic!("another command") };
        assert_eq!((run.interfaces, run.snaplen), (vec!["a".to_owned()], 1000));

        write("interface = 'a'\nname = 'attic'\nsnaplen = 2000\nspool-max-bytes = '2G'\n");
        let reread = settings.read_again().unwrap();
        assert_eq!((reread.taken, reread.waiting), (vec!["spool-max-bytes".to_owned()], vec!["snaplen".to_owned()]));
        // It still needs a restart, but there is nothing new to be taken.
        let reread = settings.read_again().unwrap();
        assert_eq!((reread.taken, reread.waiting), (vec![], vec!["snaplen".to_owned()]));

        write("interface = 'a'\nsnaplen = 10\n");
        let error = Chain(&settings.read_again().unwrap_err()).to_string();
        assert!(error.contains("--snaplen 10 cuts headers"), "{error}");
        assert!(error.ends_with("collector.toml: `snaplen` in line 2)"), "{error}");
        write("interface = 'a'\nsnaplenn = 10\n");
        let error = Chain(&settings.read_again().unwrap_err()).to_string();
        assert!(error.ends_with("line 2: unknown key `snaplenn`; the nearest one is `snaplen`"), "{error}");
        write("interface = 'a'\nname = 'attic'\nsnaplen = 1000\n");
        let reread = settings.read_again().unwrap();
        assert_eq!((reread.taken, reread.waiting), (vec!["spool-max-bytes".to_owned()], vec![]));
    }
}
