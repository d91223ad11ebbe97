//! The task of a producer: keeps deadlines, sends again, hears a broker in this process.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use ratatoskr_core::{
    broker::{Produced, ProducerIdentity},
    offset::PartitionIndex,
};
use tokio::time::Instant;

use super::{Inner, Started};
use crate::{Error, options::FOREVER};

/// Wait before an identity is asked for again.
const IDENTITY_RETRY: Duration = Duration::from_millis(200);

/// Something that was waited for.
enum Heard {
    Answer {
        partition: PartitionIndex,
        id: u64,
        answer: Result<Produced, Error>,
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
    Box::pin(async move {
        Heard::Answer {
            partition: started.partition,
            id: started.id,
            answer: started.pending.wait().await.map_err(Error::from),
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
    /// Does what is due. Every partition is looked at when the time has come for one of them, or
    /// something is out of the ordinary; else those alone that a send has found due.
    fn turn(self: &Arc<Self>) -> Turn {
        let now = Instant::now();
        let mut state = self.state.lock();
        let mut queued = self.send_due(&mut state);
        let mut turn = Turn {
            started: Vec::new(),
            wake_at: state.looks_at,
            needs_identity: false,
            finished: false,
        };
        if state.looks_at.is_none_or(|at| at <= now) {
            queued = queued.max(self.send_all_due(&mut state, now));
            turn.finished = state.closed;
            let mut wake_at = None;
            for lane in state.lanes.values() {
                turn.needs_identity |= lane.needs_identity();
                turn.finished &= lane.is_empty();
                let lane_at = lane.wake_at(self.options.linger);
                wake_at = wake_at.into_iter().chain(lane_at).min();
            }
            turn.wake_at = wake_at;
            // Far off means that whatever is begun is due before.
            state.looks_at = Some(wake_at.unwrap_or(now + FOREVER));
        }
        turn.started = std::mem::take(&mut state.started);
        drop(state);
        self.let_leave(queued);
        turn
    }

    /// Gives every partition that waits for one an identity. They may share it, since sequences are
    /// counted a partition.
    fn take_identity(&self, identity: &Result<ProducerIdentity, Error>) {
        let mut state = self.state.lock();
        state.looks_at = None;
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
