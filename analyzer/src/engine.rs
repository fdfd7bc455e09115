//! The embedded ClickHouse: started, watched, restarted and ended by us.
//!
//! It runs as a child process (this program again, with the hidden command
//! `engine`), answers HTTP on a loopback port, and only to who knows the random
//! password and the random header of this run. What speaks to it is
//! [`crate::store`]; nothing here knows SQL.

pub mod child;
mod files;
pub(crate) mod parts;
mod tokens;

use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::{fs::DirBuilderExt as _, process::ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use iotq_proto::error::Chain;
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};
use rand::{Rng as _, distr::Alphanumeric};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, BufReader},
    process::{Child, ChildStdin, Command},
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, debug, error, info, info_span, warn};

use self::files::EngineFiles;
use crate::metrics::Metrics;

/// How to reach the running engine.
#[derive(Clone, Debug)]
pub struct Access {
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    /// Login.
    pub user: String,
    /// Its password, new for each start of the analyzer.
    pub password: String,
    /// Name of the header without which every request gets 404.
    pub header: String,
    /// What must be in it.
    pub header_value: String,
    /// Where its files are.
    pub data_dir: PathBuf,
    /// To start it anew.
    pub restart: Restart,
}

/// Asks for the engine to be started anew.
#[derive(Clone, Debug)]
pub struct Restart(mpsc::Sender<oneshot::Sender<()>>);

impl Restart {
    /// Ends the engine and starts it again. Whether it listens; if not, the analyzer is stopping.
    pub async fn now(&self) -> bool {
        let (done, listens) = oneshot::channel();
        self.0.send(done).await.is_ok() && listens.await.is_ok()
    }
}

/// A supervised ClickHouse. Ends with [`Engine::stop`], or when dropped.
#[derive(Debug)]
pub struct Engine {
    access: Access,
    stop: CancellationToken,
    supervisor: JoinHandle<()>,
    _lock: Flock<fs::File>,
}

