//! Bodies of subscriptions: batches pushed under credit.
//!
//! A subscription is named by the correlation of its subscribe frame; every later frame about it,
//! in either direction, carries that correlation. The server pushes a batch only while **both**
//! credits (records and bytes) are above zero and takes the batch's offsets and bytes from them, so
//! they end below zero by at most one batch. Credit frames have no response.

use serde::{Deserialize, Serialize};

use super::{Body, Done, ErrorBody, Kind, Request, topics::requests};
use crate::{
    name::TopicName,
    offset::{Bounds, Offset, PartitionIndex},
};

/// Begins a subscription to partitions of one topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscribe {
    /// The topic's name.
    pub topic: TopicName,
    /// Each partition with the first offset wanted.
    pub partitions: Vec<(PartitionIndex, Offset)>,
    /// Whether records of open transactions are left out.
    pub committed: bool,
    /// What may be pushed at once.
    pub credit: Credit,
}

/// What the server may push (further).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credit {
    /// Records, counted as offsets covered.
    pub records: u32,
    /// Bytes of batches.
    pub bytes: u32,
}

/// Batches of one partition of a subscription; they follow the body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deliver {
    /// The partition.
    pub partition: PartitionIndex,
    /// Where its log begins and ends.
    pub bounds: Bounds,
    /// Why this partition is no longer part of the subscription; no batches follow then.
    pub error: Option<ErrorBody>,
}

/// Ends a subscription. Batches already under way may still arrive before the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsubscribe {}

impl Body for Credit {
    const KIND: Kind = Kind::Credit;
}

impl Body for Deliver {
    const KIND: Kind = Kind::Deliver;
}

requests! {
    Subscribe -> Done,
    Unsubscribe -> Done,
}
