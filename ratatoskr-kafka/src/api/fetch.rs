//! Fetch (1), versions 4 to 18.
//!
//! Whole batches are answered, from the one that holds the offset asked for, and the first one
//! whatever its size. A fetch waits for `min_bytes` up to `max_wait`. There are no fetch sessions:
//! each answer says session 0, which tells clients to name all partitions each time; a request
//! within a session that never was is refused. Nobody is sent to another replica.

use std::time::Duration;

use ratatoskr_core::{
    broker::{FetchPartition, FetchRequest, Fetched},
    name::TopicName,
    offset::{IsolationLevel, Offset},
    storage::{Access, BatchSlices},
};

use super::{Handled, TopicRef, topic_ref::partition_index};
use crate::{
    error_code::ErrorCode,
    header::Request,
    reader::{Malformed, Reader},
    reply::Reply,
    session::Session,
};

struct Fetch {
    wait_max: Duration,
    bytes_min: usize,
    bytes_max: usize,
    isolation: IsolationLevel,
    session: i32,
    topics: Vec<Topic>,
}

struct Topic {
    named: TopicRef,
    partitions: Vec<Partition>,
}

struct Partition {
    index: i32,
    current_leader_epoch: i32,
    offset: i64,
    bytes_max: usize,
}

pub(super) fn handle(session: &Session, request: &mut Request<'_>) -> Result<Handled, Malformed> {
    let version = request.version;
    let mut reply = request.reply();
    let fetch = read(&mut request.body, version)?;
    if fetch.session != 0 {
        reply.throttle_time();
        reply.error(ErrorCode::FetchSessionIdNotFound);
        reply.i32(0);
        reply.array([0; 0], |_, _| {});
        reply.end_of_structure();
        return Ok(Handled::Answer(reply));
    }
    let session = session.clone();
    Ok(Handled::Later(Box::pin(async move {
        answer(&session, &fetch, version, &mut reply).await;
        reply
    })))
}

fn read(body: &mut Reader<'_>, version: i16) -> Result<Fetch, Malformed> {
    if version <= 14 {
        let _replica = body.i32()?;
    }
    let wait_max = Duration::from_millis(body.i32()?.max(0).unsigned_abs().into());
    let bytes_min = size(body.i32()?);
    let bytes_max = size(body.i32()?);
    let isolation = match body.i8()? {
        1 => IsolationLevel::ReadCommitted,
        _ => IsolationLevel::ReadUncommitted,
    };
    let mut session = 0;
    if version >= 7 {
        session = body.i32()?;
        let _epoch = body.i32()?;
    }
    let topics = body.array(|body| {
        let named = TopicRef::read(body, version >= 13)?;
        let partitions = body.array(|body| partition(body, version))?;
        body.end_of_structure()?;
        Ok(Topic { named, partitions })
    })?;
    if version >= 7 {
        body.array(|body| {
            TopicRef::read(body, version >= 13)?;
            body.array(Reader::i32)?;
            body.end_of_structure()
        })?;
    }
    if version >= 11 {
        let _rack = body.string()?;
    }
    body.end_of_structure()?;
    Ok(Fetch {
        wait_max,
        bytes_min,
        bytes_max,
        isolation,
        session,
        topics,
    })
}

fn partition(body: &mut Reader<'_>, version: i16) -> Result<Partition, Malformed> {
    let index = body.i32()?;
    let current_leader_epoch = if version >= 9 { body.i32()? } else { -1 };
    let offset = body.i64()?;
    if version >= 12 {
        let _last_fetched_epoch = body.i32()?;
    }
    if version >= 5 {
        let _log_start = body.i64()?;
    }
    let bytes_max = size(body.i32()?);
    body.end_of_structure()?;
    Ok(Partition {
        index,
        current_leader_epoch,
        offset,
        bytes_max,
    })
}

/// A number of bytes; a negative one is none.
fn size(bytes: i32) -> usize {
    usize::try_from(bytes).unwrap_or(0)
}

async fn answer(session: &Session, fetch: &Fetch, version: i16, reply: &mut Reply) {
    let limits = session.limits();
    let mut request = FetchRequest {
        partitions: Vec::new(),
        bytes_min: fetch.bytes_min,
        bytes_max: fetch.bytes_max.min(limits.in_flight_bytes_max),
        wait_max: fetch.wait_max.min(limits.fetch_wait_max),
        isolation: fetch.isolation,
        access: Access::Forward,
    };
    // What can be answered at once, or where in the broker's answer each partition is.
    let mut refused = Vec::new();
    for topic in &fetch.topics {
        let name = topic.named.resolve(session.broker());
        for partition in &topic.partitions {
            let wanted = name
                .clone()
                .and_then(|name| wanted(session, name, partition));
            refused.push(wanted.map(|wanted| request.partitions.push(wanted)).err());
        }
    }
    if refused.iter().any(Option::is_some) {
        request.wait_max = Duration::ZERO;
    }
    let broker = session.broker();
    let response = tokio::select! {
        response = broker.fetch(&request) => response,
        () = session.drain.begun() => {
            request.wait_max = Duration::ZERO;
            broker.fetch(&request).await
        }
    };
    let (error, partitions) = match response {
        Ok(response) => (ErrorCode::None, response.partitions),
        Err(error) => (ErrorCode::from(&error), Vec::new()),
    };
    let mut fetched = partitions.into_iter().map(|partition| partition.result);
    let mut refused = refused.into_iter();
    reply.throttle_time();
    if version >= 7 {
        reply.error(ErrorCode::None);
        reply.i32(0);
    }
    reply.array(&fetch.topics, |reply, topic| {
        topic.named.write(reply);
        reply.array(&topic.partitions, |reply, partition| {
            let result = match refused.next().flatten() {
                Some(code) => Err(code),
                None => fetched
                    .next()
                    .ok_or(error)
                    .and_then(|result| result.map_err(|error| ErrorCode::from(&error))),
            };
            reply.i32(partition.index);
            write_partition(reply, version, result);
        });
        reply.end_of_structure();
    });
    reply.end_of_structure();
}

fn wanted(
    session: &Session,
    topic: TopicName,
    partition: &Partition,
) -> Result<FetchPartition, ErrorCode> {
    let index = partition_index(partition.index)?;
    let from = Offset::from_wire(partition.offset).ok_or(ErrorCode::OffsetOutOfRange)?;
    session.check_epoch(&topic, index, partition.current_leader_epoch)?;
    Ok(FetchPartition {
        topic,
        partition: index,
        from,
        bytes_max: partition.bytes_max,
    })
}

fn write_partition(reply: &mut Reply, version: i16, result: Result<Fetched, ErrorCode>) {
    let (error, bounds, batches) = match result {
        Ok(fetched) => (ErrorCode::None, Some(fetched.bounds), fetched.batches),
        Err(error) => (error, None, BatchSlices::default()),
    };
    let offset = |offset: Option<Offset>| offset.map_or(-1, Offset::to_wire);
    reply.error(error);
    reply.i64(offset(bounds.map(|bounds| bounds.high_watermark)));
    reply.i64(offset(bounds.map(|bounds| bounds.last_stable)));
    if version >= 5 {
        reply.i64(offset(bounds.map(|bounds| bounds.log_start)));
    }
    // No transaction has been aborted.
    reply.array([0; 0], |_, _| {});
    if version >= 11 {
        // No replica is preferred.
        reply.i32(-1);
    }
    reply.records(batches);
    reply.end_of_structure();
}
