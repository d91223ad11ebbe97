//! The load generator's loop.
//!
//! Each turn settles every acknowledgement that is there, in the order of the sends, and then makes
//! every send that is due. The clock is read once a turn: sends of one burst were made together, and
//! answers that are found together came together.

use std::{
    collections::VecDeque,
    fmt::Display,
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use super::{Pace, Plan, Schedule, Tally, Timer};

/// What is loaded.
pub trait Sink: Send {
    /// What an acknowledgement says; nobody looks at it.
    type Acknowledged;
    /// Why a send failed.
    type Error: Display;
    /// Tells when a send is acknowledged.
    type Receipt: Future<Output = Result<Self::Acknowledged, Self::Error>> + Send + Unpin;

    /// Makes the next send, and returns as soon as it is on its way.
    ///
    /// # Errors
    /// Nothing was sent.
    fn send(&mut self) -> impl Future<Output = Result<Self::Receipt, Self::Error>> + Send;

    /// Records in each send.
    fn records_per_send(&self) -> u64 {
        1
    }

    /// Bytes of the values in each send.
    fn bytes_per_send(&self) -> u64;
}

/// Makes the sends of `plan` and waits until each is acknowledged or has failed. `progress` is told
/// after every turn how many records were settled in it.
///
/// Where a sink answers out of order, an answer counts from when all before it are there as well: a
/// latency is never told too short.
///
/// # Errors
/// There is no timer for an open loop; that sends fail is told in the [`Tally`].
///
/// # Cancel safety
/// Dropping the future abandons what is on its way.
pub async fn drive<S: Sink>(
    plan: &Plan,
    sink: &mut S,
    progress: impl Fn(u64) + Send,
) -> io::Result<Tally> {
    let mut driver = Driver {
        pace: plan.pace,
        schedule: plan.schedule(),
        timer: plan.schedule().map(|_| Timer::new()).transpose()?,
        measured_from: plan.measured_from(),
        ends: plan.ends(),
        left: plan.sends.unwrap_or(u64::MAX),
        records_per_send: sink.records_per_send(),
        bytes_per_send: sink.bytes_per_send(),
        waiting: VecDeque::new(),
        tally: Tally::new(plan.measured_from()),
    };
    while !driver.is_done() {
        let before = driver.tally.records + driver.tally.failed;
        poll_fn(|cx| driver.poll_turn(cx)).await?;
        driver.burst(sink).await;
        progress(driver.tally.records + driver.tally.failed - before);
        // A target that answers at once must not keep others from running.
        tokio::task::consume_budget().await;
    }
    Ok(driver.tally)
}

struct Driver<R> {
    pace: Pace,
    schedule: Option<Schedule>,
    timer: Option<Timer>,
    measured_from: Instant,
    ends: Option<Instant>,
    /// Sends that are still to be made behind the warm-up.
    left: u64,
    records_per_send: u64,
    bytes_per_send: u64,
    /// What is in flight, and since when it counts.
    waiting: VecDeque<(Instant, R)>,
    tally: Tally,
}

impl<R, A, E> Driver<R>
where
    R: Future<Output = Result<A, E>> + Unpin,
    E: Display,
{
    fn is_done(&self) -> bool {
        self.left == 0 && self.waiting.is_empty()
    }

    /// Settles what can be settled; ready as soon as there may be something to send, or nothing more
    /// to wait for.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.settle(cx);
        if self.is_done() {
            return Poll::Ready(Ok(()));
        }
        if self.left == 0 {
            return Poll::Pending;
        }
        match (self.pace, &self.schedule, &mut self.timer) {
            (_, Some(schedule), Some(timer)) => timer.poll_until(schedule.due(self.tally.sent), cx),
            (Pace::Closed { in_flight }, ..) if self.waiting.len() >= in_flight.get() => {
                Poll::Pending
            }
            _ => Poll::Ready(Ok(())),
        }
    }

    fn settle(&mut self, cx: &mut Context<'_>) {
        let mut now = None;
        while let Some((since, receipt)) = self.waiting.front_mut() {
            let Poll::Ready(outcome) = Pin::new(receipt).poll(cx) else {
                return;
            };
            let now = *now.get_or_insert_with(Instant::now);
            let since = *since;
            self.waiting.pop_front();
            self.count(since, now, outcome.map(drop));
        }
    }

    fn count(&mut self, since: Instant, now: Instant, outcome: Result<(), E>) {
        match outcome {
            Ok(()) if since < self.measured_from => {}
            Ok(()) => {
                self.tally.records += self.records_per_send;
                self.tally.bytes += self.bytes_per_send;
                self.tally
                    .latencies
                    .record(now.saturating_duration_since(since));
                self.tally.to = now;
            }
            Err(error) => {
                self.tally.failed += self.records_per_send;
                self.tally.to = self.tally.to.max(now);
                self.tally
                    .first_error
                    .get_or_insert_with(|| error.to_string());
            }
        }
    }

    /// Makes every send that is due.
    async fn burst<S>(&mut self, sink: &mut S)
    where
        S: Sink<Acknowledged = A, Error = E, Receipt = R>,
    {
        if self.left == 0 {
            return;
        }
        let now = Instant::now();
        let mut first = true;
        while self.left > 0 {
            let since = match (&self.schedule, self.pace) {
                (Some(schedule), _) => schedule.due(self.tally.sent),
                (None, Pace::Closed { in_flight }) if self.waiting.len() < in_flight.get() => now,
                _ => return,
            };
            if since > now {
                return;
            }
            if self.ends.is_some_and(|ends| since >= ends) {
                self.left = 0;
                return;
            }
            let measured = since >= self.measured_from;
            if first && measured && self.schedule.is_some() {
                self.tally.lateness.record(now - since);
            }
            first = false;
            self.left -= u64::from(measured);
            self.tally.sent += 1;
            match sink.send().await {
                Ok(receipt) => self.waiting.push_back((since, receipt)),
                Err(error) => self.count(since, Instant::now(), Err(error)),
            }
        }
    }
}

#[cfg(test)]
mod tests;
