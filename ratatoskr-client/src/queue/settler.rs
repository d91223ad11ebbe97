//! Settling: what is said while an answer is awaited travels together in the next request.

use std::sync::Arc;

use ratatoskr_core::{
    delivery::{SettleAction, Settlement},
    limits,
};
use tokio::sync::{mpsc, oneshot};

use super::{door::Door, held::Held};
use crate::Error;

type Answer = oneshot::Sender<Result<(), Error>>;

/// Where settlements go; the task behind it ends when the last clone does, and gives back what is
/// still held.
#[derive(Clone, Debug)]
pub(super) struct Settler(mpsc::UnboundedSender<Command>);

#[derive(Debug)]
enum Command {
    Settle(Settlement, Answer),
    Leave(Answer),
}

impl Settler {
    pub(super) fn spawn(door: Arc<Door>, held: Arc<Held>) -> Self {
        // Bounded by what is held, and by one renewal a lease.
        let (sender, commands) = mpsc::unbounded_channel();
        tokio::spawn(run(door, held, commands));
        Self(sender)
    }

    /// # Errors
    /// The broker's answer, those of the connection, [`Error::Closed`].
    pub(super) async fn settle(&self, settlement: Settlement) -> Result<(), Error> {
        self.ask(|answer| Command::Settle(settlement, answer)).await
    }

    /// Settles without waiting for the answer.
    pub(super) fn tell(&self, settlement: Settlement) {
        let (answer, _) = oneshot::channel();
        let _ = self.0.send(Command::Settle(settlement, answer));
    }

    /// Gives back all that is held, after what was said before.
    ///
    /// # Errors
    /// As [`settle`](Self::settle).
    pub(super) async fn leave(&self) -> Result<(), Error> {
        self.ask(Command::Leave).await
    }

    async fn ask(&self, command: impl FnOnce(Answer) -> Command) -> Result<(), Error> {
        let (answer, answered) = oneshot::channel();
        self.0.send(command(answer)).map_err(|_| Error::Closed)?;
        answered.await.unwrap_or(Err(Error::Closed))
    }
}

async fn run(door: Arc<Door>, held: Arc<Held>, mut commands: mpsc::UnboundedReceiver<Command>) {
    let mut told = Vec::new();
    while commands
        .recv_many(&mut told, limits::QUEUE_SETTLEMENTS_MAX)
        .await
        > 0
    {
        let mut settlements = Vec::with_capacity(told.len());
        let mut leaving = Vec::new();
        for command in told.drain(..) {
            match command {
                Command::Settle(settlement, answer) => settlements.push((settlement, answer)),
                Command::Leave(answer) => leaving.push(answer),
            }
        }
        settle(&door, &held, settlements).await;
        if !leaving.is_empty() {
            let left = door.leave().await.map(drop);
            held.clear();
            for answer in leaving {
                let _ = answer.send(left.clone());
            }
        }
    }
    // Nobody can settle anything any more.
    if let Err(error) = door.leave().await {
        tracing::debug!(group = %door.group, %error, "leases are left to end by time");
    }
}

async fn settle(door: &Door, held: &Held, mut settlements: Vec<(Settlement, Answer)>) {
    if settlements.is_empty() {
        return;
    }
    // Each record is settled once, so only what is said of the same one must keep its order.
    settlements.sort_by_key(|(settlement, _)| (settlement.partition, settlement.first));
    let mut ranges: Vec<Settlement> = Vec::new();
    let mut answers: Vec<Vec<Answer>> = Vec::new();
    for (settlement, answer) in settlements {
        match (ranges.last_mut(), answers.last_mut()) {
            (Some(range), Some(waiting)) if continues(range, &settlement) => {
                range.last = settlement.last;
                waiting.push(answer);
            }
            _ => {
                ranges.push(settlement);
                answers.push(vec![answer]);
            }
        }
    }
    let outcome = door.settle(ranges.clone()).await;
    for (at, (range, waiting)) in ranges.iter().zip(answers).enumerate() {
        let result = match &outcome {
            Ok(results) => results[at].clone(),
            Err(error) => Err(error.clone()),
        };
        let ends = !matches!(range.action, SettleAction::Extend(_));
        let lost = matches!(&result, Err(Error::Broker(ratatoskr_core::Error::Queue(_))));
        if ends || lost {
            held.settled(range);
        }
        for answer in waiting {
            let _ = answer.send(result.clone());
        }
    }
}

/// Whether a settlement can be said in one with the range before it.
fn continues(range: &Settlement, settlement: &Settlement) -> bool {
    range.partition == settlement.partition
        && range.token == settlement.token
        && range.action == settlement.action
        && range.last.plus(1) == settlement.first
        && !matches!(range.action, SettleAction::Extend(_))
}
