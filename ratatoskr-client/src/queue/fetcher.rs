//! Takes records ahead, so that a worker need not wait for each.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use ratatoskr_core::{
    broker::{AcquireOptions, Acquired, AcquiredPartition},
    delivery::{SettleAction, Settlement},
};
use tokio::{
    sync::{Notify, mpsc},
    time::Instant,
};

use super::{door::Door, held::Held, leased::LeasedRecord, settler::Settler};
use crate::Error;

/// How long a request waits for the first record; then it is made anew.
const WAIT: Duration = Duration::from_secs(20);
/// Wait after the first failure; it doubles with each.
const BACKOFF_MIN: Duration = Duration::from_millis(50);
/// Longest wait after a failure.
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// How much lies ready.
#[derive(Debug, Default)]
pub(super) struct Room {
    ready: AtomicU32,
    taken: Notify,
}

impl Room {
    /// A record was handed out.
    pub(super) fn one_taken(&self) {
        self.ready.fetch_sub(1, Ordering::AcqRel);
        self.taken.notify_one();
    }

    /// Waits until half of `max` is free; answers how much is.
    async fn free(&self, max: u32) -> u32 {
        loop {
            let ready = self.ready.load(Ordering::Acquire);
            if ready <= max / 2 {
                return max - ready;
            }
            self.taken.notified().await;
        }
    }
}

#[derive(Debug)]
pub(super) struct Fetcher {
    pub(super) door: Arc<Door>,
    pub(super) settler: Settler,
    pub(super) held: Arc<Held>,
    pub(super) room: Arc<Room>,
    pub(super) items: mpsc::UnboundedSender<Result<LeasedRecord, Error>>,
    pub(super) prefetch_records: u32,
    pub(super) prefetch_bytes: u32,
    pub(super) lease: Option<Duration>,
}

impl Fetcher {
    /// Takes what is there, to see whether all is well.
    ///
    /// # Errors
    /// What is wrong.
    pub(super) async fn take_at_once(&mut self) -> Result<(), Error> {
        self.take(self.prefetch_records, Duration::ZERO).await
    }

    /// Takes records until there is an error that none can follow.
    pub(super) async fn run(mut self) {
        let mut backoff = BACKOFF_MIN;
        loop {
            let records = self.room.free(self.prefetch_records).await;
            match self.take(records, WAIT).await {
                Ok(()) => backoff = BACKOFF_MIN,
                Err(error) if self.door.goes_on_after(&error) => {
                    tracing::debug!(group = %self.door.group, %error, "records are taken again later");
                    tokio::time::sleep(backoff).await;
                    backoff = (backoff * 2).min(BACKOFF_MAX);
                }
                Err(error) => {
                    let _ = self.items.send(Err(error));
                    return;
                }
            }
        }
    }

    async fn take(&mut self, records_max: u32, wait: Duration) -> Result<(), Error> {
        let options = AcquireOptions {
            records_max,
            bytes_max: self.prefetch_bytes as usize,
            wait,
            lease: self.lease,
        };
        let acquired = self.door.acquire(&options).await?;
        self.hand_out(acquired);
        Ok(())
    }

    fn hand_out(&self, acquired: Acquired) {
        let ends = Instant::now() + acquired.lease;
        for partition in acquired.partitions {
            match partition.deliveries(&acquired.topic) {
                Ok(deliveries) => {
                    let offsets = deliveries.iter().map(|delivery| delivery.record.offset);
                    let (index, token) = (partition.partition, partition.token);
                    self.held.taken(index, token, acquired.lease, offsets);
                    let count = u32::try_from(deliveries.len()).unwrap_or(u32::MAX);
                    self.room.ready.fetch_add(count, Ordering::AcqRel);
                    for delivery in deliveries {
                        let record = LeasedRecord::new(delivery, ends, self.settler.clone());
                        let _ = self.items.send(Ok(record));
                    }
                }
                Err(error) => {
                    self.reject(&partition, &error);
                    let _ = self.items.send(Err(error.into()));
                }
            }
        }
    }

    /// What cannot be decoded here cannot be decoded by any other consumer.
    fn reject(&self, partition: &AcquiredPartition, error: &ratatoskr_core::Error) {
        for range in &partition.ranges {
            self.settler.tell(Settlement {
                partition: partition.partition,
                first: range.first,
                last: range.last,
                token: partition.token,
                action: SettleAction::Reject {
                    cause: format!("cannot be decoded: {error}"),
                },
            });
        }
    }
}
