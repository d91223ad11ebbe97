//! What was sent before, taken by consumers that share it, and acknowledged.

use std::{
    num::{NonZeroU64, NonZeroUsize},
    sync::Arc,
    time::Instant,
};

use anyhow::{Result, ensure};
use ratatoskr_server::load::{
    Pace, Payloads, Plan, Report, Tally, drive,
    work::{BATCHES_AHEAD, OneByOne, Stock, Worked, work_off},
};
use tokio::task::JoinSet;

use crate::{Load, all_acknowledged, targets::Target};

/// Records in flight while the queue is filled, which is not timed.
const FILL: NonZeroUsize = NonZeroUsize::new(1_000).unwrap();

/// # Errors
/// A record is not acknowledged, is not what was sent, or comes twice.
pub(crate) async fn run<T: Target>(target: &T, load: &Load) -> Result<Report> {
    let records = match load.rate {
        Some(rate) => due(load, rate) + ahead(load),
        None => load.records,
    };
    let payloads = Payloads::new(fastrand::u64(..), 0, load.size as usize);
    let mut sink = target.sink(payloads).await?;
    let fill = Plan::new(Pace::Closed { in_flight: FILL }, records);
    all_acknowledged(&drive(&fill, &mut sink, |_| {}).await?)?;
    let mut workers = Vec::new();
    for number in 0..load.consumers.get() {
        let own = T::connect(&load.address).await?;
        workers.push((own.worker(number, load.batch.get()).await?, own));
    }
    let stock = Arc::new(Stock::new(records));
    let report = match load.rate {
        Some(_) => one_by_one(load, workers, &stock).await?,
        None => batches(load, workers, &stock).await?,
    };
    ensure!(stock.strays() == 0, "{} records came twice", stock.strays());
    Ok(load
        .describe::<T>(report.verified(true))
        .with("consumers", load.consumers)
        .with("batch", load.batch))
}

/// Acknowledgements that are due in an open loop.
const fn due(load: &Load, rate: NonZeroU64) -> u64 {
    rate.get() * load.seconds as u64
}

/// Records that consumers hold ahead, at most.
const fn ahead(load: &Load) -> u64 {
    load.consumers.get() as u64 * load.batch.get() as u64 * BATCHES_AHEAD
}

/// As fast as it goes, until all is done.
async fn batches<T: Target>(
    load: &Load,
    workers: Vec<(T::Worker, T)>,
    stock: &Arc<Stock>,
) -> Result<Report> {
    let (batch, depth) = (load.batch.get(), load.depth.get());
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for (worker, own) in workers {
        let stock = Arc::clone(stock);
        tasks.spawn(async move {
            let worked = work_off(&worker, &stock, batch, depth, |_| {}).await;
            // The connection must live as long as its consumer.
            drop(own);
            worked
        });
    }
    let mut sum = Worked::default();
    while let Some(worked) = tasks.join_next().await {
        sum.add(&worked??);
    }
    let took = sum.took(start);
    ensure!(
        sum.acknowledged == stock.records(),
        "{} of {} records were acknowledged",
        sum.acknowledged,
        stock.records()
    );
    let bytes = sum.acknowledged * u64::from(load.size);
    let mut report = Report::new("queue", sum.acknowledged, bytes, took);
    report.latency_us = sum.latencies.percentiles();
    Ok(report)
}

/// Each record by itself, when it is due.
async fn one_by_one<T: Target>(
    load: &Load,
    workers: Vec<(T::Worker, T)>,
    stock: &Arc<Stock>,
) -> Result<Report> {
    let plan = load.plan();
    let mut tasks = JoinSet::new();
    for (number, (worker, own)) in (0..).zip(workers) {
        let plan = plan.for_sender(number, load.consumers);
        let mut sink = OneByOne::new(worker, Arc::clone(stock), load.batch.get());
        tasks.spawn(async move {
            let tally = drive(&plan, &mut sink, |_| {}).await;
            (tally, sink, own)
        });
    }
    let mut sum = Tally::new(plan.measured_from());
    let mut done = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        let (tally, sink, own) = ended?;
        sum.add(tally?);
        // What it holds ahead would come to the others, who have it twice then.
        done.push((sink, own));
    }
    all_acknowledged(&sum)?;
    Ok(sum.report("queue"))
}
