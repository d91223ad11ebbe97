//! `ListOffsets` (2), versions 1 to 10: where a partition begins and ends, and records by their time.
//!
//! -1 is the end (for `read_committed` the last stable offset), -2 the start, -3 the record of the
//! greatest time, -4 the start of what is kept locally, which is the start; -5 the end of what is
//! kept elsewhere, which is nothing.

use ratatoskr_core::{
    Error,
    broker::TimestampedRecord,
    name::TopicName,
    offset::{IsolationLevel, PartitionIndex},
    time::Timestamp,
};

use super::{
    Handled, TopicRef,
    topic_ref::{partition_index, read_topics, write_topics},
};
use crate::{
    error_code::ErrorCode,
    header::Request,
    reader::{Malformed, Reader},
    reply::Reply,
    session::Session,
};

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;

struct Partition {
    index: i32,
    current_leader_epoch: i32,
    timestamp: i64,
}

/// An offset that was found, and the time of its record where it was found by time.
struct Found {
    offset: i64,
    timestamp: i64,
}

impl Found {
    const NOTHING: Self = Self {
        offset: -1,
        timestamp: -1,
    };

    fn record(record: Option<TimestampedRecord>) -> Self {
        record.map_or(Self::NOTHING, |record| Self {
            offset: record.offset.to_wire(),
            timestamp: record.timestamp.get(),
        })
    }
}

pub(super) fn handle(session: &Session, request: &mut Request<'_>) -> Result<Handled, Malformed> {
    let version = request.version;
    let mut reply = request.reply();
    let body = &mut request.body;
    let _replica = body.i32()?;
    let mut isolation = IsolationLevel::ReadUncommitted;
    if version >= 2 && body.i8()? == 1 {
        isolation = IsolationLevel::ReadCommitted;
    }
    let topics = read_topics(body, |body| partition(body, version))?;
    if version >= 10 {
        let _timeout_ms = body.i32()?;
    }
    body.end_of_structure()?;
    let session = session.clone();
    Ok(Handled::Later(Box::pin(async move {
        let mut found = Vec::new();
        for (named, partitions) in &topics {
            for partition in partitions {
                tokio::task::consume_budget().await;
                found.push(find(&session, named, partition, isolation).await);
            }
        }
        if version >= 2 {
            reply.throttle_time();
        }
        write_topics(&mut reply, &topics, found, |reply, partition, found| {
            reply.i32(partition.index);
            write(reply, version, found);
        });
        reply.end_of_structure();
        reply
    })))
}

fn partition(body: &mut Reader<'_>, version: i16) -> Result<Partition, Malformed> {
    Ok(Partition {
        index: body.i32()?,
        current_leader_epoch: if version >= 4 { body.i32()? } else { -1 },
        timestamp: body.i64()?,
    })
}

async fn find(
    session: &Session,
    named: &TopicRef,
    partition: &Partition,
    isolation: IsolationLevel,
) -> Result<(Found, i32), ErrorCode> {
    let topic = named.resolve(session.broker())?;
    let index = partition_index(partition.index)?;
    let found = at(session, &topic, index, partition.timestamp, isolation).await;
    let found = found.map_err(|error| ErrorCode::from(&error))?;
    // Asking has opened the partition, so that its epoch is known.
    let epoch = session.check_epoch(&topic, index, partition.current_leader_epoch)?;
    Ok((found, epoch))
}

async fn at(
    session: &Session,
    topic: &TopicName,
    partition: PartitionIndex,
    timestamp: i64,
    isolation: IsolationLevel,
) -> Result<Found, Error> {
    let broker = session.broker();
    let bounds = broker.bounds(topic, partition)?;
    let end = |offset| Found {
        offset,
        timestamp: -1,
    };
    match timestamp {
        LATEST => Ok(end(bounds.readable_end(isolation).to_wire())),
        EARLIEST | EARLIEST_LOCAL => Ok(end(bounds.log_start.to_wire())),
        MAX_TIMESTAMP => {
            let newest = broker.newest_record(topic, partition).await?;
            Ok(Found::record(newest))
        }
        LATEST_TIERED => Ok(Found::NOTHING),
        time => {
            let time = Timestamp::new(time.max(0));
            let first = broker.first_record_at(topic, partition, time).await?;
            Ok(Found::record(first))
        }
    }
}

fn write(reply: &mut Reply, version: i16, found: Result<(Found, i32), ErrorCode>) {
    let (error, (found, epoch)) = match found {
        Ok(found) => (ErrorCode::None, found),
        Err(error) => (error, (Found::NOTHING, -1)),
    };
    reply.error(error);
    reply.i64(found.timestamp);
    reply.i64(found.offset);
    if version >= 4 {
        reply.i32(epoch);
    }
}
