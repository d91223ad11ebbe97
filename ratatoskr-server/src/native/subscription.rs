//! Subscriptions of one connection: a reader each, and credit.
//!
//! A subscription holds no batches. It reads only while the peer has granted both credits and the
//! outbox is short, and what it has read goes straight there. It never looks at the batches: the
//! reader tells where they end, and that is what credit pays for.

use std::{
    collections::{HashMap, VecDeque},
    task::{Context, Poll},
};

use ratatoskr_core::{
    Error,
    broker::{BatchReader, BatchReaderOptions, FetchedPartition, ReadLimits},
    offset::{Bounds, IsolationLevel, PartitionIndex},
    storage::{Access, BatchSlices},
    wire::{Credit, Deliver, ErrorBody, ErrorCode, FrameQueue, Subscribe},
};

use super::{
    handlers::Session,
    ready::{ReadyList, ReadyPlace},
};

/// Bytes of one read of a subscription at most, so that one does not crowd out the others.
const READ_BYTES_MAX: usize = 512 << 10;

/// While so many bytes wait to be sent, subscriptions read no more: what is read early only takes
/// memory, and keeps those waiting that this thread serves besides.
const OUTBOX_BYTES_MAX: usize = 256 << 10;

/// The subscriptions of a connection, each by the correlation of its subscribe request.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    by_correlation: HashMap<u64, Subscription>,
    ready: ReadyList,
    /// Those to be polled, in turn.
    due: VecDeque<u64>,
}

#[derive(Debug)]
struct Subscription {
    source: Source,
    records: i64,
    bytes: i64,
    place: ReadyPlace,
}

/// Where batches come from.
#[derive(Debug)]
enum Source {
    Reader(Box<BatchReader>),
    /// There is no topic, or no broker any more: what each of the partitions is told.
    Failed(Vec<PartitionIndex>, Error),
}

impl Subscriptions {
    /// Begins one.
    ///
    /// # Errors
    /// What to answer instead.
    pub(super) fn begin(
        &mut self,
        correlation: u64,
        subscribe: Subscribe,
        session: &Session,
    ) -> Result<(), ErrorBody> {
        let limits = &session.limits;
        if self.by_correlation.len() >= limits.subscriptions_max {
            let max = i64::try_from(limits.subscriptions_max).unwrap_or(i64::MAX);
            let text = format!("{max} subscriptions on this connection, no more are allowed");
            return Err(ErrorBody::new(ErrorCode::TooManyRequests, text).with_numbers([max]));
        }
        if self.by_correlation.contains_key(&correlation) {
            let text = "a subscription of this correlation is there";
            return Err(ErrorBody::new(ErrorCode::InvalidRequest, text));
        }
        let partitions = subscribe.partitions.iter().map(|&(index, _)| index);
        let partitions: Vec<_> = partitions.collect();
        let options = BatchReaderOptions {
            partitions: subscribe.partitions,
            isolation: isolation(subscribe.committed),
            access: Access::Forward,
        };
        let source = match session.broker.read_batches(&subscribe.topic, options) {
            Ok(reader) => Source::Reader(Box::new(reader)),
            Err(error) => Source::Failed(partitions, error),
        };
        let subscription = Subscription {
            source,
            records: subscribe.credit.records.into(),
            bytes: subscribe.credit.bytes.into(),
            place: self.ready.place(correlation),
        };
        subscription.place.wake();
        self.by_correlation.insert(correlation, subscription);
        Ok(())
    }

    /// Ends one; whether it was there.
    pub(super) fn end(&mut self, correlation: u64) -> bool {
        self.by_correlation.remove(&correlation).is_some()
    }

    /// Ends all.
    pub(super) fn clear(&mut self) {
        self.by_correlation.clear();
        self.due.clear();
    }

    /// Grants more credit; whether the subscription was there.
    pub(super) fn grant(&mut self, correlation: u64, credit: Credit) -> bool {
        let Some(subscription) = self.by_correlation.get_mut(&correlation) else {
            return false;
        };
        subscription.records = subscription.records.saturating_add(credit.records.into());
        subscription.bytes = subscription.bytes.saturating_add(credit.bytes.into());
        subscription.place.wake();
        true
    }

    /// Pushes what there is, in turn, while the outbox is short; whether there was anything.
    pub(super) fn push(
        &mut self,
        session: &Session,
        outbox: &mut FrameQueue,
        context: &Context<'_>,
    ) -> bool {
        let mut progress = false;
        self.ready.take(&mut self.due, context);
        while outbox.len() < OUTBOX_BYTES_MAX {
            let Some(correlation) = self.due.pop_front() else {
                break;
            };
            let Some(subscription) = self.by_correlation.get_mut(&correlation) else {
                continue;
            };
            subscription.place.leave();
            if subscription.push_once(correlation, session, outbox) {
                progress = true;
                // It may have more.
                subscription.place.stay(&mut self.due);
            }
        }
        progress
    }
}

impl Subscription {
    /// Pushes what one read brings; whether it brought anything.
    fn push_once(&mut self, correlation: u64, session: &Session, outbox: &mut FrameQueue) -> bool {
        if self.records <= 0 || self.bytes <= 0 {
            return false;
        }
        let reader = match &mut self.source {
            Source::Reader(reader) => reader,
            Source::Failed(partitions, error) => {
                let partitions = std::mem::take(partitions);
                let failed = !partitions.is_empty();
                for partition in partitions {
                    let deliver = failure(partition, error);
                    session.push(correlation, &deliver, BatchSlices::default(), outbox);
                }
                return failed;
            }
        };
        let limits = ReadLimits {
            offsets_max: self.records.unsigned_abs(),
            bytes_max: usize::try_from(self.bytes)
                .map_or(READ_BYTES_MAX, |bytes| bytes.min(READ_BYTES_MAX)),
        };
        let FetchedPartition {
            partition, result, ..
        } = match reader.poll_next(limits, &mut self.place.context()) {
            Poll::Pending | Poll::Ready(None) => return false,
            Poll::Ready(Some(Ok(read))) => read,
            Poll::Ready(Some(Err(error))) => {
                // The broker as a whole reads no more: each partition ends with its error.
                let partitions = reader.partitions().map(|(index, _)| index).collect();
                self.source = Source::Failed(partitions, error);
                return true;
            }
        };
        match result {
            Ok(fetched) => {
                self.records = self.records.saturating_sub_unsigned(fetched.offsets());
                let bytes = fetched.batches.len() as u64;
                self.bytes = self.bytes.saturating_sub_unsigned(bytes);
                let deliver = Deliver {
                    partition,
                    bounds: fetched.bounds,
                    error: None,
                };
                session.push(correlation, &deliver, fetched.batches, outbox);
            }
            Err(error) => {
                let deliver = failure(partition, &error);
                session.push(correlation, &deliver, BatchSlices::default(), outbox);
            }
        }
        true
    }
}

/// The last that is said of a partition.
fn failure(partition: PartitionIndex, error: &Error) -> Deliver {
    Deliver {
        partition,
        bounds: Bounds::default(),
        error: Some(error.into()),
    }
}

/// What the wire's flag stands for.
pub(super) const fn isolation(committed: bool) -> IsolationLevel {
    if committed {
        IsolationLevel::ReadCommitted
    } else {
        IsolationLevel::ReadUncommitted
    }
}
