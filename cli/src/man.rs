//! Manual pages.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use clap::Command;
use clap_mangen::Man;

/// Write manual pages: one for iotq, one for each command
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:\n  iotq man ~/.local/share/man/man1\n  iotq man | man -l -")]
pub struct ManPages {
    /// The directory for the pages; it is made if need be. Without: iotq's own page, to standard output
    dir: Option<PathBuf>,
}

/// Writes the pages.
pub(crate) fn write(wanted: &ManPages, command: Command, out: &mut impl Write) -> io::Result<()> {
    match &wanted.dir {
        None => {
            out.write_all(&page(command)?)?;
            out.flush()
        }
        Some(dir) => {
            fs::create_dir_all(dir).map_err(|error| named(dir, &error))?;
            pages(command, dir)
        }
    }
}

fn pages(command: Command, dir: &Path) -> io::Result<()> {
    let shown = |it: &&Command| !it.is_hide_set() && it.get_name() != "help";
    for nested in command.get_subcommands().filter(shown).cloned() {
        pages(nested, dir)?;
    }
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    let path = dir.join(format!("{name}.1"));
    fs::write(&path, page(command)?).map_err(|error| named(&path, &error))
}

fn page(command: Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(command).manual("iotq").source(concat!("iotq ", env!("CARGO_PKG_VERSION"))).render(&mut page)?;
    Ok(page)
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page() {
        let dir = std::env::temp_dir().join(format!("iotq-man-{}", std::process::id()));
        write(&ManPages { dir: Some(dir.clone()) }, crate::help::command(), &mut Vec::new()).unwrap();
        let mut names: Vec<_> = fs::read_dir(&dir).unwrap().map(|it| it.unwrap().file_name()).collect();
        names.sort();
        fs::remove_dir_all(&dir).unwrap();
        for name in ["iotq.1", "iotq-unanswered.1", "iotq-devices-import.1", "iotq-device-set.1"] {
            assert!(names.iter().any(|it| it == name), "{names:?}");
        }
        assert!(!names.iter().any(|it| it.to_string_lossy().contains("help")), "{names:?}");
    }

    #[test]
    fn without_a_directory_the_page_goes_to_standard_output() {
        let mut out = Vec::new();
        write(&ManPages { dir: None }, crate::help::command(), &mut out).unwrap();
        let page = String::from_utf8(out).unwrap();
        assert!(page.contains(".TH iotq 1") && page.contains("top\\-talkers"), "{page}");
    }
}
