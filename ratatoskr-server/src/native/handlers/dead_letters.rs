//! list dead-letter topics, browse, redrive, discard dead letters.

use ratatoskr_core::{
    Broker,
    broker::{DeadLetterTopic, DiscardReport, RedriveReport},
    wire::{
        BrowseDeadLetters, DeadLetters, DiscardDeadLetters, ErrorBody, ListDeadLetterTopics,
        RedriveDeadLetters,
    },
};

use super::{Command, told};

impl Command for ListDeadLetterTopics {
    async fn run(self, broker: &Broker) -> Result<Vec<DeadLetterTopic>, ErrorBody> {
        broker.dead_letter_topics().await.map_err(told)
    }
}

impl Command for BrowseDeadLetters {
    async fn run(self, broker: &Broker) -> Result<DeadLetters, ErrorBody> {
        let letters_max = self.letters_max as usize;
        let page = broker
            .dead_letters_browse(&self.topic, self.from, letters_max, &self.filter)
            .await;
        page.map(Into::into).map_err(told)
    }
}

impl Command for RedriveDeadLetters {
    async fn run(self, broker: &Broker) -> Result<RedriveReport, ErrorBody> {
        broker
            .dead_letters_redrive(&self.topic, &self.options)
            .await
            .map_err(told)
    }
}

impl Command for DiscardDeadLetters {
    async fn run(self, broker: &Broker) -> Result<DiscardReport, ErrorBody> {
        broker
            .dead_letters_discard(&self.topic, &self.filter, self.limit, self.dry_run)
            .await
            .map_err(told)
    }
}
