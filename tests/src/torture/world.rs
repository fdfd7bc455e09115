//! All that can be hurt: programs, network and disks, in namespaces of our own.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::{journal::Journal, replays::Replays};
use crate::{
    random::Random,
    system::{Analyzer, Namespace, Process, Proxy, Setup, SmallDisk, program},
};

/// The parts of an installation.
#[derive(Debug)]
pub(super) struct World {
    // Dropped in this order: programs before what they use.
    pub(super) live: [Live; 2],
    pub(super) replays: Replays,
    pub(super) proxies: [Proxy; 2],
    pub(super) store_disk: SmallDisk,
    pub(super) spool_disk: SmallDisk,
    pub(super) analyzer: Analyzer,
    /// When the store's disk, and the spools', was last full.
    pub(super) full_at: [Option<Instant>; 2],
    /// Whether the analyzer is to run now.
    pub(super) is_wanted: bool,
    /// The most memory a program had, by its name.
    pub(super) peak_bytes: BTreeMap<&'static str, u64>,
    pub(super) journal: Journal,
    launched_at: Instant,
    _folder: TempDir,
}

/// A collector on the wire.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) name: &'static str,
    pub(super) process: Option<Process>,
    pub(super) is_wanted: bool,
    spool: PathBuf,
    analyzers: String,
}

impl Live {
    fn start(&mut self) {
        let mut command = Command::new(program("iotq-collector"));
        command.args(["run", "-i", Namespace::MIRROR, "--name", self.name, "--analyzer", &self.analyzers]);
        self.process = Some(Process::start(command.arg("--spool-dir").arg(&self.spool)));
        self.is_wanted = true;
    }

    /// Batches that wait in its spool.
    pub(super) fn waiting(&self) -> usize {
        waiting_in(&self.spool)
    }
}

impl World {
    /// Two paths lead to the one analyzer: collectors take them for two analyzers.
    pub(super) fn new(random: &Random) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("iotq-torture-").tempdir()?;
        let analyzer = Analyzer::absent(Setup::default());
        let store_disk = SmallDisk::mount(analyzer.data_dir(), STORE_SIZE);
        let spool_disk = SmallDisk::mount(folder.path().join("spools"), SPOOL_SIZE);
        let proxies = [Proxy::start(analyzer.port()), Proxy::start(analyzer.port())];
        let analyzers = format!("{},{}", proxies[0].url(), proxies[1].url());
        let spool = |name: &str| spool_disk.path().join(name);
        let live = [STEADY, MORTAL].map(|name| Live {
            name,
            process: None,
            is_wanted: false,
            spool: spool(name),
            analyzers: analyzers.clone(),
        });
        let replays = Replays::new(random, folder.path(), spool(Replays::NAME), analyzers);
        Ok(Self {
            live,
            replays,
            proxies,
            store_disk,
            spool_disk,
            analyzer,
            full_at: [None; 2],
            is_wanted: false,
            peak_bytes: BTreeMap::new(),
            journal: Journal::new(),
            launched_at: Instant::now(),
            _folder: folder,
        })
    }

    pub(super) fn launch_analyzer(&mut self) {
        self.analyzer.launch();
        self.is_wanted = true;
        self.launched_at = Instant::now();
    }

    pub(super) fn start_live(&mut self, which: usize) {
        self.live[which].start();
    }

    /// Starts again what should run and does not, notes what ended without being
    /// told to, and goes on replaying.
    pub(super) fn tend(&mut self, replay_on: bool) -> io::Result<()> {
        self.measure();
        let [is_store_full, are_spools_full] = self.full_at.map(|at| at.is_some_and(|at| at.elapsed() < LONG_FULL));
        let is_down = self.analyzer.process().is_none_or(|process| !process.is_running());
        if self.is_wanted && is_down && self.launched_at.elapsed() > RESTART_PAUSE {
            let log = self.analyzer.log();
            // One that runs has to bear it; one that starts cannot.
            let is_excused = is_store_full && self.launched_at.elapsed() < LONG_FULL;
            self.journal.ended("the analyzer", &log, is_excused);
            self.launch_analyzer();
        }
        for live in &mut self.live {
            let Some(process) = live.process.as_mut().filter(|_| live.is_wanted) else { continue };
            if !process.is_running() {
                self.journal.ended(live.name, &process.stderr(), are_spools_full);
                live.start();
            }
        }
        if let Some(finished) = self.replays.reap(are_spools_full) {
            self.journal.check_log("a replay", &finished.stderr);
            if finished.code() == Some(0) {
                self.journal.note("a replay is done");
            } else {
                let said = format!("{} {}", finished.stdout, finished.stderr);
                self.journal.ended("a replay", &said, are_spools_full);
            }
        }
        if replay_on && self.replays.current.is_none() {
            self.replays.start()?;
        }
        Ok(())
    }

    /// Sends a signal to the engine, if it is there. Its number.
    pub(super) fn signal_engine(&self, signal: Signal) -> Option<u32> {
        let id = self.analyzer.engine_id()?;
        let number = nix::unistd::Pid::from_raw(i32::try_from(id).ok()?);
        nix::sys::signal::kill(number, signal).ok().map(|()| id)
    }

    /// Batches that wait in any spool.
    pub(super) fn waiting(&self) -> usize {
        let replays = waiting_in(&self.spool_disk.path().join(Replays::NAME));
        self.live.iter().map(Live::waiting).sum::<usize>() + replays
    }

    fn measure(&mut self) {
        let [steady, mortal] = &self.live;
        let replay = self.replays.current.as_ref().map(|replay| &replay.process);
        let analyzer = self.analyzer.process().map(|process| &*process);
        let all = [
            ("analyzer", analyzer),
            (STEADY, steady.process.as_ref()),
            (MORTAL, mortal.process.as_ref()),
            (Replays::NAME, replay),
        ];
        for (name, process) in all {
            if let Some(bytes) = process.and_then(Process::peak_bytes) {
                let peak = self.peak_bytes.entry(name).or_default();
                *peak = bytes.max(*peak);
            }
        }
    }
}

fn waiting_in(spool: &Path) -> usize {
    let is_batch = |entry: &fs::DirEntry| entry.path().extension().is_some_and(|extension| extension == "batch");
    fs::read_dir(spool).map_or(0, |entries| entries.flatten().filter(is_batch).count())
}

/// Never killed: what it saw is stored, or counted as lost.
pub(super) const STEADY: &str = "steady";
/// Killed now and then: what it had not put into its spool lies in a gap.
pub(super) const MORTAL: &str = "mortal";

/// Old parts stay for eight minutes after they were merged.
const STORE_SIZE: &str = "1g";
/// Three spools.
const SPOOL_SIZE: &str = "32m";
/// A program that did not start because of a full disk is excused for so long.
const LONG_FULL: Duration = Duration::from_secs(5);
const RESTART_PAUSE: Duration = Duration::from_millis(500);
