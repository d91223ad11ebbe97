//! A proxy that cuts its connections in the middle of frames.

use std::{net::SocketAddr, ops::Range};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// Forwards to a server. Dropping it cuts everything.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Each connection is cut once so many bytes, chosen at random within `range` by this seed, have
    /// gone one way or the other.
    pub(crate) async fn cutting(to: SocketAddr, range: Range<usize>, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut random = fastrand::Rng::with_seed(seed);
        let task = tokio::spawn(async move {
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                let up = random.usize(range.clone());
                let down = random.usize(range.clone());
                tokio::spawn(async move {
                    let Ok(mut server) = TcpStream::connect(to).await else {
                        return;
                    };
                    client.set_nodelay(true).unwrap();
                    server.set_nodelay(true).unwrap();
                    let (from_client, to_client) = client.split();
                    let (from_server, to_server) = server.split();
                    tokio::select! {
                        () = forward(from_client, to_server, up) => {}
                        () = forward(from_server, to_client, down) => {}
                    }
                });
            }
        });
        Self { address, task }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Forwards this many bytes, and not one more.
async fn forward(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, bytes: usize) {
    let mut left = bytes;
    let mut buffer = [0; 1_024];
    while left > 0 {
        let room = left.min(buffer.len());
        match from.read(&mut buffer[..room]).await {
            Ok(0) | Err(_) => return,
            Ok(read) => {
                left -= read;
                if to.write_all(&buffer[..read]).await.is_err() {
                    return;
                }
            }
        }
    }
}
