//! What `iotq --help` says: the questions in groups, in the words of whoever
//! has one.

use clap::{Arg, ArgAction, Args as _, Command, CommandFactory as _, Subcommand as _};

use crate::args::{Args, CONNECTION, CommonArgs, OUTPUT, SELECTION};

/// The whole command line, as it is parsed and as help, completions and manual
/// pages show it.
#[must_use]
pub fn command() -> Command {
    let mut command = Args::command().help_template(template());
    // Options of all questions reach the subcommands here.
    command.build();
    command.mut_subcommands(used_options_only)
}

/// Commands that do not use all common options show those that they do.
fn used_options_only(command: Command) -> Command {
    let name = command.get_name().to_owned();
    let hidden: &[&str] = match name.as_str() {
        "device" | "status" => &[SELECTION],
        "completions" | "man" => &[SELECTION, OUTPUT, CONNECTION],
        _ => &[],
    };
    let is_hidden = |arg: &Arg| arg.get_help_heading().is_some_and(|heading| hidden.contains(&heading));
    let command = command.mut_args(|arg| match (name.as_str(), arg.get_id().as_str()) {
        ("report", "since") => arg.help("The packets from here on; as for all questions [default: 7d]"),
        ("report", "limit") => arg.help("The most rows of each table; 0: all [default: 25]"),
        ("report", "format" | "no_color") => arg.hide(true),
        ("device" | "export" | "forget" | "report", "explain") => arg.hide(true),
        _ if is_hidden(&arg) => arg.hide(true),
        _ => arg,
    });
    // `device NAME set` and `devices import` select nothing either.
    command.mut_subcommands(|nested| {
        nested.mut_args(|arg| {
            let is_used = arg.get_help_heading() != Some(SELECTION) && arg.get_id() != "explain";
            if is_used { arg } else { arg.hide(true) }
        })
    })
}

/// Help for the whole: clap lists commands, but does not group them.
fn template() -> String {
    let listed = crate::args::Command::augment_subcommands(Command::new("iotq"));
    let about = |name: &str| {
        if name == "help" {
            return "Say more of a command, as its --help does".to_owned();
        }
        let command = listed.find_subcommand(name);
        command.and_then(Command::get_about).map(ToString::to_string).unwrap_or_default()
    };
    let width = GROUPS.iter().flat_map(|(_, names)| *names).map(|name| name.len()).max().unwrap_or(0);
    let mut text = "{about-with-newline}\n{usage-heading} {usage}\n\n".to_owned();
    for (heading, names) in GROUPS {
        text.push_str(&format!("{HEADING}{heading}:{PLAIN}\n"));
        for name in names {
            text.push_str(&format!("  {LITERAL}{name:<width$}{PLAIN}  {}\n", about(name)));
        }
        text.push('\n');
    }
    // Short in both forms of help: what a newcomer looks for comes before it.
    let help = Arg::new("help").short('h').long("help").action(ArgAction::HelpShort).help("Print help");
    let options = Command::new("iotq").version("0").disable_help_flag(true).arg(help);
    let options = CommonArgs::augment_args(options).help_template("{all-args}");
    let options = options.term_width(HELP_WIDTH).render_help();
    format!("{text}{}{{after-help}}", options.ansi().to_string().trim_end())
}

/// The commands by what somebody wants to know; each once.
const GROUPS: [(&str, &[&str]); 6] = [
    ("Who talks, and to whom", &["top-talkers", "destinations", "conversations", "timeline"]),
    ("What gets no answer, what stays open", &["unanswered", "keepalives", "connections"]),
    ("What they ask and show", &["dns", "tls", "time-servers", "packets"]),
    ("What is new", &["first-seen", "diff"]),
    ("What is in the house", &["devices", "groups", "device", "forget"]),
    ("All of it, and iotq itself", &["report", "export", "status", "completions", "man", "help"]),
];

/// Readable lines, as `max_term_width` in `args` has it.
const HELP_WIDTH: usize = 80;

/// As clap paints its own headings and commands; it strips them where colours
/// are not wanted.
const HEADING: &str = "\x1b[1m\x1b[4m";
const LITERAL: &str = "\x1b[1m";
const PLAIN: &str = "\x1b[0m";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_in_one_group_with_a_line_of_its_own() {
        let grouped: Vec<_> = GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        let command = command();
        for name in &grouped {
            assert_eq!(grouped.iter().filter(|other| *other == name).count(), 1, "{name}");
            assert!(command.find_subcommand(name).is_some(), "{name}");
        }
        for subcommand in command.get_subcommands().filter(|it| !it.is_hide_set()) {
            assert!(grouped.contains(&subcommand.get_name()), "{}", subcommand.get_name());
            let about = subcommand.get_about().map(ToString::to_string).unwrap_or_default();
            assert!((10..=63).contains(&about.len()) || subcommand.get_name() == "help", "{about}: {}", about.len());
        }
    }

    #[test]
    fn it_holds_together_and_parses() {
        command().debug_assert();
        for line in ["iotq device Kindle set --group iot", "iotq --since 1h devices import x", "iotq status"] {
            assert!(command().try_get_matches_from(line.split(' ')).is_ok(), "{line}");
        }
    }
}
