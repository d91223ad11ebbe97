//! A reader that reads the whole topic again and again.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, bail};
use ratatoskr_client::{Client, Offset, StartAt};
use tokio::time::sleep;

use super::{AGAIN, Ledger, Pass, record};
use crate::load::{Topic, connect, is_down};

/// Two passes are less far apart than this.
const PAUSE_MAX: Duration = Duration::from_millis(20);

/// Reads until it is aborted.
///
/// # Errors
/// It is told what no reader should be.
pub(super) async fn run(
    url: String,
    topic: Topic,
    ledger: Ledger,
    mut random: fastrand::Rng,
) -> Result<()> {
    let client = connect(&url).await?;
    loop {
        match pass(&client, &topic, &ledger).await? {
            Some(pass) => ledger.passed(pass),
            None => sleep(AGAIN).await,
        }
        sleep(PAUSE_MAX.mul_f64(random.f64())).await;
    }
}

/// Reads every partition from its start to where it ended when the pass began; `None` where the broker
/// was down before it could begin.
///
/// # Errors
/// It is told what no reader should be.
pub(super) async fn pass(client: &Client, topic: &Topic, ledger: &Ledger) -> Result<Option<Pass>> {
    let began = ledger.now();
    let mut left = BTreeMap::new();
    for place in topic.places() {
        match client.bounds(&topic.name, place.partition).await {
            Ok(bounds) if bounds.high_watermark > Offset::ZERO => {
                left.insert(place.partition, bounds.high_watermark);
            }
            Ok(_) => {}
            Err(error) if is_down(&error) => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("where {place} ends")),
        }
    }
    let consumer = client.consumer(&topic.name).start(StartAt::Start).open();
    let mut consumer = match consumer.await {
        Ok(consumer) => consumer,
        Err(error) if is_down(&error) => return Ok(None),
        Err(error) => return Err(error).context("a reader cannot begin"),
    };
    let mut found = Vec::new();
    while !left.is_empty() {
        match consumer.next().await {
            Some(Ok(read)) => {
                let place = (read.partition, read.offset);
                found.push((place, record::found(&read.record)));
                let end = left.get(&read.partition);
                if end.is_some_and(|end| read.offset.plus(1) >= *end) {
                    left.remove(&read.partition);
                }
            }
            // The broker is down, and will be up again.
            Some(Err(error)) if is_down(&error) => {}
            Some(Err(error)) => return Err(error).context("a reader was told"),
            None => bail!("a reader was told that there is no more"),
        }
    }
    Ok(Some(Pass {
        began,
        ended: ledger.now(),
        found,
    }))
}
