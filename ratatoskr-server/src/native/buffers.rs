//! The bytes of a connection on their way in and out.
//!
//! Both are polled by the one task that owns the connection; neither ever waits on its own.

use std::{
    future::Future,
    io::{self, IoSlice},
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use ratatoskr_core::wire::{FrameQueue, Inbox};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

/// Slices handed to the operating system in one write.
const SLICES_PER_WRITE_MAX: usize = 64;
/// Bytes that are written on end before other tasks of the thread have their turn: a reader that
/// catches up always has more to write.
pub(super) const WRITTEN_ON_END_MAX: usize = 256 << 10;

/// Reads once; 0 means that the peer sends no more.
pub(super) fn poll_read<S: AsyncRead + Unpin>(
    inbox: &mut Inbox,
    stream: &mut S,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    // The future holds no state of its own, so it may be made anew for each poll.
    let read = ready!(pin!(stream.read_buf(inbox.room())).poll(cx))?;
    inbox.received(read);
    Poll::Ready(Ok(read))
}

/// Sends until nothing is left, the peer takes no more for now, or others should have their turn.
/// Ready with the bytes sent once all are, or some were.
pub(super) fn poll_write<S: AsyncWrite + Unpin>(
    queue: &mut FrameQueue,
    stream: &mut S,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    let mut sent = 0;
    while !queue.is_empty() && sent < WRITTEN_ON_END_MAX {
        let mut slices = [IoSlice::new(&[]); SLICES_PER_WRITE_MAX];
        let count = queue.fill(&mut slices, WRITTEN_ON_END_MAX - sent);
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
