//! Requests on their way in: four bytes of length, then as many of request.

use bytes::{Buf, Bytes, BytesMut};

const LENGTH_BYTES: usize = 4;
/// Key, version, correlation id: what every request begins with.
const REQUEST_BYTES_MIN: usize = 8;

/// A length that no request has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a request of {length} bytes, where {REQUEST_BYTES_MIN} to {bytes_max} are taken")]
pub(crate) struct InvalidLength {
    length: i32,
    bytes_max: usize,
}

/// Takes the first request off `buffer`, if all of it is here.
///
/// # Errors
/// [`InvalidLength`], told as soon as the length itself is here.
pub(crate) fn next(
    buffer: &mut BytesMut,
    bytes_max: usize,
) -> Result<Option<Bytes>, InvalidLength> {
    let Some(&length) = buffer.first_chunk::<LENGTH_BYTES>() else {
        return Ok(None);
    };
    let length = i32::from_be_bytes(length);
    let bytes = usize::try_from(length)
        .ok()
        .filter(|bytes| (REQUEST_BYTES_MIN..=bytes_max).contains(bytes))
        .ok_or(InvalidLength { length, bytes_max })?;
    if buffer.len() - LENGTH_BYTES < bytes {
        return Ok(None);
    }
    buffer.advance(LENGTH_BYTES);
    Ok(Some(buffer.split_to(bytes).freeze()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffer(length: i32, bytes: usize) -> BytesMut {
        let mut buffer = BytesMut::from(&length.to_be_bytes()[..]);
        buffer.resize(LENGTH_BYTES + bytes, 7);
        buffer
    }

    #[test]
    fn requests_are_taken_one_by_one_once_they_are_whole() {
        let mut two = buffer(8, 8);
        two.extend_from_slice(&buffer(9, 9));
        assert_eq!(next(&mut two, 100).unwrap().unwrap().len(), 8);
        assert_eq!(next(&mut two, 100).unwrap().unwrap().len(), 9);
        for bytes in 0..8 {
            assert_eq!(next(&mut buffer(8, bytes), 100), Ok(None));
        }
        assert_eq!(next(&mut BytesMut::from(&[0, 0, 0][..]), 100), Ok(None));
    }

    #[test]
    fn lengths_that_cannot_be_are_refused_before_anything_follows() {
        for length in [-1, i32::MIN, 0, 7, 101, i32::MAX] {
            assert!(next(&mut buffer(length, 0), 100).is_err(), "{length}");
        }
        assert_eq!(next(&mut buffer(100, 0), 100), Ok(None));
    }
}
