//! Settings from a file, beneath the environment and the flags.
//!
//! The file is TOML without tables; its keys are the words of the long flags. What it
//! says becomes the default of the flag of that name, so that clap itself puts the
//! environment above the file and the command line above both.

mod file;
mod reread;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    path::PathBuf,
};

use clap::{
    Arg, ArgAction, ArgMatches, Command, FromArgMatches,
    error::{ContextKind, ContextValue},
};

use self::file::{Kind, Known, SettingsFile};
pub use self::{
    file::SettingsError,
    reread::{LoadError, Reread, Settings},
};

/// Which flags a file can have as keys.
#[derive(Clone, Copy, Debug)]
pub struct Keys {
    /// Those of these subcommands, beside those that belong to the program itself.
    /// Other subcommands take from the file what they have too.
    pub commands: &'static [&'static str],
    /// Whether one of them is a key.
    pub is_key: fn(&Arg) -> bool,
}

/// A command line, with the file that it names beneath it.
#[derive(Debug)]
pub struct Typed {
    command: Command,
    matches: ArgMatches,
    file: Option<SettingsFile>,
    effective: BTreeMap<String, Vec<OsString>>,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum TypedError {
    /// A flag is wrong, or help was asked for.
    #[error(transparent)]
    Usage(#[from] clap::Error),
    /// The file is wrong.
    #[error(transparent)]
    File(#[from] SettingsError),
}

impl Typed {
    /// Reads the command line and the file named by `--config` or its variable.
    ///
    /// # Errors
    /// If one of them makes no sense.
    pub fn read(command: Command, keys: Keys, words: impl IntoIterator<Item = OsString>) -> Result<Self, TypedError> {
        let words: Vec<_> = words.into_iter().collect();
        let command = without_empty_variables(command);
        let known = known(&command, keys);
        let file = config_path(&command, &words).map(|path| SettingsFile::read(path, &known)).transpose()?;
        let mut command = match &file {
            Some(file) => with_defaults(command, file),
            None => command,
        };
        let matches =
            command.try_get_matches_from_mut(&words).map_err(|error| with_variable(error, &command, &words))?;
        let effective = effective(&matches, &known);
        Ok(Self { command, matches, file, effective })
    }

    /// The program's arguments.
    ///
    /// # Errors
    /// If they are not what `T` is made from.
    pub fn args<T: FromArgMatches>(&mut self) -> Result<T, clap::Error> {
        T::from_arg_matches(&self.matches).map_err(|error| error.format(&mut self.command))
    }

    /// Which settings are others than those of an earlier reading, by key.
    #[must_use]
    pub fn changed_since(&self, earlier: &Self) -> Vec<String> {
        let keys = self.effective.keys().chain(earlier.effective.keys());
        let mut changed: Vec<_> =
            keys.filter(|key| self.effective.get(*key) != earlier.effective.get(*key)).cloned().collect();
        changed.sort_unstable();
        changed.dedup();
        changed
    }

    /// Where the setting stands that an error names as a flag, if it came from the file:
    /// ` (FILE, line N)`, else nothing.
    #[must_use]
    pub fn place(&self, error: &str) -> String {
        let Some(file) = &self.file else { return String::new() };
        let flag = |key: &str| format!("--{key}");
        let named = file.entries.iter().filter(|(key, entry)| {
            let is_named =
                error.split(|char: char| char != '-' && !char.is_ascii_alphanumeric()).any(|it| it == flag(key));
            is_named
                && self.effective.get(*key).is_some_and(|values| values.iter().eq(entry.values.iter().map(OsStr::new)))
        });
        let places: Vec<_> = named.map(|(key, entry)| format!("`{key}` in line {}", entry.line)).collect();
        if places.is_empty() { String::new() } else { format!(" ({}: {})", file.path.display(), places.join(", ")) }
    }
}

/// Empty variables are as good as none: files of environments and of containers have them.
#[must_use]
pub fn without_empty_variables(command: Command) -> Command {
    let is_empty = |arg: &Arg| arg.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty());
    let command = command.mut_args(|arg| if is_empty(&arg) { arg.env(None) } else { arg });
    command.mut_subcommands(without_empty_variables)
}

/// An error about a flag that nobody typed says which variable has its value.
fn with_variable(mut error: clap::Error, command: &Command, words: &[OsString]) -> clap::Error {
    let Some(ContextValue::String(named)) = error.get(ContextKind::InvalidArg) else { return error };
    let flag = named.split([' ', '=']).next().unwrap_or_default();
    let Some(arg) = arg_of(command, flag.trim_start_matches('-')) else { return error };
    let is_typed = words.iter().any(|word| {
        let word = word.to_string_lossy();
        let is_short = |short: char| word.starts_with(&format!("-{short}"));
        word.split('=').next() == Some(flag) || arg.get_short().is_some_and(is_short)
    });
    if let Some(variable) = arg.get_env().filter(|name| !is_typed && std::env::var_os(name).is_some()) {
        let tip = format!("{} is set in the environment", variable.to_string_lossy());
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    error
}

fn arg_of<'a>(command: &'a Command, long: &str) -> Option<&'a Arg> {
    let own = command.get_arguments().find(|arg| arg.get_long() == Some(long));
    own.or_else(|| command.get_subcommands().find_map(|nested| arg_of(nested, long)))
}

/// The names of all keys, in order.
#[must_use]
pub fn key_names(command: &Command, keys: Keys) -> Vec<String> {
    known(command, keys).into_iter().map(|known| known.key).collect()
}

/// Checks a text as if it stood in a file; for tests of examples, and for hostile ones.
///
/// # Errors
/// As for a file.
pub fn check(command: &Command, keys: Keys, text: &str) -> Result<Vec<String>, SettingsError> {
    let file = SettingsFile::parse(PathBuf::from("text"), text, &known(command, keys))?;
    Ok(file.entries.into_keys().collect())
}

/// An example's text with every setting that is commented out (`#key = value`) taken in.
#[must_use]
pub fn uncommented(example: &str) -> String {
    let is_setting = |line: &&str| {
        line.split_once(" = ").is_some_and(|(key, _)| key.bytes().all(|byte| byte == b'-' || byte.is_ascii_lowercase()))
    };
    let line = |line| str::strip_prefix(line, "#").filter(is_setting).unwrap_or(line);
    example.lines().map(line).collect::<Vec<&str>>().join("\n")
}

fn known(command: &Command, keys: Keys) -> Vec<Known> {
    let of_commands =
        keys.commands.iter().filter_map(|name| command.find_subcommand(name)).flat_map(Command::get_arguments);
    let mut known: Vec<Known> = Vec::new();
    for arg in command.get_arguments().chain(of_commands).filter(|arg| (keys.is_key)(arg)) {
        let Some(key) = arg.get_long().filter(|key| !NEVER.contains(key)) else { continue };
        if known.iter().all(|known| known.key != key) {
            known.push(Known {
                key: key.to_owned(),
                id: arg.get_id().clone(),
                kind: kind(arg),
                parser: arg.get_value_parser().clone(),
                delimiter: arg.get_value_delimiter(),
            });
        }
    }
    known.sort_by(|a, b| a.key.cmp(&b.key));
    known
}

fn kind(arg: &Arg) -> Kind {
    use std::any::TypeId;
    if !arg.get_action().takes_values() {
        return Kind::Flag;
    }
    let parsed = arg.get_value_parser().type_id();
    let integers = [TypeId::of::<u64>(), TypeId::of::<u32>(), TypeId::of::<u16>()];
    if integers.iter().any(|integer| parsed == *integer) {
        Kind::Integer
    } else if takes_many(arg) {
        Kind::Texts
    } else {
        Kind::Text
    }
}

fn takes_many(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Append)
}

