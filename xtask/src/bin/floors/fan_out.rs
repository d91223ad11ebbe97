//! One record to many sockets, the floor of a subscription.

use std::{
    io,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::Serialize;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::sleep_until,
};

use crate::{
    at_most, network,
    report::{Latencies, Sample},
};

/// The moment a record was due, in nanoseconds since the start, little-endian.
const HEAD_BYTES: usize = 8;

/// Records of N bytes, due at a fixed rate, each written to C loopback connections in turn by one
/// task; latency is from when a record was due until one client has read all of it; all are tasks on
/// one tokio runtime
#[derive(Args, Clone, Copy, Serialize)]
pub(crate) struct FanOut {
    #[arg(long, default_value_t = 100, value_parser = at_most(64 << 10))]
    bytes: usize,
    #[arg(long, default_value_t = 100, value_parser = at_most(10_000))]
    connections: usize,
    /// Records a second
    #[arg(long, default_value_t = 50, value_parser = at_most(1_000_000))]
    rate: usize,
}

impl FanOut {
    pub(crate) fn measure(self, duration: Duration) -> Result<Sample> {
        ensure!(self.bytes >= HEAD_BYTES, "a record has at least 8 bytes");
        network::runtime()?.block_on(async {
            let pairs = network::async_pairs(self.connections)
                .context("opening connections: does the limit of open files suffice?")?;
            let mut sockets = Vec::with_capacity(pairs.len());
            let mut clients = JoinSet::new();
            let start = Instant::now();
            for (client, server) in pairs {
                sockets.push(server);
                clients.spawn(self.read(client, start));
            }
            self.publish(sockets, start, duration).await?;
            let mut latencies = Latencies::new()?;
            while let Some(client) = clients.join_next().await {
                latencies.0.add(&client??.0)?;
            }
            let per_second = latencies.0.len() as f64 / start.elapsed().as_secs_f64();
            let mut sample = vec![("ops_per_s", per_second)];
            sample.extend(latencies.figures());
            Ok(sample)
        })
    }

    /// Hangs up when all that was due in `duration` is written.
    async fn publish(
        self,
        mut sockets: Vec<TcpStream>,
        start: Instant,
        duration: Duration,
    ) -> Result<()> {
        let mut frame = vec![7; self.bytes];
        for number in 0.. {
            let due = Duration::from_secs_f64(f64::from(number) / self.rate as f64);
            if due >= duration {
                break;
            }
            sleep_until((start + due).into()).await;
            frame[..HEAD_BYTES].copy_from_slice(&u64::try_from(due.as_nanos())?.to_le_bytes());
            for socket in &mut sockets {
                socket.write_all(&frame).await?;
            }
        }
        Ok(())
    }

    /// Reads until the server hangs up.
    async fn read(self, mut socket: TcpStream, start: Instant) -> Result<Latencies> {
        let mut frame = vec![0; self.bytes];
        let mut latencies = Latencies::new()?;
        loop {
            match socket.read_exact(&mut frame).await {
                Ok(_) => {}
                Err(end) if end.kind() == io::ErrorKind::UnexpectedEof => return Ok(latencies),
                Err(error) => return Err(error.into()),
            }
            let due = frame
                .first_chunk()
                .map_or(0, |due| u64::from_le_bytes(*due));
            latencies.record(start + Duration::from_nanos(due))?;
        }
    }
}
