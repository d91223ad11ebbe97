//! Queue groups: many consumers share the records of a topic, each record goes to one of them until
//! somebody is done with it.

mod acquire;
mod acquired;
mod admin;
mod admin_types;
mod attempt;
mod cut;
mod dead_letter;
mod dead_letters;
mod engine;
mod keeper;
mod letter;
mod mover;
mod read_again;
mod scan;
mod settle;
mod taken;
mod turn;
mod undone;

pub use acquired::{AcquireOptions, Acquired, AcquiredPartition, AcquiredRange, Delivery};
pub use admin_types::{
    NewQueue, PeekedRecord, QueueDescription, QueuePartitionDescription, QueueTopicDescription,
    RecordState,
};
pub use dead_letter::{
    BrowsePage, BrowsePosition, DeadLetter, DeadLetterFilter, DeadLetterTopic, DiscardReport,
    RedriveOptions, RedriveReport,
};
pub(super) use engine::QueueEngine;
pub(super) use keeper::spawn as spawn_keeper;
pub use settle::PendingSettle;
