//! What became of a record: one shared state a batch, so that no record costs an allocation.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use ratatoskr_core::{
    broker::Produced,
    config::Durability,
    offset::{Offset, PartitionIndex},
    sync::Mutex,
    time::Timestamp,
};

use crate::Error;

/// Where a record went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordMetadata {
    /// The partition it was routed to.
    pub partition: PartitionIndex,
    /// Its offset there; `None` without acknowledgements ([`Acks::None`](super::Acks)).
    pub offset: Option<Offset>,
    /// Its time as kept in the log.
    pub timestamp: Timestamp,
    /// What the acknowledgement promises; `None` without acknowledgements.
    pub durability: Option<Durability>,
}

/// How a batch ended.
#[derive(Clone, Copy, Debug)]
pub(super) enum Settled {
    Acknowledged(Produced),
    /// Nobody told.
    Sent,
}

/// The end of one batch, shared by its records.
#[derive(Debug, Default)]
pub(super) struct BatchOutcome {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    outcome: Option<Result<Settled, Error>>,
    waiting: Vec<Waker>,
}

impl BatchOutcome {
    /// Settles the batch; the first time counts.
    pub(super) fn settle(&self, outcome: Result<Settled, Error>) {
        let mut state = self.state.lock();
        if state.outcome.is_none() {
            state.outcome = Some(outcome);
        }
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        for waker in waiting {
            waker.wake();
        }
    }

    pub(super) fn poll(
        &self,
        place: &mut Option<usize>,
        cx: &Context<'_>,
    ) -> Poll<Result<Settled, Error>> {
        let mut state = self.state.lock();
        if let Some(outcome) = &state.outcome {
            return Poll::Ready(outcome.clone());
        }
        if let Some(waker) = place.and_then(|place| state.waiting.get_mut(place)) {
            waker.clone_from(cx.waker());
        } else {
            *place = Some(state.waiting.len());
            state.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }
}

/// What becomes of a record, to be awaited.
///
/// Dropping it abandons the wait, not the record.
#[derive(Debug)]
#[must_use = "only awaiting it tells whether the record was appended"]
pub struct Delivery {
    pub(super) batch: Arc<BatchOutcome>,
    pub(super) partition: PartitionIndex,
    /// The record's place in its batch.
    pub(super) index: u32,
    pub(super) timestamp: Timestamp,
    /// This delivery's place among those that wait.
    pub(super) place: Option<usize>,
}

impl Future for Delivery {
    /// Where the record went, or why it did not; [`Error::outcome`] tells whether it may have been
    /// appended in spite of the error.
    type Output = Result<RecordMetadata, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let settled = std::task::ready!(this.batch.poll(&mut this.place, cx));
        Poll::Ready(settled.map(|settled| match settled {
            Settled::Acknowledged(produced) => RecordMetadata {
                partition: this.partition,
                offset: Some(produced.base_offset.plus(this.index.into())),
                timestamp: produced.log_append_time.unwrap_or(this.timestamp),
                durability: Some(produced.durability),
            },
            Settled::Sent => RecordMetadata {
                partition: this.partition,
                offset: None,
                timestamp: this.timestamp,
                durability: None,
            },
        }))
    }
}
