//! Opens what is to be read, and unpacks it: gzip and zstd, of several members,
//! and one in the other.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Cursor, ErrorKind, Read},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use flate2::bufread::GzDecoder;
use sha2::{Digest, Sha256};

use super::FileInput;

/// An input that was opened, but of which nothing was read.
pub(super) struct Opened {
    reader: Box<dyn Read + Send>,
    size: Option<u64>,
}

impl Opened {
    pub(super) fn unsized_input(reader: Box<dyn Read + Send>) -> Self {
        Self { reader, size: None }
    }
}

/// The capture inside.
pub(super) struct Unpacked {
    /// Its first octets.
    pub(super) head: Vec<u8>,
    /// What comes after them.
    pub(super) reader: Box<dyn Read + Send>,
    pub(super) is_compressed: bool,
    /// Of the input as it is, before unpacking.
    pub(super) fingerprint: [u8; 16],
    pub(super) progress: Progress,
}

/// How much of the input was read.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    position: Arc<AtomicU64>,
    size: Option<u64>,
}

impl Progress {
    pub(super) fn position(&self) -> u64 {
        self.position.load(Ordering::Relaxed)
    }

    pub(super) fn size(&self) -> Option<u64> {
        self.size
    }
}

/// Opens a file or standard input.
pub(super) fn open(input: &FileInput) -> io::Result<Opened> {
    match input {
        FileInput::Stdin => Ok(Opened::unsized_input(Box::new(io::stdin()))),
        FileInput::Path(path) => {
            let file = File::open(path)?;
            let metadata = file.metadata()?;
            if metadata.is_dir() {
                return Err(ErrorKind::IsADirectory.into());
            }
            Ok(Opened { reader: Box::new(file), size: metadata.is_file().then_some(metadata.len()) })
        }
    }
}

/// Reads the begin of an input and takes off what it is packed in.
pub(super) fn unpack(opened: Opened) -> io::Result<Unpacked> {
    let progress = Progress { position: Arc::default(), size: opened.size };
    let mut reader: Box<dyn Read + Send> =
        Box::new(Counted { reader: opened.reader, position: Arc::clone(&progress.position) });
    let mut head = read_head(&mut reader, FINGERPRINT_BYTES)?;
    let fingerprint = fingerprint_of(&head);
    let mut is_compressed = false;
    for _ in 0..MAX_LAYERS {
        let Some(packing) = Packing::of(&head) else {
            break;
        };
        is_compressed = true;
        reader = packing.unpack(Cursor::new(head).chain(reader))?;
        head = read_head(&mut reader, HEAD_BYTES)?;
    }
    Ok(Unpacked { head, reader, is_compressed, fingerprint, progress })
}

#[derive(Clone, Copy)]
enum Packing {
    Gzip,
    Zstd,
}

impl Packing {
    fn of(head: &[u8]) -> Option<Self> {
        match head {
            // RFC 1952, section 2.3.1; the only method is "deflate".
            [0x1f, 0x8b, 8, ..] => Some(Self::Gzip),
            // RFC 8878, section 3.1.1, and skippable frames (3.1.2).
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Self::Zstd),
            _ => None,
        }
    }

    fn unpack(self, reader: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
        let reader = BufReader::with_capacity(PACKED_BUFFER_BYTES, reader);
        Ok(match self {
            Self::Gzip => Box::new(GzipMembers { state: GzipState::Member(GzDecoder::new(reader)) }),
            // Windows above 128 MiB are refused by the library's own limit.
            Self::Zstd => Box::new(zstd::Decoder::with_buffer(reader)?),
        })
    }
}

/// Several gzip members, one after the other; zeros may fill up the end.
struct GzipMembers<R> {
    state: GzipState<R>,
}

enum GzipState<R> {
    Member(GzDecoder<R>),
    Between(R),
    Ended,
}

impl<R: BufRead> Read for GzipMembers<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        // What an error leaves undelivered of a read is lost: keep it small, so
        // that the packets before the damage get through.
        let into = match into.len() {
            0 => return Ok(0),
            length => into.get_mut(..length.min(MAX_UNPACKED_BYTES)).unwrap_or_default(),
        };
        loop {
            match std::mem::replace(&mut self.state, GzipState::Ended) {
                GzipState::Ended => return Ok(0),
                GzipState::Member(mut decoder) => {
                    let read = decoder.read(into)?;
                    if read > 0 {
                        self.state = GzipState::Member(decoder);
                        return Ok(read);
                    }
                    self.state = GzipState::Between(decoder.into_inner());
                }
                GzipState::Between(mut reader) => {
                    let (is_padding, length) = match reader.fill_buf()? {
                        [] => return Ok(0),
                        [0x1f, ..] => (false, 0),
                        [0, rest @ ..] => (true, 1 + rest.iter().take_while(|octet| **octet == 0).count()),
                        _ => return Err(io::Error::new(ErrorKind::InvalidData, "more follows, but is no gzip")),
                    };
                    reader.consume(length);
                    self.state =
                        if is_padding { GzipState::Between(reader) } else { GzipState::Member(GzDecoder::new(reader)) };
                }
            }
        }
    }
}

/// Counts what passes.
struct Counted {
    reader: Box<dyn Read + Send>,
    position: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(into)?;
        self.position.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// The first octets, fewer than `limit` only if there are no more. Damage after
/// the first octet is left for whoever reads on.
fn read_head(reader: &mut dyn Read, limit: usize) -> io::Result<Vec<u8>> {
    let mut head = vec![0; limit];
    let mut length = 0;
    while let Some(rest) = head.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match reader.read(rest) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    head.truncate(length);
    Ok(head)
}

fn fingerprint_of(head: &[u8]) -> [u8; 16] {
    let digest: [u8; 32] = Sha256::digest(head).into();
    let [fingerprint @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = digest;
    fingerprint
}

/// What `ReplaySource.fingerprint` is made of.
const FINGERPRINT_BYTES: usize = 64 << 10;
/// Enough to tell formats apart (tar has its mark at 257).
const HEAD_BYTES: usize = 512;
/// A log rotated twice may be packed twice; more is a trap.
const MAX_LAYERS: usize = 4;
const PACKED_BUFFER_BYTES: usize = 64 << 10;
const MAX_UNPACKED_BYTES: usize = 16 << 10;
