//! The bytes of a connection on their way in and out.
//!
//! Both are polled by the one task that owns the connection; neither ever waits on its own.

use std::{
    future::Future,
    io::{self, IoSlice},
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use bytes::BytesMut;
use ratatoskr_core::wire::{Frame, FrameError, FrameQueue};
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

/// Sends until nothing is left or the peer takes no more for now. Ready with the bytes sent once
/// all are, or some were.
pub(super) fn poll_write<S: AsyncWrite + Unpin>(
    queue: &mut FrameQueue,
    stream: &mut S,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    let mut sent = 0;
    while !queue.is_empty() {
        let mut slices = [IoSlice::new(&[]); SLICES_PER_WRITE_MAX];
        let count = queue.fill(&mut slices);
        let written = match Pin::new(&mut *stream).poll_write_vectored(cx, &slices[..count]) {
            Poll::Pending if sent > 0 => return Poll::Ready(Ok(sent)),
            written => ready!(written)?,
        };
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        queue.advance(written);
        sent += written;
    }
    Poll::Ready(Ok(sent))
}
