//! Bodies of reading on request: fetch and find offset.

use serde::{Deserialize, Serialize};

use super::{Body, ErrorBody, Kind, Request, topics::requests};
use crate::{
    broker::OffsetSpec,
    name::TopicName,
    offset::{Bounds, Offset, PartitionIndex},
};

/// Reads batches from partitions; waits until there are `bytes_min`, but no longer than `wait_ms`.
///
/// Other requests of the connection are answered in the meantime.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetch {
    /// What to read.
    pub partitions: Vec<FetchPartition>,
    /// Bytes to wait for; 0 or 1 for any.
    pub bytes_min: u32,
    /// Bytes to return at most over all partitions, except that one batch is always returned.
    pub bytes_max: u32,
    /// How long to wait.
    pub wait_ms: u32,
    /// Whether records of open transactions are left out.
    pub committed: bool,
}

/// One partition to read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchPartition {
    /// The topic's name.
    pub topic: TopicName,
    /// The partition.
    pub partition: PartitionIndex,
    /// The first offset wanted; the first batch may begin before it.
    pub from: Offset,
    /// Bytes to return at most of this partition, except that one batch is always returned.
    pub bytes_max: u32,
}

/// What was read, one entry for each partition asked for, in that order. The batches of all of them
/// follow the body back to back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetched {
    /// The partitions.
    pub partitions: Vec<FetchedPartition>,
}

/// What was read of one partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchedPartition {
    /// Why nothing was read, if something was wrong.
    pub error: Option<ErrorBody>,
    /// Where the log begins and ends; zeros beside an error.
    pub bounds: Bounds,
    /// Bytes of its batches after the body.
    pub bytes: u32,
}

/// Finds an offset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindOffset {
    /// The topic's name.
    pub topic: TopicName,
    /// The partition.
    pub partition: PartitionIndex,
    /// What to find.
    #[serde(with = "offset_spec")]
    pub at: OffsetSpec,
}

/// The offset found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundOffset {
    /// The offset; `None` where no record is of that time or later.
    pub offset: Option<Offset>,
    /// Where the log begins and ends.
    pub bounds: Bounds,
}

requests! {
    Fetch -> Fetched,
    FindOffset -> FoundOffset,
}

/// An offset spec as the array of kind and value.
pub(super) mod offset_spec {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    use crate::{broker::OffsetSpec, offset::Offset, time::Timestamp};

    const START: u8 = 0;
    const END: u8 = 1;
    const TIMESTAMP: u8 = 2;
    const OFFSET: u8 = 3;

    pub(in crate::wire) fn serialize<S: Serializer>(
        spec: &OffsetSpec,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        let (kind, value) = match *spec {
            OffsetSpec::Start => (START, 0),
            OffsetSpec::End => (END, 0),
            OffsetSpec::Timestamp(at) => (TIMESTAMP, at.get()),
            OffsetSpec::Offset(offset) => (OFFSET, offset.to_wire()),
        };
        (kind, value).serialize(to)
    }

    pub(in crate::wire) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<OffsetSpec, D::Error> {
        let (kind, value) = <(u8, i64)>::deserialize(from)?;
        match kind {
            START => Ok(OffsetSpec::Start),
            END => Ok(OffsetSpec::End),
            TIMESTAMP => Ok(OffsetSpec::Timestamp(Timestamp::new(value))),
            OFFSET => Offset::from_wire(value)
                .map(OffsetSpec::Offset)
                .ok_or_else(|| D::Error::custom(format!("offset {value} cannot be"))),
            _ => Err(D::Error::custom(format!("place {kind} is unknown"))),
        }
    }
}
