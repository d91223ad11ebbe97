//! An idempotent producer that speaks Kafka's protocol, through all of the broker's lives.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result, ensure};
use kafka_protocol::messages::{
    InitProducerIdRequest, ProduceRequest, TopicName,
    produce_request::{PartitionProduceData, TopicProduceData},
};
use ratatoskr_client::{Compression, Offset, PartitionIndex};
use ratatoskr_core::{
    batch::BatchBuilder,
    producer::{ProducerEpoch, ProducerId, ProducerStamp, Sequence},
    time::Timestamp,
};
use tokio::{sync::watch, time::sleep};

use super::{
    AGAIN, Seen,
    connection::{Connection, is_down, text},
    pipeline::{Batch, Pipeline},
};
use crate::{
    history::{Event, Recorder, Tag, payload},
    load::Topic,
};

/// The versions that are spoken, of which all know topics by name.
const PRODUCE: i16 = 9;
const INIT_PRODUCER_ID: i16 = 4;
/// Records of a batch are at most so many.
const RECORDS_MAX: u64 = 20;
/// A pause is shorter than this.
const PAUSE_MAX: Duration = Duration::from_millis(5);

/// One producer of one topic.
pub(super) struct Producer {
    pub(super) number: u32,
    pub(super) address: SocketAddr,
    pub(super) topic: Topic,
    pub(super) recorder: Recorder,
    pub(super) seen: Seen,
    pub(super) settling: watch::Receiver<bool>,
    pub(super) random: fastrand::Rng,
    /// The tag of the next record.
    pub(super) sequence: u64,
    /// What the broker has named it, once it has.
    pub(super) identity: Option<(ProducerId, ProducerEpoch)>,
    pub(super) pipeline: Pipeline,
}

impl Producer {
    /// Sends until it is told to settle, and then until everything is acknowledged.
    ///
    /// # Errors
    /// It is answered what no producer should be.
    pub(super) async fn run(mut self) -> Result<()> {
        loop {
            match self.work().await {
                Ok(()) => return Ok(()),
                Err(error) if is_down(&error) => {
                    self.pipeline.lost();
                    sleep(AGAIN).await;
                }
                Err(error) => {
                    return Err(error).with_context(|| format!("Kafka's producer {}", self.number));
                }
            }
        }
    }

    /// Works as long as a connection lasts.
    async fn work(&mut self) -> Result<()> {
        let mut connection = Connection::open(self.address).await?;
        let identity = match self.identity {
            Some(identity) => identity,
            None => *self.identity.insert(named(&mut connection).await?),
        };
        loop {
            if !self.pipeline.awaits_answers() {
                let resent = self.pipeline.resend();
                for batch in resent {
                    let request = request(&self.topic, batch);
                    connection.send(PRODUCE, &request).await?;
                }
                self.seen.resent(resent.len());
            }
            let settling = *self.settling.borrow();
            if settling && self.pipeline.is_empty() {
                return Ok(());
            }
            let sends = !settling && self.pipeline.has_room();
            if sends && (!self.pipeline.awaits_answers() || self.random.bool()) {
                sleep(PAUSE_MAX.mul_f64(self.random.f64())).await;
                let batch = self.batch(identity)?;
                let request = request(&self.topic, &batch);
                // On its way, as far as this producer knows, whatever comes of the sending.
                self.pipeline.push(batch);
                connection.send(PRODUCE, &request).await?;
            } else if self.pipeline.awaits_answers() {
                self.receive(&mut connection).await?;
            }
        }
    }

    /// The next batch, for a partition at random. Its records are invoked.
    fn batch(&mut self, (id, epoch): (ProducerId, ProducerEpoch)) -> Result<Batch> {
        let partition = PartitionIndex::new(self.random.u32(..self.topic.partitions));
        let tags: Vec<Tag> = (0..self.random.u64(1..=RECORDS_MAX))
            .map(|_| self.invoke())
            .collect();
        let stamp = ProducerStamp {
            id,
            epoch,
            base_sequence: Sequence::new(self.pipeline.sequence(partition, tags.len())),
        };
        let compression = self.random.choice(Compression::ALL).unwrap_or_default();
        let mut builder = BatchBuilder::new(compression).with_producer(stamp);
        for &tag in &tags {
            builder.push(&payload::record(tag), Timestamp::new(0))?;
        }
        Ok(Batch {
            partition,
            tags,
            bytes: builder.build()?.to_bytes(),
        })
    }

    /// Begins to send the next record.
    fn invoke(&mut self) -> Tag {
        let tag = Tag {
            producer: self.number,
            sequence: self.sequence,
        };
        self.sequence += 1;
        let topic = self.topic.number;
        self.recorder.note(Event::Invoked { tag, topic });
        tag
    }

    /// Waits for the answer to the earliest batch.
    async fn receive(&mut self, connection: &mut Connection) -> Result<()> {
        let answer = connection.receive::<ProduceRequest>(PRODUCE).await?;
        let topic = answer.responses.first().context("no topic is answered")?;
        let answer = topic.partition_responses.first();
        let answer = answer.context("no partition is answered")?;
        let Some(batch) = self.pipeline.answered(answer.error_code)? else {
            sleep(AGAIN).await;
            return Ok(());
        };
        let answered = u32::try_from(answer.index).map(PartitionIndex::new);
        ensure!(
            answered == Ok(batch.partition),
            "another partition's answer"
        );
        let first = Offset::from_wire(answer.base_offset).context("an offset")?;
        for (at, &tag) in (0..).zip(&batch.tags) {
            self.recorder.note(Event::Acknowledged {
                tag,
                partition: batch.partition,
                offset: first.plus(at),
            });
        }
        Ok(())
    }
}

/// An identity of the broker's.
async fn named(connection: &mut Connection) -> Result<(ProducerId, ProducerEpoch)> {
    let request = InitProducerIdRequest::default().with_transactional_id(None);
    let answer = connection.ask(INIT_PRODUCER_ID, &request).await?;
    ensure!(
        answer.error_code == 0,
        "an identity was answered with {}",
        answer.error_code
    );
    let id = ProducerId::new(answer.producer_id.0);
    Ok((id, ProducerEpoch::new(answer.producer_epoch)))
}

fn request(topic: &Topic, batch: &Batch) -> ProduceRequest {
    let partition = PartitionProduceData::default()
        .with_index(batch.partition.get().cast_signed())
        .with_records(Some(batch.bytes.clone()));
    let data = TopicProduceData::default()
        .with_name(TopicName(text(topic.name.as_str())))
        .with_partition_data(vec![partition]);
    ProduceRequest::default()
        .with_transactional_id(None)
        .with_acks(-1)
        .with_timeout_ms(30_000)
        .with_topic_data(vec![data])
}
