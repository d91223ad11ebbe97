//! A consumer of a phase: it fails what is poisoned, and sees to it that the rest comes once and in
//! the order of its keys.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use ratatoskr_client::{Error, LeasedRecord, Queue};
use ratatoskr_core::config::Durability;
use ratatoskr_server::load::{Label, Latencies, Plan, Schedule, Verifier};
use tokio::sync::watch;

/// What the consumers of a phase share.
pub(super) struct Shared {
    run: u64,
    poisoned: u64,
    plan: OnceLock<(Plan, Option<Schedule>)>,
    /// Of each key, what the next record must at least be.
    next: Vec<AtomicU64>,
    /// Records that came and were not poisoned.
    delivered: AtomicU64,
}

/// What was seen in a phase, or in several.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Of the topic.
    pub(super) durability: Option<Durability>,
    /// Records of good keys that came and are counted.
    pub(super) delivered: u64,
    /// Bytes of their values.
    pub(super) bytes: u64,
    /// From when each was due to be sent to when a consumer had it.
    pub(super) latencies: Latencies,
    /// How often a poisoned record was delivered.
    pub(super) attempts: u32,
    /// From the end of the warm-up to when the last one had come.
    pub(super) took: Duration,
    /// Records of good keys that never came.
    pub(super) missing: u64,
    /// Poisoned keys failed nowhere, so nothing was measured.
    pub(super) untried: bool,
    /// Records that nobody sent, or that were changed.
    pub(super) foreign: u64,
    /// Records that came again, or before an earlier one of their key was done.
    pub(super) disordered: u64,
}

/// See the module.
pub(super) struct Worker {
    queue: Queue,
    shared: Arc<Shared>,
    seen: Seen,
}

type Settling = BoxFuture<'static, Result<(), Error>>;

impl Shared {
    pub(super) fn new(run: u64, keys: u32, poisoned: u32) -> Self {
        Self {
            run,
            poisoned: poisoned.into(),
            plan: OnceLock::new(),
            next: (0..keys).map(|_| AtomicU64::new(0)).collect(),
            delivered: AtomicU64::new(0),
        }
    }

    /// The load begins, by this plan.
    pub(super) fn begin(&self, plan: Plan) {
        // Nobody calls it twice.
        let _ = self.plan.set((plan, plan.schedule()));
    }

    /// How many of those `sent` are not poisoned and have not come.
    pub(super) fn missing(&self, sent: u64) -> u64 {
        let keys = self.next.len() as u64;
        let poisoned = sent / keys * self.poisoned + (sent % keys).min(self.poisoned);
        let delivered = self.delivered.load(Ordering::Acquire);
        (sent - poisoned).saturating_sub(delivered)
    }

    /// Which key a record has: they take turns.
    fn key(&self, label: Label) -> u64 {
        label.sequence % self.next.len() as u64
    }

    /// Notes that a record came; whether it was its turn.
    fn in_turn(&self, key: u64, label: Label) -> bool {
        let next = usize::try_from(key).ok().and_then(|key| self.next.get(key));
        next.is_some_and(|next| {
            next.fetch_max(label.sequence + 1, Ordering::AcqRel) <= label.sequence
        })
    }

    /// When a record was due to be sent, if it counts.
    fn due(&self, label: Label) -> Option<Instant> {
        let (plan, schedule) = self.plan.get()?;
        let due = schedule.as_ref()?.due(label.sequence);
        (due >= plan.measured_from()).then_some(due)
    }
}

impl Seen {
    /// Counts what was seen elsewhere.
    pub(super) fn add(&mut self, other: &Self) {
        self.durability = self.durability.or(other.durability);
        self.delivered += other.delivered;
        self.bytes += other.bytes;
        self.latencies.add(&other.latencies);
        self.attempts += other.attempts;
        self.took += other.took;
        self.missing += other.missing;
        self.untried |= other.untried;
        self.foreign += other.foreign;
        self.disordered += other.disordered;
    }

    /// What is wrong with what was delivered.
    pub(super) fn problem(&self) -> Option<String> {
        let Self {
            missing,
            foreign,
            disordered,
            untried,
            ..
        } = self;
        let wrong = *missing > 0 || *foreign > 0 || *disordered > 0 || *untried;
        wrong.then(|| {
            format!(
                "{missing} records are missing, {foreign} are not what was sent, {disordered} came \
                 again or out of turn; poisoned keys {} delivered",
                if *untried { "were never" } else { "were" }
            )
        })
    }
}

impl Worker {
    pub(super) fn new(queue: Queue, shared: Arc<Shared>) -> Self {
        Self {
            queue,
            shared,
            seen: Seen::default(),
        }
    }

    /// Works records off until it is told that all have come.
    ///
    /// # Errors
    /// What the broker answers.
    pub(super) async fn run(mut self, mut end: watch::Receiver<bool>) -> Result<Seen, Error> {
        let mut settling: FuturesUnordered<Settling> = FuturesUnordered::new();
        loop {
            tokio::select! {
                Some(settled) = settling.next(), if !settling.is_empty() => settled?,
                record = self.queue.next() => {
                    let record = record.unwrap_or(Err(Error::Closed))?;
                    settling.push(self.take(record));
                }
                _ = end.changed() => break,
            }
        }
        while let Some(settled) = settling.next().await {
            settled?;
        }
        self.queue.close().await?;
        Ok(self.seen)
    }

    fn take(&mut self, leased: LeasedRecord) -> Settling {
        let now = Instant::now();
        let value = leased.record.record.value.clone().unwrap_or_default();
        // Order is looked at by key, so each record is judged by itself.
        let label = Verifier::default().take(0, &value);
        let Some(label) = label.filter(|label| label.run == self.shared.run) else {
            self.seen.foreign += 1;
            return Box::pin(leased.ack());
        };
        let key = self.shared.key(label);
        if key < self.shared.poisoned {
            // Only the first record of the key may come, again and again.
            self.seen.disordered += u64::from(label.sequence != key);
            self.seen.attempts += 1;
            return Box::pin(leased.retry("poisoned"));
        }
        self.seen.disordered += u64::from(!self.shared.in_turn(key, label));
        if let Some(due) = self.shared.due(label) {
            self.seen.delivered += 1;
            self.seen.bytes += value.len() as u64;
            self.seen
                .latencies
                .record(now.saturating_duration_since(due));
        }
        self.shared.delivered.fetch_add(1, Ordering::AcqRel);
        Box::pin(leased.ack())
    }
}