/// Why the engine could not be started.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The folder cannot be made or written.
    #[error("data directory {path} cannot be used: give another with --data-dir")]
    DataDir {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another analyzer has it.
    #[error("data directory {path} is used by another analyzer: stop that one, or give another with --data-dir")]
    Locked {
        /// Which.
        path: PathBuf,
    },
    /// The program cannot be started.
    #[error("ClickHouse engine not started")]
    Spawn(#[source] io::Error),
    /// It ended before it answered.
    #[error("ClickHouse engine {library} ended with {status} while starting: {said}")]
    Ended {
        /// Which.
        library: PathBuf,
        /// How.
        status: ExitStatus,
        /// Its last words.
        said: String,
    },
    /// It does not answer.
    #[error("ClickHouse engine did not answer within {} s: {said}", STARTUP_LIMIT.as_secs())]
    Silent {
        /// Its last words.
        said: String,
    },
}

impl Engine {
    /// Locks the folder, starts the engine and waits until it listens. `program` is
    /// `iotq-analyzer` itself.
    ///
    /// # Errors
    /// If the folder is not usable or the engine does not come up.
    pub async fn start(
        program: &Path,
        library: &Path,
        data_dir: &Path,
        memory_bytes: u64,
        metrics: Arc<Metrics>,
    ) -> Result<Self, EngineError> {
        let unusable = |source| EngineError::DataDir { path: data_dir.to_owned(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(data_dir).map_err(unusable)?;
        let data_dir = &data_dir.canonicalize().map_err(unusable)?;
        let lock = lock(data_dir)?;
        let port = free_port().map_err(EngineError::Spawn)?;
        let (restart, restarts) = mpsc::channel(1);
        let access = Access {
            restart: Restart(restart),
            url: format!("http://127.0.0.1:{port}"),
            user: "iotq".to_owned(),
            password: random_word(),
            header: "X-Iotq-Key".to_owned(),
            header_value: random_word(),
            data_dir: data_dir.to_path_buf(),
        };
        let files = EngineFiles::write(data_dir, port, &access, memory_bytes).map_err(unusable)?;
        let launch = Launch {
            program: program.to_owned(),
            library: library.to_owned(),
            files,
            store_dir: files::store_dir(data_dir),
            said: Arc::default(),
        };

        let began = Instant::now();
        let running = launch.start(port).await?;
        info!(
            port,
            pid = running.child.id(),
            took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            "ClickHouse engine started"
        );
        let stop = CancellationToken::new();
        let supervisor = supervise(launch, running, port, restarts, stop.clone(), metrics);
        let supervisor = tokio::spawn(supervisor.instrument(info_span!("engine")));
        Ok(Self { access, stop, supervisor, _lock: lock })
    }

    /// How to reach it.
    #[must_use]
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// Ends the engine. All that it acknowledged is in its files.
    pub async fn stop(self) {
        self.stop.cancel();
        if let Err(error) = self.supervisor.await {
            warn!(error = %Chain(&error), "engine's supervisor failed");
        }
    }
}

/// What is needed to start the engine once more.
struct Launch {
    program: PathBuf,
    library: PathBuf,
    files: EngineFiles,
    store_dir: PathBuf,
    said: Arc<Mutex<LastWords>>,
}

impl Launch {
    fn spawn(&self) -> io::Result<Running> {
        let mut child = Command::new(&self.program)
            .arg("engine")
            .arg("--library")
            .arg(&self.library)
            .arg("--config")
            .arg(self.files.config())
            .arg("--path")
            .arg(&self.store_dir)
            .current_dir(self.files.dir())
            // The child ends itself when this pipe closes: however we end, it does not stay behind.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C in a terminal is for us: we need the engine to finish.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let lifeline = child.stdin.take();
        if let Some(stdout) = child.stdout.take() {
            tokio::spawn(listen(stdout, Arc::clone(&self.said)));
        }
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(listen(stderr, Arc::clone(&self.said)));
        }
        Ok(Running { child, _lifeline: lifeline })
    }

    /// Until it listens. Somebody may kill it while it starts, as at any other time; what ends
    /// by itself would do so again.
    async fn start(&self, port: u16) -> Result<Running, EngineError> {
        let mut attempts = 1;
        loop {
            let mut running = self.spawn().map_err(EngineError::Spawn)?;
            match running.wait_until_listening(port, self).await {
                Ok(()) => return Ok(running),
                Err(error @ EngineError::Ended { status, .. })
                    if status.signal().is_some() && attempts < START_ATTEMPTS =>
                {
                    attempts += 1;
                    warn!(error = %Chain(&error), "ClickHouse engine killed while starting, starting it again");
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn said(&self) -> String {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).text()
    }
}

struct Running {
    child: Child,
    _lifeline: Option<ChildStdin>,
}

impl Running {
    async fn wait_until_listening(&mut self, port: u16, launch: &Launch) -> Result<(), EngineError> {
        let deadline = Instant::now() + STARTUP_LIMIT;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        loop {
            if tokio::net::TcpStream::connect(address).await.is_ok() {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait().map_err(EngineError::Spawn)? {
                // Its last words may still be in the pipe.
                sleep(Duration::from_millis(100)).await;
                return Err(EngineError::Ended { library: launch.library.clone(), status, said: launch.said() });
            }
            if Instant::now() > deadline {
                return Err(EngineError::Silent { said: launch.said() });
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Restarts the engine whenever it ends or somebody asks for it, until told to stop.
async fn supervise(
    launch: Launch,
    mut running: Running,
    port: u16,
    mut restarts: mpsc::Receiver<oneshot::Sender<()>>,
    stop: CancellationToken,
    metrics: Arc<Metrics>,
) {
    let mut pause = FIRST_PAUSE;
    loop {
        let began = Instant::now();
        let asked = tokio::select! {
            () = stop.cancelled() => break,
            status = running.child.wait() => {
                let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
                error!(status, said = launch.said(), "ClickHouse engine ended, restarting");
                None
            }
            Some(asked) = restarts.recv() => {
                info!("ClickHouse engine is started anew");
                let _ = running.child.kill().await;
                Some(asked)
            }
        };
        metrics.engine_restarts.inc();
        if began.elapsed() > LONG_LIFE {
            pause = FIRST_PAUSE;
        }
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(pause) => {}
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
            match launch.spawn() {
                Ok(again) => running = again,
                Err(error) => {
                    error!(error = %Chain(&error), "ClickHouse engine not started");
                    continue;
                }
            }
            match running.wait_until_listening(port, &launch).await {
                Ok(()) => {
                    info!(pid = running.child.id(), "ClickHouse engine restarted");
                    break;
                }
                Err(error) => error!(error = %Chain(&error), "ClickHouse engine not restarted"),
            }
        }
        if let Some(asked) = asked {
            // Whoever asked may have gone.
            let _ = asked.send(());
        }
    }
    // Everything acknowledged is on disk; the engine has no state of its own to save.
    if let Err(error) = running.child.kill().await {
        warn!(error = %Chain(&error), "ClickHouse engine not ended");
    }
    debug!("ClickHouse engine stopped");
}

/// Keeps the engine's last lines, for when it dies.
async fn listen(stream: impl AsyncRead + Unpin, said: Arc<Mutex<LastWords>>) {
    let mut lines = BufReader::new(stream).split(b'\n');
    while let Ok(Some(line)) = lines.next_segment().await {
        let line = String::from_utf8_lossy(&line).trim().to_owned();
        debug!(line, "engine says");
        said.lock().unwrap_or_else(PoisonError::into_inner).push(&line);
    }
}

/// The last lines that tell something.
#[derive(Debug, Default)]
struct LastWords(Vec<String>);

impl LastWords {
    fn push(&mut self, line: &str) {
        const KEPT: usize = 3;
        // Stack frames and debug lines say nothing to a user.
        let noise = line.is_empty()
            || line.contains("<Debug>")
            || line.contains("<Trace>")
            || line.starts_with(|c: char| c.is_ascii_digit() && line.contains(". DB::"));
        if noise {
            return;
        }
        if self.0.len() == KEPT {
            self.0.remove(0);
        }
        self.0.push(line.chars().take(300).collect());
    }

    fn text(&self) -> String {
        if self.0.is_empty() { "it said nothing".to_owned() } else { self.0.join(" | ") }
    }
}

fn lock(data_dir: &Path) -> Result<Flock<fs::File>, EngineError> {
    let unusable = |source| EngineError::DataDir { path: data_dir.to_owned(), source };
    let path = data_dir.join("analyzer.lock");
    let file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(path).map_err(unusable)?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
        Errno::EWOULDBLOCK => EngineError::Locked { path: data_dir.to_owned() },
        errno => unusable(errno.into()),
    })
}

/// A port that nobody listens on just now.
fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// 190 bits of chance.
fn random_word() -> String {
    rand::rng().sample_iter(Alphanumeric).take(32).map(char::from).collect()
}

/// An engine that crashes at each start does so before anybody has waited long.
const START_ATTEMPTS: u32 = 3;
/// An engine with much data to load may take its time; a minute is more than was ever seen.
const STARTUP_LIMIT: Duration = Duration::from_secs(60);
/// Pauses between restarts double from the first to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// After this long a life the next pause is short again.
const LONG_LIFE: Duration = Duration::from_secs(60);
