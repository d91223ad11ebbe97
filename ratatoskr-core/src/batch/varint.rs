//! Zigzag variable-length integers, as record fields are written (Protocol Buffers' `sint32` and
//! `sint64`): seven bits a byte, least significant first, the top bit set on all but the last.

/// Most bytes of a [`take_varint`].
const VARINT_BYTES_MAX: usize = 5;
/// Most bytes of a [`take_varlong`].
const VARLONG_BYTES_MAX: usize = 10;

/// Takes an `i32` off the front of `bytes`; `None` where it is cut short or too long.
#[inline]
pub(super) fn take_varint(bytes: &mut &[u8]) -> Option<i32> {
    let value = u32::try_from(take_unsigned(bytes, VARINT_BYTES_MAX)?).ok()?;
    Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
}

/// Takes an `i64` off the front of `bytes`; `None` where it is cut short or too long.
#[inline]
pub(super) fn take_varlong(bytes: &mut &[u8]) -> Option<i64> {
    let value = take_unsigned(bytes, VARLONG_BYTES_MAX)?;
    Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
}

#[inline]
fn take_unsigned(bytes: &mut &[u8], bytes_max: usize) -> Option<u64> {
    let (&first, rest) = bytes.split_first()?;
    // Nearly every field of a record fits one byte.
    if first < 0x80 {
        *bytes = rest;
        return Some(u64::from(first));
    }
    let mut value = 0;
    for (at, &byte) in bytes.iter().take(bytes_max).enumerate() {
        let bits = u64::from(byte & 0x7f);
        let shift = 7 * at;
        // The tenth byte has room for one bit only.
        if bits.leading_zeros() < u32::try_from(shift).ok()? {
            return None;
        }
        value |= bits << shift;
        if byte < 0x80 {
            *bytes = bytes.get(at + 1..)?;
            return Some(value);
        }
    }
    None
}

/// Appends an `i32`.
#[inline]
pub(super) fn put_varint(out: &mut Vec<u8>, value: i32) {
    put_varlong(out, i64::from(value));
}

/// Appends an `i64`.
#[inline]
pub(super) fn put_varlong(out: &mut Vec<u8>, value: i64) {
    let mut rest = zigzag(value);
    loop {
        let [low, ..] = rest.to_le_bytes();
        rest >>= 7;
        if rest == 0 {
            return out.push(low);
        }
        out.push(low | 0x80);
    }
}

/// Bytes that [`put_varint`] or [`put_varlong`] appends for `value`.
pub(super) const fn varint_len(value: i64) -> usize {
    let bits = 64 - (zigzag(value) | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// An `i32` has the same zigzag form as the equal `i64`, so one function serves both.
const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(value: i64) -> Vec<u8> {
        let mut out = Vec::new();
        put_varlong(&mut out, value);
        assert_eq!(out.len(), varint_len(value), "length of {value}");
        out
    }

    #[test]
    fn values_are_written_as_kafka_writes_them() {
        // From ByteUtilsTest of Kafka.
        for (value, bytes) in [
            (0, &[0x00][..]),
            (-1, &[0x01]),
            (1, &[0x02]),
            (63, &[0x7e]),
            (-64, &[0x7f]),
            (64, &[0x80, 0x01]),
            (8191, &[0xfe, 0x7f]),
            (-8193, &[0x81, 0x80, 0x01]),
            (i64::from(i32::MAX), &[0xfe, 0xff, 0xff, 0xff, 0x0f]),
            (i64::from(i32::MIN), &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        ] {
            assert_eq!(encoded(value), bytes);
            let mut rest = bytes;
            assert_eq!(take_varint(&mut rest).map(i64::from), Some(value));
            assert!(rest.is_empty());
        }
    }

    #[test]
    fn longs_go_there_and_back() {
        for shift in 0..64 {
            let bit = 1_i64 << shift;
            for value in [bit, !bit, bit.wrapping_neg(), bit.wrapping_sub(1)] {
                let bytes = encoded(value);
                assert_eq!(take_varlong(&mut &bytes[..]), Some(value));
            }
        }
    }

    #[test]
    fn too_long_and_cut_short_are_refused() {
        assert_eq!(take_varint(&mut &[][..]), None);
        assert_eq!(take_varint(&mut &[0x80][..]), None);
        assert_eq!(take_varint(&mut &[0xff, 0xff, 0xff, 0xff, 0x1f][..]), None);
        assert_eq!(take_varint(&mut &[0x80; 6][..]), None);
        assert_eq!(take_varlong(&mut &[0x80; 11][..]), None);
        let mut eleventh_bit = [0xff; 10];
        eleventh_bit[9] = 0x02;
        assert_eq!(take_varlong(&mut &eleventh_bit[..]), None);
    }
}
