//! Working records off, many at a time.

use std::{
    fmt::{self, Display},
    future::Future,
    panic::AssertUnwindSafe,
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt;
use ratatoskr_core::{
    delivery::{FencingToken, SettleAction},
    record::ConsumedRecord,
};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, timeout_at},
};

use super::{
    Queue,
    held::Held,
    leased::{LeasedRecord, retry},
    settler::Settler,
};
use crate::Error;

/// Leases are renewed this many times before they would end.
const RENEWALS_PER_LEASE: u32 = 3;

/// A record to be worked off.
#[derive(Clone, Debug)]
pub struct Work {
    /// The record, with its place.
    pub record: ConsumedRecord,
    /// How often it has been delivered, this time included.
    pub delivery_count: u32,
    /// See [`LeasedRecord::token`].
    pub token: FencingToken,
}

/// What a handler says of a record that it could not work off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nack(SettleAction);

impl Nack {
    /// It is to come again after the group's backoff; a dead letter if this was the last attempt.
    pub fn retry(cause: impl Display) -> Self {
        Self(retry(None, &cause))
    }

    /// It is to come again after so long.
    pub fn retry_after(after: Duration, cause: impl Display) -> Self {
        Self(retry(Some(after), &cause))
    }

    /// It is a dead letter.
    pub fn reject(cause: impl Display) -> Self {
        Self(SettleAction::Reject {
            cause: cause.to_string(),
        })
    }

    /// It is to come again at once.
    pub const fn release() -> Self {
        Self(SettleAction::Release)
    }
}

/// Ends the work of a queue from elsewhere, for example when a signal comes.
#[derive(Clone, Debug)]
pub struct Stopper(Arc<watch::Sender<bool>>);

impl Default for Stopper {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl Stopper {
    /// No further record is begun. What is in work is worked off.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }

    async fn stopped(&self) {
        // The sender is part of `self`, so waiting cannot fail.
        let _ = self.0.subscribe().wait_for(|&stopped| stopped).await;
    }
}

/// Who is called with a record that was not settled; see
/// [`on_refused`](super::QueueBuilder::on_refused).
#[derive(Clone)]
pub(super) struct OnRefused(pub(super) Arc<Refused>);

type Refused = dyn Fn(&ConsumedRecord, &Error) + Send + Sync;

impl Default for OnRefused {
    fn default() -> Self {
        Self(Arc::new(|record, error| {
            let ConsumedRecord {
                topic,
                partition,
                offset,
                ..
            } = record;
            tracing::warn!(%topic, %partition, %offset, %error, "a record was not settled");
        }))
    }
}

impl fmt::Debug for OnRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnRefused")
    }
}

impl Queue {
    /// Ends [`for_each_concurrent`](Self::for_each_concurrent).
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Calls `handler` with each record, with up to `limit` (at least 1) at a time, each call a task
    /// of its own. A record is acknowledged when its handler answers `Ok`; otherwise it is settled as
    /// the [`Nack`] says. A handler that panics has asked for a retry. The leases of all that is held
    /// are renewed meanwhile, so a handler may take as long as it needs.
    ///
    /// Runs until the queue's [`stopper`](Self::stopper) stops it. Then no further record is begun,
    /// handlers may go on for as long as [`drain`](super::QueueBuilder::drain) allows, and what is
    /// left is given back.
    ///
    /// # Errors
    /// The error that no record can follow, see [`Queue`]. An answer to a settlement that says no ends
    /// nothing: see [`on_refused`](super::QueueBuilder::on_refused).
    ///
    /// # Cancel safety
    /// Dropping the future ends the handlers where they are; their records come again.
    pub async fn for_each_concurrent<H, F>(mut self, limit: usize, handler: H) -> Result<(), Error>
    where
        H: Fn(Work) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), Nack>> + Send + 'static,
    {
        let handler = Arc::new(handler);
        let stopper = self.stopper.clone();
        let mut running = JoinSet::new();
        let held = Arc::clone(&self.held);
        let mut renewing = JoinSet::new();
        renewing.spawn(renew(held, self.settler.clone()));
        let mut last = None;
        let ended = loop {
            tokio::select! {
                biased;
                () = stopper.stopped() => break Ok(()),
                Some(_) = running.join_next(), if !running.is_empty() => {}
                item = self.next(), if running.len() < limit.max(1) => match item {
                    Some(Ok(record)) => {
                        let refused = self.refused.clone();
                        running.spawn(work(record, Arc::clone(&handler), refused));
                    }
                    Some(Err(error)) => {
                        tracing::warn!(group = %self.door.group, %error, "records were not delivered");
                        last = Some(error);
                    }
                    None => break Err(last.unwrap_or(Error::Closed)),
                },
            }
        };
        let deadline = Instant::now() + self.drain;
        let drained = timeout_at(deadline, async {
            while running.join_next().await.is_some() {}
        });
        if drained.await.is_err() {
            tracing::warn!(group = %self.door.group, left = running.len(),
                "handlers took too long to end; their records are given back");
            running.shutdown().await;
        }
        let closed = self.close().await;
        ended.and(closed)
    }
}

async fn work<H, F>(leased: LeasedRecord, handler: Arc<H>, refused: OnRefused)
where
    H: Fn(Work) -> F,
    F: Future<Output = Result<(), Nack>>,
{
    let work = Work {
        record: leased.record.clone(),
        delivery_count: leased.delivery_count,
        token: leased.token,
    };
    let record = leased.record.clone();
    let called = AssertUnwindSafe(async { handler(work).await }).catch_unwind();
    let settled = match called.await {
        Ok(Ok(())) => leased.ack().await,
        Ok(Err(Nack(action))) => leased.settle(action).await,
        Err(panic) => {
            let cause = format!("the handler panicked: {}", message_of(&*panic));
            leased.retry(cause).await
        }
    };
    if let Err(error) = settled {
        (refused.0)(&record, &error);
    }
}

/// Renews every lease, for as long as this runs.
async fn renew(held: Arc<Held>, settler: Settler) {
    loop {
        sleep(held.shortest().await / RENEWALS_PER_LEASE).await;
        for renewal in held.renewals() {
            settler.tell(renewal);
        }
    }
}

/// What a panic said.
fn message_of(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message")
}
