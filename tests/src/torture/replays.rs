//! Replays of capture files, one after the other, some of them killed.

use std::{
    fs::{self, File},
    io::{self, BufWriter},
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    episodes::{Episodes, Ledger},
    sender::now_ns,
};
use crate::{
    pcap_file::{ByteOrder, ETHERNET, PcapWriter, Precision},
    random::Random,
    system::{Finished, Process, program},
};

/// The collector called `replay`, start after start, with one spool.
#[derive(Debug)]
pub(super) struct Replays {
    pub(super) current: Option<Replay>,
    /// Flows of replays that went to their end: all of it has to be stored.
    pub(super) whole: Ledger,
    /// Flows of replays that were killed: what is stored has to be stored once.
    pub(super) parts: Ledger,
    pub(super) started: u64,
    random: Random,
    episodes: Episodes,
    folder: PathBuf,
    spool: PathBuf,
    analyzers: String,
}

/// A replay under way.
#[derive(Debug)]
pub(super) struct Replay {
    pub(super) process: Process,
    pub(super) is_killed: bool,
    ledger: Ledger,
    folder: PathBuf,
}

impl Replays {
    pub(super) const NAME: &str = "replay";

    pub(super) fn new(random: &Random, folder: &Path, spool: PathBuf, analyzers: String) -> Self {
        Self {
            current: None,
            whole: Ledger::new(),
            parts: Ledger::new(),
            started: 0,
            random: random.fork("replays"),
            episodes: Episodes::new(random.fork("files"), FILES_NET),
            folder: folder.to_owned(),
            spool,
            analyzers,
        }
    }

    /// Writes files and begins to replay them.
    pub(super) fn start(&mut self) -> io::Result<()> {
        self.started += 1;
        let folder = self.folder.join(format!("replay-{}", self.started));
        fs::create_dir(&folder)?;
        let mut ledger = Ledger::new();
        let mut files = Vec::new();
        // Each file is a batch; with more than 64 of them some go through the spool.
        for number in 0..20 + self.random.below(80) {
            let path = folder.join(format!("{number}.pcap"));
            self.write(&path, &mut ledger)?;
            files.push(path);
        }
        let process = Process::start(&mut self.command(&files));
        self.current = Some(Replay { process, is_killed: false, ledger, folder });
        Ok(())
    }

    /// Takes note of one that has ended, if it has.
    pub(super) fn reap(&mut self, may_fail: bool) -> Option<Finished> {
        let replay = self.current.as_mut()?;
        if replay.process.is_running() {
            return None;
        }
        let mut replay = self.current.take()?;
        let finished = replay.process.wait(std::time::Duration::ZERO);
        // Nothing depends on the files any more.
        let _ = fs::remove_dir_all(&replay.folder);
        let is_part = replay.is_killed || (may_fail && finished.code() != Some(0));
        if is_part { &mut self.parts } else { &mut self.whole }.append(&mut replay.ledger);
        (!replay.is_killed).then_some(finished)
    }

    /// Replays nothing, so that what waits in the spool is sent.
    pub(super) fn drain(&self) -> io::Result<Process> {
        let path = self.folder.join("nothing.pcap");
        PcapWriter::new(File::create(&path)?, ETHERNET, Precision::Nano, ByteOrder::Little)?.finish()?;
        Ok(Process::start(&mut self.command(&[path])))
    }

    fn command(&self, files: &[PathBuf]) -> Command {
        let mut command = Command::new(program("iotq-collector"));
        command.args(["replay", "--format", "json", "--timeout", "10m", "--name", Self::NAME]);
        command.args(["--analyzer", &self.analyzers]).arg("--spool-dir").arg(&self.spool).args(files);
        command
    }

    fn write(&mut self, path: &Path, ledger: &mut Ledger) -> io::Result<()> {
        let file = BufWriter::new(File::create(path)?);
        let mut writer = PcapWriter::new(file, ETHERNET, Precision::Nano, ByteOrder::Little)?;
        // Yesterday, or so.
        let mut at_ns = now_ns() - 86_400_000_000_000;
        for _ in 0..EPISODES {
            let episode = self.episodes.another();
            let from_ns = at_ns;
            for frame in &episode.frames {
                at_ns += FRAME_GAP_NS;
                writer.write(at_ns, frame)?;
            }
            ledger.insert(episode.flow, episode.sent(from_ns, at_ns));
        }
        writer.finish()?;
        Ok(())
    }
}

const FILES_NET: u8 = 65;
/// In a file.
const EPISODES: usize = 15;
const FRAME_GAP_NS: i64 = 700_000;
