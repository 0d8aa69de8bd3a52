//! The records of compressed batches.
//!
//! Owns: Kafka's four codecs, as its clients write them; a bound of what comes out. Never does:
//! believe a length that it reads; compress. Runs on: any thread. Batches that are only stored and
//! served are never decompressed.
//!
//! - gzip: one or more members.
//! - snappy: Java's framing by xerial (magic, two versions, then blocks with their lengths), or one raw
//!   block, as librdkafka writes it.
//! - lz4: one frame. Its decoder takes up to 12 MiB while it runs, whatever the batch.
//! - zstd: one or more frames, into one buffer, so that no window is set aside.

use std::io::Read;

use zstd::zstd_safe::{self, zstd_sys};

use crate::wire::batch::{
    ATTRIBUTES_AT, BATCH_HEADER_BYTES, BatchError, BatchView, CODEC_MASK, LEADER_EPOCH_AT,
    LENGTH_AT,
};

const GZIP: u8 = 1;
const SNAPPY: u8 = 2;
const LZ4: u8 = 3;
const ZSTD: u8 = 4;

/// What xerial's framing begins with; two versions of four bytes each follow.
const XERIAL_MAGIC: &[u8] = b"\x82SNAPPY\0";
const XERIAL_HEADER_BYTES: usize = 16;

/// What an lz4 frame begins with. The older, legacy frame has another and is not Kafka's.
const LZ4_MAGIC: &[u8] = &[0x04, 0x22, 0x4d, 0x18];

/// A snappy block expands to less than this many times its length: a copy of 64 bytes takes three.
const SNAPPY_FACTOR_MAX: usize = 32;

/// What the buffer for zstd begins with; it grows with what comes out.
const ZSTD_GUESS_FACTOR: usize = 4;
const ZSTD_GUESS_MIN: usize = 16 * 1024;

/// Why a batch cannot be decompressed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecompressError {
    /// Nobody knows this codec.
    #[error("unknown codec {0}")]
    UnknownCodec(u8),
    /// The bytes are not what the codec writes.
    #[error("records are not compressed as codec {0} says")]
    Corrupt(u8),
    /// More comes out than was allowed.
    #[error("records decompress to more than {limit} bytes")]
    TooLarge {
        /// How much was allowed.
        limit: usize,
    },
    /// What came out is no batch.
    #[error(transparent)]
    Batch(#[from] BatchError),
}

/// The same batch with its records as they are: `batch` itself if it is not compressed, otherwise one
/// made in `scratch`, which is used again and again. Its records take at most `limit` bytes. Its CRC is
/// that of the compressed batch.
///
/// # Errors
/// The records are not what the codec writes, or more of them than allowed.
pub fn plain<'a>(
    batch: BatchView<'a>,
    limit: usize,
    scratch: &'a mut Vec<u8>,
) -> Result<BatchView<'a>, DecompressError> {
    let codec = batch.codec();
    if codec == 0 {
        return Ok(batch);
    }
    // A batch's length is 31 bits.
    let limit = limit.min(i32::MAX as usize - BATCH_HEADER_BYTES);
    let (header, records) = batch.bytes().split_at(BATCH_HEADER_BYTES);
    scratch.clear();
    scratch.extend_from_slice(header);
    decompress(codec, records, limit, scratch)?;
    let length = i32::try_from(scratch.len() - LEADER_EPOCH_AT).expect("bounded above");
    scratch[LENGTH_AT..LEADER_EPOCH_AT].copy_from_slice(&length.to_be_bytes());
    let attributes = batch.attributes() & !CODEC_MASK;
    scratch[ATTRIBUTES_AT..ATTRIBUTES_AT + 2].copy_from_slice(&attributes.to_be_bytes());
    Ok(BatchView::parse_trusted(scratch)?)
}

