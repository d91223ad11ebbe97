//! Appends in memory, the floor of a broker embedded in its user's process.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use clap::Args;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::task::{JoinSet, yield_now};

use crate::{
    MIB, at_most, network,
    report::{Sample, rates},
};

const RECORD_BYTES: usize = 100;
const BATCHES_A_TURN: usize = 64;

/// A log that is overwritten from its start when it is full.
pub(crate) struct Ring {
    bytes: Box<[u8]>,
    end: usize,
    appends: u64,
}

impl Ring {
    /// All rings of one measurement together.
    pub(crate) const BYTES: usize = 64 * MIB;

    /// A ring whose pages have all been touched.
    pub(crate) fn new(bytes: usize) -> Self {
        Self {
            bytes: vec![1; bytes].into(),
            end: 0,
            appends: 0,
        }
    }

    /// Copies the CRC-32C of `record` and `record` in and returns the number of earlier appends.
    /// Panics when the two don't fit an empty ring.
    pub(crate) fn append(&mut self, record: &[u8]) -> u64 {
        let checksum = crc32c::crc32c(record).to_le_bytes();
        let length = checksum.len() + record.len();
        if self.end + length > self.bytes.len() {
            self.end = 0;
        }
        let (head, body) = self.bytes[self.end..self.end + length].split_at_mut(checksum.len());
        head.copy_from_slice(&checksum);
        body.copy_from_slice(record);
        self.end += length;
        self.appends += 1;
        self.appends - 1
    }
}

/// Records of 100 B appended by K tokio tasks that walk over T topics: the topic's mutex, one
/// CRC-32C and one copy of a batch of B into its resident ring (64 MiB for all topics together)
#[derive(Args, Clone, Copy, Serialize)]
pub(crate) struct InProcess {
    #[arg(long, default_value_t = 1, value_parser = at_most(10_000))]
    topics: usize,
    #[arg(long, default_value_t = 64, value_parser = at_most(10_000))]
    tasks: usize,
    #[arg(long, default_value_t = 16, value_parser = at_most(10_000))]
    batch: usize,
}

impl InProcess {
    /// An operation is a record.
    pub(crate) fn measure(self, duration: Duration) -> Result<Sample> {
        let ring_bytes = Ring::BYTES / self.topics;
        ensure!(
            2 * self.batch * RECORD_BYTES <= ring_bytes,
            "too large batches for so many topics"
        );
        let topics: Arc<[_]> = (0..self.topics)
            .map(|_| Mutex::new(Ring::new(ring_bytes)))
            .collect();
        network::runtime()?.block_on(async {
            let mut tasks = JoinSet::new();
            let start = Instant::now();
            for task in 0..self.tasks {
                let first = task * self.topics / self.tasks;
                tasks.spawn(self.publish(Arc::clone(&topics), first, start + duration));
            }
            let batches: u64 = tasks.join_all().await.into_iter().sum();
            Ok(rates(batches * self.batch as u64, RECORD_BYTES, start))
        })
    }

    async fn publish(self, topics: Arc<[Mutex<Ring>]>, first: usize, deadline: Instant) -> u64 {
        let batch = vec![7; self.batch * RECORD_BYTES];
        let mut walk = topics.iter().cycle().skip(first);
        let mut batches = 0;
        while Instant::now() < deadline {
            for topic in walk.by_ref().take(BATCHES_A_TURN) {
                topic.lock().append(&batch);
                batches += 1;
            }
            yield_now().await;
        }
        batches
    }
}
