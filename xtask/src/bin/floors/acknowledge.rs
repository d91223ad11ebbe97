//! Pipelined requests over loopback, the floor of a producer.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use bytes::{Buf, BytesMut};
use clap::Args;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use crate::{
    KIB, MIB, at_most,
    memory::Ring,
    network,
    report::{Sample, rates},
};

/// A sequence number on the connection and the number of earlier appends, both little-endian `u64`.
const ACK_BYTES: usize = 16;
/// Bounds one read and, where it holds a whole frame, one write.
const IO_BYTES: usize = 256 * KIB;
/// The acknowledgements in flight must fit the socket's buffers: a client does not read while it
/// writes.
const DEPTH_MAX: usize = 4_096;

/// Frames acknowledged: the server answers all complete frames of a read with one write of 16-byte
/// acknowledgements; a client keeps D frames in flight and checks the order of the acknowledgements;
/// all are tasks on one tokio runtime
#[derive(Args, Clone, Copy, Serialize)]
pub(crate) struct Acknowledge {
    /// Payload of a frame, which a big-endian u32 of its length precedes
    #[arg(long, default_value_t = 100, value_parser = at_most(16 * MIB))]
    bytes: usize,
    #[arg(long, default_value_t = 1, value_parser = at_most(1_000))]
    connections: usize,
    /// Frames in flight on each connection
    #[arg(long, default_value_t = 256, value_parser = at_most(DEPTH_MAX))]
    depth: usize,
}

impl Acknowledge {
    /// An operation is a frame; all clients append to one ring.
    pub(crate) fn measure(self, append: bool, duration: Duration) -> Result<Sample> {
        ensure!(
            self.bytes * self.connections <= 256 * MIB,
            "too many connections of large frames"
        );
        let ring = append.then(|| Arc::new(Mutex::new(Ring::new(Ring::BYTES))));
        network::runtime()?.block_on(async {
            let pairs = network::async_pairs(self.connections)?;
            let (mut servers, mut clients) = (JoinSet::new(), JoinSet::new());
            let start = Instant::now();
            for (client, server) in pairs {
                servers.spawn(self.serve(server, ring.clone()));
                clients.spawn(self.publish(client, start + duration));
            }
            let mut acknowledged = 0;
            while let Some(client) = clients.join_next().await {
                acknowledged += client??;
            }
            let sample = rates(acknowledged, self.bytes, start);
            servers
                .join_all()
                .await
                .into_iter()
                .collect::<io::Result<()>>()?;
            Ok(sample)
        })
    }

    /// Answers frames until the client hangs up.
    async fn serve(self, mut socket: TcpStream, ring: Option<Arc<Mutex<Ring>>>) -> io::Result<()> {
        let mut inbox = BytesMut::with_capacity(IO_BYTES.max(2 * self.bytes));
        let mut acks = Vec::new();
        let mut sequence = 0_u64;
        while socket.read_buf(&mut inbox).await? > 0 {
            let mut unread = &inbox[..];
            while let Some((frame, rest)) = split_frame(unread) {
                let appends = ring.as_ref().map_or(0, |ring| ring.lock().append(frame));
                acks.extend_from_slice(&sequence.to_le_bytes());
                acks.extend_from_slice(&appends.to_le_bytes());
                sequence += 1;
                unread = rest;
            }
            inbox.advance(inbox.len() - unread.len());
            inbox.reserve(IO_BYTES);
            socket.write_all(&acks).await?;
            acks.clear();
        }
        Ok(())
    }

    /// Keeps `depth` frames in flight until `deadline`, then waits for the rest; returns their count.
    async fn publish(self, mut socket: TcpStream, deadline: Instant) -> Result<u64> {
        let mut frame = u32::try_from(self.bytes)?.to_be_bytes().to_vec();
        frame.resize(frame.len() + self.bytes, 7);
        let frames_a_write = (IO_BYTES / frame.len()).clamp(1, self.depth);
        let frames = frame.repeat(frames_a_write);
        let mut inbox = BytesMut::with_capacity(IO_BYTES);
        let (mut window, mut sent, mut acknowledged) = (self.depth, 0, 0_u64);
        loop {
            while window > 0 {
                let count = window.min(frames_a_write);
                socket.write_all(&frames[..count * frame.len()]).await?;
                sent += count as u64;
                window -= count;
            }
            if acknowledged == sent {
                return Ok(acknowledged);
            }
            ensure!(socket.read_buf(&mut inbox).await? > 0, "the server hung up");
            let count = inbox.len() / ACK_BYTES;
            for ack in inbox.chunks_exact(ACK_BYTES) {
                ensure!(
                    ack.starts_with(&acknowledged.to_le_bytes()),
                    "acknowledged out of order"
                );
                acknowledged += 1;
            }
            inbox.advance(count * ACK_BYTES);
            inbox.reserve(IO_BYTES);
            window = if Instant::now() < deadline { count } else { 0 };
        }
    }
}

fn split_frame(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(u32::from_be_bytes(*length) as usize)
}
