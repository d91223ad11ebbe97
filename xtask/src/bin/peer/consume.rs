//! What was sent before, read from the start and verified.

use std::{num::NonZeroUsize, time::Instant};

use anyhow::{Context as _, Result};
use ratatoskr_server::load::{Pace, Payloads, Plan, Report, Verifier, drive};
use tokio::time::timeout;

use crate::{
    Load, all_acknowledged,
    targets::{RECORD_WAIT_MAX, Records as _, Start, Target},
};

/// Records in flight while the log is filled, which is not timed.
const FILL: NonZeroUsize = NonZeroUsize::new(1_000).unwrap();

/// # Errors
/// A record is not acknowledged, or none comes for long.
pub(crate) async fn run<T: Target>(target: &T, load: &Load) -> Result<Report> {
    let payloads = Payloads::new(fastrand::u64(..), 0, load.size as usize);
    let mut sink = target.sink(payloads).await?;
    let fill = Plan::new(Pace::Closed { in_flight: FILL }, load.records);
    all_acknowledged(&drive(&fill, &mut sink, |_| {}).await?)?;
    let start = Instant::now();
    let mut records = target.read(Start::Oldest).await?;
    let mut verifier = Verifier::default();
    let mut bytes = 0;
    for read in 0..load.records {
        let record = timeout(RECORD_WAIT_MAX, records.next())
            .await
            .with_context(|| format!("nothing came after {read} records"))??;
        bytes += record.len() as u64;
        verifier.take(0, &record);
    }
    let report = Report::new("consume", load.records, bytes, start.elapsed());
    Ok(load.describe::<T>(report.verified(verifier.is_satisfied())))
}
