//! Records in flight, or due at a rate, until they are acknowledged.

use anyhow::Result;
use ratatoskr_server::load::{Payloads, Report, drive};

use crate::{Load, all_acknowledged, targets::Target};

/// # Errors
/// A record is not acknowledged.
pub(crate) async fn run<T: Target>(target: &T, load: &Load) -> Result<Report> {
    let payloads = Payloads::new(fastrand::u64(..), 0, load.size as usize);
    let mut sink = target.sink(payloads).await?;
    let tally = drive(&load.plan(), &mut sink, |_| {}).await?;
    all_acknowledged(&tally)?;
    Ok(load.describe::<T>(tally.report("produce")))
}
