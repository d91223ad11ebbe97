//! `DeleteRecords` (21), versions 0 to 2: removes what lies before an offset; -1 is the high watermark.

use ratatoskr_core::offset::Offset;

use super::{
    Handled, TopicRef,
    topic_ref::{partition_index, read_topics, write_topics},
};
use crate::{error_code::ErrorCode, header::Request, reader::Malformed, session::Session};

const HIGH_WATERMARK: i64 = -1;

pub(super) fn handle(session: &Session, request: &mut Request<'_>) -> Result<Handled, Malformed> {
    let mut reply = request.reply();
    let body = &mut request.body;
    let topics = read_topics(body, |body| Ok((body.i32()?, body.i64()?)))?;
    let _timeout_ms = body.i32()?;
    body.end_of_structure()?;
    let session = session.clone();
    Ok(Handled::Later(Box::pin(async move {
        let mut starts = Vec::new();
        for (named, partitions) in &topics {
            for &(index, to) in partitions {
                tokio::task::consume_budget().await;
                starts.push(delete(&session, named, index, to).await);
            }
        }
        reply.throttle_time();
        write_topics(&mut reply, &topics, starts, |reply, &(index, _), start| {
            reply.i32(index);
            reply.i64(start.map_or(-1, Offset::to_wire));
            reply.error(start.err().unwrap_or(ErrorCode::None));
        });
        reply.end_of_structure();
        reply
    })))
}

/// Where the log starts afterwards.
async fn delete(
    session: &Session,
    named: &TopicRef,
    index: i32,
    to: i64,
) -> Result<Offset, ErrorCode> {
    let topic = named.resolve(session.broker())?;
    let index = partition_index(index)?;
    let trimmed = async {
        let to = match to {
            HIGH_WATERMARK => session.broker().bounds(&topic, index)?.high_watermark,
            to => match Offset::from_wire(to) {
                Some(to) => to,
                None => return Ok(Err(ErrorCode::OffsetOutOfRange)),
            },
        };
        let bounds = session.broker().trim(&topic, index, to).await?;
        Ok(Ok(bounds.log_start))
    };
    trimmed
        .await
        .map_err(|error: ratatoskr_core::Error| ErrorCode::from(&error))?
}
