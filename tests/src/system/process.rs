//! A child process whose output goes to files, and which does not outlive the test.

use std::{
    fs::{self, File},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    time::Duration,
};

use nix::{sys::signal::Signal, unistd::Pid};
use tempfile::TempDir;

use super::within;

/// A running program. Dropped, it is killed. It stays in the process group of the
/// test, so that what ends the test from outside (Ctrl-C, a time-out of the runner)
/// ends it too.
#[derive(Debug)]
pub struct Process {
    name: String,
    command: String,
    child: Child,
    output: TempDir,
}

/// A program that has ended.
#[derive(Clone, Debug)]
pub struct Finished {
    /// What was run, as one would type it.
    pub command: String,
    /// How.
    pub status: ExitStatus,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl Finished {
    /// The exit code; `None` if a signal ended it.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Panics unless it ended with this code, without a panic in its log.
    ///
    /// # Panics
    /// If it did not.
    #[track_caller]
    pub fn assert_code(&self, code: i32) -> &Self {
        assert_eq!(
            (self.status.code(), self.status.signal()),
            (Some(code), None),
            "{}\nstdout:\n{}\nstderr:\n{}",
            self.command,
            shortened(&self.stdout),
            shortened(&self.stderr)
        );
        self.assert_calm()
    }

    /// Panics if the program did.
    ///
    /// # Panics
    /// If the program did.
    #[track_caller]
    pub fn assert_calm(&self) -> &Self {
        assert!(!self.stderr.contains("panicked at"), "{}\n{}", self.command, shortened(&self.stderr));
        self
    }
}

/// Runs a command to its end.
///
/// # Panics
/// If it cannot be started or does not end in time; then it is killed first.
#[track_caller]
pub fn run(command: &mut Command, limit: Duration) -> Finished {
    let mut process = Process::start(command);
    process.wait(limit)
}

impl Process {
    /// Starts it with no input.
    ///
    /// # Panics
    /// If it cannot be started.
    #[track_caller]
    pub fn start(command: &mut Command) -> Self {
        Self::start_with(command, Stdio::null())
    }

    /// Starts it with an input that the test writes.
    ///
    /// # Panics
    /// If it cannot be started.
    #[track_caller]
    pub fn start_fed(command: &mut Command) -> (Self, ChildStdin) {
        let mut process = Self::start_with(command, Stdio::piped());
        let input = process.child.stdin.take().expect("it was asked for");
        (process, input)
    }

    #[track_caller]
    fn start_with(command: &mut Command, stdin: Stdio) -> Self {
        let output = tempfile::tempdir().expect("a temporary folder can be made");
        let create = |name: &str| File::create(output.path().join(name)).expect("a file can be made");
        let name = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
        let words = [command.get_program()].into_iter().chain(command.get_args());
        let words: Vec<_> = words.map(|word| word.to_string_lossy().chars().take(200).collect::<String>()).collect();
        let child = command
            .stdin(stdin)
            .stdout(create("stdout"))
            .stderr(create("stderr"))
            .spawn()
            .unwrap_or_else(|error| panic!("{name} cannot be started: {error}"));
        Self { name, command: words.join(" "), child, output }
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote to standard output until now.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.read("stdout")
    }

    /// What it wrote to standard error until now.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.read("stderr")
    }

    /// The file its standard output goes to.
    #[must_use]
    pub fn stdout_path(&self) -> PathBuf {
        self.output.path().join("stdout")
    }

    /// Whether it has not ended.
    ///
    /// # Panics
    /// If that cannot be told.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child can be waited for").is_none()
    }

    /// Asks it to read its settings again.
    ///
    /// # Panics
    /// If it cannot be asked.
    pub fn hang_up(&self) {
        self.signal(Signal::SIGHUP);
    }

    /// Asks it to end.
    ///
    /// # Panics
    /// If it cannot be asked.
    pub fn terminate(&self) {
        self.signal(Signal::SIGTERM);
    }

    /// Kills it alone, leaving to the system what becomes of its children.
    ///
    /// # Panics
    /// If it cannot be waited for.
    pub fn kill9(&mut self) {
        self.signal(Signal::SIGKILL);
        self.child.wait().expect("a child can be waited for");
    }

    /// The most memory it has had until now; `None` if it has ended.
    #[must_use]
    pub fn peak_bytes(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If it does not end in time.
    #[track_caller]
    pub fn wait(&mut self, limit: Duration) -> Finished {
        let name = self.name.clone();
        let status = within(limit, &format!("{name} ends"), || self.child.try_wait().ok().flatten());
        Finished { command: self.command.clone(), status, stdout: self.stdout(), stderr: self.stderr() }
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// If it has ended and was waited for.
    pub fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).expect("process numbers are small");
        nix::sys::signal::kill(Pid::from_raw(id), signal).unwrap_or_else(|error| panic!("{}: {error}", self.name));
    }

    fn read(&self, name: &str) -> String {
        fs::read(self.output.path().join(name))
            .map_or_else(|_| String::new(), |text| String::from_utf8_lossy(&text).into_owned())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended; then neither does anything.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            for name in ["stdout", "stderr"] {
                eprintln!("--- {name} of {} ({}):\n{}", self.name, self.child.id(), shortened(&self.read(name)));
            }
        }
    }
}

/// The end of a long text, where the reason for a failure mostly is.
fn shortened(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    let from = lines.len().saturating_sub(40);
    let mut shown: Vec<_> = lines[from..].iter().map(|line| line.chars().take(400).collect::<String>()).collect();
    if from > 0 {
        shown.insert(0, format!("… {from} lines before"));
    }
    shown.join("\n")
}
