//! What passes with time: silent members, changed topics, groups that nobody needs.

use std::{
    collections::HashMap,
    panic::AssertUnwindSafe,
    sync::{Arc, Weak},
    time::Duration,
};

use futures_util::FutureExt;
use tokio::time::Instant;

use crate::{
    broker::{
        Broker, Shared, context::Context, groups::now, retention::SteadyTime, state::Change,
        supervision::panic_message,
    },
    groups::PartitionKey,
    time::Timestamp,
};

/// How late a member may be expelled, or a change of topics be seen.
const TICK: Duration = Duration::from_secs(1);

/// Looks after all groups until the broker stops or has gone.
///
/// Their state is read at the start, in the background, so that sessions run out and offsets expire
/// whether or not somebody asks.
pub(in crate::broker) fn spawn(shared: &Arc<Shared>) {
    let context = Arc::clone(&shared.context);
    let shared = Arc::downgrade(shared);
    let interval = context.config.retention_interval;
    let mut time = SteadyTime::new(&*context.clock);
    let mut expired_at = context.clock.monotonic();
    let mut loading = Loading::default();
    context.runtime.clone().spawn(async move {
        loop {
            let clock = &*context.clock;
            let due = clock.monotonic().saturating_sub(expired_at) >= interval;
            let expire_as_of = due.then(|| {
                expired_at = clock.monotonic();
                time.now(clock)
            });
            let round = look_after_all(&shared, expire_as_of, &mut loading);
            let round = tokio::select! {
                round = AssertUnwindSafe(round).catch_unwind() => round,
                () = context.stopped() => return,
            };
            match round {
                Ok(true) => {}
                Ok(false) => return,
                // The next round starts afresh.
                Err(panic) => {
                    tracing::error!(
                        panic = panic_message(&*panic),
                        "looking after groups panicked"
                    );
                }
            }
            tokio::select! {
                () = tokio::time::sleep(TICK.min(interval)) => {}
                () = context.stopped() => return,
            }
        }
    });
}

/// When state that could not be read is tried again.
#[derive(Debug, Default)]
struct Loading {
    failures: u32,
    not_before: Option<Instant>,
}

impl Loading {
    fn is_due(&self) -> bool {
        self.not_before.is_none_or(|at| at <= Instant::now())
    }

    /// After a round in which what was not loaded was tried.
    fn tried(&mut self, context: &Context, failed: bool) {
        if failed {
            self.not_before = Some(Instant::now() + context.restart_backoff(self.failures));
            self.failures = self.failures.saturating_add(1);
        } else {
            *self = Self::default();
        }
    }
}

/// One look at every group; whether there is still a broker.
async fn look_after_all(
    shared: &Weak<Shared>,
    expire_as_of: Option<Timestamp>,
    loading: &mut Loading,
) -> bool {
    let Some(shared) = shared.upgrade() else {
        return false;
    };
    let broker = Broker { shared };
    let shared = &broker.shared;
    let limits = &shared.groups.limits;
    let clock = &*shared.context.clock;
    // Whoever looks after groups makes none: see ADR 0004.
    let Ok(shards) = shared.groups.log.existing(&broker) else {
        return true;
    };
    let expire_as_of = expire_as_of.map(|now| (now, partitions(shared)));
    let loads = loading.is_due();
    let mut failed = false;
    for shard in shards {
        if shard.peek(|_| ()).is_none() {
            // One that failed is not asked again each second, nor are its neighbours that did.
            let loaded = if loads {
                shard.read(|_| ()).await
            } else {
                continue;
            };
            failed |= loaded.is_err();
            told(loaded);
        }
        let due = shard.peek(|groups| groups.is_due(&**shared, now(clock), limits));
        if due == Some(true) {
            let expelled = shard.change(|groups| {
                let events = groups.tick(&**shared, now(clock), limits);
                Ok(Change { events, answer: () })
            });
            told(expelled.await);
        }
        let Some((now, there)) = &expire_as_of else {
            continue;
        };
        let is_there = |key: &PartitionKey| {
            let partitions = there.get(&key.topic);
            partitions.is_some_and(|&partitions| key.partition.get() < partitions)
        };
        let due = shard.peek(|groups| !groups.expire(is_there, *now, limits).is_empty());
        if due == Some(true) {
            let expired = shard.change(|groups| {
                let events = groups.expire(is_there, *now, limits);
                Ok(Change { events, answer: () })
            });
            told(expired.await);
        }
    }
    if loads {
        loading.tried(&shared.context, failed);
    }
    true
}

/// How many partitions each topic has.
fn partitions(shared: &Shared) -> HashMap<crate::name::TopicId, u32> {
    let topics = shared.catalog.read().all();
    topics
        .iter()
        .map(|topic| (topic.shared().id, topic.partition_count()))
        .collect()
}

fn told(outcome: Result<(), crate::Error>) {
    if let Err(error) = outcome {
        tracing::warn!(%error, "groups could not be looked after; it will be tried again");
    }
}
