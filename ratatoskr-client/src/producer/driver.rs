//! The task of a producer: hears answers, keeps deadlines, sends again.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use ratatoskr_core::{
    broker::{Produced, ProducerIdentity},
    offset::PartitionIndex,
};
use tokio::time::Instant;

use super::{Inner, Pending, Started};
use crate::Error;

/// Wait before an identity is asked for again.
const IDENTITY_RETRY: Duration = Duration::from_millis(200);

/// Something that was waited for.
enum Heard {
    Answer {
        partition: PartitionIndex,
        id: u64,
        answer: Result<Produced, Error>,
    },
    Taken {
        partition: PartitionIndex,
        id: u64,
        outcome: Result<(), Error>,
    },
    Partitions(Result<(), Error>),
    Identity(Result<ProducerIdentity, Error>),
}

type Waiting = FuturesUnordered<BoxFuture<'static, Heard>>;

/// Runs until the producer is closed and everything it had accepted is settled.
pub(super) async fn drive(inner: Arc<Inner>) {
    let mut waiting: Waiting = FuturesUnordered::new();
    let mut asking = false;
    let mut refreshing = false;
    let mut refresh_at = Instant::now() + inner.options.partitions_refresh;
    loop {
        let turn = inner.turn();
        waiting.extend(turn.started.into_iter().map(wait_for));
        if turn.needs_identity && !asking {
            asking = true;
            let client = inner.client.clone();
            waiting.push(Box::pin(async move {
                let identity = client.new_producer().await;
                if identity.is_err() {
                    tokio::time::sleep(IDENTITY_RETRY).await;
                }
                Heard::Identity(identity)
            }));
        }
        if turn.finished {
            return;
        }
        if !refreshing && refresh_at <= Instant::now() {
            refreshing = true;
            let inner = Arc::clone(&inner);
            waiting.push(Box::pin(
                async move { Heard::Partitions(inner.refresh().await) },
            ));
        }
        let refresh = (!refreshing).then_some(refresh_at);
        let wake_at = turn.wake_at.into_iter().chain(refresh).min();
        tokio::select! {
            Some(heard) = waiting.next() => match heard {
                Heard::Answer { partition, id, answer } => inner.answered(partition, id, answer),
                Heard::Taken { partition, id, outcome } => inner.taken(partition, id, outcome),
                Heard::Partitions(refreshed) => {
                    refreshing = false;
                    refresh_at = Instant::now() + inner.options.partitions_refresh;
                    if let Err(error) = refreshed {
                        // The next batch tells whether anything is wrong.
                        tracing::debug!(%error, topic = %inner.topic, "cannot look for partitions");
                    }
                }
                Heard::Identity(identity) => {
                    asking = false;
                    inner.take_identity(&identity);
                }
            },
            () = inner.wake.notified() => {}
            () = async {
                match wake_at {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            } => {}
        }
    }
}

fn wait_for(started: Started) -> BoxFuture<'static, Heard> {
    let Started {
        partition,
        id,
        pending,
    } = started;
    Box::pin(async move {
        match pending {
            Pending::Acknowledgement(pending) => Heard::Answer {
                partition,
                id,
                answer: pending.wait().await,
            },
            Pending::Taken(taken) => Heard::Taken {
                partition,
                id,
                outcome: taken.wait().await,
            },
        }
    })
}

/// What the driver is to do next.
struct Turn {
    started: Vec<Started>,
    wake_at: Option<Instant>,
    needs_identity: bool,
    finished: bool,
}

impl Inner {
    /// Does what is due in every partition.
    fn turn(&self) -> Turn {
        let now = Instant::now();
        let mut state = self.state.lock();
        let partitions: Vec<_> = state.lanes.keys().copied().collect();
        let mut turn = Turn {
            started: Vec::new(),
            wake_at: None,
            needs_identity: false,
            finished: state.closed,
        };
        for partition in partitions {
            if let Some(lane) = state.lanes.get_mut(&partition) {
                let freed = lane.expire(now);
                if freed > 0 {
                    self.room.add_permits(freed);
                }
            }
            self.pump(&mut state, partition);
            if let Some(lane) = state.lanes.get(&partition) {
                turn.needs_identity |= lane.needs_identity();
                turn.finished &= lane.is_empty();
                let wake_at = lane.wake_at(self.options.linger);
                turn.wake_at = turn.wake_at.into_iter().chain(wake_at).min();
            }
        }
        turn.started = std::mem::take(&mut state.started);
        turn
    }

    fn answered(&self, partition: PartitionIndex, id: u64, answer: Result<Produced, Error>) {
        let mut state = self.state.lock();
        if let Some(lane) = state.lanes.get_mut(&partition) {
            let freed = lane.answered(id, answer, Instant::now());
            if freed > 0 {
                self.room.add_permits(freed);
            }
        }
        self.pump(&mut state, partition);
    }

    fn taken(&self, partition: PartitionIndex, id: u64, outcome: Result<(), Error>) {
        let mut state = self.state.lock();
        if let Some(lane) = state.lanes.get_mut(&partition) {
            self.room.add_permits(lane.gone(id, outcome));
        }
        self.pump(&mut state, partition);
    }

    /// Gives every partition that waits for one an identity. They may share it, since sequences are
    /// counted a partition.
    fn take_identity(&self, identity: &Result<ProducerIdentity, Error>) {
        let mut state = self.state.lock();
        for lane in state
            .lanes
            .values_mut()
            .filter(|lane| lane.needs_identity())
        {
            match identity {
                Ok(identity) => lane.begin_anew(*identity),
                Err(error @ Error::Closed) => {
                    let freed = lane.abort(error);
                    self.room.add_permits(freed);
                }
                // It is asked for again.
                Err(_) => {}
            }
        }
    }
}
