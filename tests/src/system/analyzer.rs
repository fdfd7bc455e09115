//! An analyzer with its embedded store, and `iotq` to ask it.

use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use super::{
    Finished, Namespace, PATIENCE, Process,
    clickhouse::{PASSWORD, USER},
    engines, eventually, free_port, program, run,
};

/// How an analyzer is to be started.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// The text of its names file.
    pub names: Option<String>,
    /// Where it lives, if not on the host.
    pub namespace: Option<Namespace>,
    /// The URL of a [`super::ClickHouse`] to use instead of the embedded one; of a cluster several.
    pub clickhouse: Option<String>,
    /// Whether it is the cluster of [`super::clickhouse::Cluster`].
    pub is_cluster: bool,
}

/// An analyzer, its data folder and its ports; it keeps both when restarted.
#[derive(Debug)]
pub struct Analyzer {
    // Before the folder: dropped in this order, the process ends first.
    process: Option<Process>,
    setup: Setup,
    port: u16,
    http_port: u16,
    folder: TempDir,
}

impl Analyzer {
    /// Starts one, and waits until it is ready.
    ///
    /// # Panics
    /// If it does not get ready.
    #[must_use]
    pub fn start(setup: Setup) -> Self {
        let mut analyzer = Self::absent(setup);
        analyzer.restart();
        analyzer
    }

    /// One that is not running yet; its address is known.
    ///
    /// # Panics
    /// If its folder cannot be made.
    #[must_use]
    pub fn absent(setup: Setup) -> Self {
        let folder = tempfile::Builder::new().prefix("iotq-").tempdir().expect("a temporary folder can be made");
        if let Some(names) = &setup.names {
            fs::write(folder.path().join("names"), names).expect("a file can be written");
        }
        // The engine, but not the tables of networks: to load a million entries takes a program built for tests
        // five seconds.
        let cache = folder.path().join("cache");
        fs::create_dir(&cache).expect("a folder can be made");
        if let Some(engines) = engines() {
            std::os::unix::fs::symlink(engines, cache.join("engine")).expect("a link can be made");
        }
        let (port, http_port) = (free_port(), free_port());
        Self { process: None, setup, port, http_port, folder }
    }

    /// Its folder stays when it ends.
    ///
    /// ext4 looks at each inode freed in the last minutes before it makes a file: who starts one store after
    /// the other and removes them makes the next ones slower (a third of the whole path's CPU).
    pub fn leave_folder(&mut self) {
        self.folder.disable_cleanup(true);
    }

    /// Starts it (again) on the same folder and ports, and waits until it is ready.
    ///
    /// # Panics
    /// If it does not get ready.
    pub fn restart(&mut self) {
        self.launch();
        eventually("the analyzer is ready", || {
            let process = self.process.as_mut()?;
            assert!(process.is_running(), "the analyzer has ended:\n{}", process.stderr());
            self.is_ready().then_some(())
        });
    }