/// Where the file is. What else is wrong with the command line will be said later.
fn config_path(command: &Command, words: &[OsString]) -> Option<PathBuf> {
    // What is missing may be in the file.
    let matches = command.clone().ignore_errors(true).try_get_matches_from(words).ok()?;
    matches.try_get_one::<PathBuf>(CONFIG).ok().flatten().cloned()
}

/// The command with the file's values as defaults, in all subcommands.
fn with_defaults(command: Command, file: &SettingsFile) -> Command {
    let command = command.mut_args(|arg| {
        let entry = arg.get_long().and_then(|key| file.entries.get(key));
        match entry.map(|entry| entry.values.clone()) {
            // This subcommand takes one where the file has several: it has to be told which.
            Some(values) if values.len() > 1 && !takes_many(&arg) => arg,
            Some(values) => arg.required(false).default_values(values),
            None => arg,
        }
    });
    command.mut_subcommands(|nested| with_defaults(nested, file))
}

/// What each setting is in the end.
fn effective(matches: &ArgMatches, known: &[Known]) -> BTreeMap<String, Vec<OsString>> {
    let mut innermost = matches;
    while let Some((_, nested)) = innermost.subcommand() {
        innermost = nested;
    }
    let values = |known: &Known| {
        let raw = innermost.try_get_raw(known.id.as_str()).ok().flatten()?;
        Some((known.key.clone(), raw.map(OsStr::to_owned).collect()))
    };
    known.iter().filter_map(values).collect()
}

/// The flag that names the file.
const CONFIG: &str = "config";
/// A file cannot name another one, nor ask for help.
const NEVER: [&str; 3] = [CONFIG, "help", "version"];
