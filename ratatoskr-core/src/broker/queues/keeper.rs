//! What happens by itself: leases end, delayed records fall due, records given up become dead letters,
//! topics that are gone are forgotten.

use std::{
    collections::HashMap,
    panic::AssertUnwindSafe,
    sync::{Arc, Weak, atomic::Ordering},
    time::Duration,
};

use futures_util::FutureExt;
use tokio::time::Instant;

use super::{engine::QueueShard, mover::Moved};
use crate::{
    broker::{Broker, Shared, state::Change, supervision::panic_message},
    delivery::{DeadWork, Event},
    error::Error,
    name::TopicName,
};

/// The keeper looks this often at most, so that many leases that end one after another are seen to
/// together.
const LOOK_MIN: Duration = Duration::from_millis(10);
/// Clocks are looked at this often at least while there is something to wait for.
const LOOK_MAX: Duration = Duration::from_secs(1);

/// Looks after the queue groups in the background, as long as there is a broker.
pub(in crate::broker) fn spawn(shared: &Arc<Shared>) {
    let context = Arc::clone(&shared.context);
    let wanted = Arc::clone(&shared.queues.keeper);
    let shared = Arc::downgrade(shared);
    let mut keeper = Keeper::default();
    context.runtime.clone().spawn(async move {
        loop {
            let round = AssertUnwindSafe(keeper.round(&shared)).catch_unwind().await;
            let next = match round {
                Ok(Some(next)) => next,
                Ok(None) => return,
                Err(panic) => {
                    tracing::error!(
                        panic = panic_message(&*panic),
                        "the keeper of queues panicked"
                    );
                    Some(LOOK_MAX)
                }
            };
            tokio::select! {
                () = wanted.notified() => {}
                () = async {
                    match next {
                        Some(next) => tokio::time::sleep(next.clamp(LOOK_MIN, LOOK_MAX)).await,
                        None => std::future::pending().await,
                    }
                } => {}
                () = context.stopped() => return,
            }
        }
    });
}

#[derive(Debug, Default)]
struct Keeper {
    /// Dead-letter topics that took nothing: how often, and when they are tried again.
    failing: HashMap<TopicName, (u32, Instant)>,
}

impl Keeper {
    /// Looks at every group. Answers how long nothing has to be done, `Some(None)` for ever; `None`
    /// where there is no broker any more.
    async fn round(&mut self, shared: &Weak<Shared>) -> Option<Option<Duration>> {
        let broker = Broker {
            shared: shared.upgrade()?,
        };
        let queues = &broker.shared.queues;
        // Whoever gives cause to look from here on says so.
        queues.keeper_idle.store(true, Ordering::Release);
        let shards = queues.shards(&broker).ok()?.to_vec();
        let mut next = None;
        for shard in &shards {
            let wait = match self.look_after(&broker, shard).await {
                Ok(wait) => wait,
                Err(error) => {
                    tracing::warn!(%error, "queues could not be looked after");
                    Some(LOOK_MAX)
                }
            };
            next = next.into_iter().chain(wait).min();
        }
        if next.is_some() {
            queues.keeper_idle.store(false, Ordering::Release);
        }
        Some(next)
    }

    async fn look_after(
        &mut self,
        broker: &Broker,
        shard: &Arc<QueueShard>,
    ) -> Result<Option<Duration>, Error> {
        let now = broker.shared.context.present();
        let topics = {
            let catalog = broker.shared.catalog.read();
            catalog.ids()
        };
        let ticked = shard.change(|queues| {
            let mut events = Vec::new();
            let ticked = queues.tick(now, &mut events);
            let gone = queues.topics().into_iter();
            let gone = gone.filter(|(_, id, _)| !topics.contains(id));
            events.extend(gone.map(|(group, topic, _)| Event::Forgotten { group, topic }));
            Ok(Change {
                events,
                answer: ticked,
            })
        });
        let ticked = ticked.await?;
        for (group, topic) in &ticked.woken {
            broker.shared.queues.wake(group, *topic);
        }
        for group in &ticked.freed {
            broker.queue_freed(shard, group);
        }
        let mut next = ticked.next;
        let dying = ticked.dying || ticked.next == Some(Duration::ZERO);
        if dying {
            let wait = self.move_dead(broker, shard).await?;
            next = next.into_iter().chain(wait).min();
        }
        Ok(next)
    }

    /// Moves records that were given up to the dead letters. Answers how long to wait for the rest.
    async fn move_dead(
        &mut self,
        broker: &Broker,
        shard: &Arc<QueueShard>,
    ) -> Result<Option<Duration>, Error> {
        loop {
            let now = Instant::now();
            let failing = &self.failing;
            let wanted = |to: &TopicName| failing.get(to).is_none_or(|(_, again)| *again <= now);
            let works = shard
                .peek(|queues| queues.dying(wanted))
                .unwrap_or_default();
            if works.is_empty() {
                let again = self.failing.values().map(|(_, again)| *again).min();
                return Ok(again.map(|again| again.saturating_duration_since(now)));
            }
            for work in works {
                match broker.queue_move_dead(shard, &work).await {
                    Ok(Moved::All | Moved::Some) => {
                        if let Some(to) = &work.to {
                            self.failing.remove(to);
                        }
                    }
                    Err(error) => {
                        broker.shared.context.check_running()?;
                        self.failed(broker, &work, &error);
                        if work.to.is_none() {
                            return Err(error);
                        }
                    }
                }
            }
        }
    }

    fn failed(&mut self, broker: &Broker, work: &DeadWork, error: &Error) {
        tracing::warn!(group = %work.group, topic = %work.name, partition = %work.partition, %error,
            "records could not be moved to the dead letters; it will be tried again");
        if let Some(to) = &work.to {
            let (attempts, again) = self
                .failing
                .entry(to.clone())
                .or_insert((0, Instant::now()));
            *again = Instant::now() + broker.shared.context.restart_backoff(*attempts);
            *attempts = attempts.saturating_add(1);
        }
    }
}
