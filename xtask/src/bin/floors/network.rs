//! Loopback connections: one request at a time, and a stream of bytes.

use std::{
    convert::Infallible,
    io::{self, ErrorKind, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, ensure};
use clap::Args;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde::Serialize;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    runtime::{Builder, Runtime},
};

use crate::{
    KIB, MIB, at_most,
    report::{Latencies, Sample, rates},
};

const TAIL_BYTES: usize = 64 * MIB;
const TAIL_READ_BYTES: usize = 256 * KIB;

/// The runtime that the tasks of a client and a server share: one thread per available CPU.
pub(crate) fn runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread().enable_all().build()
}

/// Client and server end of a new loopback connection, without Nagle's delay.
fn pair() -> io::Result<(TcpStream, TcpStream)> {
    pair_over(&TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?)
}

fn pair_over(listener: &TcpListener) -> io::Result<(TcpStream, TcpStream)> {
    let client = TcpStream::connect(listener.local_addr()?)?;
    let (server, _) = listener.accept()?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    Ok((client, server))
}

/// As many as [`pair`] makes one, for tasks of the runtime that this is called in. All are made over one
/// listener: thousands of listeners would want as many ports, of which few may be free.
pub(crate) fn async_pairs(
    count: usize,
) -> io::Result<Vec<(tokio::net::TcpStream, tokio::net::TcpStream)>> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let pairs = (0..count).map(|_| {
        let (client, server) = pair_over(&listener)?;
        client.set_nonblocking(true)?;
        server.set_nonblocking(true)?;
        Ok((client.try_into()?, server.try_into()?))
    });
    pairs.collect()
}

/// Blocking ping-pong of N bytes over loopback between two pinned threads, on the same core and on
/// two; timed from before the write until the whole answer has been read
#[derive(Args, Clone, Copy, Serialize)]
pub(crate) struct RoundTrip {
    #[arg(long, default_value_t = 128, value_parser = at_most(MIB))]
    bytes: usize,
    #[arg(skip)]
    cores: usize,
    #[arg(skip)]
    #[serde(skip)]
    cpus: [usize; 2],
}

impl RoundTrip {
    /// The same on the first CPU this process may use and, where there are two, on the first two.
    pub(crate) fn placements(self) -> Result<Vec<Self>> {
        let allowed = sched_getaffinity(None)?;
        let cpus: Vec<_> = (0..CpuSet::MAX_CPU)
            .filter(|cpu| allowed.is_set(*cpu))
            .collect();
        let placements = cpus.iter().take(2).enumerate();
        Ok(placements
            .map(|(index, cpu)| Self {
                cores: index + 1,
                cpus: [cpus[0], *cpu],
                ..self
            })
            .collect())
    }

    pub(crate) fn measure(self, duration: Duration) -> Result<Sample> {
        let (client, server) = pair()?;
        thread::scope(|scope| {
            let server = scope.spawn(move || self.answer(server));
            let client = scope.spawn(move || self.ask(client, duration));
            let sample = client.join().map_err(|_| anyhow!("the client panicked"))?;
            server
                .join()
                .map_err(|_| anyhow!("the server panicked"))??;
            sample
        })
    }

    fn ask(self, mut socket: TcpStream, duration: Duration) -> Result<Sample> {
        pin(self.cpus[0])?;
        let mut message = vec![7; self.bytes];
        let mut latencies = Latencies::new()?;
        let deadline = Instant::now() + duration;
        while Instant::now() < deadline {
            let start = Instant::now();
            socket.write_all(&message)?;
            socket.read_exact(&mut message)?;
            latencies.record(start)?;
        }
        Ok(latencies.figures())
    }

    fn answer(self, mut socket: TcpStream) -> Result<()> {
        pin(self.cpus[1])?;
        let mut message = vec![0; self.bytes];
        loop {
            match socket.read_exact(&mut message) {
                Ok(()) => socket.write_all(&message)?,
                Err(end) if end.kind() == ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn pin(cpu: usize) -> Result<()> {
    let mut cpus = CpuSet::new();
    cpus.set(cpu);
    sched_setaffinity(None, &cpus).context("pinning a thread")
}

/// One loopback connection: the server writes chunks of N bytes from 64 MiB of resident memory, the
/// client reads 256 KiB at a time and discards; two tasks on one tokio runtime
#[derive(Args, Clone, Copy, Serialize)]
pub(crate) struct Tail {
    #[arg(long, default_value_t = 65_536, value_parser = at_most(TAIL_BYTES))]
    chunk: usize,
}

impl Tail {
    pub(crate) fn measure(self, duration: Duration) -> Result<Sample> {
        let log = vec![7; TAIL_BYTES];
        runtime()?.block_on(async {
            let pair = async_pairs(1)?.pop();
            let (client, server) = pair.context("one pair was asked for")?;
            let server = tokio::spawn(self.serve(server, log));
            let sample = tokio::spawn(discard(client, duration)).await?;
            server.abort();
            sample
        })
    }

    /// Writes until it is aborted or the client hangs up.
    async fn serve(
        self,
        mut socket: tokio::net::TcpStream,
        log: Vec<u8>,
    ) -> io::Result<Infallible> {
        loop {
            for chunk in log.chunks(self.chunk) {
                socket.write_all(chunk).await?;
            }
        }
    }
}

async fn discard(mut socket: tokio::net::TcpStream, duration: Duration) -> Result<Sample> {
    let mut buffer = vec![0; TAIL_READ_BYTES];
    let mut bytes = 0;
    let start = Instant::now();
    while start.elapsed() < duration {
        let count = socket.read(&mut buffer).await?;
        ensure!(count > 0, "the server hung up");
        bytes += count as u64;
    }
    Ok(rates(bytes, 1, start).split_off(1))
}
