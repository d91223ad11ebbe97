//! What becomes of a producer's batches, told without a task in between.
//!
//! The connection's task calls the producer as it reads an answer: waking a task for each batch would
//! cost more than the batch.

use std::{fmt, sync::Arc};

use ratatoskr_core::{offset::PartitionIndex, wire};

use super::{link::Answer, requests::decode};
use crate::Error;

/// A producer that hears what became of its batches. Called once for each batch, with no lock held;
/// what it queues in answer leaves when the connection's task has heard all that it has read.
pub(crate) trait HearBatches: fmt::Debug + Send + Sync {
    /// The batch was acknowledged, or was not.
    fn acknowledged(
        self: Arc<Self>,
        partition: PartitionIndex,
        id: u64,
        answer: Result<wire::Produced, Error>,
    );

    /// A batch that is not acknowledged was taken by the server, or was not.
    fn taken(self: Arc<Self>, partition: PartitionIndex, id: u64, outcome: Result<(), Error>);
}

/// Who is to hear of a batch.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) producer: Arc<dyn HearBatches>,
    pub(crate) partition: PartitionIndex,
    /// The producer's own number of the batch.
    pub(crate) id: u64,
    /// Whether the answer is an acknowledgement, or the one to a ping that was sent behind the batch.
    pub(crate) acknowledged: bool,
}

impl Listener {
    pub(super) fn hear(self, answer: Answer) {
        let Self {
            producer,
            partition,
            id,
            acknowledged,
        } = self;
        if acknowledged {
            let answer = answer.and_then(|frame| decode::<wire::Produce>(&frame));
            producer.acknowledged(partition, id, answer);
        } else {
            producer.taken(partition, id, answer.map(drop));
        }
    }
}
