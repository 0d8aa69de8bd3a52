//! Kafka's variable-length numbers: zigzag, then 7 bits a byte, low bits first.

/// Bytes of a 64-bit number at the most.
const BYTES_MAX: usize = 10;

#[inline]
const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// Bytes that `value` takes.
#[inline]
pub(super) const fn len(value: i64) -> usize {
    // As in `split`: one byte or two, nearly always.
    match zigzag(value) {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        long => (64 - long.leading_zeros() as usize).div_ceil(7),
    }
}

/// Writes `value` at `at`; returns the byte after it. The caller has sized `out` with [`len`].
#[inline]
pub(super) fn write(out: &mut [u8], at: usize, value: i64) -> usize {
    let mut rest = zigzag(value);
    // Nearly all numbers of a record fit one byte.
    if rest < 0x80 {
        out[at] = rest as u8;
        return at + 1;
    }
    let mut at = at;
    while rest >= 0x80 {
        out[at] = rest as u8 | 0x80;
        rest >>= 7;
        at += 1;
    }
    out[at] = rest as u8;
    at + 1
}

/// Reads a number at the start of `bytes`: the number and the bytes after it. Nothing where the
/// bytes end inside it or it has more than 64 bits.
#[inline(always)]
pub(super) fn split(bytes: &[u8]) -> Option<(i64, &[u8])> {
    match bytes {
        [first @ 0..0x80, rest @ ..] => Some((unzigzag(u64::from(*first)), rest)),
        // Lengths of values and of records mostly take two.
        [first, second @ 0..0x80, rest @ ..] => {
            let value = u64::from(first & 0x7f) | u64::from(*second) << 7;
            Some((unzigzag(value), rest))
        }
        long => {
            let (value, used) = read_long(long)?;
            Some((value, &long[used..]))
        }
    }
}

#[cold]
fn read_long(bytes: &[u8]) -> Option<(i64, usize)> {
    let first = *bytes.first()?;
    let mut value = u64::from(first & 0x7f);
    for (i, &byte) in bytes.iter().enumerate().take(BYTES_MAX).skip(1) {
        let low = u64::from(byte & 0x7f);
        // The tenth byte holds the 64th bit alone.
        if i == BYTES_MAX - 1 && byte > 1 {
            return None;
        }
        value |= low << (7 * i);
        if byte < 0x80 {
            return Some((unzigzag(value), i + 1));
        }
    }
    None
}

#[inline]
const fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_and_take_as_many_bytes_as_said() {
        let mut values = vec![0, i64::MIN, i64::MAX];
        for bit in 0..63 {
            let edge = 1i64 << bit;
            values.extend([edge - 1, edge, -edge, -edge - 1]);
        }
        for value in values {
            let mut out = [0; BYTES_MAX];
            let end = write(&mut out, 0, value);
            assert_eq!(end, len(value), "{value}");
            assert_eq!(split(&out[..end]), Some((value, &[][..])));
            assert_eq!(split(&out[..end - 1]), None, "cut short: {value}");
            let followed = [&out[..end], &[7, 8]].concat();
            assert_eq!(split(&followed), Some((value, &[7, 8][..])));
        }
        assert_eq!(split(&[0xff; 11]), None, "more than 64 bits");
        assert_eq!(
            split(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]),
            None
        );
    }
}
