//! Produce (0), versions 3 to 13; 0 to 2 are advertised as well, and refused.
//!
//! Older clients take a minimum above 0 for a broker that cannot decompress, and send uncompressed
//! without a word. A batch is a slice of the frame that brought it; what is wrong with it is told a
//! partition, in Kafka's codes, and from version 8 on with the record and a sentence.

use ratatoskr_core::{
    Error,
    batch::{BatchError, RecordBatch},
    broker::Produced,
    bytes::Bytes,
    config::Compression,
    name::TopicName,
    offset::PartitionIndex,
    time::Timestamp,
};

use super::{Handled, topic_ref::TopicRef};
use crate::{
    error_code::ErrorCode,
    header::Request,
    reader::{Malformed, Reader},
    refusal::Refusal,
    reply::Reply,
    session::Session,
};

/// The first version of the request that Kafka still takes.
const VERSION_MIN: i16 = 3;
/// From here on clients know zstd.
const ZSTD_FROM: i16 = 7;

/// A request to append batches.
pub(crate) struct Produce {
    pub(crate) version: i16,
    /// Whether an answer is wanted.
    pub(crate) is_answered: bool,
    pub(crate) topics: Vec<Topic>,
    /// The response, begun.
    pub(crate) reply: Reply,
}

/// The batches for one topic.
pub(crate) struct Topic {
    pub(crate) named: TopicRef,
    pub(crate) partitions: Vec<Partition>,
}

/// The batch for one partition: where it goes, or why it goes nowhere.
pub(crate) struct Partition {
    pub(crate) index: i32,
    pub(crate) batch: Result<Placed, Refused>,
}

/// A batch with a place to go to.
pub(crate) struct Placed {
    pub(crate) topic: TopicName,
    pub(crate) partition: PartitionIndex,
    pub(crate) records: RecordBatch,
}

/// What a partition is answered instead of an offset.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    why: Refusal,
    /// The record that is to blame, by its place in the batch.
    record: Option<u32>,
}

impl Refused {
    fn new(code: ErrorCode, message: &str) -> Self {
        Self {
            why: Refusal::new(code, message),
            record: None,
        }
    }
}

impl From<&Error> for Refused {
    fn from(error: &Error) -> Self {
        let record = match error {
            Error::InvalidBatch(
                BatchError::InvalidRecord { index, .. } | BatchError::KeyMissing { index },
            ) => Some(*index),
            _ => None,
        };
        Self {
            why: error.into(),
            record,
        }
    }
}

pub(super) fn handle(session: &Session, request: &mut Request<'_>) -> Result<Handled, Malformed> {
    let version = request.version;
    let reply = request.reply();
    let body = &mut request.body;
    if version >= VERSION_MIN {
        // Transactions are not spoken; a batch of one is refused as what it is.
        body.nullable_string()?;
    }
    let acks = body.i16()?;
    let _timeout_ms = body.i32()?;
    let refused = if version < VERSION_MIN {
        Some(Refused::new(
            ErrorCode::UnsupportedVersion,
            "produce is spoken from version 3 on",
        ))
    } else if !matches!(acks, -1..=1) {
        let message = "acks must be 0, 1 or -1 (all)";
        Some(Refused::new(ErrorCode::InvalidRequiredAcks, message))
    } else {
        None
    };
    let topics = body.array(|body| {
        let named = TopicRef::read(body, version >= 13)?;
        let topic = match &refused {
            Some(refused) => Err(refused.clone()),
            None => named
                .resolve(session.broker())
                .map_err(|code| Refused::new(code, "there is no such topic")),
        };
        let partitions = body.array(|body| partition(body, version, &topic))?;
        body.end_of_structure()?;
        Ok(Topic { named, partitions })
    })?;
    body.end_of_structure()?;
    Ok(Handled::Produce(Produce {
        version,
        is_answered: acks != 0,
        topics,
        reply,
    }))
}

fn partition(
    body: &mut Reader<'_>,
    version: i16,
    topic: &Result<TopicName, Refused>,
) -> Result<Partition, Malformed> {
    let index = body.i32()?;
    let records = body.nullable_bytes()?;
    body.end_of_structure()?;
    let batch = topic.clone().and_then(|topic| {
        let partition = u32::try_from(index).map_err(|_| {
            Refused::new(
                ErrorCode::UnknownTopicOrPartition,
                "no partition is negative",
            )
        })?;
        Ok(Placed {
            topic,
            partition: PartitionIndex::new(partition),
            records: batch(records, version)?,
        })
    });
    Ok(Partition { index, batch })
}

/// The one batch that a client may send for a partition.
fn batch(records: Option<Bytes>, version: i16) -> Result<RecordBatch, Refused> {
    /// Where every message format has its number.
    const MAGIC_AT: usize = 16;
    let records = records.unwrap_or_default();
    if let Some(&magic @ (0 | 1)) = records.get(MAGIC_AT) {
        let error = BatchError::UnsupportedMagic(magic.cast_signed());
        return Err((&Error::from(error)).into());
    }
    let batch = RecordBatch::view(records).map_err(|error| match error {
        BatchError::TrailingBytes(_) => Refused::new(
            ErrorCode::InvalidRecord,
            "more than one batch for a partition",
        ),
        error => (&Error::from(error)).into(),
    })?;
    if version < ZSTD_FROM && batch.header().codec() == Ok(Compression::Zstd) {
        return Err(Refused::new(
            ErrorCode::UnsupportedCompressionType,
            "zstd is for clients that speak produce from version 7 on",
        ));
    }
    Ok(batch)
}

/// What became of the batches for a topic: by the number of each partition.
pub(crate) type Acknowledged = (TopicRef, Vec<(i32, Result<Produced, Refused>)>);

/// Writes the response: for each topic and partition, in the order of the request, what became of it.
pub(crate) fn write(reply: &mut Reply, version: i16, topics: &[Acknowledged]) {
    reply.array(topics, |reply, (named, partitions)| {
        named.write(reply);
        reply.array(partitions, |reply, (index, outcome)| {
            reply.i32(*index);
            write_outcome(reply, version, outcome.as_ref());
            reply.end_of_structure();
        });
        reply.end_of_structure();
    });
    if version >= 1 {
        reply.throttle_time();
    }
    reply.end_of_structure();
}

fn write_outcome(reply: &mut Reply, version: i16, outcome: Result<&Produced, &Refused>) {
    reply.error(
        outcome
            .err()
            .map_or(ErrorCode::None, |refused| refused.why.code),
    );
    reply.i64(outcome.map_or(-1, |produced| produced.base_offset.to_wire()));
    if version >= 2 {
        let stamped = outcome.ok().and_then(|produced| produced.log_append_time);
        reply.i64(stamped.map_or(-1, Timestamp::get));
    }
    if version >= 5 {
        // Where the log starts; unknown, since no client needs it of an acknowledgement.
        reply.i64(-1);
    }
    if version >= 8 {
        let record = outcome.err().and_then(|refused| refused.record);
        reply.array(record.as_slice(), |reply, &record| {
            reply.i32(i32::try_from(record).unwrap_or(i32::MAX));
            reply.nullable_string(None);
            reply.end_of_structure();
        });
        reply.nullable_string(outcome.err().map(|refused| refused.why.message.as_str()));
    }
}
