//! A peer of the native door that neither allocates nor copies while it is measured: its requests
//! are encoded before, and of what it receives it looks at the frames' heads only.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use anyhow::{Context, Result, bail};
use bytes::BytesMut;
use ratatoskr_core::{
    Broker,
    wire::{self, Body, FRAME_HEADER_BYTES, HELLO_VERSION, Hello, Kind, VERSION_MAX},
};
use ratatoskr_server::native::{self, NativeLimits};
use tokio::{net::TcpListener, runtime::Handle};

/// More than is ever on its way at once.
const INBOX_BYTES: usize = 4 << 20;
/// Where a frame has its kind.
const KIND_AT: usize = 9;
/// Where it has the length of its body.
const BODY_LENGTH_AT: usize = 20;
/// Bytes of a frame's length, which it does not count.
const LENGTH_BYTES: usize = 4;

/// The native door of a broker on a port of its own: its address.
pub(super) async fn serve(broker: Broker, server: &Handle) -> Result<String> {
    let listener = server.spawn(TcpListener::bind("127.0.0.1:0")).await??;
    let address = listener.local_addr()?;
    let limits = NativeLimits::default();
    server.spawn(native::serve(
        listener,
        broker,
        limits,
        std::future::pending(),
    ));
    Ok(address.to_string())
}

/// A connection on which versions are agreed on.
pub(super) struct Peer {
    stream: TcpStream,
    inbox: Vec<u8>,
    at: usize,
    end: usize,
}

impl Peer {
    pub(super) fn connect(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let mut peer = Self {
            stream,
            inbox: vec![0; INBOX_BYTES],
            at: 0,
            end: 0,
        };
        let hello = Hello {
            version_min: VERSION_MAX,
            version_max: VERSION_MAX,
            client: "counters".into(),
        };
        let mut out = BytesMut::new();
        wire::encode(HELLO_VERSION, 0, &hello, 0, &mut out)?;
        peer.send(&out)?;
        peer.receive(1)?;
        Ok(peer)
    }

    /// Writes all of it at once.
    pub(super) fn send(&mut self, requests: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(requests)?)
    }

    /// Receives this many frames; the bytes of their record batches.
    pub(super) fn receive(&mut self, frames: usize) -> Result<usize> {
        let mut bytes = 0;
        for _ in 0..frames {
            bytes += self.receive_one()?;
        }
        if self.at == self.end {
            (self.at, self.end) = (0, 0);
        }
        Ok(bytes)
    }

    fn receive_one(&mut self) -> Result<usize> {
        loop {
            let received = &self.inbox[self.at..self.end];
            if received.len() >= FRAME_HEADER_BYTES {
                if received[KIND_AT] == Kind::Error.code() {
                    bail!("the server answers an error");
                }
                let total = LENGTH_BYTES + number(received)?;
                if received.len() >= total {
                    let body = number(&received[BODY_LENGTH_AT..])?;
                    self.at += total;
                    return Ok(total - FRAME_HEADER_BYTES - body);
                }
            }
            match self.stream.read(&mut self.inbox[self.end..])? {
                0 => bail!("the server closed the connection, or the inbox is full"),
                count => self.end += count,
            }
        }
    }
}

/// The number that these bytes begin with.
fn number(bytes: &[u8]) -> Result<usize> {
    let number = bytes.first_chunk().context("a number")?;
    Ok(u32::from_be_bytes(*number) as usize)
}

/// Appends a request to `out`, with a record batch behind it where there is one.
pub(super) fn request<B: Body>(
    out: &mut BytesMut,
    correlation: u64,
    body: &B,
    batch: &[u8],
) -> Result<()> {
    wire::encode(VERSION_MAX, correlation, body, batch.len(), out)?;
    out.extend_from_slice(batch);
    Ok(())
}
