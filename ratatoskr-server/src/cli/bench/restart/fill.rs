//! What is put into a broker that is going to be killed, and whether it is still there afterwards.

use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use ratatoskr_client::{Client, Error, FetchPartition, FetchRequest, Produced};
use ratatoskr_core::{
    batch::{self, RecordLimits},
    config::{Compression, Durability},
    name::TopicName,
    offset::{Offset, PartitionIndex},
    sync::Mutex,
};
use ratatoskr_server::load::{Pace, Payloads, Plan, Sink, Verifier, drive};

use super::Options;
use crate::cli::{
    bench::{
        sinks::{BatchReceipt, Batches},
        target::{self, Targets},
        verdict,
    },
    connection,
    exit::{Exit, Failure, Outcome},
    progress::Progress,
};

/// Bytes of the values of a batch, about.
const BATCH_BYTES: u64 = 128 << 10;
/// Batches on their way.
const IN_FLIGHT: NonZeroUsize = NonZeroUsize::new(16).unwrap();
/// How long a fetch waits for what is said to be there.
const FETCH_WAIT: Duration = Duration::from_secs(1);

/// The last batch of each partition that was acknowledged.
type Last = Arc<Mutex<BTreeMap<PartitionIndex, Offset>>>;

/// A topic as it was when the broker was killed.
pub(super) struct Filled {
    topic: TopicName,
    last: BTreeMap<PartitionIndex, Offset>,
    records_per_batch: u64,
    size: usize,
    pub(super) records: u64,
    pub(super) bytes: u64,
    pub(super) took: Duration,
}

impl Filled {
    /// Creates the topic and fills it.
    ///
    /// # Errors
    /// What the broker answers.
    pub(super) async fn fill(
        options: &Options,
        durability: Durability,
        client: &Client,
        at: &connection::Options,
    ) -> Outcome<Self> {
        let topic = TopicName::parse("bench").unwrap_or_else(|_| unreachable!("a legal name"));
        let new = target::new_topic(options.partitions, Some(durability));
        let created = at.ask(client.create_topic(&topic, new)).await?;
        let payloads = Payloads::new(fastrand::u64(..), 0, options.size);
        let of_a_batch = (BATCH_BYTES / payloads.record_bytes()).max(1);
        let records = u32::try_from(of_a_batch).unwrap_or(u32::MAX);
        let places = Targets {
            topics: vec![created],
        };
        let last = Last::default();
        let mut sink = Noting {
            batches: batches(client, places.places(), payloads, records),
            last: Arc::clone(&last),
        };
        let sends = options.bytes.div_ceil(sink.bytes_per_send());
        let plan = Plan::new(
            Pace::Closed {
                in_flight: IN_FLIGHT,
            },
            sends,
        );
        let progress = Progress::records(Some(sends * of_a_batch));
        let tally = drive(&plan, &mut sink, |records| progress.advance(records)).await;
        let tally = tally.map_err(verdict::ended_early)?;
        verdict::all_acknowledged(&tally)?;
        let last = last.lock().clone();
        Ok(Self {
            topic,
            last,
            records_per_batch: of_a_batch,
            size: options.size,
            records: tally.records,
            bytes: tally.bytes,
            took: tally.took(),
        })
    }

    /// Fetches the last batch of the first partition.
    ///
    /// # Errors
    /// What the broker answers.
    pub(super) async fn fetch_first(&self, client: &Client, at: &connection::Options) -> Outcome {
        if let Some((partition, offset)) = self.last.first_key_value() {
            self.good_records(client, at, *partition, *offset).await?;
        }
        Ok(())
    }

    /// Appends one record to the first partition.
    ///
    /// # Errors
    /// What the broker answers.
    pub(super) async fn produce_one(&self, client: &Client, at: &connection::Options) -> Outcome {
        let places = vec![(self.topic.clone(), PartitionIndex::new(0))];
        let payloads = Payloads::new(fastrand::u64(..), 0, self.size);
        let mut sink = batches(client, places, payloads, 1);
        let receipt = at.ask(sink.send()).await?;
        at.ask(receipt).await?;
        Ok(())
    }

    /// Whether the last batch of every partition that was acknowledged is there, record by record;
    /// else what is not.
    ///
    /// # Errors
    /// What the broker answers.
    pub(super) async fn is_kept(
        &self,
        client: &Client,
        at: &connection::Options,
    ) -> Outcome<Result<(), String>> {
        for (partition, offset) in &self.last {
            let good = self.good_records(client, at, *partition, *offset).await?;
            if good < self.records_per_batch {
                let expected = self.records_per_batch;
                return Ok(Err(format!(
                    "of the {expected} records from offset {offset} of partition {partition}, \
                     {good} are there and as they were sent"
                )));
            }
        }
        Ok(Ok(()))
    }

    /// How many of the records of the batch at `offset` are as they were sent.
    async fn good_records(
        &self,
        client: &Client,
        at: &connection::Options,
        partition: PartitionIndex,
        offset: Offset,
    ) -> Outcome<u64> {
        let request = FetchRequest {
            partitions: vec![FetchPartition {
                topic: self.topic.clone(),
                partition,
                from: offset,
                bytes_max: 1,
            }],
            wait_max: FETCH_WAIT,
            ..FetchRequest::default()
        };
        let answer = at.ask(client.fetch(&request)).await?;
        let mut seen = Verifier::default();
        for part in answer.partitions {
            let fetched = part.result.map_err(|error| Failure::of(&error))?;
            let slices = fetched.batches.into_slices();
            let Some(batch) = slices.into_iter().flat_map(batch::batches).next() else {
                continue;
            };
            let records = batch.and_then(|batch| {
                batch.verify_crc()?;
                batch.records(&RecordLimits::default())
            });
            for record in records.map_err(|error| no_batch(&error))? {
                let record = record.map_err(|error| no_batch(&error))?;
                if record.offset >= offset {
                    seen.take(partition.get(), &record.value.unwrap_or_default());
                }
            }
        }
        Ok(seen.good)
    }
}

fn batches(
    client: &Client,
    places: Vec<(TopicName, PartitionIndex)>,
    payloads: Payloads,
    records: u32,
) -> Batches {
    Batches {
        client: client.clone(),
        places,
        payloads,
        compression: Compression::None,
        records,
        turn: 0,
    }
}

fn no_batch(error: &batch::BatchError) -> Failure {
    Failure::new(Exit::Failure, "the broker answered with what is no batch").because(error)
}

/// Batches, of which the last acknowledged is noted.
struct Noting {
    batches: Batches,
    last: Last,
}

impl Sink for Noting {
    type Acknowledged = Produced;
    type Error = Error;
    type Receipt = Noted;

    async fn send(&mut self) -> Result<Noted, Error> {
        Ok(Noted {
            receipt: self.batches.send().await?,
            last: Arc::clone(&self.last),
        })
    }

    fn records_per_send(&self) -> u64 {
        self.batches.records_per_send()
    }

    fn bytes_per_send(&self) -> u64 {
        self.batches.bytes_per_send()
    }
}

struct Noted {
    receipt: BatchReceipt,
    last: Last,
}

impl Future for Noted {
    type Output = Result<Produced, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = std::task::ready!(Pin::new(&mut self.receipt).poll(cx));
        if let Ok(produced) = &outcome {
            let mut last = self.last.lock();
            let last = last
                .entry(produced.partition)
                .or_insert(produced.base_offset);
            *last = (*last).max(produced.base_offset);
        }
        Poll::Ready(outcome)
    }
}
