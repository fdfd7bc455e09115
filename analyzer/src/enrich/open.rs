//! Opens a file that somebody else made: packed or not, and never more of it than
//! there is reason for.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

/// A file's content, unpacked if it was packed by gzip or zstd, cut off after
/// [`MAX_UNPACKED_BYTES`] with an error.
///
/// # Errors
/// If it cannot be opened or read.
pub(crate) fn open(path: &Path) -> io::Result<Box<dyn BufRead>> {
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory));
    }
    unpacked(BufReader::with_capacity(BUFFER_BYTES, file))
}

/// The same for a stream.
pub(crate) fn unpacked(mut input: impl BufRead + 'static) -> io::Result<Box<dyn BufRead>> {
    let begin = input.fill_buf()?;
    let unpacked: Box<dyn Read> = if begin.starts_with(&GZIP) {
        Box::new(flate2::bufread::MultiGzDecoder::new(input))
    } else if begin.starts_with(&ZSTD) {
        let mut decoder = zstd::stream::read::Decoder::with_buffer(input)?;
        decoder.window_log_max(ZSTD_WINDOW_LOG)?;
        Box::new(decoder)
    } else {
        Box::new(input)
    };
    Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, Limited { input: unpacked, left: MAX_UNPACKED_BYTES })))
}

/// Whether what is to come is text: the first octets have none that no text has.
pub(crate) fn is_text(input: &mut dyn BufRead) -> io::Result<bool> {
    let begin = input.fill_buf()?;
    let begin = begin.get(..SNIFFED_BYTES).unwrap_or(begin);
    Ok(!begin.iter().any(|byte| *byte < b'\t' || (*byte > b'\r' && *byte < b' ')))
}

/// Ends with an error, not as if the file had ended.
struct Limited<R> {
    input: R,
    left: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.left = self.left.checked_sub(u64::try_from(read).unwrap_or(u64::MAX)).ok_or_else(|| {
            io::Error::new(io::ErrorKind::FileTooLarge, format!("more than {} MiB", MAX_UNPACKED_BYTES >> 20))
        })?;
        Ok(read)
    }
}

/// RFC 1952, section 2.3.1.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// RFC 8878, section 3.1.1.
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// RFC 8878, section 3.1.1.1.2 recommends that decoders take windows of 8 MiB;
/// `zstd --long` makes 128 MiB.
const ZSTD_WINDOW_LOG: u32 = 27;
/// Fewer calls for tables of tens of megabytes.
const BUFFER_BYTES: usize = 64 << 10;
/// An MMDB begins with its search tree, which has zeros in each of its first nodes.
const SNIFFED_BYTES: usize = 1024;
/// The largest free table (`IPinfo` Lite as JSON or CSV) is some 400 MB.
pub(crate) const MAX_UNPACKED_BYTES: u64 = 512 << 20;

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn read(bytes: Vec<u8>) -> io::Result<String> {
        let mut text = String::new();
        unpacked(io::Cursor::new(bytes))?.read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn packed_and_plain_are_the_same() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(b"text").unwrap();
        let gzip = gzip.finish().unwrap();
        for bytes in [b"text".to_vec(), gzip.clone(), zstd::encode_all(&b"text"[..], 1).unwrap()] {
            assert_eq!(read(bytes).unwrap(), "text");
        }
        assert!(read(gzip.get(..gzip.len() - 9).unwrap().to_vec()).is_err());
    }

    #[test]
    fn a_bomb_ends_with_an_error() {
        // 600 MiB of zeros are some 60 kB.
        let bomb = zstd::encode_all(io::repeat(b'0').take(600 << 20), 1).unwrap();
        let mut input = unpacked(io::Cursor::new(bomb)).unwrap();
        let error = io::copy(&mut input, &mut io::sink()).unwrap_err();
        assert!(error.to_string().contains("512 MiB"), "{error}");
    }
}
