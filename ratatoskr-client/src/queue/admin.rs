//! Administration of queue groups and dead letters.

use ratatoskr_core::{
    broker::{
        BrowsePage, BrowsePosition, DeadLetterFilter, DeadLetterTopic, DiscardReport, NewQueue,
        PeekedRecord, QueueDescription, RedriveOptions, RedriveReport,
    },
    config::InvalidConfig,
    delivery::QueueConfigChange,
    name::{GroupId, TopicName},
    wire::{self, ConfigEntries},
};

use crate::{
    Error,
    client::{Client, Transport},
    remote::Repeat,
};

/// Queue groups.
impl Client {
    /// Creates a queue group.
    ///
    /// # Errors
    /// As [`Broker::queue_create`](ratatoskr_core::Broker::queue_create), and those of the connection.
    ///
    /// # Cancel safety
    /// Dropping the future may leave the group created.
    pub async fn create_queue(
        &self,
        group: &GroupId,
        new: NewQueue,
    ) -> Result<QueueDescription, Error> {
        match &self.transport {
            Transport::InProcess(broker) => Ok(broker.queue_create(group, new).await?),
            Transport::Remote(remote) => {
                let request = wire::CreateQueue {
                    group: group.clone(),
                    config: ConfigEntries::from(&new.config),
                };
                let call = remote.call("create queue", &request, Repeat::IfNotCarriedOut);
                described(call.await?)
            }
        }
    }

    /// Changes a queue group's configuration; what is not named stays.
    ///
    /// # Errors
    /// As [`Broker::queue_alter`](ratatoskr_core::Broker::queue_alter), and those of the connection.
    ///
    /// # Cancel safety
    /// Dropping the future may leave the change made.
    pub async fn alter_queue(
        &self,
        group: &GroupId,
        change: &QueueConfigChange,
    ) -> Result<QueueDescription, Error> {
        match &self.transport {
            Transport::InProcess(broker) => Ok(broker.queue_alter(group, change).await?),
            Transport::Remote(remote) => {
                let request = wire::AlterQueue {
                    group: group.clone(),
                    config: ConfigEntries::from(change),
                };
                let call = remote.call("alter queue", &request, Repeat::Freely);
                described(call.await?)
            }
        }
    }

    /// Deletes a queue group with all that it knows of its records, which stay in their topics.
    ///
    /// # Errors
    /// As [`Broker::queue_delete`](ratatoskr_core::Broker::queue_delete), and those of the connection.
    ///
    /// # Cancel safety
    /// Dropping the future may leave the group deleted.
    pub async fn delete_queue(&self, group: &GroupId) -> Result<(), Error> {
        match &self.transport {
            Transport::InProcess(broker) => Ok(broker.queue_delete(group).await?),
            Transport::Remote(remote) => {
                let request = wire::DeleteQueue {
                    group: group.clone(),
                };
                let repeat = Repeat::IfNotCarriedOut;
                remote.call("delete queue", &request, repeat).await?;
                Ok(())
            }
        }
    }

    /// One queue group: its configuration, what it has of each partition, who holds records.
    ///
    /// # Errors
    /// As [`Broker::queue_describe`](ratatoskr_core::Broker::queue_describe), and those of the
    /// connection.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn describe_queue(&self, group: &GroupId) -> Result<QueueDescription, Error> {
        match &self.transport {
            Transport::InProcess(broker) => Ok(broker.queue_describe(group).await?),
            Transport::Remote(remote) => {
                let request = wire::DescribeQueue {
                    group: group.clone(),
                };
                let call = remote.call("describe queue", &request, Repeat::Freely);
                described(call.await?)
            }
        }
    }

    /// Every queue group, in order.
    ///
    /// # Errors
    /// As [`Broker::queue_list`](ratatoskr_core::Broker::queue_list), and those of the connection.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn list_queues(&self) -> Result<Vec<GroupId>, Error> {
        match &self.transport {
            Transport::InProcess(broker) => Ok(broker.queue_list().await?),
            Transport::Remote(remote) => {
                let request = wire::ListQueues {};
                remote.call("list queues", &request, Repeat::Freely).await
            }
        }
    }

    /// The oldest records that a group is not done with, at most `records_max`, without taking any.
    ///
    /// # Errors
    /// As [`Broker::queue_peek`](ratatoskr_core::Broker::queue_peek), and those of the connection.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn peek_queue(
        &self,
        group: &GroupId,
        topic: &TopicName,
        records_max: usize,
    ) -> Result<Vec<PeekedRecord>, Error> {
        match &self.transport {
            Transport::InProcess(broker) => {
                Ok(broker.queue_peek(group, topic, records_max).await?)
            }
            Transport::Remote(remote) => {
                let request = wire::PeekQueue {
                    group: group.clone(),
                    topic: topic.clone(),
                    records_max: u32::try_from(records_max).unwrap_or(u32::MAX),
                };
                let peeked = remote.call("peek queue", &request, Repeat::Freely).await?;
                Ok(peeked.into_iter().map(|peeked| peeked.of(topic)).collect())
            }
        }
    }
}

