//! Frames on their way in: what was read, and how much to read next.

use bytes::BytesMut;

use super::{Frame, FrameError};

/// Room made for a read at first, and once little comes at a time: connections that say little take
/// little memory.
const READ_BYTES_MIN: usize = 8 << 10;
/// Room made for a read where much comes at a time.
const READ_BYTES_MAX: usize = 256 << 10;

/// Bytes received and not yet taken as frames.
///
/// The room for each read follows what the last ones brought, since a read that is too small costs a
/// turn of the connection, and splits what could be handled together.
#[derive(Debug)]
pub struct Inbox {
    buffer: BytesMut,
    read_bytes: usize,
}

impl Default for Inbox {
    fn default() -> Self {
        Self {
            buffer: BytesMut::new(),
            read_bytes: READ_BYTES_MIN,
        }
    }
}

impl Inbox {
    /// Takes the next frame, if all of it is here.
    ///
    /// # Errors
    /// As [`Frame::decode`].
    pub fn next_frame(&mut self, bytes_max: usize) -> Result<Option<Frame>, FrameError> {
        Frame::decode(&mut self.buffer, bytes_max)
    }

    /// What is here, for a protocol with frames of its own.
    pub const fn bytes(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Whether nothing is here, not even part of a frame.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Where to read to; there is room in it. Tell what came with [`received`](Self::received).
    pub fn room(&mut self) -> &mut BytesMut {
        let room = self.buffer.capacity() - self.buffer.len();
        // To make room moves what is here, so a large frame gets its rest into what it has.
        let is_cheap = self.buffer.len() <= self.read_bytes / 4;
        if room == 0 || (is_cheap && room < self.read_bytes / 2) {
            self.buffer.reserve(self.read_bytes);
        }
        &mut self.buffer
    }

    /// A read brought so many bytes.
    pub fn received(&mut self, bytes: usize) {
        if bytes >= self.read_bytes / 2 {
            self.read_bytes = (self.read_bytes * 2).min(READ_BYTES_MAX);
        } else if bytes < self.read_bytes / 16 {
            self.read_bytes = (self.read_bytes / 2).max(READ_BYTES_MIN);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(inbox: &mut Inbox) -> usize {
        let room = inbox.room();
        room.capacity() - room.len()
    }

    #[test]
    fn room_follows_what_comes() {
        let mut inbox = Inbox::default();
        assert!(room(&mut inbox) >= READ_BYTES_MIN / 2);
        for _ in 0..10 {
            let bytes = room(&mut inbox);
            inbox.room().resize(bytes, 0);
            inbox.received(bytes);
            inbox.room().clear();
        }
        assert!(room(&mut inbox) >= READ_BYTES_MAX / 2);
        for _ in 0..10 {
            inbox.received(1);
        }
        assert_eq!(inbox.read_bytes, READ_BYTES_MIN);
    }

    #[test]
    fn a_read_never_finds_next_to_no_room() {
        let mut inbox = Inbox::default();
        for _ in 0..1_000 {
            assert!(room(&mut inbox) >= READ_BYTES_MIN / 2);
            inbox.room().extend_from_slice(&[0; 1_000]);
            inbox.received(1_000);
            // All but the beginning of another frame is taken.
            let whole = inbox.room().len() - 100;
            let _ = inbox.room().split_to(whole);
        }
    }
}