    /// Starts it (again) and does not wait.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn launch(&mut self) {
        // One at a time on a folder.
        self.process = None;
        self.process = Some(Process::start(&mut self.command()));
    }

    /// The command that starts it.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = self.in_namespace(&program("iotq-analyzer"));
        command.arg("serve").arg("--data-dir").arg(self.data_dir());
        command.args(["--listen", &format!("127.0.0.1:{}", self.port)]);
        command.args(["--http-listen", &format!("127.0.0.1:{}", self.http_port)]);
        command.env("IOTQ_CACHE", self.folder.path().join("cache"));
        if let Some(url) = &self.setup.clickhouse {
            command.args(["--clickhouse-url", url, "--clickhouse-user", USER]);
            command.env("IOTQ_CLICKHOUSE_PASSWORD", PASSWORD);
        }
        if self.setup.is_cluster {
            command.args(["--clickhouse-cluster", "iotq_test"]);
        }
        if self.setup.names.is_some() {
            command.arg("--names").arg(self.folder.path().join("names"));
        }
        command
    }

    /// Replaces its names file and has it read again (SIGHUP).
    ///
    /// # Panics
    /// If it is not running or the file cannot be written.
    pub fn rename(&self, names: &str) {
        fs::write(self.folder.path().join("names"), names).expect("a file can be written");
        let id = nix::unistd::Pid::from_raw(i32::try_from(self.id()).expect("process numbers are small"));
        nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGHUP).expect("it is running");
    }

    /// Kills it with SIGKILL, and it alone.
    ///
    /// # Panics
    /// If it is not running.
    pub fn kill9(&mut self) {
        self.process.as_mut().expect("it is running").kill9();
    }

    /// Stops it with SIGTERM.
    ///
    /// # Panics
    /// If it is not running or does not end.
    pub fn stop(&mut self) -> Finished {
        let mut process = self.process.take().expect("it is running");
        process.terminate();
        process.wait(PATIENCE)
    }

    /// Its process; `None` if it was never started, or stopped.
    pub fn process(&mut self) -> Option<&mut Process> {
        self.process.as_mut()
    }

    /// The number of its process.
    ///
    /// # Panics
    /// If it is not running.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.as_ref().expect("it is running").id()
    }

    /// The number of the process that runs the embedded ClickHouse, if there is one:
    /// another than the analyzer's own that was started with a path in the data folder.
    #[must_use]
    pub fn engine_id(&self) -> Option<u32> {
        let data_dir = self.data_dir();
        let data_dir = data_dir.to_str()?;
        let own = self.process.as_ref().map(Process::id);
        let others = fs::read_dir("/proc").ok()?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        others.filter(|id| Some(*id) != own).find(|id| {
            let arguments = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
            // `ip netns exec` has become the program itself by the time it runs.
            let arguments = String::from_utf8_lossy(&arguments);
            arguments.contains(data_dir) && !arguments.contains("\0serve\0")
        })
    }

    /// What it wrote to its log.
    ///
    /// # Panics
    /// If it is not running.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.as_ref().expect("it is running").stderr()
    }

    /// Where collectors and `iotq` reach it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its port for collectors and `iotq`.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where its store is.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Asks `iotq`, as JSON.
    ///
    /// # Panics
    /// If it does not answer with one JSON object.
    #[track_caller]
    #[must_use]
    pub fn ask<'a>(&self, question: impl IntoIterator<Item = &'a str>) -> Value {
        let finished = self.try_ask(question.into_iter().chain(["--format", "json"]));
        finished.assert_code(0);
        serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {}", finished.stdout))
    }

    /// Asks `iotq` and returns the rows of its answer.
    ///
    /// # Panics
    /// If it does not answer with one JSON object that has rows.
    #[track_caller]
    #[must_use]
    pub fn rows<'a>(&self, question: impl IntoIterator<Item = &'a str>) -> Vec<Value> {
        match self.ask(question)["rows"].take() {
            Value::Array(rows) => rows,
            other => panic!("`rows` is no list but {other}"),
        }
    }

    /// Asks `iotq`, whatever comes of it.
    ///
    /// # Panics
    /// If it does not end.
    #[track_caller]
    #[must_use]
    pub fn try_ask<'a>(&self, question: impl IntoIterator<Item = &'a str>) -> Finished {
        run(&mut self.question(question), PATIENCE)
    }

    /// The command that asks it.
    #[must_use]
    pub fn question<'a>(&self, question: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = self.in_namespace(&program("iotq"));
        command.args(question).args(["--analyzer", &self.url()]);
        command
    }

    /// The one row of `iotq status`.
    ///
    /// # Panics
    /// If there is not just one.
    #[track_caller]
    #[must_use]
    pub fn status(&self) -> Value {
        let [status] = self.rows(["status"]).try_into().expect("`status` has one row");
        status
    }

    /// What `iotq status` says of this collector; `None` if it does not know it.
    ///
    /// # Panics
    /// If it says nothing of collectors.
    #[track_caller]
    #[must_use]
    pub fn status_of(&self, collector: &str) -> Option<Value> {
        let status = self.status();
        let collectors = status["collectors"].as_array().expect("`collectors` is a list");
        collectors.iter().find(|entry| entry["collector"] == collector).cloned()
    }

    /// Whether it says that it can be asked.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let request = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.http_port))?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")?;
            let mut response = String::new();
            stream.read_to_string(&mut response)?;
            Ok(response)
        };
        let response = match &self.setup.namespace {
            Some(namespace) => namespace.inside(request),
            None => request(),
        };
        response.is_ok_and(|response| response.starts_with("HTTP/1.1 200"))
    }

    fn in_namespace(&self, program: &Path) -> Command {
        match &self.setup.namespace {
            Some(namespace) => namespace.command(program),
            None => Command::new(program),
        }
    }
}

impl Drop for Analyzer {
    fn drop(&mut self) {
        // The engine has to end when the analyzer does. Whether it did is for the
        // tests that ask; here nothing may be left behind to load the machine.
        let engine = self.engine_id();
        self.process = None;
        if let Some(engine) = engine.and_then(|id| i32::try_from(id).ok()) {
            std::thread::sleep(Duration::from_millis(500));
            if self.engine_id().is_some() {
                let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(engine), nix::sys::signal::Signal::SIGKILL);
            }
        }
    }
}