/// Adds to `out` what `compressed` holds: at most `limit` bytes. `codec` is as in a batch, 1 to 4.
/// After an error, `out` holds something.
///
/// # Errors
/// An unknown codec, bytes that it has not written, or too many of them.
pub fn decompress(
    codec: u8,
    compressed: &[u8],
    limit: usize,
    out: &mut Vec<u8>,
) -> Result<(), DecompressError> {
    match codec {
        GZIP => {
            let decoder = flate2::bufread::MultiGzDecoder::new(compressed);
            read_bounded(codec, decoder, limit, out)
        }
        SNAPPY => snappy(compressed, limit, out),
        LZ4 => {
            if !compressed.starts_with(LZ4_MAGIC) {
                return Err(DecompressError::Corrupt(codec));
            }
            let decoder = lz4_flex::frame::FrameDecoder::new(compressed);
            read_bounded(codec, decoder, limit, out)
        }
        ZSTD => zstd(compressed, limit, out),
        _ => Err(DecompressError::UnknownCodec(codec)),
    }
}

fn read_bounded(
    codec: u8,
    decoder: impl Read,
    limit: usize,
    out: &mut Vec<u8>,
) -> Result<(), DecompressError> {
    let start = out.len();
    // One byte more than allowed tells too many from just enough.
    decoder
        .take(limit as u64 + 1)
        .read_to_end(out)
        .map_err(|_| DecompressError::Corrupt(codec))?;
    if out.len() - start > limit {
        return Err(DecompressError::TooLarge { limit });
    }
    Ok(())
}

fn snappy(compressed: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), DecompressError> {
    const CORRUPT: DecompressError = DecompressError::Corrupt(SNAPPY);
    if !compressed.starts_with(XERIAL_MAGIC) {
        return snappy_block(compressed, limit, out).map(drop);
    }
    let mut rest = compressed.get(XERIAL_HEADER_BYTES..).ok_or(CORRUPT)?;
    let mut left = limit;
    while let Some((length, tail)) = rest.split_first_chunk() {
        let length = usize::try_from(i32::from_be_bytes(*length)).map_err(|_| CORRUPT)?;
        let (block, tail) = tail.split_at_checked(length).ok_or(CORRUPT)?;
        left -= snappy_block(block, left, out).map_err(|error| {
            if matches!(error, DecompressError::TooLarge { .. }) {
                DecompressError::TooLarge { limit }
            } else {
                error
            }
        })?;
        rest = tail;
    }
    if rest.is_empty() {
        Ok(())
    } else {
        Err(CORRUPT)
    }
}

/// Adds a raw block to `out`: how many bytes it held.
fn snappy_block(block: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<usize, DecompressError> {
    const CORRUPT: DecompressError = DecompressError::Corrupt(SNAPPY);
    let length = snap::raw::decompress_len(block).map_err(|_| CORRUPT)?;
    if length > block.len().saturating_mul(SNAPPY_FACTOR_MAX) {
        return Err(CORRUPT);
    }
    if length > limit {
        return Err(DecompressError::TooLarge { limit });
    }
    let start = out.len();
    out.resize(start + length, 0);
    snap::raw::Decoder::new()
        .decompress(block, &mut out[start..])
        .map_err(|_| CORRUPT)
}

/// In one pass into a buffer that is large enough. The buffer is doubled up to the limit, so that the
/// work is bounded by twice what may come out.
fn zstd(compressed: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), DecompressError> {
    /// The library's errors are negative numbers in an unsigned one.
    const TOO_SMALL: zstd_safe::ErrorCode =
        (zstd_sys::ZSTD_ErrorCode::ZSTD_error_dstSize_tooSmall as usize).wrapping_neg();
    let start = out.len();
    let mut decoder = zstd_safe::DCtx::create();
    // One byte more than allowed tells too many from just enough.
    let room_max = limit.saturating_add(1);
    let mut room = compressed
        .len()
        .saturating_mul(ZSTD_GUESS_FACTOR)
        .max(ZSTD_GUESS_MIN)
        .min(room_max);
    loop {
        out.resize(start + room, 0);
        match decoder.decompress(&mut out[start..], compressed) {
            Ok(length) if length <= limit => {
                out.truncate(start + length);
                return Ok(());
            }
            Err(TOO_SMALL) if room < room_max => room = room.saturating_mul(2).min(room_max),
            Ok(_) | Err(TOO_SMALL) => return Err(DecompressError::TooLarge { limit }),
            Err(_) => return Err(DecompressError::Corrupt(ZSTD)),
        }
    }
}
