//! Queue groups: many consumers share the records of a topic, each record goes to one of them until
//! somebody is done with it.

mod acquired;
mod admin_types;
mod dead_letter;

pub use acquired::{AcquireOptions, Acquired, AcquiredPartition, AcquiredRange, Delivery};
pub use admin_types::{
    NewQueue, PeekedRecord, QueueDescription, QueuePartitionDescription, QueueTopicDescription,
    RecordState,
};
pub use dead_letter::{
    BrowsePage, BrowsePosition, DeadLetter, DeadLetterFilter, DeadLetterTopic, DiscardReport,
    RedriveOptions, RedriveReport,
};
