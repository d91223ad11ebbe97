//! `OffsetForLeaderEpoch` (23), versions 2 to 4: where the records of a leader epoch end (KIP-320).

use ratatoskr_core::{broker::EpochEnd, offset::LeaderEpoch};

use super::{
    Handled, TopicRef,
    topic_ref::{partition_index, read_topics, write_topics},
};
use crate::{
    error_code::ErrorCode,
    header::Request,
    reader::{Malformed, Reader},
    session::Session,
};

struct Partition {
    index: i32,
    current_leader_epoch: i32,
    leader_epoch: i32,
}

pub(super) fn handle(session: &Session, request: &mut Request<'_>) -> Result<Handled, Malformed> {
    let mut reply = request.reply();
    let body = &mut request.body;
    if request.version >= 3 {
        let _replica = body.i32()?;
    }
    let topics = read_topics(body, partition)?;
    body.end_of_structure()?;
    let session = session.clone();
    Ok(Handled::Later(Box::pin(async move {
        let mut ends = Vec::new();
        for (named, partitions) in &topics {
            for partition in partitions {
                tokio::task::consume_budget().await;
                ends.push(end(&session, named, partition).await);
            }
        }
        reply.throttle_time();
        write_topics(&mut reply, &topics, ends, |reply, partition, end| {
            reply.error(end.err().unwrap_or(ErrorCode::None));
            reply.i32(partition.index);
            reply.i32(end.map_or(-1, |end| end.epoch.get()));
            reply.i64(end.map_or(-1, |end| end.end.to_wire()));
        });
        reply.end_of_structure();
        reply
    })))
}

fn partition(body: &mut Reader<'_>) -> Result<Partition, Malformed> {
    Ok(Partition {
        index: body.i32()?,
        current_leader_epoch: body.i32()?,
        leader_epoch: body.i32()?,
    })
}

async fn end(
    session: &Session,
    named: &TopicRef,
    partition: &Partition,
) -> Result<EpochEnd, ErrorCode> {
    let topic = named.resolve(session.broker())?;
    let index = partition_index(partition.index)?;
    let epoch = LeaderEpoch::new(partition.leader_epoch);
    let end = session.broker().end_of_epoch(&topic, index, epoch).await;
    let end = end.map_err(|error| ErrorCode::from(&error))?;
    session.check_epoch(&topic, index, partition.current_leader_epoch)?;
    Ok(end)
}
