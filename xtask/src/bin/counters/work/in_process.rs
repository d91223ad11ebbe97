//! Through the broker's own methods.

use anyhow::{Context, Result};
use ratatoskr_core::broker::StreamOptions;

use super::{PARTITION, ROUNDS, Stage, VALUE_BYTES, batch, record};
use crate::meter::Meter;

/// Records a round that are sent one at a time.
const SINGLE: usize = 50;
/// Records of a batch.
const BATCH: usize = 100;
/// Batches a round.
const BATCHES: usize = 20;

/// One record at a time.
pub(super) async fn publish(mut stage: Stage) -> Result<Meter> {
    let record = record();
    for _ in 0..ROUNDS {
        stage.meter.begin()?;
        for _ in 0..SINGLE {
            stage.broker.publish(&stage.topic, record.clone()).await?;
        }
        stage.meter.end(SINGLE)?;
    }
    Ok(stage.meter)
}

/// Records by the hundred, which the broker puts into a batch.
pub(super) async fn publish_many(mut stage: Stage) -> Result<Meter> {
    for _ in 0..ROUNDS {
        let lists = vec![vec![record(); BATCH]; BATCHES];
        stage.meter.begin()?;
        for records in lists {
            stage.broker.publish_many(&stage.topic, records).await?;
        }
        stage.meter.end(BATCH * BATCHES)?;
    }
    Ok(stage.meter)
}

/// Batches of a hundred records, as a producer made them.
pub(super) async fn produce(mut stage: Stage) -> Result<Meter> {
    let batch = batch(BATCH, VALUE_BYTES)?;
    for _ in 0..ROUNDS {
        stage.meter.begin()?;
        for _ in 0..BATCHES {
            let pending = stage
                .broker
                .produce(&stage.topic, PARTITION, batch.clone())?;
            pending.wait().await?;
        }
        stage.meter.end(BATCH * BATCHES)?;
    }
    Ok(stage.meter)
}

/// One record at a time, each read by a stream that keeps up before the next is sent.
pub(super) async fn stream(mut stage: Stage) -> Result<Meter> {
    let record = record();
    let options = StreamOptions::default();
    let mut records = stage.broker.stream(&stage.topic, options).await?;
    for _ in 0..ROUNDS {
        stage.meter.begin()?;
        for _ in 0..SINGLE {
            stage.broker.publish(&stage.topic, record.clone()).await?;
            records.next().await.context("a stream that goes on")??;
        }
        stage.meter.end(SINGLE)?;
    }
    Ok(stage.meter)
}
