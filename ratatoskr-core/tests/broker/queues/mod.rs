//! Queue groups as their users see them.

mod admin;
mod bad_input;
mod crowd;
mod dead_letters;
mod delivery;
mod logs;
mod times;

use std::time::Duration;

use ratatoskr_core::{
    Error,
    broker::{AcquireOptions, Acquired, Delivery, NewQueue},
    delivery::{ConsumerId, FencingToken, QueueConfigChange, QueueError, SettleAction, Settlement},
    name::{GroupId, TopicName},
    offset::{Offset, PartitionIndex},
    record::Record,
};

use crate::support::{Bench, settle};

pub(super) fn group(name: &str) -> GroupId {
    GroupId::parse(name).unwrap()
}

pub(super) fn consumer(name: &str) -> ConsumerId {
    ConsumerId::parse(name).unwrap()
}

/// A queue group over a topic of one partition.
pub(super) struct Queue {
    pub(super) bench: Bench,
    pub(super) topic: TopicName,
    pub(super) group: GroupId,
}

impl Queue {
    pub(super) async fn new(config: &[(&str, &str)]) -> Self {
        Self::over(Bench::memory().await, config).await
    }

    pub(super) async fn over(bench: Bench, config: &[(&str, &str)]) -> Self {
        let topic = bench.topic("orders", 1).await;
        let group = group("billing");
        let mut change = QueueConfigChange::default();
        for (key, value) in config {
            change.set(key, value).unwrap();
        }
        let new = NewQueue { config: change };
        bench.broker.queue_create(&group, new).await.unwrap();
        Self {
            bench,
            topic,
            group,
        }
    }

    /// After a restart of the broker.
    pub(super) async fn reopened(self) -> Self {
        let report = self.bench.broker.shutdown(Duration::from_secs(1)).await;
        assert!(report.unwrap().is_clean());
        Self {
            bench: self.bench.reopened().await,
            ..self
        }
    }

    pub(super) async fn publish(&self, record: Record) {
        self.bench
            .broker
            .publish(&self.topic, record)
            .await
            .unwrap();
    }

    /// Sends one batch of records with values from 0 on.
    pub(super) async fn fill(&self, records: usize) {
        let records = (0..records).map(|n| Record::new(n.to_string())).collect();
        self.bench
            .broker
            .publish_many(&self.topic, records)
            .await
            .unwrap();
    }

    pub(super) async fn acquire(&self, who: &str, records_max: u32) -> Acquired {
        self.wait_for(who, records_max, Duration::ZERO).await
    }

    pub(super) async fn wait_for(&self, who: &str, records_max: u32, wait: Duration) -> Acquired {
        let options = AcquireOptions {
            records_max,
            wait,
            ..AcquireOptions::default()
        };
        let acquired = self
            .bench
            .broker
            .queue_acquire(&self.group, &self.topic, &consumer(who), &options)
            .await;
        acquired.unwrap()
    }

    pub(super) async fn values(&self, who: &str, records_max: u32) -> Vec<String> {
        values(&self.acquire(who, records_max).await)
    }

    pub(super) async fn settle_all(
        &self,
        who: &str,
        settlements: Vec<Settlement>,
    ) -> Result<Vec<Result<(), QueueError>>, Error> {
        let broker = &self.bench.broker;
        let pending = broker
            .queue_settle(&self.group, &self.topic, &consumer(who), settlements)
            .await?;
        pending.wait().await
    }

    /// Settles everything that was acquired.
    pub(super) async fn settle(&self, who: &str, acquired: &Acquired, action: SettleAction) {
        let settlements = settlements(acquired, &action);
        let results = self.settle_all(who, settlements).await.unwrap();
        assert!(results.iter().all(Result::is_ok), "{results:?}");
    }

    pub(super) async fn pass(&self, time: Duration) {
        self.bench.clock.advance(time);
        // Timers are tokio's; whoever waits for a moment looks at the clock when one ends.
        tokio::time::sleep(Duration::from_secs(2)).await;
        settle().await;
    }
}

pub(super) fn settlements(acquired: &Acquired, action: &SettleAction) -> Vec<Settlement> {
    let partitions = acquired.partitions.iter();
    partitions
        .flat_map(|partition| {
            partition.ranges.iter().map(|range| Settlement {
                partition: partition.partition,
                first: range.first,
                last: range.last,
                token: partition.token,
                action: action.clone(),
            })
        })
        .collect()
}

pub(super) fn settlement(offset: u64, token: FencingToken, action: SettleAction) -> Settlement {
    Settlement {
        partition: PartitionIndex::new(0),
        first: Offset::new(offset),
        last: Offset::new(offset),
        token,
        action,
    }
}

pub(super) fn values(acquired: &Acquired) -> Vec<String> {
    let deliveries = acquired.deliveries().unwrap();
    deliveries.iter().map(value).collect()
}

pub(super) fn value(delivery: &Delivery) -> String {
    let value = delivery.record.record.value.as_deref().unwrap();
    String::from_utf8(value.to_vec()).unwrap()
}

pub(super) fn reject(cause: &str) -> SettleAction {
    SettleAction::Reject {
        cause: cause.to_owned(),
    }
}

pub(super) fn retry_after(seconds: u64) -> SettleAction {
    SettleAction::Retry {
        after: Some(Duration::from_secs(seconds)),
        cause: None,
    }
}