/// Dead letters.
impl Client {
    /// The topics that hold dead letters.
    ///
    /// # Errors
    /// As [`Broker::dead_letter_topics`](ratatoskr_core::Broker::dead_letter_topics), and those of the
    /// connection.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn dead_letter_topics(&self) -> Result<Vec<DeadLetterTopic>, Error> {
        match &self.transport {
            Transport::InProcess(broker) => Ok(broker.dead_letter_topics().await?),
            Transport::Remote(remote) => {
                let request = wire::ListDeadLetterTopics {};
                let repeat = Repeat::Freely;
                remote
                    .call("list dead-letter topics", &request, repeat)
                    .await
            }
        }
    }

    /// Dead letters that the filter means, from a position on, at most `letters_max`.
    ///
    /// # Errors
    /// As [`Broker::dead_letters_browse`](ratatoskr_core::Broker::dead_letters_browse), and those of
    /// the connection.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn browse_dead_letters(
        &self,
        topic: &TopicName,
        from: BrowsePosition,
        letters_max: usize,
        filter: &DeadLetterFilter,
    ) -> Result<BrowsePage, Error> {
        match &self.transport {
            Transport::InProcess(broker) => {
                let browse = broker.dead_letters_browse(topic, from, letters_max, filter);
                Ok(browse.await?)
            }
            Transport::Remote(remote) => {
                let request = wire::BrowseDeadLetters {
                    topic: topic.clone(),
                    from,
                    letters_max: u32::try_from(letters_max).unwrap_or(u32::MAX),
                    filter: filter.clone(),
                };
                let repeat = Repeat::Freely;
                let page = remote.call("browse dead letters", &request, repeat).await?;
                Ok(page.of(topic))
            }
        }
    }

    /// Sends dead letters back to the topics where they were. Over the network the answer must come
    /// within the request timeout: ask for no more than `limit` letters at a time.
    ///
    /// # Errors
    /// As [`Broker::dead_letters_redrive`](ratatoskr_core::Broker::dead_letters_redrive), and those of
    /// the connection.
    ///
    /// # Cancel safety
    /// Dropping the future may leave any number of the letters redriven.
    pub async fn redrive_dead_letters(
        &self,
        topic: &TopicName,
        options: &RedriveOptions,
    ) -> Result<RedriveReport, Error> {
        match &self.transport {
            Transport::InProcess(broker) => Ok(broker.dead_letters_redrive(topic, options).await?),
            Transport::Remote(remote) => {
                let request = wire::RedriveDeadLetters {
                    topic: topic.clone(),
                    options: options.clone(),
                };
                let repeat = Repeat::IfNotCarriedOut;
                remote.call("redrive dead letters", &request, repeat).await
            }
        }
    }

    /// Gives dead letters up for good.
    ///
    /// # Errors
    /// As [`Broker::dead_letters_discard`](ratatoskr_core::Broker::dead_letters_discard), and those of
    /// the connection.
    ///
    /// # Cancel safety
    /// Dropping the future may leave any number of the letters discarded.
    pub async fn discard_dead_letters(
        &self,
        topic: &TopicName,
        filter: &DeadLetterFilter,
        limit: Option<u64>,
        dry_run: bool,
    ) -> Result<DiscardReport, Error> {
        match &self.transport {
            Transport::InProcess(broker) => {
                let discard = broker.dead_letters_discard(topic, filter, limit, dry_run);
                Ok(discard.await?)
            }
            Transport::Remote(remote) => {
                let request = wire::DiscardDeadLetters {
                    topic: topic.clone(),
                    filter: filter.clone(),
                    limit,
                    dry_run,
                };
                let repeat = Repeat::IfNotCarriedOut;
                remote.call("discard dead letters", &request, repeat).await
            }
        }
    }
}

fn described(body: wire::QueueBody) -> Result<QueueDescription, Error> {
    // A server of this version has no value that is not known here.
    body.try_into()
        .map_err(|error: InvalidConfig| Error::Protocol(error.to_string()))
}
