//! Through the native door, to a peer that costs nothing: what is counted is the server.

use anyhow::{Result, ensure};
use bytes::BytesMut;
use ratatoskr_core::{
    offset::Offset,
    wire::{Credit, Fetch, FetchPartition, Produce, Subscribe},
};
use tokio::task::yield_now;

use super::{
    PARTITION, ROUNDS, Stage, VALUE_BYTES, batch,
    peer::{Peer, request, serve},
    record,
};
use crate::meter::Meter;

/// Requests that are written together.
const DEPTH: usize = 256;
/// Times a round that they are.
const REPEATS: usize = 4;
/// Bytes of a fetch.
const FETCH_BYTES: u32 = 1 << 20;
/// Batches of one record that a fetch returns, and the bytes of their values: 1 MiB in all.
const FETCH_BATCHES: usize = 4_096;
const FETCH_VALUE_BYTES: usize = 180;
/// Records a round that are pushed one at a time.
const PUSHED: usize = 50;

/// Batches of one record, 256 of them under way.
pub(super) async fn produce(mut stage: Stage) -> Result<Meter> {
    let mut peer = Peer::connect(&serve(stage.broker, &stage.server).await?)?;
    let body = Produce {
        topic: stage.topic,
        partition: PARTITION,
        acknowledge: true,
    };
    let batch = batch(1, VALUE_BYTES)?.to_bytes();
    let mut requests = BytesMut::new();
    for correlation in 0..DEPTH {
        request(&mut requests, correlation as u64, &body, &batch)?;
    }
    for _ in 0..ROUNDS {
        stage.meter.begin()?;
        for _ in 0..REPEATS {
            peer.send(&requests)?;
            peer.receive(DEPTH)?;
        }
        stage.meter.end(DEPTH * REPEATS)?;
    }
    Ok(stage.meter)
}

/// Fetches of 1 MiB, made of batches of one record.
pub(super) async fn fetch(mut stage: Stage) -> Result<Meter> {
    let batch = batch(1, FETCH_VALUE_BYTES)?;
    let batches_bytes = FETCH_BATCHES * batch.total_bytes();
    for _ in 0..FETCH_BATCHES {
        let pending = stage
            .broker
            .produce(&stage.topic, PARTITION, batch.clone())?;
        pending.wait().await?;
    }
    let mut peer = Peer::connect(&serve(stage.broker, &stage.server).await?)?;
    let partition = FetchPartition {
        topic: stage.topic,
        partition: PARTITION,
        from: Offset::new(0),
        bytes_max: FETCH_BYTES,
    };
    let body = Fetch {
        partitions: vec![partition],
        bytes_min: 1,
        bytes_max: FETCH_BYTES,
        wait_ms: 0,
        committed: false,
    };
    let mut requests = BytesMut::new();
    request(&mut requests, 0, &body, &[])?;
    for _ in 0..ROUNDS {
        stage.meter.begin()?;
        let mut bytes = 0;
        for _ in 0..REPEATS {
            peer.send(&requests)?;
            bytes += peer.receive(1)?;
        }
        stage.meter.end(FETCH_BATCHES * REPEATS)?;
        ensure!(
            bytes == batches_bytes * REPEATS,
            "a fetch returns all of it"
        );
    }
    Ok(stage.meter)
}

/// One record at a time, published in process, and pushed to a subscription that keeps up. Publisher
/// and connection take turns on the one worker, so whether it falls asleep between two records is
/// not left to the machine.
pub(super) async fn push(mut stage: Stage) -> Result<Meter> {
    let mut peer = Peer::connect(&serve(stage.broker.clone(), &stage.server).await?)?;
    let body = Subscribe {
        topic: stage.topic.clone(),
        partitions: vec![(PARTITION, Offset::new(0))],
        committed: false,
        credit: Credit {
            records: u32::MAX >> 1,
            bytes: u32::MAX >> 1,
        },
    };
    let mut requests = BytesMut::new();
    request(&mut requests, 0, &body, &[])?;
    peer.send(&requests)?;
    peer.receive(1)?;
    let bytes_pushed = PUSHED * batch(1, VALUE_BYTES)?.total_bytes();
    for _ in 0..ROUNDS {
        let (broker, topic) = (stage.broker.clone(), stage.topic.clone());
        stage.meter.begin()?;
        let publisher = stage.server.spawn(async move {
            for _ in 0..PUSHED {
                broker.publish(&topic, record()).await?;
                yield_now().await;
            }
            Ok::<_, ratatoskr_core::Error>(())
        });
        let mut bytes = 0;
        while bytes < bytes_pushed {
            bytes += peer.receive(1)?;
        }
        stage.meter.end(PUSHED)?;
        publisher.await??;
    }
    Ok(stage.meter)
}
