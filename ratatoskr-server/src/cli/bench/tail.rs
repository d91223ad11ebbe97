//! Consumers that hear of records as they are produced.
//!
//! A record names its producer and its number, and an open loop fixes when each is due: so who
//! receives a record knows since when it counts, without a clock in it.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    time::{Duration, Instant},
};

use futures_util::Stream as _;
use ratatoskr_client::{Consumer, Error};
use ratatoskr_core::{record::ConsumedRecord, sync::Mutex};
use ratatoskr_server::load::{Label, Latencies, Plan, Schedule, Tally, Verifier};
use tokio::{sync::watch, task::JoinSet};

use super::verdict;
use crate::cli::{connection, exit::Outcome};

/// Records that are looked at with one look at the clock, at most.
const BURST_MAX: usize = 256;
/// Histograms, so that consumers seldom wait for each other.
const SHARDS: usize = 8;
/// How often it is looked whether all has come.
const LOOKS_EVERY: Duration = Duration::from_millis(1);

/// What all consumers of a run share.
pub(super) struct Tails {
    run: u64,
    records_per_send: u64,
    /// When each producer's sends are due; set when the load begins.
    plans: OnceLock<Vec<(Plan, Option<Schedule>)>>,
    /// Records of this run that have come, over all consumers.
    delivered: AtomicU64,
    latencies: Vec<Mutex<Latencies>>,
    /// Of each send of the first producer: the longest that a consumer had to wait for it.
    slowest_ns: Vec<AtomicU64>,
}

/// What the consumers of a run saw.
pub(super) struct Seen {
    /// Deliveries behind the warm-up.
    pub(super) deliveries: u64,
    /// Bytes of their values.
    pub(super) bytes: u64,
    /// From when each was due to when a consumer had it (open loop).
    pub(super) latencies: Latencies,
    /// From when each was due to when the last consumer had it (open loop, one producer).
    pub(super) to_the_last: Latencies,
    /// When the last one came.
    pub(super) to: Instant,
    pub(super) verifier: Verifier,
    /// Deliveries that never came.
    pub(super) missing: u64,
}

/// What one consumer saw.
struct One {
    number: usize,
    received: u64,
    measured: u64,
    bytes: u64,
    last: Option<Instant>,
    verifier: Verifier,
}

impl Tails {
    /// For consumers of the records of this run; `sends` of the first producer are followed to the
    /// last consumer.
    pub(super) fn new(run: u64, records_per_send: u64, sends: usize) -> Arc<Self> {
        Arc::new(Self {
            run,
            records_per_send,
            plans: OnceLock::new(),
            delivered: AtomicU64::new(0),
            latencies: (0..SHARDS).map(|_| Mutex::default()).collect(),
            slowest_ns: (0..sends).map(|_| AtomicU64::new(0)).collect(),
        })
    }

    /// The load begins, by these plans.
    pub(super) fn begin(&self, plans: impl IntoIterator<Item = Plan>) {
        let plans = plans.into_iter().map(|plan| (plan, plan.schedule()));
        // Nobody calls it twice.
        let _ = self.plans.set(plans.collect());
    }

    /// Waits until `records` deliveries have come, or none has for `patience`.
    async fn all_delivered(&self, records: u64, patience: Duration) {
        let mut seen = 0;
        let mut since = Instant::now();
        loop {
            let delivered = self.delivered.load(Ordering::Relaxed);
            if delivered >= records {
                return;
            }
            if delivered > seen {
                (seen, since) = (delivered, Instant::now());
            } else if since.elapsed() > patience {
                return;
            }
            tokio::time::sleep(LOOKS_EVERY).await;
        }
    }

    /// Since when a record counts; `None` in a closed loop and in the warm-up.
    fn due(&self, label: Label) -> (bool, Option<Instant>) {
        let plan = self
            .plans
            .get()
            .and_then(|all| all.get(label.producer as usize));
        let Some((plan, schedule)) = plan else {
            return (false, None);
        };
        let Some(schedule) = schedule else {
            return (true, None);
        };
        let due = schedule.due(label.sequence / self.records_per_send);
        let measured = due >= plan.measured_from();
        (measured, measured.then_some(due))
    }
}

/// Consumers at work.
pub(super) struct Watch {
    tails: Arc<Tails>,
    tasks: JoinSet<Result<One, Error>>,
    end: watch::Sender<bool>,
    /// How many hear of each record.
    each: u64,
}

