//! A record: what a producer sends and a consumer receives.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    name::TopicName,
    offset::{Offset, PartitionIndex},
    time::Timestamp,
};

/// Header of a record that is worth nothing after so many milliseconds (decimal text) from its
/// timestamp: queue groups do not deliver it any more. Plain readers see it all the same.
pub const TTL_HEADER: &str = "_rt.ttl_ms";
/// Header of a record that queue groups hold back for so many milliseconds (decimal text) from its
/// timestamp.
pub const DELAY_HEADER: &str = "_rt.delay_ms";
/// Header of a record that queue groups hold back until this moment (milliseconds since the epoch,
/// decimal text).
pub const DELIVER_AT_HEADER: &str = "_rt.deliver_at";

/// Key, value, headers, time. Key and value may be absent, which is not the same as empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Routes the record, and is what compaction keeps the latest of.
    pub key: Option<Bytes>,
    /// The payload; absent on a compacted topic means "this key is deleted".
    pub value: Option<Bytes>,
    /// In the producer's order; a key may come more than once.
    pub headers: Vec<Header>,
    /// Milliseconds since the epoch; `None` lets the broker or the batch builder set it.
    pub timestamp: Option<Timestamp>,
}

/// One header of a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// UTF-8, as Kafka's format asks.
    pub key: String,
    /// The value; absent is not the same as empty.
    pub value: Option<Bytes>,
}

impl Record {
    /// A record with a value and nothing else.
    pub fn new(value: impl Into<Bytes>) -> Self {
        Self {
            value: Some(value.into()),
            ..Self::default()
        }
    }

    /// The same with a key.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<Bytes>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// The same with one more header.
    #[must_use]
    pub fn with_header(mut self, key: impl Into<String>, value: impl Into<Bytes>) -> Self {
        self.headers.push(Header {
            key: key.into(),
            value: Some(value.into()),
        });
        self
    }

    /// The same, worth nothing to queue groups once `ttl` has passed from its timestamp.
    #[must_use]
    pub fn with_ttl(self, ttl: Duration) -> Self {
        self.with_header(TTL_HEADER, ttl.as_millis().to_string())
    }

    /// The same, held back from queue groups until `delay` has passed from its timestamp.
    #[must_use]
    pub fn with_delay(self, delay: Duration) -> Self {
        self.with_header(DELAY_HEADER, delay.as_millis().to_string())
    }

    /// The same, held back from queue groups until this moment.
    #[must_use]
    pub fn deliver_at(self, at: Timestamp) -> Self {
        self.with_header(DELIVER_AT_HEADER, at.to_string())
    }

    /// The same with a time of its own.
    #[must_use]
    pub fn with_timestamp(mut self, timestamp: Timestamp) -> Self {
        self.timestamp = Some(timestamp);
        self
    }
}

/// A record as it was read, with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumedRecord {
    /// The topic it was read from.
    pub topic: TopicName,
    /// Its partition.
    pub partition: PartitionIndex,
    /// Its offset in that partition.
    pub offset: Offset,
    /// The record; its timestamp is always set.
    pub record: Record,
}

/// Where a published record went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordMetadata {
    /// The partition it was routed to.
    pub partition: PartitionIndex,
    /// Its offset there.
    pub offset: Offset,
    /// Its time as kept in the log.
    pub timestamp: Timestamp,
    /// What the acknowledgement promises: the topic's durability.
    pub durability: crate::config::Durability,
}
