use std::{ffi::OsString, fs, net::SocketAddr, path::PathBuf};

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};

use super::*;
use crate::error::Chain;

#[derive(Debug, Parser)]
#[command(name = "program")]
struct Cli {
    #[command(subcommand)]
    command: Commands,
    #[arg(long, global = true)]
    config: Option<PathBuf>,
    #[arg(long, global = true, value_enum, default_value_t)]
    log_format: Format,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
enum Format {
    #[default]
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
enum Commands {
    Run(Run),
    Save(Save),
}

#[derive(Args, Debug)]
struct Run {
    #[arg(short, long, required = true, value_delimiter = ',', num_args = 1..)]
    interface: Vec<String>,
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u16).range(1..=100))]
    days: u16,
    // Cargo sets it for every test: an environment without changing it.
    #[arg(long, env = "CARGO_PKG_NAME", default_value = "nobody")]
    name: String,
    #[arg(long)]
    no_names: bool,
    #[arg(long)]
    listen: Option<SocketAddr>,
    #[arg(long)]
    analyzer: Vec<String>,
}

#[derive(Args, Debug)]
struct Save {
    #[arg(short, long)]
    interface: String,
    #[arg(long)]
    count: Option<u64>,
}

const KEYS: Keys = Keys { commands: &["run"], is_key: |_| true };