impl Watch {
    /// Starts the consumers, of which `each` hear of every record.
    pub(super) fn start(tails: &Arc<Tails>, consumers: Vec<Consumer>, each: u64) -> Self {
        let (end, ended) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for (number, consumer) in consumers.into_iter().enumerate() {
            let one = One {
                number,
                received: 0,
                measured: 0,
                bytes: 0,
                last: None,
                verifier: Verifier::default(),
            };
            tasks.spawn(one.follow(consumer, Arc::clone(tails), ended.clone()));
        }
        Self {
            tails: Arc::clone(tails),
            tasks,
            end,
            each,
        }
    }

    /// Waits for what was produced, and sums up.
    ///
    /// # Errors
    /// What the broker answered to a consumer.
    pub(super) async fn finish(
        mut self,
        produced: &Tally,
        at: &connection::Options,
    ) -> Outcome<Seen> {
        let tails = &self.tails;
        let sent = (produced.sent * tails.records_per_send).saturating_sub(produced.failed);
        let expected = sent * self.each;
        tails.all_delivered(expected, at.timeout()).await;
        let _ = self.end.send(true);
        let mut seen = Seen {
            deliveries: 0,
            bytes: 0,
            latencies: Latencies::default(),
            to_the_last: Latencies::default(),
            to: produced.from,
            verifier: Verifier::default(),
            missing: expected,
        };
        while let Some(one) = self.tasks.join_next().await {
            let one = one.map_err(verdict::ended_early)?;
            let one = one.map_err(|error| at.failed(&error))?;
            seen.deliveries += one.measured;
            seen.bytes += one.bytes;
            seen.missing = seen.missing.saturating_sub(one.received);
            seen.verifier.add(&one.verifier);
            seen.to = seen.to.max(one.last.unwrap_or(seen.to));
        }
        for shard in &tails.latencies {
            seen.latencies.add(&shard.lock());
        }
        for slowest in &tails.slowest_ns {
            let ns = slowest.load(Ordering::Relaxed);
            if ns > 0 {
                seen.to_the_last.record(Duration::from_nanos(ns));
            }
        }
        Ok(seen)
    }
}

impl One {
    /// Takes what comes until it is told that all has.
    async fn follow(
        mut self,
        mut consumer: Consumer,
        tails: Arc<Tails>,
        mut end: watch::Receiver<bool>,
    ) -> Result<Self, Error> {
        let mut records = Vec::new();
        loop {
            tokio::select! {
                biased;
                taken = burst(&mut consumer, &mut records) => taken?,
                _ = end.changed() => return Ok(self),
            }
            self.take(&mut records, &tails);
            // A consumer that always finds something must not keep others from running.
            tokio::task::consume_budget().await;
        }
    }

    fn take(&mut self, records: &mut Vec<ConsumedRecord>, tails: &Tails) {
        let now = Instant::now();
        let before = self.received;
        let mut shard = None;
        for record in records.drain(..) {
            let value = record.record.value.unwrap_or_default();
            let Some(label) = self.verifier.take(record.partition.get(), &value) else {
                continue;
            };
            if label.run != tails.run {
                continue;
            }
            self.received += 1;
            let (measured, due) = tails.due(label);
            if measured {
                self.measured += 1;
                self.bytes += value.len() as u64;
            }
            let Some(due) = due else { continue };
            let latency = now.saturating_duration_since(due);
            if shard.is_none() {
                shard = tails.latencies.get(self.number % SHARDS).map(Mutex::lock);
            }
            if let Some(shard) = &mut shard {
                shard.record(latency);
            }
            if label.producer == 0
                && let Ok(send) = usize::try_from(label.sequence / tails.records_per_send)
                && let Some(slowest) = tails.slowest_ns.get(send)
            {
                let ns = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
                slowest.fetch_max(ns, Ordering::Relaxed);
            }
        }
        drop(shard);
        self.last = Some(now);
        let new = self.received - before;
        tails.delivered.fetch_add(new, Ordering::Relaxed);
    }
}

/// Waits for records, and takes all that are there.
///
/// # Cancel safety
/// What was taken is in `into`.
async fn burst(consumer: &mut Consumer, into: &mut Vec<ConsumedRecord>) -> Result<(), Error> {
    poll_fn(|cx| {
        while into.len() < BURST_MAX {
            match Pin::new(&mut *consumer).poll_next(cx) {
                Poll::Ready(Some(Ok(record))) => into.push(record),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(None) => return Poll::Ready(Err(Error::Closed)),
                Poll::Pending if into.is_empty() => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        Poll::Ready(Ok(()))
    })
    .await
}
