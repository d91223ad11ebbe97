//! Writing a response: Kafka's primitive types, with record slices set in where they belong.

use bytes::{BufMut, Bytes, BytesMut};
use ratatoskr_core::{storage::BatchSlices, wire::FrameQueue};

use crate::error_code::ErrorCode;

/// A response. What is small is written into one buffer; records stay the slices of the log that they
/// are, and go to the socket from there.
#[derive(Debug)]
pub(crate) struct Reply {
    head: BytesMut,
    /// Slices, each with the place in `head` before which it goes.
    inserted: Vec<(usize, Bytes)>,
    flexible: bool,
}

impl Reply {
    /// A response to the request of this correlation id.
    pub(crate) fn new(correlation: i32, flexible_header: bool, flexible: bool) -> Self {
        let mut reply = Self {
            head: BytesMut::with_capacity(64),
            inserted: Vec::new(),
            flexible,
        };
        reply.i32(correlation);
        if flexible_header {
            reply.i8(0);
        }
        reply
    }

    /// Bytes of the response, its length field left out.
    pub(crate) fn len(&self) -> usize {
        let inserted: usize = self.inserted.iter().map(|(_, slice)| slice.len()).sum();
        self.head.len() + inserted
    }

    /// Appends the response, with its length, to what is to be sent.
    pub(crate) fn send(self, out: &mut FrameQueue) {
        // A response is bounded by what fetch may answer, far below 2 GiB.
        let length = i32::try_from(self.len()).unwrap_or(i32::MAX);
        out.tail().put_i32(length);
        let mut from = 0;
        for (at, slice) in self.inserted {
            out.tail().extend_from_slice(&self.head[from..at]);
            out.push(slice);
            from = at;
        }
        out.tail().extend_from_slice(&self.head[from..]);
    }

    pub(crate) fn i8(&mut self, value: i8) {
        self.head.put_i8(value);
    }

    pub(crate) fn i16(&mut self, value: i16) {
        self.head.put_i16(value);
    }

    pub(crate) fn i32(&mut self, value: i32) {
        self.head.put_i32(value);
    }

    pub(crate) fn i64(&mut self, value: i64) {
        self.head.put_i64(value);
    }

    pub(crate) fn bool(&mut self, value: bool) {
        self.head.put_u8(value.into());
    }

    pub(crate) fn uuid(&mut self, value: &[u8; 16]) {
        self.head.put_slice(value);
    }

    pub(crate) fn error(&mut self, code: ErrorCode) {
        self.i16(code.number());
    }

    /// No answer waits to slow its client down, so this is always 0.
    pub(crate) fn throttle_time(&mut self) {
        self.i32(0);
    }

    fn unsigned_varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.head.put_u8((value & 0x7f | 0x80).to_le_bytes()[0]);
            value >>= 7;
        }
        self.head.put_u8(value.to_le_bytes()[0]);
    }

    fn compact_length(&mut self, length: Option<usize>) {
        let length = length.map_or(0, |length| length.saturating_add(1));
        self.unsigned_varint(u32::try_from(length).unwrap_or(u32::MAX));
    }

    fn length(&mut self, length: Option<usize>) {
        if self.flexible {
            self.compact_length(length);
        } else {
            let length = length.map_or(-1, |length| i32::try_from(length).unwrap_or(i32::MAX));
            self.i32(length);
        }
    }

    /// Text that may be null, cut where the older encoding takes no more.
    pub(crate) fn nullable_string(&mut self, text: Option<&str>) {
        const OLDER_BYTES_MAX: usize = i16::MAX as usize;
        if self.flexible {
            self.compact_length(text.map(str::len));
            self.head.put_slice(text.unwrap_or_default().as_bytes());
            return;
        }
        let Some(text) = text else {
            return self.i16(-1);
        };
        let text = &text.as_bytes()[..text.floor_char_boundary(OLDER_BYTES_MAX)];
        self.i16(i16::try_from(text.len()).unwrap_or(i16::MAX));
        self.head.put_slice(text);
    }

    pub(crate) fn string(&mut self, text: &str) {
        self.nullable_string(Some(text));
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.length(Some(bytes.len()));
        self.head.put_slice(bytes);
    }

    /// An array, each element written by `element`.
    pub(crate) fn array<T>(
        &mut self,
        elements: impl IntoIterator<Item = T, IntoIter: ExactSizeIterator>,
        mut element: impl FnMut(&mut Self, T),
    ) {
        let elements = elements.into_iter();
        self.length(Some(elements.len()));
        for value in elements {
            element(self, value);
        }
    }

    /// A structure of the flexible encoding that may be null.
    pub(crate) fn nullable_structure<T>(
        &mut self,
        structure: Option<T>,
        write: impl FnOnce(&mut Self, T),
    ) {
        match structure {
            None => self.i8(-1),
            Some(structure) => {
                self.i8(1);
                write(self, structure);
            }
        }
    }

    pub(crate) fn null_array(&mut self) {
        self.length(None);
    }

    /// Records, as the slices that they are.
    pub(crate) fn records(&mut self, batches: BatchSlices) {
        self.length(Some(batches.len()));
        let at = self.head.len();
        let slices = batches.into_slices().into_iter();
        self.inserted.extend(slices.map(|slice| (at, slice)));
    }

    /// The end of a structure with these tagged fields, of which each has its number and its bytes.
    pub(crate) fn tagged_fields(&mut self, fields: &[(u32, &[u8])]) {
        if !self.flexible {
            return;
        }
        self.unsigned_varint(u32::try_from(fields.len()).unwrap_or(u32::MAX));
        for (number, bytes) in fields {
            self.unsigned_varint(*number);
            self.unsigned_varint(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
            self.head.put_slice(bytes);
        }
    }

    /// The end of a structure: no tagged fields.
    pub(crate) fn end_of_structure(&mut self) {
        if self.flexible {
            self.i8(0);
        }
    }
}
