//! `CreatePartitions` (37), versions 0 to 3: adds partitions to a topic.

use super::{
    Handled,
    create_topics::{are_here, wrong_assignment},
};
use crate::{
    error_code::ErrorCode,
    header::Request,
    reader::{Malformed, Reader},
    refusal::{Refusal, topic_name},
    session::Session,
};

struct Growth {
    topic: String,
    total: i32,
    /// The nodes of each new partition, by hand.
    assignments: Option<Vec<Vec<i32>>>,
}

pub(super) fn handle(session: &Session, request: &mut Request<'_>) -> Result<Handled, Malformed> {
    let mut reply = request.reply();
    let body = &mut request.body;
    let topics = body.array(read)?;
    let _timeout_ms = body.i32()?;
    let validate_only = body.bool()?;
    body.end_of_structure()?;
    let session = session.clone();
    Ok(Handled::Later(Box::pin(async move {
        let mut outcomes = Vec::new();
        for growth in &topics {
            outcomes.push((&growth.topic, grow(&session, growth, validate_only).await));
        }
        reply.throttle_time();
        reply.array(&outcomes, |reply, (topic, outcome)| {
            reply.string(topic);
            reply.outcome(outcome);
            reply.message(outcome);
            reply.end_of_structure();
        });
        reply.end_of_structure();
        reply
    })))
}

fn read(body: &mut Reader<'_>) -> Result<Growth, Malformed> {
    let topic = body.string()?.to_owned();
    let total = body.i32()?;
    let assignments = body.nullable_array(|body| {
        let nodes = body.array(Reader::i32)?;
        body.end_of_structure()?;
        Ok(nodes)
    })?;
    body.end_of_structure()?;
    Ok(Growth {
        topic,
        total,
        assignments,
    })
}

async fn grow(session: &Session, growth: &Growth, validate_only: bool) -> Result<(), Refusal> {
    let topic = topic_name(&growth.topic)?;
    let have = session.broker().topic_descriptor(&topic)?.partitions;
    let total = u32::try_from(growth.total)
        .ok()
        .filter(|total| *total > have);
    let total = total.ok_or_else(|| {
        let message = format!("the topic has {have} partitions, and can only get more");
        Refusal::new(ErrorCode::InvalidPartitions, message)
    })?;
    if let Some(assignments) = &growth.assignments {
        let added = (total - have) as usize;
        if assignments.len() != added || !are_here(session, assignments.iter()) {
            return Err(wrong_assignment());
        }
    }
    if validate_only {
        session.broker().check_growth(&topic, total)?;
    } else {
        session.broker().add_partitions(&topic, total).await?;
    }
    Ok(())
}
