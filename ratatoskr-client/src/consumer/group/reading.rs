//! Reading the partitions that a member has, each from where it stands, so that one that comes or
//! goes does not disturb the others.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_core::Stream;
use futures_util::future::BoxFuture;
use ratatoskr_core::{
    Error as BrokerError, broker::StartAt, offset::Offset, record::ConsumedRecord,
};
use tokio::time::Sleep;

use super::progress::{Place, Progress};
use crate::{
    Error,
    client::Client,
    consumer::{Consumer, ConsumerBuilder, ConsumerOptions},
};

/// Records of one partition handed out in a row while others have some.
const TURN_RECORDS: u32 = 256;
/// Wait before a reader that ended is opened again.
const REOPEN_AFTER: Duration = Duration::from_millis(250);

/// All that a member reads.
pub(super) struct Reading {
    client: Client,
    options: ConsumerOptions,
    progress: Arc<Progress>,
    lanes: Vec<Lane>,
    /// Whose turn it is, and how many records it has handed out in it.
    turn: usize,
    handed_out: u32,
}

/// One partition.
struct Lane {
    place: Place,
    life: u64,
    /// The first offset that was not handed out.
    next: Offset,
    reader: Reader,
}

enum Reader {
    Closed,
    Opening(BoxFuture<'static, Result<Consumer, Error>>),
    Open(Box<Consumer>),
    Waiting(Pin<Box<Sleep>>),
    /// The topic is gone, and the partition will be taken away.
    Gone,
}

impl Reading {
    pub(super) const fn new(
        client: Client,
        options: ConsumerOptions,
        progress: Arc<Progress>,
    ) -> Self {
        Self {
            client,
            options,
            progress,
            lanes: Vec::new(),
            turn: 0,
            handed_out: 0,
        }
    }

    /// Reads a partition from now on.
    pub(super) fn start(&mut self, place: Place, life: u64, from: Offset) {
        self.stop(&place);
        self.lanes.push(Lane {
            place,
            life,
            next: from,
            reader: Reader::Closed,
        });
    }

    /// Reads it no more.
    pub(super) fn stop(&mut self, place: &Place) {
        self.lanes.retain(|lane| lane.place != *place);
    }

    /// The next item of any partition.
    pub(super) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<ConsumedRecord, Error>> {
        if self.handed_out >= TURN_RECORDS {
            self.next_turn();
        }
        for _ in 0..self.lanes.len() {
            // A lane may have gone.
            self.turn %= self.lanes.len();
            let lane = &mut self.lanes[self.turn];
            if let Poll::Ready(item) =
                lane.poll_next(&self.client, &self.options, &self.progress, cx)
            {
                self.handed_out += 1;
                return Poll::Ready(item);
            }
            self.next_turn();
        }
        Poll::Pending
    }

    const fn next_turn(&mut self) {
        self.turn += 1;
        self.handed_out = 0;
    }
}

impl Lane {
    fn poll_next(
        &mut self,
        client: &Client,
        options: &ConsumerOptions,
        progress: &Progress,
        cx: &mut Context<'_>,
    ) -> Poll<Result<ConsumedRecord, Error>> {
        loop {
            match &mut self.reader {
                Reader::Closed => self.reader = Reader::Opening(self.open(client, options)),
                Reader::Opening(opening) => match std::task::ready!(opening.as_mut().poll(cx)) {
                    Ok(consumer) => self.reader = Reader::Open(Box::new(consumer)),
                    Err(error) => {
                        self.again_later(Some(&error));
                        if !error.is_retryable() {
                            return Poll::Ready(Err(error));
                        }
                    }
                },
                Reader::Open(consumer) => {
                    match std::task::ready!(Pin::new(&mut **consumer).poll_next(cx)) {
                        Some(Ok(record)) => {
                            let next = record.offset.plus(1);
                            if !progress.hand_out(&self.place, self.life, next) {
                                // It is the member's no more; whoever has it next reads this record.
                                self.reader = Reader::Gone;
                                continue;
                            }
                            self.next = next;
                            return Poll::Ready(Ok(record));
                        }
                        Some(Err(error)) => {
                            if is_gone(&error) {
                                self.reader = Reader::Gone;
                            }
                            return Poll::Ready(Err(error));
                        }
                        None => self.again_later(None),
                    }
                }
                Reader::Waiting(sleep) => {
                    std::task::ready!(sleep.as_mut().poll(cx));
                    self.reader = Reader::Closed;
                }
                Reader::Gone => return Poll::Pending,
            }
        }
    }

    fn open(
        &self,
        client: &Client,
        options: &ConsumerOptions,
    ) -> BoxFuture<'static, Result<Consumer, Error>> {
        let mut builder = ConsumerBuilder::new(client.clone(), self.place.topic.clone());
        builder.options = ConsumerOptions {
            start: StartAt::Offset(self.next),
            partitions: Some(vec![self.place.partition]),
            ..options.clone()
        };
        Box::pin(builder.open())
    }

    fn again_later(&mut self, error: Option<&Error>) {
        self.reader = if error.is_some_and(is_gone) {
            Reader::Gone
        } else {
            Reader::Waiting(Box::pin(tokio::time::sleep(REOPEN_AFTER)))
        };
    }
}

const fn is_gone(error: &Error) -> bool {
    matches!(error, Error::Broker(BrokerError::UnknownTopic(_)))
}
