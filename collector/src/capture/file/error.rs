//! What can be wrong with a capture file.

use std::io;

use super::{MAX_CAPTURED_BYTES, pcapng::MAX_BLOCK_BYTES};

/// Why a file could not be opened as a capture.
#[derive(Debug, thiserror::Error)]
pub enum OpenFileError {
    /// The system refuses.
    #[error("cannot open `{input}`")]
    Open {
        /// As the user typed it.
        input: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Reading its begin failed, or unpacking it did.
    #[error("cannot read `{input}`")]
    Read {
        /// As the user typed it.
        input: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is nothing in it.
    #[error("`{input}` is empty: not even a capture without packets")]
    Empty {
        /// As the user typed it.
        input: String,
    },
    /// It is something else.
    #[error(
        "`{input}` is no pcap or pcapng capture: {}it looks like {looks_like}",
        if *is_compressed { "unpacked, " } else { "" }
    )]
    Format {
        /// As the user typed it.
        input: String,
        /// What its first octets say, with what to do about it if that is known.
        looks_like: String,
        /// It was compressed.
        is_compressed: bool,
    },
}

/// A file is damaged. All frames before that place were read.
#[derive(Debug, thiserror::Error)]
#[error("`{input}` is damaged at byte {offset}{}", if *is_compressed { " of what is packed in it" } else { "" })]
pub struct DamagedFile {
    /// As the user typed it.
    pub input: String,
    /// Where the header, packet or block begins that could not be read; in the
    /// unpacked capture if the file is compressed.
    pub offset: u64,
    /// The file is compressed.
    pub is_compressed: bool,
    /// What is wrong there.
    #[source]
    pub damage: Damage,
}

/// What is wrong at some place of a capture file.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// Reading failed, or unpacking did.
    #[error("reading on failed")]
    Read(#[source] io::Error),
    /// The file ends inside its own header.
    #[error("the file ends inside the file header, which has {needed} octets, after {found}")]
    FileHeaderCut {
        /// Octets the header has.
        needed: usize,
        /// Octets there are.
        found: usize,
    },
    /// A version that nobody has written yet.
    #[error("version {major}.{minor} of the format is not known")]
    Version {
        /// Major.
        major: u16,
        /// Minor.
        minor: u16,
    },
    /// The file ends inside a packet's header.
    #[error("the file ends inside a packet header, which has {needed} octets, after {found}")]
    PacketHeaderCut {
        /// Octets the header has.
        needed: usize,
        /// Octets there are.
        found: usize,
    },
    /// The file ends inside a packet.
    #[error("the file ends inside a packet of {captured_bytes} octets, after {found}")]
    PacketCut {
        /// Octets that were captured.
        captured_bytes: u32,
        /// Octets there are.
        found: usize,
    },
    /// A length that cannot be.
    #[error("a packet claims {captured_bytes} captured octets; more than {MAX_CAPTURED_BYTES} are not believed")]
    PacketTooLong {
        /// Octets it claims.
        captured_bytes: u32,
    },
    /// The file ends inside a pcapng block.
    #[error("the file ends inside a block of {needed} octets, after {found}")]
    BlockCut {
        /// Octets the block has.
        needed: usize,
        /// Octets there are.
        found: usize,
    },
    /// A length that cannot be.
    #[error("a block of type {block_type:#x} claims {length} octets; more than {MAX_BLOCK_BYTES} are not believed")]
    BlockTooLong {
        /// The block's type.
        block_type: u32,
        /// Octets it claims.
        length: u32,
    },
    /// A block has no room for what it must hold.
    #[error("a block of type {block_type:#x} has {length} octets, too few for what it holds")]
    BlockTooShort {
        /// The block's type.
        block_type: u32,
        /// Octets it claims.
        length: u32,
    },
    /// The length at a block's end is another than at its begin.
    #[error("a block says {length} octets at its begin, but {length_at_end} at its end")]
    BlockLengthsDiffer {
        /// At the begin.
        length: u32,
        /// At the end.
        length_at_end: u32,
    },
    /// A section header whose byte order cannot be told.
    #[error("a section header has the byte-order magic {magic:#010x}, which is none")]
    ByteOrder {
        /// What is there.
        magic: u32,
    },
    /// A packet from nowhere.
    #[error("a packet is from interface {interface}, but the section describes {known}")]
    NoSuchInterface {
        /// The interface's number.
        interface: u32,
        /// How many there are.
        known: usize,
    },
    /// More interfaces than any host has.
    #[error("a section describes more than {limit} interfaces")]
    TooManyInterfaces {
        /// The most there may be.
        limit: usize,
    },
}
