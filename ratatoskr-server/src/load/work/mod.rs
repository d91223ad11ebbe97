//! Working a queue off: records are taken under leases and acknowledged, by whatever broker.
//!
//! ```text
//! Worker (yours)   takes, acknowledges
//!   │
//!   ├─ work_off    closed loop: batch after batch, some acknowledgements on their way
//!   └─ OneByOne    open loop, a Sink for `drive`: each record by itself, when it is due
//!         │
//!       Stock      what there is to take: who is handed a record twice is found out
//! ```

mod one_by_one;
mod stock;

use std::{
    fmt::Display,
    future::Future,
    ops::Range,
    pin::pin,
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};

pub use one_by_one::{BATCHES_AHEAD, OneByOne};
pub use stock::Stock;

use super::Latencies;

/// A consumer of a queue.
pub trait Worker: Send + Sync + 'static {
    /// What the broker must be told of records that were taken.
    type Handles: Send + 'static;
    /// Why it cannot go on.
    type Error: Display + Send + 'static;

    /// Takes up to `records_max` records that nobody else holds. None where none came for a while.
    ///
    /// # Errors
    /// What the broker answers, or a record that is not what was sent.
    fn take(
        &self,
        records_max: u32,
    ) -> impl Future<Output = Result<Taken<Self::Handles>, Self::Error>> + Send;

    /// Says that all of them are done, and waits until that is as lasting as the broker makes it.
    ///
    /// # Errors
    /// What the broker answers.
    fn acknowledge(
        &self,
        handles: Self::Handles,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static;

    /// The same for each record by itself.
    fn one_by_one(handles: Self::Handles) -> Vec<Self::Handles>;
}

/// Records that were taken together.
#[derive(Clone, Debug)]
pub struct Taken<H> {
    /// The numbers of the records, from 0, among all that there are to take.
    pub numbers: Vec<Range<u64>>,
    /// Bytes that came with them.
    pub bytes: u64,
    /// What acknowledges them.
    pub handles: H,
}

/// What one consumer did, or several of them.
#[derive(Clone, Debug, Default)]
pub struct Worked {
    /// Records that were taken.
    pub taken: u64,
    /// Bytes that came with them.
    pub bytes: u64,
    /// Records that were acknowledged.
    pub acknowledged: u64,
    /// From when an acknowledgement was sent to its answer.
    pub latencies: Latencies,
    /// When the last one was answered. Who then waits for more that never comes is not measured.
    pub ended: Option<Instant>,
}

impl<H> Taken<H> {
    /// How many there are.
    pub fn records(&self) -> u64 {
        let lengths = self.numbers.iter().map(|range| range.end - range.start);
        lengths.sum()
    }
}

impl Worked {
    /// From `start` to the last answer.
    pub fn took(&self, start: Instant) -> Duration {
        let ended = self.ended.unwrap_or(start);
        ended.saturating_duration_since(start)
    }

    /// Counts what another one did.
    pub fn add(&mut self, other: &Self) {
        self.taken += other.taken;
        self.bytes += other.bytes;
        self.acknowledged += other.acknowledged;
        self.latencies.add(&other.latencies);
        self.ended = self.ended.max(other.ended);
    }
}

/// Takes `batch` records at a time and acknowledges them together, with up to `depth`
/// acknowledgements on their way, until everybody together has acknowledged all of the stock.
/// `progress` is told how many records each acknowledgement was about.
///
/// # Errors
/// What the broker answered first that was no success.
///
/// # Cancel safety
/// Dropping the future leaves records held.
pub async fn work_off<W: Worker>(
    consumer: &W,
    stock: &Stock,
    batch: u32,
    depth: usize,
    progress: impl Fn(u64) + Send,
) -> Result<Worked, W::Error> {
    let mut worked = Worked::default();
    let mut on_their_way = FuturesUnordered::new();
    let note = |worked: &mut Worked, (records, took, answer): (u64, Duration, Result<_, _>)| {
        answer?;
        worked.acknowledged += records;
        worked.latencies.record(took);
        worked.ended = Some(Instant::now());
        stock.acknowledged(records);
        progress(records);
        Ok(())
    };
    while stock.left() > 0 {
        if on_their_way.len() >= depth
            && let Some(answered) = on_their_way.next().await
        {
            note(&mut worked, answered)?;
            continue;
        }
        let mut take = pin!(consumer.take(batch));
        let taken = loop {
            tokio::select! {
                taken = &mut take => break taken?,
                Some(answered) = on_their_way.next(), if !on_their_way.is_empty() => {
                    note(&mut worked, answered)?;
                }
            }
        };
        let records = taken.records();
        if records > 0 {
            stock.take(&taken.numbers);
            worked.taken += records;
            worked.bytes += taken.bytes;
            on_their_way.push(timed(records, consumer.acknowledge(taken.handles)));
        }
    }
    while let Some(answered) = on_their_way.next().await {
        note(&mut worked, answered)?;
    }
    Ok(worked)
}

async fn timed<E>(
    records: u64,
    acknowledging: impl Future<Output = Result<(), E>>,
) -> (u64, Duration, Result<(), E>) {
    let begun = Instant::now();
    let answer = acknowledging.await;
    (records, begun.elapsed(), answer)
}

#[cfg(test)]
mod tests;
