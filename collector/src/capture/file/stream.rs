//! The octets of a capture, with as many in memory at once as are asked for.

use std::io::{self, ErrorKind, Read};

/// A window that moves over what a reader gives.
pub(super) struct Stream {
    reader: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    /// In `buffer`: what was read and not yet consumed.
    begin: usize,
    end: usize,
    /// Of `begin` in the capture.
    offset: u64,
    is_compressed: bool,
}

impl Stream {
    /// Begins with `head`, which was read from `reader` before.
    pub(super) fn new(head: Vec<u8>, reader: Box<dyn Read + Send>, is_compressed: bool) -> Self {
        let end = head.len();
        let mut buffer = head;
        buffer.resize(BUFFER_BYTES.max(end), 0);
        Self { reader, buffer, begin: 0, end, offset: 0, is_compressed }
    }

    /// Makes at least `count` octets available, fewer only at the end; says how
    /// many there are.
    ///
    /// # Errors
    /// If reading fails. What is available stays so.
    #[inline]
    pub(super) fn fill(&mut self, count: usize) -> io::Result<usize> {
        let available = self.end - self.begin;
        if available >= count { Ok(available) } else { self.read_until(count) }
    }

    /// What is available.
    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        self.buffer.get(self.begin..self.end).unwrap_or_default()
    }

    /// Leaves the first `count` octets of what is available behind.
    #[inline]
    pub(super) fn consume(&mut self, count: usize) {
        let count = count.min(self.end - self.begin);
        self.begin += count;
        self.offset += count as u64;
    }

    /// How many octets were consumed.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn is_compressed(&self) -> bool {
        self.is_compressed
    }

    #[cold]
    fn read_until(&mut self, count: usize) -> io::Result<usize> {
        self.buffer.copy_within(self.begin..self.end, 0);
        self.end -= self.begin;
        self.begin = 0;
        if self.buffer.len() < count {
            // Callers limit what they ask for; twice that keeps large blocks cheap.
            self.buffer.resize(count.saturating_mul(2), 0);
        }
        while self.end < count {
            match self.reader.read(self.buffer.get_mut(self.end..).unwrap_or_default()) {
                Ok(0) => break,
                Ok(read) => self.end += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.end)
    }
}

/// Large enough that system calls do not count, small enough for the cache:
/// reading a file of 900 MB took the same from 128 KiB to 1 MiB.
const BUFFER_BYTES: usize = 256 << 10;
