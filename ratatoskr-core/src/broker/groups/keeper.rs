//! What passes with time: silent members, changed topics, groups that nobody needs.

use std::{
    collections::HashMap,
    panic::AssertUnwindSafe,
    sync::{Arc, Weak},
    time::Duration,
};

use futures_util::FutureExt;

use crate::{
    broker::{
        Shared, groups::now, retention::SteadyTime, state::Change, supervision::panic_message,
    },
    groups::PartitionKey,
    time::Timestamp,
};

/// How late a member may be expelled, or a change of topics be seen.
const TICK: Duration = Duration::from_secs(1);

/// Looks after the groups that are in use until the broker stops or has gone.
pub(in crate::broker) fn spawn(shared: &Arc<Shared>) {
    let context = Arc::clone(&shared.context);
    let shared = Arc::downgrade(shared);
    let interval = context.config.retention_interval;
    let mut time = SteadyTime::new(&*context.clock);
    let mut expired_at = context.clock.monotonic();
    context.runtime.clone().spawn(async move {
        loop {
            tokio::select! {
                () = tokio::time::sleep(TICK.min(interval)) => {}
                () = context.stopped() => return,
            }
            let clock = &*context.clock;
            let due = clock.monotonic().saturating_sub(expired_at) >= interval;
            let expire_as_of = due.then(|| {
                expired_at = clock.monotonic();
                time.now(clock)
            });
            let round = AssertUnwindSafe(look_after_all(&shared, expire_as_of));
            match round.catch_unwind().await {
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
        }
    });
}

/// One look at every group; whether there is still a broker.
async fn look_after_all(shared: &Weak<Shared>, expire_as_of: Option<Timestamp>) -> bool {
    let Some(shared) = shared.upgrade() else {
        return false;
    };
    let limits = &shared.groups.limits;
    let clock = &*shared.context.clock;
    let expire_as_of = expire_as_of.map(|now| (now, partitions(&shared)));
    for shard in shared.groups.log.in_use() {
        let due = shard.peek(|groups| groups.is_due(&shared.catalog, now(clock), limits));
        if due == Some(true) {
            let expelled = shard.change(|groups| {
                let events = groups.tick(&shared.catalog, now(clock), limits);
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
