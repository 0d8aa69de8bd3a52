//! The stream of transactions of one file.
//!
//! Owns: counting lines, decoding the fields, and what happens on a bad line. Never does: holding
//! more than one line.

use std::io::Read;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::line::{self, Problem};
use super::source::{Ending, InputError, LineRead, LineSource};
use crate::ids::UnixMicros;
use crate::location::GeoLocation;
use crate::telemetry::{TraceContext, TraceparentError};
use crate::transaction::TransactionId;

/// One transaction as it stands in a file.
#[derive(Clone, Debug, PartialEq)]
pub struct InputTransaction {
    /// Its line, from 1.
    pub line: u64,
    /// Its id.
    pub id: TransactionId,
    /// Where the client is.
    pub client_location: GeoLocation,
    /// Minor units, where given.
    pub amount: Option<u64>,
    /// The decoded payload; empty where none is given.
    pub payload: Vec<u8>,
    /// When it was submitted, where given.
    pub submitted_at: Option<UnixMicros>,
    /// The trace that it belongs to, where given.
    pub trace: Option<TraceContext>,
}

/// What happens on a line that is no transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum OnError {
    /// It is an error, and nothing after it is read.
    #[default]
    Stop,
    /// It is counted and passed over.
    Skip,
}

/// A line that was passed over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SkippedLine {
    /// Its number, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub reason: String,
}

/// The lines that were passed over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// How many there were.
    pub count: u64,
    /// The first [`Skipped::LISTED_MAX`] of them.
    pub first: Vec<SkippedLine>,
}

impl Skipped {
    /// How many are listed with their reason; the others are only counted.
    pub const LISTED_MAX: usize = 20;

    fn add(&mut self, line: u64, reason: String) {
        self.count += 1;
        if self.first.len() < Skipped::LISTED_MAX {
            self.first.push(SkippedLine { line, reason });
        }
    }
}

/// Reads transactions from a file or from standard input, one line at a time.
pub struct InputReader {
    file: String,
    source: LineSource,
    on_error: OnError,
    payload_bytes_max: usize,
    line: u64,
    buffer: Vec<u8>,
    skipped: Skipped,
    is_over: bool,
}

impl InputReader {
    /// Opens a file; `-` is standard input. Payloads may have up to `payload_bytes_max` bytes.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(
        path: &Path,
        payload_bytes_max: usize,
        on_error: OnError,
    ) -> Result<InputReader, InputError> {
        let file = if path.as_os_str() == "-" {
            "standard input".to_owned()
        } else {
            path.display().to_string()
        };
        match LineSource::open(path) {
            Ok(source) => Ok(InputReader::over(source, file, payload_bytes_max, on_error)),
            Err(source) => Err(InputError::Open { file, source }),
        }
    }

    /// Reads from any source of bytes; `name` stands for it in messages.
    ///
    /// # Errors
    /// The first bytes cannot be read.
    pub fn from_reader(
        bytes: impl Read + Send + 'static,
        name: &str,
        payload_bytes_max: usize,
        on_error: OnError,
    ) -> Result<InputReader, InputError> {
        let file = name.to_owned();
        match LineSource::new(bytes) {
            Ok(source) => Ok(InputReader::over(source, file, payload_bytes_max, on_error)),
            Err(source) => Err(InputError::Open { file, source }),
        }
    }

    fn over(
        source: LineSource,
        file: String,
        payload_bytes_max: usize,
        on_error: OnError,
    ) -> InputReader {
        InputReader {
            file,
            source,
            on_error,
            payload_bytes_max,
            line: 0,
            buffer: Vec::new(),
            skipped: Skipped::default(),
            is_over: false,
        }
    }

    /// The file's name as messages give it.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The lines passed over so far.
    pub fn skipped(&self) -> &Skipped {
        &self.skipped
    }

    /// Longest line in bytes: base64 needs four bytes for three, and twice that leaves room for
    /// escapes in a payload; the rest is the other fields at their longest.
    fn line_bytes_max(&self) -> usize {
        const OTHER_FIELDS_BYTES_MAX: usize = 4096;
        2 * self.payload_bytes_max.div_ceil(3) * 4 + OTHER_FIELDS_BYTES_MAX
    }

    /// The next transaction; a problem says what is wrong with its line.
    fn read_next(&mut self) -> Result<Option<Result<InputTransaction, String>>, InputError> {
        loop {
            let bytes_max = self.line_bytes_max();
            let read = self
                .source
                .read_line(&mut self.buffer, bytes_max)
                .map_err(|source| InputError::Read {
                    file: self.file.clone(),
                    line: self.line,
                    source,
                })?;
            let ending = match read {
                LineRead::End => return Ok(None),
                LineRead::Whole(ending) => ending,
                LineRead::TooLong => {
                    self.line += 1;
                    return Ok(Some(Err(format!(
                        "longer than {bytes_max} bytes; allowed: payloads of 0 to {} bytes",
                        self.payload_bytes_max
                    ))));
                }
            };
            self.line += 1;
            if !self.buffer.trim_ascii().is_empty() {
                return Ok(Some(self.decode(ending)));
            }
        }
    }

    fn decode(&self, ending: Ending) -> Result<InputTransaction, String> {
        let fields = line::parse(&self.buffer).map_err(|problem| match (problem, ending) {
            (Problem::Wrong(sentence), _) => sentence,
            (Problem::Cut, Ending::Newline) => "the line ends before its object does".to_owned(),
            (Problem::Cut, Ending::EndOfFile) => "the file ends in the middle of it".to_owned(),
        })?;
        let id = TransactionId::new(fields.id.as_bytes())
            .map_err(|_| line::wrong(&line::ID, format_args!("{} bytes", fields.id.len())))?;
        let trace = fields.traceparent.as_deref().map(str::parse);
        let trace = trace
            .transpose()
            .map_err(|error: TraceparentError| line::wrong(&line::TRACEPARENT, error))?;
        Ok(InputTransaction {
            line: self.line,
            id,
            client_location: fields.client_location,
            amount: fields.amount,
            payload: match &fields.payload {
                Some(text) => self.decode_payload(text.as_bytes())?,
                None => Vec::new(),
            },
            submitted_at: fields.submitted_at.map(UnixMicros),
            trace,
        })
    }

    fn decode_payload(&self, text: &[u8]) -> Result<Vec<u8>, String> {
        // Exact for valid base64; for any other text the decoder has the last word.
        let padding = text.iter().rev().take_while(|byte| **byte == b'=').count();
        let bytes = (text.len() / 4 * 3).saturating_sub(padding);
        if bytes > self.payload_bytes_max {
            return Err(format!(
                "payload: {bytes} bytes; allowed: 0 to {} bytes",
                self.payload_bytes_max
            ));
        }
        STANDARD
            .decode(text)
            .map_err(|error| line::wrong(&line::PAYLOAD, format_args!("no base64 ({error})")))
    }
}

impl Iterator for InputReader {
    type Item = Result<InputTransaction, InputError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.is_over {
            match self.read_next() {
                Ok(Some(Ok(transaction))) => return Some(Ok(transaction)),
                Ok(Some(Err(problem))) => match self.on_error {
                    OnError::Skip => self.skipped.add(self.line, problem),
                    OnError::Stop => {
                        self.is_over = true;
                        return Some(Err(InputError::Line {
                            file: self.file.clone(),
                            line: self.line,
                            problem,
                        }));
                    }
                },
                Ok(None) => self.is_over = true,
                Err(error) => {
                    self.is_over = true;
                    return Some(Err(error));
                }
            }
        }
        None
    }
}
