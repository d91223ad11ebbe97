//! Printing what is taken: a record is acknowledged once it is written.

use std::{io::Write, pin::pin, time::Duration};

use futures_util::{FutureExt as _, future::join_all};
use ratatoskr_client::{LeasedRecord, Queue};
use tokio::time::timeout;

use super::Options;
use crate::cli::{
    connection,
    exit::{Exit, Failure, Outcome},
    format::Format,
    signals::asked_to_end,
};

/// Records that are written before they are acknowledged together.
const WRITTEN_MAX: usize = 100;

/// # Errors
/// Records cannot be taken or acknowledged, or stdout cannot be written to.
pub(super) async fn run(
    options: &Options,
    at: &connection::Options,
    mut queue: Queue,
    format: &Format,
    out: &mut impl Write,
) -> Outcome {
    let mut interrupt = pin!(asked_to_end());
    let mut printed = Printed::default();
    let mut left = options.count.unwrap_or(u64::MAX);
    while left > 0 {
        let ready = if printed.written.len() < WRITTEN_MAX {
            queue.next().now_or_never()
        } else {
            None
        };
        let item = if let Some(item) = ready {
            item
        } else {
            printed.acknowledge(at, out).await?;
            let next = timeout(options.wait.unwrap_or(Duration::MAX), queue.next());
            tokio::select! {
                biased;
                _ = &mut interrupt => {
                    printed.failure = Some(Failure::silent(Exit::Interrupted));
                    break;
                }
                item = next => item.unwrap_or(None),
            }
        };
        match item {
            Some(Ok(record)) => {
                format.print(&record.record, out)?;
                printed.written.push(record);
                left -= 1;
            }
            Some(Err(error)) => printed.fails_with(at.failed(&error)),
            None => break,
        }
    }
    printed.acknowledge(at, out).await?;
    let closed = at.ask(queue.close()).await;
    match printed.failure {
        None => closed,
        Some(failure) if failure.exit == Exit::Interrupted || !printed.any => Err(failure),
        Some(failure) => Err(failure.ending(Exit::Partial)),
    }
}

/// What has been printed.
#[derive(Debug, Default)]
struct Printed {
    /// Not acknowledged yet.
    written: Vec<LeasedRecord>,
    /// Whether any record was acknowledged.
    any: bool,
    failure: Option<Failure>,
}

impl Printed {
    /// Acknowledges what is written, together.
    async fn acknowledge(&mut self, at: &connection::Options, out: &mut impl Write) -> Outcome {
        out.flush()?;
        let acknowledgements = self.written.drain(..).map(LeasedRecord::ack);
        for answer in join_all(acknowledgements).await {
            match answer {
                Ok(()) => self.any = true,
                Err(error) => self.fails_with(at.failed(&error)),
            }
        }
        Ok(())
    }

    /// Reports the failure before this one; the last is what the verb ends with.
    fn fails_with(&mut self, failure: Failure) {
        if let Some(before) = self.failure.replace(failure) {
            before.report();
        }
    }
}
