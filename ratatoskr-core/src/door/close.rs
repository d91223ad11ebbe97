//! Closing a connection so that what was sent last arrives.

use std::{future::poll_fn, io, time::Duration};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::poll_write;
use crate::wire::FrameQueue;

/// How long a closed connection is still read from, so that the peer gets what was sent last: a
/// socket closed with unread bytes resets the connection, which throws away unread responses.
const CLOSE_LINGER: Duration = Duration::from_secs(1);

/// Sends what is still to be sent, as far as the peer takes it in time, and closes.
///
/// # Errors
/// Those of the stream.
///
/// # Cancel safety
/// Dropping the future leaves the connection for its owner to drop.
pub async fn flush_and_close<S: AsyncRead + AsyncWrite + Unpin>(
    queue: &mut FrameQueue,
    stream: &mut S,
) -> io::Result<()> {
    let flushing = async {
        while !queue.is_empty() {
            poll_fn(|cx| poll_write(queue, stream, cx)).await?;
        }
        io::Result::Ok(())
    };
    tokio::time::timeout(CLOSE_LINGER, flushing)
        .await
        .unwrap_or(Ok(()))?;
    close(stream).await
}

/// Closes a connection in such a way that the peer gets what was sent last.
///
/// # Errors
/// Those of the stream.
pub async fn close<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> io::Result<()> {
    let closing = async {
        stream.shutdown().await?;
        let mut discarded = [0; 4 << 10];
        while stream.read(&mut discarded).await? > 0 {}
        io::Result::Ok(())
    };
    tokio::time::timeout(CLOSE_LINGER, closing)
        .await
        .unwrap_or(Ok(()))
}
