//! Reading a request: Kafka's primitive types, bounded by the bytes that are there.
//!
//! Nothing is allocated by a number from the wire: strings and bytes are slices of the frame, and an
//! array grows as its elements are read. Each element takes a byte at least, and all arrays of a
//! request share one budget of elements.

use bytes::Bytes;

/// The request is not what its key and version say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    /// It ends too early.
    #[error("the request ends in the middle")]
    Truncated,
    /// A length or count that cannot be.
    #[error("a length of {0} cannot be")]
    InvalidLength(i64),
    /// A variable-length number of too many bytes.
    #[error("a number does not end")]
    InvalidVarint,
    /// Text that is not UTF-8.
    #[error("a text is not UTF-8")]
    NotUtf8,
    /// More elements than one request may have.
    #[error("the request has too many elements")]
    TooManyElements,
}

type Result<T> = std::result::Result<T, Malformed>;

/// What of a request is still to be read.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    frame: &'a Bytes,
    rest: &'a [u8],
    /// Whether lengths are compact and structures end with tagged fields (KIP-482).
    flexible: bool,
    elements_left: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(frame: &'a Bytes, elements_max: usize) -> Self {
        Self {
            frame,
            rest: frame,
            flexible: false,
            elements_left: elements_max,
        }
    }

    /// Reads the flexible encoding from here on, or the older one.
    pub(crate) const fn set_flexible(&mut self, flexible: bool) {
        self.flexible = flexible;
    }

    /// Elements that may still come.
    pub(crate) const fn elements_left(&self) -> usize {
        self.elements_left
    }

    pub(crate) const fn is_flexible(&self) -> bool {
        self.flexible
    }

    fn take(&mut self, bytes: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self
            .rest
            .split_at_checked(bytes)
            .ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(crate) fn i8(&mut self) -> Result<i8> {
        Ok(i8::from_be_bytes(self.fixed()?))
    }

    pub(crate) fn i16(&mut self) -> Result<i16> {
        Ok(i16::from_be_bytes(self.fixed()?))
    }

    pub(crate) fn i32(&mut self) -> Result<i32> {
        Ok(i32::from_be_bytes(self.fixed()?))
    }

    pub(crate) fn i64(&mut self) -> Result<i64> {
        Ok(i64::from_be_bytes(self.fixed()?))
    }

    pub(crate) fn bool(&mut self) -> Result<bool> {
        Ok(self.i8()? != 0)
    }

    pub(crate) fn uuid(&mut self) -> Result<[u8; 16]> {
        self.fixed()
    }

    fn unsigned_varint(&mut self) -> Result<u32> {
        let mut value = 0;
        for shift in (0..32).step_by(7) {
            let [byte] = self.fixed()?;
            let bits = u32::from(byte & 0x7f);
            if shift == 28 && bits > 0x0f {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed::InvalidVarint)
    }

    /// A length, `None` for null: compact, or of the older type that `older` reads.
    fn length(&mut self, older: impl FnOnce(&mut Self) -> Result<i32>) -> Result<Option<usize>> {
        if self.flexible {
            let length = self.unsigned_varint()?.checked_sub(1);
            return Ok(length.map(|length| length as usize));
        }
        match older(self)? {
            -1 => Ok(None),
            length => usize::try_from(length)
                .map(Some)
                .map_err(|_| Malformed::InvalidLength(length.into())),
        }
    }

    pub(crate) fn nullable_string(&mut self) -> Result<Option<&'a str>> {
        let Some(bytes) = self.length(|reader| Ok(reader.i16()?.into()))? else {
            return Ok(None);
        };
        let text = std::str::from_utf8(self.take(bytes)?).map_err(|_| Malformed::NotUtf8)?;
        Ok(Some(text))
    }

    pub(crate) fn string(&mut self) -> Result<&'a str> {
        self.nullable_string()?.ok_or(Malformed::InvalidLength(-1))
    }

    /// Bytes that may be null, as a slice of the frame.
    pub(crate) fn nullable_bytes(&mut self) -> Result<Option<Bytes>> {
        let Some(bytes) = self.length(Self::i32)? else {
            return Ok(None);
        };
        let taken = self.take(bytes)?;
        Ok(Some(self.frame.slice_ref(taken)))
    }

    /// An array that may be null, each element read by `element`.
    pub(crate) fn nullable_array<T>(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Option<Vec<T>>> {
        let Some(count) = self.length(Self::i32)? else {
            return Ok(None);
        };
        if count > self.rest.len() {
            return Err(Malformed::Truncated);
        }
        let left = self.elements_left.checked_sub(count);
        self.elements_left = left.ok_or(Malformed::TooManyElements)?;
        (0..count)
            .map(|_| element(self))
            .collect::<Result<_>>()
            .map(Some)
    }

    pub(crate) fn array<T>(
        &mut self,
        element: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        self.nullable_array(element)?
            .ok_or(Malformed::InvalidLength(-1))
    }

    /// The end of a structure: skips tagged fields, of which none is needed here.
    pub(crate) fn end_of_structure(&mut self) -> Result<()> {
        if !self.flexible {
            return Ok(());
        }
        for _ in 0..self.unsigned_varint()? {
            self.unsigned_varint()?;
            let bytes = self.unsigned_varint()?;
            self.take(bytes as usize)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T>(
        bytes: &[u8],
        flexible: bool,
        read: impl FnOnce(&mut Reader<'_>) -> Result<T>,
    ) -> Result<T> {
        let frame = Bytes::copy_from_slice(bytes);
        let mut reader = Reader::new(&frame, 10);
        reader.set_flexible(flexible);
        read(&mut reader)
    }

    #[test]
    fn texts_and_arrays_are_read_in_both_encodings() {
        let text = |reader: &mut Reader<'_>| Ok(reader.nullable_string()?.map(str::to_owned));
        assert_eq!(read(b"\0\x02hi", false, text), Ok(Some("hi".into())));
        assert_eq!(read(b"\xff\xff", false, text), Ok(None));
        assert_eq!(read(b"\x03hi", true, text), Ok(Some("hi".into())));
        assert_eq!(read(b"\0", true, text), Ok(None));
        let array = |reader: &mut Reader<'_>| reader.nullable_array(Reader::i8);
        assert_eq!(read(b"\0\0\0\x02ab", false, array), Ok(Some(vec![97, 98])));
        assert_eq!(read(b"\x03ab", true, array), Ok(Some(vec![97, 98])));
    }

    #[test]
    fn lengths_that_the_bytes_do_not_bear_out_are_refused() {
        let text = |reader: &mut Reader<'_>| reader.string().map(drop);
        let bytes = |reader: &mut Reader<'_>| reader.nullable_bytes().map(drop);
        let array = |reader: &mut Reader<'_>| reader.array(Reader::i8).map(drop);
        let tags = |reader: &mut Reader<'_>| reader.end_of_structure();
        for (flexible, input, expected) in [
            (false, &b"\x7f\xff"[..], Malformed::Truncated),
            (false, b"\xff\xfe", Malformed::InvalidLength(-2)),
            (true, b"\xff\xff\xff\xff\x0f", Malformed::Truncated),
            (true, b"\xff\xff\xff\xff\x1f", Malformed::InvalidVarint),
            (true, b"\x80\x80\x80\x80\x80\x80", Malformed::InvalidVarint),
            (true, b"\x03\xff\xff", Malformed::NotUtf8),
        ] {
            assert_eq!(read(input, flexible, text), Err(expected), "{input:x?}");
        }
        for read_it in [bytes, array] {
            let huge = read(b"\x7f\xff\xff\xff", false, read_it);
            assert_eq!(huge, Err(Malformed::Truncated));
            let negative = read(b"\x80\0\0\0", false, read_it);
            assert!(matches!(negative, Err(Malformed::InvalidLength(_))));
        }
        assert_eq!(
            read(b"\x0caaaaaaaaaaa", true, array),
            Err(Malformed::TooManyElements)
        );
        assert_eq!(
            read(b"\x01\x05\x7fab", true, tags),
            Err(Malformed::Truncated)
        );
        assert_eq!(read(b"\x01\x05\x02ab", true, tags), Ok(()));
    }
}
