//! One phase: a topic that is filled at a fixed rate, and consumers that work it off meanwhile.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ratatoskr_client::{Client, ConsumerId, GroupId, NewQueue, QueueConfigChange};
use ratatoskr_core::{config::Durability, limits, name::TopicName};
use ratatoskr_server::load::{Pace, Payloads, Plan, drive};
use tokio::{sync::watch, task::JoinSet};

use super::{
    Options,
    worker::{Seen, Shared, Worker},
};
use crate::cli::{
    bench::{
        sinks::{Making, Records},
        target, verdict,
    },
    connection,
    exit::{Failure, Outcome},
    progress::Progress,
};

/// Records that a consumer takes ahead.
const PREFETCH_RECORDS: u32 = 100;
/// Bytes that it takes at a time.
const PREFETCH_BYTES: u32 = 1 << 20;
/// How often it is looked whether all has come.
const LOOKS_EVERY: Duration = Duration::from_millis(1);

/// See the module.
pub(super) struct Phase<'a> {
    options: &'a Options,
    at: &'a connection::Options,
    topic: TopicName,
    group: GroupId,
    /// How many keys fail.
    poisoned: u32,
}

impl<'a> Phase<'a> {
    /// The phase of this number, with poisoned keys or without.
    ///
    /// # Errors
    /// A topic cannot be called that.
    pub(super) fn new(
        options: &'a Options,
        number: u32,
        poisoned: bool,
        at: &'a connection::Options,
    ) -> Outcome<Self> {
        let name = format!("{}-{number}", options.topic);
        Ok(Self {
            options,
            at,
            topic: TopicName::parse(&name).map_err(|error| Failure::usage(error.to_string()))?,
            group: GroupId::parse(&name).map_err(|error| Failure::usage(error.to_string()))?,
            poisoned: if poisoned { options.poisoned.get() } else { 0 },
        })
    }

    /// Runs it, and leaves nothing behind.
    ///
    /// # Errors
    /// What the broker answers; what was delivered wrongly is in what it saw.
    pub(super) async fn run(&self, progress: &Progress) -> Outcome<Seen> {
        let client = self.at.connect().await?;
        let durability = self.create(&client).await?;
        let run = fastrand::u64(..);
        let shared = Arc::new(Shared::new(run, self.options.keys.get(), self.poisoned));
        let (end, ended) = watch::channel(false);
        let mut workers = JoinSet::new();
        for number in 0..self.options.consumers.get() {
            let worker = self.worker(number, &shared).await?;
            workers.spawn(worker.run(ended.clone()));
        }
        let producer = self.at.ask(client.producer(&self.topic).open()).await?;
        let payloads = Payloads::new(run, 0, self.options.size);
        let mut sink = Records {
            producers: vec![producer],
            making: Making::new(payloads, Some(self.options.keys)),
            turn: 0,
        };
        let plan = self.plan();
        shared.begin(plan);
        let advance = |records| progress.advance(records);
        let tally = drive(&plan, &mut sink, advance).await;
        let tally = tally.map_err(verdict::ended_early)?;
        verdict::all_acknowledged(&tally)?;
        self.all_delivered(&shared, tally.sent).await;
        let mut seen = Seen {
            durability: Some(durability),
            took: plan.measured_from().elapsed(),
            ..Seen::default()
        };
        let _ = end.send(true);
        while let Some(one) = workers.join_next().await {
            let one = one.map_err(verdict::ended_early)?;
            seen.add(&one.map_err(|error| self.at.failed(&error))?);
        }
        seen.missing = shared.missing(tally.sent);
        seen.untried = self.poisoned > 0 && seen.attempts == 0;
        self.at.ask(client.delete_queue(&self.group)).await?;
        self.at.ask(client.delete_topic(&self.topic)).await?;
        Ok(seen)
    }

    async fn create(&self, client: &Client) -> Outcome<Durability> {
        let options = self.options;
        let new = target::new_topic(options.partitions.get(), options.durability.durability);
        let topic = self.at.ask(client.create_topic(&self.topic, new)).await?;
        let backoff = Duration::from_millis(self.options.backoff_ms.into());
        let config = QueueConfigChange {
            ordered_by_key: Some(true),
            attempts_max: Some(limits::QUEUE_ATTEMPTS_MAX),
            backoff_min: Some(backoff),
            backoff_max: Some(backoff),
            backoff_multiplier: Some(1),
            backoff_jitter_percent: Some(0),
            in_flight_max: Some(limits::QUEUE_IN_FLIGHT_MAX),
            in_flight_per_consumer_max: Some(limits::QUEUE_IN_FLIGHT_MAX),
            ..QueueConfigChange::default()
        };
        let created = client.create_queue(&self.group, NewQueue { config });
        self.at.ask(created).await?;
        Ok(topic.config.durability)
    }

    async fn worker(&self, number: u32, shared: &Arc<Shared>) -> Outcome<Worker> {
        let name = ConsumerId::parse(&format!("consumer-{number}"))
            .map_err(|error| Failure::usage(error.to_string()))?;
        let client = self.at.connect().await?;
        let queue = client
            .queue(&self.topic, &self.group)
            .consumer(name)
            .prefetch(PREFETCH_RECORDS, PREFETCH_BYTES);
        let queue = self.at.ask(queue.open()).await?;
        Ok(Worker::new(queue, Arc::clone(shared)))
    }

    fn plan(&self) -> Plan {
        let pace = Pace::Open {
            rate: self.options.rate,
        };
        let mut plan = Plan::new(pace, 0);
        plan.sends = None;
        plan.warm_up = self.options.warm_up;
        plan.lasts = Some(self.options.seconds);
        plan
    }

    /// Waits until every record has come that can, or none has for as long as an answer may take.
    async fn all_delivered(&self, shared: &Shared, sent: u64) {
        let mut missing = shared.missing(sent);
        let mut since = Instant::now();
        while missing > 0 && since.elapsed() < self.at.timeout() {
            tokio::time::sleep(LOOKS_EVERY).await;
            let now_missing = shared.missing(sent);
            if now_missing < missing {
                (missing, since) = (now_missing, Instant::now());
            }
        }
    }
}
