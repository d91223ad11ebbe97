//! Through the client and a connection: both ends are counted.

use std::time::Duration;

use anyhow::{Context, Result};
use ratatoskr_client::Client;
use ratatoskr_core::{broker::NewTopic, name::TopicName};

use super::{PARTITION, ROUNDS, Stage, VALUE_BYTES, batch, peer::serve, record};
use crate::meter::Meter;

/// Records of a round.
const RECORDS: usize = 1_000;
/// Partitions that records are spread over, one to each at a time.
const PARTITIONS: u32 = 100;
/// Records of a round that are read one at a time.
const FOLLOWED: usize = 50;
/// Records of a batch that is read.
const BATCH: usize = 100;
/// Longer than a round: the flush at its end sends the batch, so it is always the same one.
const LINGER: Duration = Duration::from_mins(1);

/// A thousand records that travel as one batch, and their acknowledgements.
pub(super) async fn produce(mut stage: Stage) -> Result<Meter> {
    let client = connect(&stage).await?;
    let producer = client.producer(&stage.topic).linger(LINGER).open().await?;
    let record = record();
    for _ in 0..ROUNDS {
        let mut deliveries = Vec::with_capacity(RECORDS);
        stage.meter.begin()?;
        for _ in 0..RECORDS {
            deliveries.push(producer.enqueue(record.clone()).await?);
        }
        producer.flush().await?;
        for delivery in deliveries {
            delivery.await?;
        }
        stage.meter.end(RECORDS)?;
    }
    Ok(stage.meter)
}

/// A thousand records that travel one by one, each to another partition, a hundred at a time. All take
/// turns on the one worker, so what can leave together is not left to the machine.
pub(super) async fn spread(mut stage: Stage) -> Result<Meter> {
    let topic = TopicName::parse("spread")?;
    let new = NewTopic {
        partitions: Some(PARTITIONS),
        ..NewTopic::default()
    };
    stage.broker.create_topic(&topic, new).await?;
    let client = connect(&stage).await?;
    let mut producer = client.producer(&topic).open().await?;
    for _ in 0..ROUNDS {
        stage.meter.begin()?;
        let sending = stage.server.spawn(async move {
            for _ in 0..RECORDS / PARTITIONS as usize {
                let mut deliveries = Vec::new();
                for partition in 0..PARTITIONS {
                    let sent = producer.enqueue_to(partition.into(), record());
                    deliveries.push(sent.await?);
                }
                for delivery in deliveries {
                    delivery.await?;
                }
            }
            anyhow::Ok(producer)
        });
        producer = sending.await??;
        stage.meter.end(RECORDS)?;
    }
    Ok(stage.meter)
}

/// A topic from its start, record by record, the opening of the consumer included.
pub(super) async fn consume(mut stage: Stage) -> Result<Meter> {
    let batch = batch(BATCH, VALUE_BYTES)?;
    for _ in 0..RECORDS / BATCH {
        let pending = stage
            .broker
            .produce(&stage.topic, PARTITION, batch.clone())?;
        pending.wait().await?;
    }
    let client = connect(&stage).await?;
    for _ in 0..ROUNDS {
        stage.meter.begin()?;
        let mut consumer = client.consumer(&stage.topic).open().await?;
        for _ in 0..RECORDS {
            consumer.next().await.context("a consumer that goes on")??;
        }
        stage.meter.end(RECORDS)?;
    }
    Ok(stage.meter)
}

/// One record at a time, published in process, and read by a consumer that keeps up. All take turns
/// on the one worker, so whether it falls asleep between two records is not left to the machine.
pub(super) async fn follow(mut stage: Stage) -> Result<Meter> {
    let client = connect(&stage).await?;
    let mut consumer = client.consumer(&stage.topic).open().await?;
    for _ in 0..ROUNDS {
        let (broker, topic) = (stage.broker.clone(), stage.topic.clone());
        stage.meter.begin()?;
        let following = stage.server.spawn(async move {
            for _ in 0..FOLLOWED {
                broker.publish(&topic, record()).await?;
                consumer.next().await.context("a consumer that goes on")??;
            }
            anyhow::Ok(consumer)
        });
        consumer = following.await??;
        stage.meter.end(FOLLOWED)?;
    }
    Ok(stage.meter)
}

async fn connect(stage: &Stage) -> Result<Client> {
    let address = serve(stage.broker.clone(), &stage.server).await?;
    let connecting = async move { Client::connect(&format!("ratatoskr://{address}")).await };
    Ok(stage.server.spawn(connecting).await??)
}
