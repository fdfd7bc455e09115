//! `capture`: frames to a pcapng file, for people with Wireshark.

use std::{
    fs::{self, File},
    io::{self, Seek as _, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crate::{
    capture::{
        live::{CaptureError, LiveOptions, OpenError},
        pcapng::{Origin, PcapngWriter, Statistics},
        raw::{Drops, RawCapture},
    },
    config::SaveConfig,
};

/// Why frames were not saved, or not all.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// No capture.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The file is there.
    #[error("{path} is there already, with something in it: -w names another")]
    Exists {
        /// Which.
        path: PathBuf,
    },
    /// The file cannot be made.
    #[error("{path} cannot be written: -w names another file or folder")]
    Create {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No room, most likely. What was written before is a whole file.
    #[error("{path} was not written to its end: it has the first {frames} frames")]
    Write {
        /// Which.
        path: PathBuf,
        /// Frames in it.
        frames: u64,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The interface went away. What was captured is in the file.
    #[error("{path} has {frames} frames")]
    Ended {
        /// Which.
        path: PathBuf,
        /// Frames in it.
        frames: u64,
        /// Why.
        #[source]
        source: CaptureError,
    },
}

/// What was saved.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Saved {
    /// Where. `-` is standard output.
    pub path: PathBuf,
    /// Frames.
    pub frames: u64,
    /// What was lost meanwhile.
    pub drops: Drops,
}

/// Saves frames until there are enough, the time is over, or `stop` says so.
///
/// # Errors
/// If it cannot be done, or not to its end.
pub fn save(config: &SaveConfig, stop: impl Fn() -> bool) -> Result<Saved, SaveError> {
    let options = LiveOptions {
        snaplen: config.snaplen,
        filter: (!config.filter.is_empty()).then(|| config.filter.clone()),
        ..LiveOptions::new(&config.interface)
    };
    // First, so that a name or filter that is wrong leaves no file behind.
    let mut capture = RawCapture::open(&options)?;
    let path = path_of(config);
    let output = Output::create(&path)?;
    let origin = Origin {
        interface: config.interface.clone(),
        link_type: capture.link_type(),
        snaplen: config.snaplen,
        filter: config.filter.clone(),
    };
    let failed = |frames, source| SaveError::Write { path: path.clone(), frames, source };
    let mut writer = PcapngWriter::new(output, &origin).map_err(|source| failed(0, source))?;
    let from_ns = now_ns();
    let began_at = Instant::now();
    let mut frames = 0;
    let mut flushed_at = began_at;
    let ended = loop {
        let left = config.duration.map_or(MAX_WAIT, |duration| duration.saturating_sub(began_at.elapsed()));
        let room = config.count.map_or(MAX_FRAMES as u64, |count| count - frames).min(MAX_FRAMES as u64);
        if stop() || left.is_zero() || room == 0 {
            break Ok(());
        }
        let mut written = Ok(());
        let read = capture.read(usize::try_from(room).unwrap_or(MAX_FRAMES), left.min(MAX_WAIT), |frame| {
            // libpcap may hand over more of a block than was asked for.
            if written.is_ok() && config.count.is_none_or(|count| frames < count) {
                written = writer.frame(frame.captured_at_ns, frame.wire_bytes, frame.octets);
                frames += u64::from(written.is_ok());
            }
        });
        if written.is_ok() && flushed_at.elapsed() >= FLUSH_INTERVAL {
            // Somebody may be looking.
            flushed_at = Instant::now();
            written = writer.get_mut().flush();
        }
        if let Err(error) = written {
            if writer.get_mut().is_stream() && error.kind() == io::ErrorKind::BrokenPipe {
                // The reader has seen enough.
                return Ok(Saved { path, frames, drops: capture.drops() });
            }
            let kept = writer.get_mut().keep_whole_blocks();
            return Err(failed(kept.unwrap_or(frames), error));
        }
        if let Err(error) = read {
            break Err(error);
        }
    };
    let drops = capture.drops();
    let statistics = Statistics {
        from_ns,
        until_ns: now_ns(),
        received: frames + drops.kernel,
        dropped: drops.kernel,
        interface_dropped: drops.interface,
    };
    match writer.finish(&statistics) {
        Ok(_) => {}
        Err(error) if path == Path::new(STDOUT) && error.kind() == io::ErrorKind::BrokenPipe => {}
        Err(error) => return Err(failed(frames, error)),
    }
    match ended {
        Ok(()) => Ok(Saved { path, frames, drops }),
        Err(source) => Err(SaveError::Ended { path, frames, source }),
    }
}

/// A file or standard output, in large pieces.
#[derive(Debug)]
struct Output {
    to: Target,
    /// Whole blocks.
    pending: Vec<u8>,
    /// Frames and other blocks in `pending`, and before it.
    pending_blocks: u64,
    written_blocks: u64,
    written_bytes: u64,
}

#[derive(Debug)]
enum Target {
    File(File),
    Stdout(io::Stdout),
}

impl Output {
    fn create(path: &Path) -> Result<Self, SaveError> {
        let to = if path == Path::new(STDOUT) {
            Target::Stdout(io::stdout())
        } else {
            // An empty file may be one that was made to be written to (mktemp).
            if fs::metadata(path).is_ok_and(|file| file.is_file() && file.len() > 0) {
                return Err(SaveError::Exists { path: path.to_owned() });
            }
            let file = File::create(path).map_err(|source| SaveError::Create { path: path.to_owned(), source })?;
            Target::File(file)
        };
        Ok(Self { to, pending: Vec::new(), pending_blocks: 0, written_blocks: 0, written_bytes: 0 })
    }

    fn is_stream(&self) -> bool {
        matches!(self.to, Target::Stdout(_))
    }

    /// Cuts off what was written in part. How many frames are left, of a file.
    fn keep_whole_blocks(&mut self) -> Option<u64> {
        self.pending.clear();
        let Target::File(file) = &mut self.to else { return None };
        file.set_len(self.written_bytes).and_then(|()| file.seek(io::SeekFrom::End(0))).ok()?;
        // Section and interface are blocks, too.
        Some(self.written_blocks.saturating_sub(2))
    }
}

impl Write for Output {
    /// Takes whole blocks, as [`PcapngWriter`] gives them.
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.pending.extend_from_slice(octets);
        self.pending_blocks += 1;
        if self.pending.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.to {
            Target::File(file) => file.write_all(&self.pending)?,
            Target::Stdout(stdout) => {
                stdout.write_all(&self.pending)?;
                stdout.flush()?;
            }
        }
        self.written_bytes += self.pending.len() as u64;
        self.written_blocks += std::mem::take(&mut self.pending_blocks);
        self.pending.clear();
        Ok(())
    }
}

/// `NAME_YYYYmmddHHMMSS.pcapng` by local time, unless a file was named.
fn path_of(config: &SaveConfig) -> PathBuf {
    let name = || {
        // A network's slash is no folder's.
        let name: String = config
            .name
            .chars()
            .map(|char| if char.is_alphanumeric() || matches!(char, '.' | '_' | '-') { char } else { '-' })
            .collect();
        format!("{}_{}.pcapng", name.trim_start_matches('.'), jiff::Zoned::now().strftime("%Y%m%d%H%M%S"))
    };
    match &config.write {
        None => PathBuf::from(name()),
        Some(path) if path.is_dir() => path.join(name()),
        Some(path) => path.clone(),
    }
}

fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

const STDOUT: &str = "-";
/// How often a request to stop is looked for.
const MAX_WAIT: Duration = Duration::from_millis(100);
/// Frames that are taken between two looks at clock and signals.
const MAX_FRAMES: usize = 4096;
/// At least so often the file has what there is.
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);
/// Fewer calls for the same octets.
const PIECE_BYTES: usize = 256 << 10;