struct Folder(PathBuf, #[expect(dead_code, reason = "removed with it")] tempfile::TempDir);

fn file(text: &str) -> Folder {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("some.toml");
    fs::write(&path, text).unwrap();
    Folder(path, folder)
}

fn typed(file: &Folder, line: &str) -> Result<Typed, TypedError> {
    let words = line.replace("FILE", file.0.to_str().unwrap());
    Typed::read(Cli::command(), KEYS, words.split(' ').map(OsString::from))
}

fn run(text: &str, line: &str) -> (Run, Format) {
    let mut typed = typed(&file(text), line).unwrap_or_else(|error| panic!("{error}"));
    let cli: Cli = typed.args().unwrap();
    match cli.command {
        Commands::Run(run) => (run, cli.log_format),
        other => panic!("{other:?}"),
    }
}

fn refusal(text: &str) -> String {
    match typed(&file(text), "program run --config FILE").unwrap_err() {
        TypedError::File(error) => {
            let text = Chain(&error).to_string();
            text.split_once("some.toml").map_or(text.clone(), |(_, rest)| rest.to_owned())
        }
        TypedError::Usage(error) => panic!("{error}"),
    }
}

#[test]
fn what_the_file_says_is_beneath_environment_and_flags() {
    let text = "interface = ['a', 'b']\ndays = 3\nname = 'file'\nno-names = true\nlog-format = \"json\"\n";
    let (args, format) = run(text, "program run --config FILE");
    assert_eq!(
        (args.interface, args.days, args.no_names, format),
        (vec!["a".into(), "b".into()], 3, true, Format::Json)
    );
    assert_eq!(args.name, "iotq-proto", "the environment is above the file");
    let (args, format) = run(text, "program --config FILE run --interface c --days 4 --name flag --log-format text");
    assert_eq!((args.interface, args.days, args.name, format), (vec!["c".into()], 4, "flag".into(), Format::Text));
    let (args, _) = run("interface = 'a,b'", "program run --config FILE");
    assert_eq!((args.interface, args.days, args.no_names), (vec!["a".into(), "b".into()], 9, false));
}

#[test]
fn other_commands_take_what_they_have_too() {
    let mut some = typed(&file("interface = 'a'\ndays = 3"), "program save --config FILE").unwrap();
    let Commands::Save(save) = some.args::<Cli>().unwrap().command else { panic!("another") };
    assert_eq!((save.interface.as_str(), save.count), ("a", None));
    // One of two: that has to be said.
    let refused = typed(&file("interface = ['a', 'b']"), "program save --config FILE").unwrap_err();
    assert!(refused.to_string().contains("--interface"), "{refused}");
    // What only they have is no key.
    assert!(refusal("count = 3").contains("unknown key `count`"));
}

#[test]
fn what_nobody_knows_is_refused_with_line_key_and_the_nearest_one() {
    assert_eq!(
        refusal("\n# note\ninterfaces = 'a'"),
        ", line 3: unknown key `interfaces`; the nearest one is `interface`"
    );
    assert_eq!(refusal("no_names = true"), ", line 1: unknown key `no_names`; the nearest one is `no-names`");
    assert!(refusal("[run]\ninterface = 'a'").starts_with(", line 1: unknown key `run`"));
    for never in ["config", "help"] {
        assert!(refusal(&format!("{never} = 'x'")).contains("unknown key"), "{never}");
    }
}

#[test]
fn wrong_types_and_values_are_refused_with_line_and_key() {
    for (text, expected) in [
        ("days = '3'", "line 1: `days` has to be a whole number, not a text"),
        ("days = 3.5", "line 1: `days` has to be a whole number, not a number with a fraction"),
        ("days = 0x10", "line 1: `days` has to be a whole number, not a number that is not decimal"),
        ("\ndays = 101", "line 2: `days` cannot be `101`: 101 is not in 1..=100"),
        ("days = -1", "line 1: `days` cannot be `-1`: -1 is not in 1..=100"),
        ("no-names = 'yes'", "line 1: `no-names` has to be true or false, not a text"),
        ("no-names = 1", "line 1: `no-names` has to be true or false, not a whole number"),
        ("name = ['a']", "line 1: `name` has to be a text in quotes, not a list"),
        ("name.first = 'a'", "line 1: `name` has to be a text in quotes, not a table"),
        (
            "interface = [1]",
            "line 1: `interface` has to be a text in quotes, or several in brackets, not a whole number",
        ),
        ("log-format = 'xml'", "line 1: `log-format` cannot be `xml`: one of text, json"),
        ("listen = 'here'", "line 1: `listen` cannot be `here`: invalid socket address syntax"),
        ("analyzer = 'http://me:secret@127.0.0.1'", "line 1: `analyzer` holds a password"),
    ] {
        let refusal = refusal(text);
        assert!(refusal.contains(expected), "{text}: {refusal}");
        assert!(!refusal.contains("secret"), "{refusal}");
    }
}

#[test]
fn what_is_no_file_of_settings_is_refused() {
    assert!(refusal("interface = 'a'\ndays = ").starts_with(", line 2: "));
    assert!(refusal("days = 1\ndays = 2").starts_with(", line 2: duplicate key"));
    assert!(refusal(&"# some\n".repeat(100_000)).contains("more than 262144 octets"));
    assert!(refusal(&format!("interface = {}", "[".repeat(10_000))).contains("line 1"));
    let missing = Folder("/nonexistent/some.toml".into(), tempfile::tempdir().unwrap());
    let error = typed(&missing, "program run -i a --config FILE").unwrap_err();
    assert!(error.to_string().contains("/nonexistent/some.toml"), "{error}");
}

#[test]
fn a_wrong_flag_is_told_before_anything_else() {
    for line in ["program run --nonsense --config FILE", "program run --config FILE --days x", "program"] {
        assert!(matches!(typed(&file("days = 3"), line), Err(TypedError::Usage(_))), "{line}");
    }
    let Err(TypedError::Usage(help)) = typed(&file("days = 3"), "program run --help") else { panic!("no help") };
    assert!(!help.use_stderr());
}

#[test]
fn changes_are_named() {
    let line = "program run --config FILE -i a";
    let before = typed(&file("days = 3\nno-names = true\ninterface = 'b'"), line).unwrap();
    let after = typed(&file("days = 4\ninterface = 'c'\nlisten = '127.0.0.1:1'"), line).unwrap();
    // The flag is above both: the interface is still that one.
    assert_eq!(after.changed_since(&before), ["days", "listen", "no-names"]);
    assert!(after.changed_since(&after).is_empty());
}

#[test]
fn an_error_about_a_flag_says_where_it_was_set() {
    let some = typed(&file("\ndays = 3\ninterface = 'x'"), "program run --config FILE").unwrap();
    assert!(some.place("--days 3 is too few").ends_with("some.toml: `days` in line 2)"));
    assert_eq!(some.place("--day 3 is too few"), "");
    let flag = typed(&file("days = 3\ninterface = 'x'"), "program run --config FILE --days 4").unwrap();
    assert_eq!(flag.place("--days 4 is too few"), "");
}

#[test]
fn texts_can_be_checked_without_a_file() {
    assert_eq!(check(&Cli::command(), KEYS, "days = 3").unwrap(), ["days"]);
    assert!(check(&Cli::command(), KEYS, "day = 3").is_err());
    assert_eq!(
        key_names(&Cli::command(), KEYS),
        ["analyzer", "days", "interface", "listen", "log-format", "name", "no-names"]
    );
}
