//! Collectors: replaying files, and live.

use std::{
    ffi::OsStr,
    path::Path,
    process::{ChildStdin, Command},
};

use serde_json::Value;
use tempfile::TempDir;

use super::{Finished, Namespace, PATIENCE, Process, program, run};

/// A replay that has ended.
#[derive(Clone, Debug)]
pub struct Replay {
    /// How it ended.
    pub finished: Finished,
    /// What it says at its end; `Null` if it says nothing.
    pub summary: Value,
}

impl Replay {
    /// A count of the summary.
    ///
    /// # Panics
    /// If there is no such count.
    #[track_caller]
    #[must_use]
    pub fn count(&self, name: &str) -> u64 {
        sum(&self.summary[name])
    }

    /// Panics unless every frame is accounted for.
    ///
    /// # Panics
    /// If one is not.
    #[track_caller]
    pub fn assert_balanced(&self) {
        let parts: u64 = ["stored_packets", "no_ip", "undecoded", "lost"].iter().map(|name| self.count(name)).sum();
        assert_eq!(self.count("frames"), parts, "{}", self.summary);
    }
}

/// Replays capture files and waits for the end.
///
/// # Panics
/// If it does not end.
#[track_caller]
pub fn replay<P: AsRef<OsStr>>(url: &str, files: &[P], flags: &[&str]) -> Replay {
    done(run(&mut command(url, files, flags), PATIENCE))
}

/// Starts a replay; [`Replay::from`] its [`Process::wait`] tells what came of it.
///
/// # Panics
/// If it cannot be started.
#[track_caller]
#[must_use]
pub fn replay_in_background<P: AsRef<OsStr>>(url: &str, files: &[P], flags: &[&str]) -> Process {
    Process::start(&mut command(url, files, flags))
}

/// Starts a replay of standard input, which the test writes; see [`replay_in_background`].
///
/// # Panics
/// If it cannot be started.
#[track_caller]
#[must_use]
pub fn replay_fed(url: &str, flags: &[&str]) -> (Process, ChildStdin) {
    Process::start_fed(&mut command(url, &["-"], flags))
}

impl From<Finished> for Replay {
    fn from(finished: Finished) -> Self {
        done(finished)
    }
}

/// A collector on live interfaces.
#[derive(Debug)]
pub struct Live {
    process: Process,
    /// Its spool, unless the test has one of its own: what one test leaves must not reach another.
    _spool: TempDir,
}

impl Live {
    /// Starts it in a namespace.
    ///
    /// # Panics
    /// If it cannot be started.
    #[track_caller]
    #[must_use]
    pub fn start(namespace: &Namespace, url: &str, interfaces: &[&str], flags: &[&str]) -> Self {
        let mut command = namespace.command(&program("iotq-collector"));
        command.arg("run");
        for interface in interfaces {
            command.args(["-i", interface]);
        }
        let spool = tempfile::tempdir().expect("a folder for the spool");
        command.env("XDG_STATE_HOME", spool.path()).args(["--analyzer", url]).args(flags);
        Self { process: Process::start(&mut command), _spool: spool }
    }

    /// Its process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Stops it with SIGTERM.
    ///
    /// # Panics
    /// If it does not end.
    #[must_use]
    pub fn stop(mut self) -> Finished {
        self.process.terminate();
        self.process.wait(PATIENCE)
    }
}

fn command<P: AsRef<OsStr>>(url: &str, files: &[P], flags: &[&str]) -> Command {
    let mut command = Command::new(Path::new(&program("iotq-collector")));
    command.args(["replay", "--format", "json", "--analyzer", url]).args(flags).args(files);
    command
}

fn done(finished: Finished) -> Replay {
    let summary = finished.stdout.lines().last().and_then(|line| serde_json::from_str(line).ok());
    Replay { finished, summary: summary.unwrap_or_default() }
}

/// A count, or the sum of counts by kind.
fn sum(value: &Value) -> u64 {
    match value {
        Value::Object(kinds) => kinds.values().map(sum).sum(),
        Value::Number(number) => number.as_u64().unwrap_or_else(|| panic!("{number} is no count")),
        other => panic!("{other} is no count"),
    }
}
