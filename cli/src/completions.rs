//! Completion scripts for shells.

use std::io::{self, Write};

use clap_complete::Shell;

use crate::help;

/// Print a script that completes commands in your shell
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example:\n  iotq completions bash > ~/.local/share/bash-completion/completions/iotq")]
pub struct Completions {
    /// The shell that will read the script
    #[arg(value_enum)]
    shell: Shell,
}

/// Writes the script.
pub(crate) fn write(wanted: &Completions, out: &mut impl Write) -> io::Result<()> {
    // `generate` panics when it cannot write, for instance into a closed pipe.
    let mut script = Vec::new();
    clap_complete::generate(wanted.shell, &mut help::command(), "iotq", &mut script);
    out.write_all(&script)?;
    out.flush()
}
