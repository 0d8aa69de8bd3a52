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
    let bits = 64 - (zigzag(value) | 1).leading_zeros() as usize;
    bits.div_ceil(7)
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

/// Reads a number at the start of `bytes`: the number and the bytes it took. Nothing where the
/// bytes end inside it or it has more than 64 bits.
#[inline]
pub(super) fn read(bytes: &[u8]) -> Option<(i64, usize)> {
    let first = *bytes.first()?;
    if first < 0x80 {
        return Some((unzigzag(first.into()), 1));
    }
    // Lengths of values and of records mostly take two.
    if let Some(&second @ 0..0x80) = bytes.get(1) {
        let value = u64::from(first & 0x7f) | u64::from(second) << 7;
        return Some((unzigzag(value), 2));
    }
    read_long(bytes)
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
            assert_eq!(read(&out[..end]), Some((value, end)));
            assert_eq!(read(&out[..end - 1]), None, "cut short: {value}");
        }
        assert_eq!(read(&[0xff; 11]), None, "more than 64 bits");
        assert_eq!(
            read(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]),
            None
        );
    }
}
