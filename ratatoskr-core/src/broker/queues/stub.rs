use super::*;
use crate::{Broker, Error, delivery::*, name::*};
#[derive(Debug)]
pub struct PendingSettle;
impl PendingSettle {
    pub async fn wait(self) -> Result<Vec<Result<(), QueueError>>, Error> {
        todo!()
    }
}
impl Broker {
    pub async fn queue_create(
        &self,
        group: &GroupId,
        new: NewQueue,
    ) -> Result<QueueDescription, Error> {
        todo!()
    }
    pub async fn queue_alter(
        &self,
        group: &GroupId,
        change: &QueueConfigChange,
    ) -> Result<QueueDescription, Error> {
        todo!()
    }
    pub async fn queue_delete(&self, group: &GroupId) -> Result<(), Error> {
        todo!()
    }
    pub async fn queue_describe(&self, group: &GroupId) -> Result<QueueDescription, Error> {
        todo!()
    }
    pub async fn queue_list(&self) -> Result<Vec<GroupId>, Error> {
        todo!()
    }
    pub async fn queue_peek(
        &self,
        group: &GroupId,
        topic: &TopicName,
        records_max: usize,
    ) -> Result<Vec<PeekedRecord>, Error> {
        todo!()
    }
    pub async fn queue_acquire(
        &self,
        group: &GroupId,
        topic: &TopicName,
        consumer: &ConsumerId,
        options: &AcquireOptions,
    ) -> Result<Acquired, Error> {
        todo!()
    }
    pub async fn queue_settle(
        &self,
        group: &GroupId,
        topic: &TopicName,
        consumer: &ConsumerId,
        settlements: Vec<Settlement>,
    ) -> Result<PendingSettle, Error> {
        todo!()
    }
    pub async fn queue_leave(&self, group: &GroupId, consumer: &ConsumerId) -> Result<u64, Error> {
        todo!()
    }
    pub async fn dead_letter_topics(&self) -> Result<Vec<DeadLetterTopic>, Error> {
        todo!()
    }
    pub async fn dead_letters_browse(
        &self,
        topic: &TopicName,
        from: BrowsePosition,
        letters_max: usize,
        filter: &DeadLetterFilter,
    ) -> Result<BrowsePage, Error> {
        todo!()
    }
    pub async fn dead_letters_redrive(
        &self,
        topic: &TopicName,
        options: &RedriveOptions,
    ) -> Result<RedriveReport, Error> {
        todo!()
    }
    pub async fn dead_letters_discard(
        &self,
        topic: &TopicName,
        filter: &DeadLetterFilter,
        limit: Option<u64>,
        dry_run: bool,
    ) -> Result<DiscardReport, Error> {
        todo!()
    }
}
