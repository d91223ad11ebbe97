//! Shutting down in order, within a bound of time.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    broker::{Broker, context::Phase, problems::Problem},
    error::Error,
};

/// What was left when the broker had shut down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShutdownReport {
    /// Batches that were still on their way when the time was up: their outcome is unknown.
    pub batches_unsettled: u64,
    /// Partitions that could not be flushed, or were down already.
    pub problems: Vec<Problem>,
    /// Whether the time was up before everything was done.
    pub timed_out: bool,
}

impl ShutdownReport {
    /// Whether everything that was acknowledged is as durable as the storage can make it.
    pub fn is_clean(&self) -> bool {
        self.batches_unsettled == 0 && self.problems.is_empty() && !self.timed_out
    }
}

impl Broker {
    /// Refuses new operations, lets those on their way come to their end, flushes every partition
    /// that is open. Whatever waits for records gets [`Error::ShuttingDown`]. Takes at most `grace`;
    /// calling it again waits for what is left.
    ///
    /// # Errors
    /// [`Error::Fenced`] where the broker was fenced: nothing more can be made durable.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the broker shut for new operations; what was on its way goes on.
    pub async fn shutdown(&self, grace: Duration) -> Result<ShutdownReport, Error> {
        let context = &self.shared.context;
        context.shut_down();
        if let Phase::Fenced { reason } = &*context.phase().borrow() {
            return Err(Error::Fenced {
                reason: reason.clone(),
            });
        }
        let deadline = Instant::now() + grace;
        let timed_out = tokio::time::timeout_at(deadline, self.settle_and_flush())
            .await
            .is_err();
        let report = ShutdownReport {
            batches_unsettled: self
                .cells()
                .iter()
                .map(|cell| cell.unsettled() as u64)
                .sum(),
            problems: self.problems(),
            timed_out,
        };
        let (batches_unsettled, problems) = (report.batches_unsettled, report.problems.len());
        tracing::info!(batches_unsettled, problems, timed_out, "shut down");
        Ok(report)
    }

    async fn settle_and_flush(&self) {
        // A change of the catalog that has begun comes to its end first.
        let _admin = self.shared.admin.lock().await;
        let cells = self.cells();
        for cell in &cells {
            cell.settled().await;
        }
        for cell in &cells {
            // A failure takes the partition offline, and so is among the problems reported.
            let _ = cell.flush().await;
        }
    }

    /// Ends when the broker has fenced itself, with the reason: it takes nothing any more, and the
    /// process should end, so that recovery can read what is really on the disk.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn fenced(&self) -> String {
        let mut phase = self.shared.context.phase();
        loop {
            if let Phase::Fenced { reason } = &*phase.borrow_and_update() {
                return reason.clone();
            }
            if phase.changed().await.is_err() {
                // The sender lives as long as this handle.
                std::future::pending::<()>().await;
            }
        }
    }
}
