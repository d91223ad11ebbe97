//! Where reading a partition begins, as an offset.

use ratatoskr_core::{
    broker::{OffsetSpec, StartAt},
    name::TopicName,
    offset::{Offset, PartitionIndex},
};

use crate::{Error, client::Client};

/// The offset that `start` means now in a partition.
pub(super) async fn start_of(
    client: &Client,
    topic: &TopicName,
    partition: PartitionIndex,
    start: &StartAt,
) -> Result<Offset, Error> {
    let spec = match start {
        StartAt::Start => OffsetSpec::Start,
        StartAt::End => OffsetSpec::End,
        StartAt::Offset(offset) => return Ok(*offset),
        StartAt::Timestamp(at) => OffsetSpec::Timestamp(*at),
        StartAt::Offsets(offsets) => match offsets.iter().find(|(index, _)| *index == partition) {
            Some((_, offset)) => return Ok(*offset),
            None => OffsetSpec::Start,
        },
    };
    let find = |spec| client.offset_at(topic, partition, spec);
    match find(spec).await? {
        Some(offset) => Ok(offset),
        None => Ok(find(OffsetSpec::End).await?.unwrap_or_default()),
    }
}
