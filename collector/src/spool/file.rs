//! One batch as a file: a header with a checksum, then the encoded `PushRequest`.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use iotq_proto::MAX_BATCH_BYTES;

/// What stands before a batch. All numbers are little-endian.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Header {
    /// The collector's start.
    pub epoch: u64,
    /// The batch's number.
    pub seq: u64,
    /// When it was sealed; nanoseconds since 1970.
    pub sealed_at_ns: i64,
    /// Frames it accounts for, should the rest not be readable.
    pub frames: u64,
}

/// Why a file holds no batch.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The disk does not give it.
    #[error("not read")]
    Io(#[from] io::Error),
    /// Another kind of file, or of a later release.
    #[error("not a batch of this release's format")]
    Format,
    /// It ends too early, or too late.
    #[error("has {found} octets, and should have {expected}")]
    Length {
        /// By its header.
        expected: u64,
        /// That are there.
        found: u64,
    },
    /// Its octets have changed.
    #[error("its checksum is wrong")]
    Checksum,
    /// It says it is another.
    #[error("its name and its header differ")]
    Misnamed,
}

impl Header {
    /// The header's octets for this message.
    #[must_use]
    pub fn encode(&self, message: &[u8]) -> Vec<u8> {
        let mut head = Vec::with_capacity(HEADER_BYTES);
        head.extend_from_slice(MAGIC);
        head.extend_from_slice(&self.epoch.to_le_bytes());
        head.extend_from_slice(&self.seq.to_le_bytes());
        head.extend_from_slice(&self.sealed_at_ns.to_le_bytes());
        head.extend_from_slice(&self.frames.to_le_bytes());
        head.extend_from_slice(&(message.len() as u64).to_le_bytes());
        head.extend_from_slice(&crc32fast::hash(message).to_le_bytes());
        let checksum = crc32fast::hash(&head);
        head.extend_from_slice(&checksum.to_le_bytes());
        head
    }

    /// The header of a file whose length fits it.
    ///
    /// # Errors
    /// If there is none.
    pub fn read(path: &Path) -> Result<Self, Unreadable> {
        let mut file = File::open(path)?;
        let (header, length, _) = Self::decode(&mut file)?;
        let found = file.metadata()?.len();
        let expected = length.saturating_add(HEADER_BYTES as u64);
        if found == expected { Ok(header) } else { Err(Unreadable::Length { expected, found }) }
    }

    /// The header of a file, whatever follows it: what a damaged batch accounted for.
    #[must_use]
    pub fn peek(path: &Path) -> Option<Self> {
        let (header, ..) = Self::decode(&mut File::open(path).ok()?).ok()?;
        Some(header)
    }

    /// With the message's length and checksum.
    fn decode(file: &mut File) -> Result<(Self, u64, u32), Unreadable> {
        let mut head = [0; HEADER_BYTES];
        file.read_exact(&mut head).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => Unreadable::Format,
            _ => Unreadable::Io(error),
        })?;
        let (octets, checksum) = head.split_at(HEADER_BYTES - 4);
        if !octets.starts_with(MAGIC) {
            return Err(Unreadable::Format);
        }
        if checksum != crc32fast::hash(octets).to_le_bytes() {
            return Err(Unreadable::Checksum);
        }
        let (numbers, crc) = octets.get(MAGIC.len()..).unwrap_or_default().split_at(5 * 8);
        let [epoch, seq, sealed_at, frames, length] =
            <[[u8; 8]; 5]>::try_from(numbers.as_chunks().0).map_err(|_| Unreadable::Format)?;
        let header = Self {
            epoch: u64::from_le_bytes(epoch),
            seq: u64::from_le_bytes(seq),
            sealed_at_ns: i64::from_le_bytes(sealed_at),
            frames: u64::from_le_bytes(frames),
        };
        let crc = crc.try_into().map_err(|_| Unreadable::Format)?;
        Ok((header, u64::from_le_bytes(length), u32::from_le_bytes(crc)))
    }
}

/// A file's header and message, checked.
///
/// # Errors
/// If it is damaged.
pub fn read_file(path: &Path) -> Result<(Header, Vec<u8>), Unreadable> {
    let mut file = File::open(path)?;
    let (header, expected, checksum) = Header::decode(&mut file)?;
    // Before anything is allocated for it.
    if expected > MAX_MESSAGE_BYTES {
        return Err(Unreadable::Format);
    }
    // As large as it will be: one that grew would take twice as much for as long as the batch waits.
    let mut message = Vec::with_capacity(usize::try_from(expected).unwrap_or_default());
    file.take(expected + 1).read_to_end(&mut message)?;
    let found = message.len() as u64;
    if found != expected {
        let head = HEADER_BYTES as u64;
        return Err(Unreadable::Length { expected: expected + head, found: found + head });
    }
    if crc32fast::hash(&message) != checksum {
        return Err(Unreadable::Checksum);
    }
    Ok((header, message))
}

/// The last octet is the format's version.
const MAGIC: &[u8; 8] = b"iotqspl\x01";
/// Magic, five numbers, the message's checksum and the header's own.
const HEADER_BYTES: usize = 8 + 5 * 8 + 4 + 4;
/// What the analyzer takes: a batch and its envelope.
const MAX_MESSAGE_BYTES: u64 = MAX_BATCH_BYTES as u64 + 1024;
