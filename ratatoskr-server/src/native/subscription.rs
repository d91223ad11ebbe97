//! Subscriptions of one connection: an offset a partition, and credit.
//!
//! A subscription holds no batches. It reads only while the peer has granted both credits, one read
//! at a time, and what it has read goes straight to the outbox.

use std::{collections::HashMap, time::Duration};

use bytes::Bytes;
use futures_util::future::{AbortHandle, Abortable, BoxFuture};
use ratatoskr_core::{
    Error,
    batch::BatchHeader,
    broker::{FetchPartition, FetchRequest, FetchResponse, FetchedPartition},
    name::TopicName,
    offset::{Bounds, IsolationLevel, Offset, PartitionIndex},
    storage::Access,
    wire::{Credit, Deliver, ErrorBody, ErrorCode, Subscribe},
};

use super::handlers::{Completed, Reply, Session};

/// Bytes of one read of a subscription at most, so that one does not crowd out the others.
const READ_BYTES_MAX: i64 = 1 << 20;

/// How long one read waits for records before it is made anew.
const READ_WAIT: Duration = Duration::from_mins(1);

/// The subscriptions of a connection, each by the correlation of its subscribe request.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    by_correlation: HashMap<u64, Subscription>,
}

#[derive(Debug)]
struct Subscription {
    topic: TopicName,
    /// Each partition with the next offset to deliver.
    next: Vec<(PartitionIndex, Offset)>,
    isolation: IsolationLevel,
    records: i64,
    bytes: i64,
    /// The read under way, if there is one.
    reading: Option<AbortHandle>,
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
        let subscription = Subscription {
            topic: subscribe.topic,
            next: subscribe.partitions,
            isolation: isolation(subscribe.committed),
            records: subscribe.credit.records.into(),
            bytes: subscribe.credit.bytes.into(),
            reading: None,
        };
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
    }

    /// Grants more credit; whether the subscription was there.
    pub(super) fn grant(&mut self, correlation: u64, credit: Credit) -> bool {
        let Some(subscription) = self.by_correlation.get_mut(&correlation) else {
            return false;
        };
        subscription.records = subscription.records.saturating_add(credit.records.into());
        subscription.bytes = subscription.bytes.saturating_add(credit.bytes.into());
        true
    }

    /// The next read of a subscription, where it may read and is not reading.
    pub(super) fn next_read(
        &mut self,
        correlation: u64,
        session: &Session,
    ) -> Option<BoxFuture<'static, Completed>> {
        let subscription = self.by_correlation.get_mut(&correlation)?;
        if !subscription.may_read() {
            return None;
        }
        let (abort, registration) = AbortHandle::new_pair();
        subscription.reading = Some(abort);
        let request = subscription.request();
        let broker = session.broker.clone();
        Some(Box::pin(async move {
            let read = Abortable::new(broker.fetch(&request), registration);
            Completed::Read {
                subscription: correlation,
                response: read.await.ok(),
            }
        }))
    }

    /// Turns what a read brought into deliveries, as far as credit goes.
    pub(super) fn deliver(
        &mut self,
        correlation: u64,
        response: Option<Result<FetchResponse, Error>>,
        session: &Session,
    ) -> Vec<Reply> {
        let (Some(subscription), Some(response)) =
            (self.by_correlation.get_mut(&correlation), response)
        else {
            return Vec::new();
        };
        subscription.reading = None;
        let response = match response {
            Ok(response) => response,
            // The broker as a whole reads no more: each partition ends with its error.
            Err(error) => subscription.all_failed(&error),
        };
        let mut replies = Vec::new();
        for part in response.partitions {
            let (bounds, slices, error) = match part.result {
                Ok(fetched) => {
                    let slices = fetched.batches.into_slices();
                    match subscription.take(part.partition, slices) {
                        Ok(slices) => (fetched.bounds, slices, None),
                        Err(error) => (fetched.bounds, Vec::new(), Some(error)),
                    }
                }
                Err(error) => (Bounds::default(), Vec::new(), Some(error)),
            };
            if slices.is_empty() && error.is_none() {
                continue;
            }
            if error.is_some() {
                let partition = part.partition;
                subscription.next.retain(|&(index, _)| index != partition);
            }
            let deliver = Deliver {
                partition: part.partition,
                bounds,
                error: error.as_ref().map(ErrorBody::from),
            };
            replies.push(session.push(correlation, &deliver, slices));
        }
        // The next read begins with another partition, so that a busy one does not starve the rest.
        let partitions = subscription.next.len();
        subscription.next.rotate_left(usize::from(partitions > 1));
        replies
    }
}

impl Subscription {
    fn may_read(&self) -> bool {
        self.reading.is_none() && self.records > 0 && self.bytes > 0 && !self.next.is_empty()
    }

    fn request(&self) -> FetchRequest {
        let bytes_max = usize::try_from(self.bytes.min(READ_BYTES_MAX)).unwrap_or(0);
        FetchRequest {
            partitions: self
                .next
                .iter()
                .map(|&(partition, from)| FetchPartition {
                    topic: self.topic.clone(),
                    partition,
                    from,
                    bytes_max,
                })
                .collect(),
            bytes_min: 1,
            bytes_max,
            wait_max: READ_WAIT,
            isolation: self.isolation,
            // The headers are looked at to count what credit pays for.
            access: Access::Inspect,
        }
    }

    fn all_failed(&self, error: &Error) -> FetchResponse {
        let partitions = self.next.iter().map(|&(partition, _)| FetchedPartition {
            topic: self.topic.clone(),
            partition,
            result: Err(error.clone()),
        });
        FetchResponse {
            partitions: partitions.collect(),
        }
    }

    /// Takes batches while there is credit, moves the next offset on, and leaves the rest.
    fn take(&mut self, partition: PartitionIndex, slices: Vec<Bytes>) -> Result<Vec<Bytes>, Error> {
        let Some((_, next)) = self.next.iter_mut().find(|(index, _)| *index == partition) else {
            return Ok(Vec::new());
        };
        let mut taken = Vec::with_capacity(slices.len());
        for mut slice in slices {
            let mut end = 0;
            while end < slice.len() && self.records > 0 && self.bytes > 0 {
                let header = BatchHeader::decode(&slice[end..])?;
                let covered = header
                    .end_offset()
                    .distance_from(header.base_offset.max(*next));
                self.records = self.records.saturating_sub_unsigned(covered);
                self.bytes -= i64::from(header.total_bytes);
                *next = header.end_offset();
                end += header.total_bytes as usize;
            }
            slice.truncate(end);
            if !slice.is_empty() {
                taken.push(slice);
            }
        }
        Ok(taken)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(reading) = &self.reading {
            reading.abort();
        }
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
