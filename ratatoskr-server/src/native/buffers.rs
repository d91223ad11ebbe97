//! The bytes of a connection on their way in and out.
//!
//! Both are polled by the one task that owns the connection; neither ever waits on its own.

use std::{
    collections::VecDeque,
    future::Future,
    io::{self, IoSlice},
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use ratatoskr_core::wire::{Frame, FrameError};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

/// Room made for each read; a larger frame makes room for itself.
const READ_BYTES: usize = 64 << 10;
/// Slices handed to the operating system in one write.
const SLICES_PER_WRITE_MAX: usize = 64;

/// Bytes received and not yet taken as frames.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    buffer: BytesMut,
}

impl Inbox {
    /// Takes the next frame, if all of it is here.
    ///
    /// # Errors
    /// As [`Frame::decode`].
    pub(super) fn next_frame(&mut self, bytes_max: usize) -> Result<Option<Frame>, FrameError> {
        Frame::decode(&mut self.buffer, bytes_max)
    }

    /// Whether a frame has begun that is not whole.
    pub(super) fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Reads once; 0 means that the peer sends no more.
    pub(super) fn poll_read<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.buffer.capacity() == self.buffer.len() {
            self.buffer.reserve(READ_BYTES);
        }
        // The future holds no state of its own, so it may be made anew for each poll.
        pin!(stream.read_buf(&mut self.buffer)).poll(cx)
    }
}

/// Bytes to be sent, in order.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Whole pieces before `tail`.
    sealed: VecDeque<Bytes>,
    /// Where frames are written to; comes after `sealed`.
    tail: BytesMut,
    sealed_bytes: usize,
}

impl Outbox {
    /// Where the next frame is to be written.
    pub(super) const fn tail(&mut self) -> &mut BytesMut {
        &mut self.tail
    }

    /// Appends slices without looking at them: they may be of a memory map.
    pub(super) fn push(&mut self, slices: Vec<Bytes>) {
        self.seal();
        for slice in slices {
            self.sealed_bytes += slice.len();
            self.sealed.push_back(slice);
        }
    }

    /// Bytes not yet sent.
    pub(super) fn len(&self) -> usize {
        self.sealed_bytes + self.tail.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn seal(&mut self) {
        if !self.tail.is_empty() {
            let tail = self.tail.split().freeze();
            self.sealed_bytes += tail.len();
            self.sealed.push_back(tail);
        }
    }

    /// Sends until nothing is left or the peer takes no more for now. Ready with the bytes sent once
    /// all are, or some were.
    pub(super) fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        self.seal();
        let mut sent = 0;
        while !self.sealed.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES_PER_WRITE_MAX];
            let mut count = 0;
            for (slice, piece) in slices.iter_mut().zip(&self.sealed) {
                *slice = IoSlice::new(piece);
                count += 1;
            }
            let written = match Pin::new(&mut *stream).poll_write_vectored(cx, &slices[..count]) {
                Poll::Pending if sent > 0 => return Poll::Ready(Ok(sent)),
                written => ready!(written)?,
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(written);
            sent += written;
        }
        Poll::Ready(Ok(sent))
    }

    fn advance(&mut self, mut written: usize) {
        self.sealed_bytes -= written;
        while let Some(front) = self.sealed.front_mut() {
            if written < front.len() {
                front.advance(written);
                return;
            }
            written -= front.len();
            self.sealed.pop_front();
        }
    }
}
