//! Closing a connection so that what was sent last arrives.

use std::{io, time::Duration};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// How long a closed connection is still read from, so that the peer gets what was sent last: a
/// socket closed with unread bytes resets the connection, which throws away unread responses.
pub const CLOSE_LINGER: Duration = Duration::from_secs(1);

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
