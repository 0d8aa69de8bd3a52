//! Where lines come from: a file or standard input, decompressed as its first bytes say.
//!
//! Owns: opening, recognising gzip and zstd, and lines of bounded length. Never does: JSON.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

const BUFFER_BYTES: usize = 256 << 10;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Why there is no next transaction.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// The file cannot be opened.
    #[error("{file}: cannot be opened: {source}")]
    Open {
        /// Its name as the user gave it.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// Reading or decompressing failed; nothing after that line can be read.
    #[error("{file}: cannot be read after line {line}: {source}")]
    Read {
        /// Its name as the user gave it.
        file: String,
        /// The last line that was read whole.
        line: u64,
        /// What the system or the decompressor said.
        source: io::Error,
    },
    /// A line is no transaction.
    #[error("{file} line {line}: {problem}")]
    Line {
        /// Its name as the user gave it.
        file: String,
        /// The line, from 1.
        line: u64,
        /// The field, what is wrong with it and what is allowed.
        problem: String,
    },
}

/// What reading a line gave.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum LineRead {
    /// A line, and how it ended.
    Whole(Ending),
    /// A line that exceeds the bound; it was passed over up to its end.
    TooLong,
    /// There is no further line.
    End,
}

/// How a line ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// With a newline.
    Newline,
    /// With the file.
    EndOfFile,
}

/// Lines of one file.
pub(super) struct LineSource {
    reader: Box<dyn BufRead + Send>,
}

impl LineSource {
    /// Opens a file; `-` is standard input.
    pub(super) fn open(path: &Path) -> io::Result<LineSource> {
        if path.as_os_str() == "-" {
            return LineSource::new(io::stdin());
        }
        let file = File::open(path)?;
        // Opening a directory succeeds and reading it fails late, with a message about no file.
        if file.metadata()?.is_dir() {
            return Err(io::Error::new(
                io::ErrorKind::IsADirectory,
                "is a directory",
            ));
        }
        LineSource::new(file)
    }

    /// Lines of any source of bytes.
    pub(super) fn new(mut raw: impl Read + Send + 'static) -> io::Result<LineSource> {
        let mut magic = Vec::with_capacity(ZSTD_MAGIC.len());
        (&mut raw)
            .take(ZSTD_MAGIC.len() as u64)
            .read_to_end(&mut magic)?;
        let is_gzip = magic.starts_with(&GZIP_MAGIC);
        let is_zstd = magic.starts_with(&ZSTD_MAGIC);
        let whole = BufReader::with_capacity(BUFFER_BYTES, Cursor::new(magic).chain(raw));
        let reader: Box<dyn BufRead + Send> = if is_gzip {
            Box::new(BufReader::with_capacity(
                BUFFER_BYTES,
                MultiGzDecoder::new(whole),
            ))
        } else if is_zstd {
            let decoder = zstd::Decoder::with_buffer(whole)?;
            Box::new(BufReader::with_capacity(BUFFER_BYTES, decoder))
        } else {
            Box::new(whole)
        };
        Ok(LineSource { reader })
    }

    /// Reads the next line into `line`, without its newline. A line of more than `bytes_max` bytes
    /// is passed over and never held.
    pub(super) fn read_line(
        &mut self,
        line: &mut Vec<u8>,
        bytes_max: usize,
    ) -> io::Result<LineRead> {
        line.clear();
        let limit = bytes_max as u64 + 1;
        let read = (&mut self.reader).take(limit).read_until(b'\n', line)?;
        if read == 0 {
            return Ok(LineRead::End);
        }
        if line.last() == Some(&b'\n') {
            line.pop();
            return Ok(LineRead::Whole(Ending::Newline));
        }
        if read as u64 == limit {
            line.clear();
            self.reader.skip_until(b'\n')?;
            return Ok(LineRead::TooLong);
        }
        Ok(LineRead::Whole(Ending::EndOfFile))
    }
}
