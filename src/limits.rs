//! Every compile-time bound, with the assertions that relate them.
//!
//! Owns: the numbers. A limit that users may lower is named in `config/default.toml`; the value
//! here is then the most that may be configured.

/// Bytes of a transaction id: 1 to this. Fits a hexadecimal SHA-256.
pub const TRANSACTION_ID_BYTES_MAX: usize = 64;

/// Bytes of a transaction's payload that a configuration may allow at the most.
pub const PAYLOAD_BYTES_MAX: usize = 4 << 20;

/// Default bound of a payload: 1 MiB.
pub const PAYLOAD_BYTES_DEFAULT: usize = 1 << 20;

/// What an encoded transaction adds to its payload and id: version, two coordinates, a time, an
/// amount and two lengths, each at its largest.
pub const TRANSACTION_OVERHEAD_BYTES_MAX: usize = 1 + 8 + 8 + 9 + 10 + 9 + 9;

/// The longest encoded transaction.
pub const TRANSACTION_BYTES_MAX: usize =
    PAYLOAD_BYTES_MAX + TRANSACTION_ID_BYTES_MAX + TRANSACTION_OVERHEAD_BYTES_MAX;

/// The longest gateway frame, its header included.
pub const GATEWAY_FRAME_BYTES_MAX: usize = TRANSACTION_BYTES_MAX + 64;

/// Block to which every write is padded, so that a torn write only hurts its own frame. Device
/// blocks are 512 or 4096 bytes; 4096 serves both.
pub const BLOCK_BYTES: usize = 4096;

/// The longest frame of a stripe: one write, one checksum, atomic. The largest transaction with
/// its record, batch, entry and frame headers must fit.
pub const FRAME_BYTES_MAX: usize = 8 << 20;

/// The longest batch of a Kafka client that may be configured: what the largest frame has room for,
/// an eighth of it left to headers.
pub const BATCH_BYTES_MAX: usize = FRAME_BYTES_MAX - (FRAME_BYTES_MAX >> 3);

/// The smallest segment that a configuration may ask for.
pub const SEGMENT_BYTES_MIN: u64 = 16 << 20;

/// The largest segment: positions within one are 32-bit numbers in the index.
pub const SEGMENT_BYTES_MAX: u64 = 2 << 30;

/// Cores of one node.
pub const CORES_MAX: usize = 256;

/// Stripes of one data directory.
pub const STRIPES_MAX: usize = 256;

/// Partitions of one data directory.
pub const PARTITIONS_MAX: usize = 1 << 16;

/// Partitions that a data directory ever has, deleted ones included: their ids are not used again,
/// and tables have a place for each.
pub const PARTITION_IDS_MAX: usize = 1 << 22;

/// Shards of one table.
pub const SHARDS_MAX: usize = 4096;

const _: () = {
    // A record adds its key (the id once more), varints and the batch's header to the transaction.
    let record = TRANSACTION_BYTES_MAX + TRANSACTION_ID_BYTES_MAX + 64;
    assert!(
        record + 1024 < FRAME_BYTES_MAX,
        "the largest transaction fits one frame"
    );
    assert!(FRAME_BYTES_MAX.is_multiple_of(BLOCK_BYTES));
    assert!(
        (FRAME_BYTES_MAX as u64) * 2 <= SEGMENT_BYTES_MIN,
        "a segment holds two frames"
    );
    assert!(
        SEGMENT_BYTES_MAX <= u32::MAX as u64,
        "positions in a segment fit 32 bits"
    );
    assert!(PAYLOAD_BYTES_DEFAULT <= PAYLOAD_BYTES_MAX);
};
