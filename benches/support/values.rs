//! What the records hold.

use bytes::Bytes;

/// Different values. Together they are larger than the 64 KiB in which lz4 looks for repetitions,
/// so that a batch repeats no value within its reach.
const VALUES: usize = 8192;

/// Fixed text and random text take turns, ten bytes each, as names and contents of fields do.
const FIELD: &[u8; 10] = b"\",\"field\":";
const PIECE: usize = FIELD.len();

/// How compressible they are, in words.
pub const KIND: &str = "half fixed text, half random letters of base64";

/// Values of one size, in turn.
pub struct Values {
    all: Bytes,
    bytes: usize,
}

impl Values {
    pub fn new(bytes: usize) -> Values {
        const LETTERS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut random = Random(1);
        let mut letter = || LETTERS[(random.next() >> 58) as usize];
        let all: Vec<u8> = (0..VALUES * bytes)
            .map(|at| {
                let at = at % bytes;
                match (at / PIECE) % 2 {
                    0 => FIELD[at % PIECE],
                    _ => letter(),
                }
            })
            .collect();
        Values {
            all: all.into(),
            bytes,
        }
    }

    /// The `number`th value: a share of memory, not a copy.
    #[allow(dead_code)] // Not every bench has one of those who take it.
    pub fn share(&self, number: usize) -> Bytes {
        let start = number % VALUES * self.bytes;
        self.all.slice(start..start + self.bytes)
    }

    /// The `number`th value.
    pub fn borrow(&self, number: usize) -> &[u8] {
        let start = number % VALUES * self.bytes;
        &self.all[start..start + self.bytes]
    }
}

/// splitmix64: the same values in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
