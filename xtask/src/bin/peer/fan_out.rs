//! One publisher, many subscribers with a connection each.

use std::{sync::Arc, time::Instant};

use anyhow::{Context as _, Result, ensure};
use ratatoskr_core::sync::Mutex;
use ratatoskr_server::load::{Latencies, Pace, Payloads, Plan, Report, Schedule, Verifier, drive};
use tokio::{task::JoinSet, time::timeout};

use crate::{
    Load, all_acknowledged,
    targets::{RECORD_WAIT_MAX, Records, Start, Target},
};

/// Histograms that the subscribers share: one for each would be gigabytes, one for all a bottleneck.
const SHARDS: usize = 16;

/// What a subscriber must know.
struct Subscriber {
    /// The run whose records count; one of another run ends the subscription.
    run: u64,
    /// When a record was due.
    schedule: Option<Schedule>,
    /// Where its latencies go.
    latencies: Arc<Mutex<Latencies>>,
}

/// # Errors
/// A record is not acknowledged, or a subscriber does not get as many as were sent.
pub(crate) async fn run<T: Target>(target: &T, load: &Load) -> Result<Report> {
    let run = fastrand::u64(1..);
    let mut streams = Vec::new();
    for _ in 0..load.subscribers {
        let own = T::connect(&load.address).await?;
        streams.push((own.read(Start::Next).await?, own));
    }
    let size = load.size as usize;
    let mut sink = target.sink(Payloads::new(run, 0, size)).await?;
    let mut end = target.sink(Payloads::new(0, 0, size)).await?;
    let plan = load.plan();
    let shards: Vec<_> = (0..SHARDS)
        .map(|_| Arc::new(Mutex::new(Latencies::default())))
        .collect();
    let mut readers = JoinSet::new();
    for ((records, own), latencies) in streams.into_iter().zip(shards.iter().cycle()) {
        let subscriber = Subscriber {
            run,
            schedule: plan.schedule(),
            latencies: Arc::clone(latencies),
        };
        readers.spawn(async move {
            let got = subscriber.read(records).await;
            // The connection must live as long as its subscription.
            drop(own);
            got
        });
    }
    let sent = drive(&plan, &mut sink, |_| {}).await?;
    all_acknowledged(&sent)?;
    all_acknowledged(&drive(&Plan::new(closed(), 1), &mut end, |_| {}).await?)?;
    while let Some(got) = readers.join_next().await {
        let got = got??;
        ensure!(
            got == sent.records,
            "a subscriber got {got} of {} records as they were sent",
            sent.records
        );
    }
    let deliveries = sent.records * u64::from(load.subscribers);
    let bytes = deliveries * u64::from(load.size);
    let took = plan.start.elapsed();
    let mut report = Report::new("fan-out", deliveries, bytes, took).verified(true);
    let mut all = Latencies::default();
    for shard in shards {
        all.add(&shard.lock());
    }
    report.latency_us = all.percentiles();
    Ok(load
        .describe::<T>(report)
        .with("subscribers", load.subscribers))
}

const fn closed() -> Pace {
    Pace::Closed {
        in_flight: std::num::NonZeroUsize::MIN,
    }
}

impl Subscriber {
    /// Reads to the end; the number of records that were as they were sent.
    async fn read(&self, mut records: impl Records) -> Result<u64> {
        let mut verifier = Verifier::default();
        loop {
            let record = timeout(RECORD_WAIT_MAX, records.next())
                .await
                .context("nothing came for long")??;
            let label = verifier.take(0, &record);
            let now = Instant::now();
            match label {
                Some(label) if label.run != self.run => {
                    // The end itself was good as well.
                    return Ok(verifier.good - 1);
                }
                Some(label) => {
                    if let Some(schedule) = &self.schedule {
                        let due = schedule.due(label.sequence);
                        let latency = now.saturating_duration_since(due);
                        self.latencies.lock().record(latency);
                    }
                }
                None => {}
            }
        }
    }
}
