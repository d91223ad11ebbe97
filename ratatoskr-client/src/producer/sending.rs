//! Batches on their way out, and the answers to them.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use ratatoskr_core::{
    batch::RecordBatch,
    broker::{PendingProduce, Produced},
    offset::PartitionIndex,
    record::Record,
    time::Timestamp,
    wire,
};
use tokio::time::Instant;

use super::{Acks, Delivery, Inner, Started, State, delivery::BatchOutcome, lane::Lane};
use crate::{
    Error,
    client::Transport,
    remote::{HearBatches, Listener},
};

/// How a batch was sent.
enum Sent {
    /// The connection's task hears the answer.
    Heard,
    /// The broker in this process has answered.
    Answered(Produced),
    /// It will.
    Pending(PendingProduce),
    /// No answer is wanted.
    Gone,
}

/// What becomes of the batch that is being gathered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    /// It goes on filling.
    Left,
    /// It is sent if it has waited long enough.
    IfDue,
}

/// Batches that were queued for the connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Queued {
    #[default]
    None,
    /// They may leave together with others.
    Leaves,
    /// The broker should get them now: they are many records, or nothing will join them.
    LeavesNow,
}

/// What is to be done once the producer's lock is given back.
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
struct Then {
    /// What was queued for the connection.
    queued: Queued,
    /// The driver has something to do.
    wake: bool,
}

impl Then {
    fn and(self, other: Self) -> Self {
        Self {
            queued: self.queued.max(other.queued),
            wake: self.wake || other.wake,
        }
    }

    fn now(mut self) -> Self {
        if self.queued == Queued::Leaves {
            self.queued = Queued::LeavesNow;
        }
        self
    }
}

impl Inner {
    /// Puts a record into its partition's batch, and sends what is due.
    pub(super) fn accept(
        self: &Arc<Self>,
        partition: PartitionIndex,
        record: &Record,
        cost: usize,
    ) -> Result<Delivery, Error> {
        let now = wall_clock();
        let mut state = self.state.lock();
        let accepted = if state.closed {
            Err(Error::Closed)
        } else {
            self.push(&mut state, partition, record, cost, now)
        };
        let then = accepted.as_ref().map_or_else(
            |_| Then::default(),
            |(_, filled)| self.send_or_schedule(&mut state, partition, *filled),
        );
        drop(state);
        self.carry_out(then);
        match accepted {
            Ok((delivery, _)) => Ok(delivery),
            Err(error) => {
                self.room.add_permits(cost);
                Err(error)
            }
        }
    }

    fn push(
        &self,
        state: &mut State,
        partition: PartitionIndex,
        record: &Record,
        cost: usize,
        now: Timestamp,
    ) -> Result<(Delivery, bool), Error> {
        let lane = state.lanes.entry(partition).or_insert_with(|| {
            let comes_back = self.client.broker_comes_back();
            Lane::new(partition, self.identity, &self.options, comes_back)
        });
        let (delivery, filled) = lane.push(record, cost, self.options.batch_bytes, now)?;
        if filled {
            self.router.next_batch();
        }
        Ok((delivery, filled))
    }

    /// After a record was added: a full batch, one that nothing goes before, and one of half of what
    /// is held are sent; any other with what is still to come.
    fn send_or_schedule(
        self: &Arc<Self>,
        state: &mut State,
        partition: PartitionIndex,
        filled: bool,
    ) -> Then {
        let mut then = Then::default();
        if filled {
            then = self.pump(state, partition, Open::Left);
        }
        let Some(lane) = state.lanes.get_mut(&partition) else {
            return then;
        };
        if self.options.linger.is_zero() && lane.has_open() {
            if lane.has_half_a_round() {
                then = then.and(self.pump(state, partition, Open::IfDue).now());
            } else if lane.is_quiet() {
                then = then.and(self.pump(state, partition, Open::IfDue));
            } else if lane.schedule() {
                state.due.push(partition);
                then.wake = true;
            }
        }
        // A batch that was just begun may be due before the driver would look.
        let lane = state.lanes.get(&partition);
        let due = lane.and_then(|lane| lane.begun_due_at(self.options.linger));
        then.wake |= state.look_by(due);
        then
    }

    /// Sends what is sealed of one partition, and perhaps what is gathered.
    fn pump(self: &Arc<Self>, state: &mut State, partition: PartitionIndex, open: Open) -> Then {
        let mut then = Then::default();
        let State { lanes, started, .. } = state;
        let Some(lane) = lanes.get_mut(&partition) else {
            return then;
        };
        let now = Instant::now();
        let mut freed = 0;
        loop {
            if open == Open::IfDue && lane.seal_if_due(now, self.options.linger) {
                self.router.next_batch();
            }
            let Some((id, batch)) = lane.next_to_send(now) else {
                break;
            };
            match self.send(partition, id, batch) {
                Ok(Sent::Heard) => then.queued = Queued::Leaves,
                Ok(Sent::Gone) => freed += lane.gone(id, Ok(())),
                Ok(Sent::Answered(produced)) => freed += lane.answered(id, Ok(produced), now),
                Ok(Sent::Pending(pending)) => {
                    then.wake = true;
                    started.push(Started {
                        partition,
                        id,
                        pending,
                    });
                }
                Err(error) if self.options.acks == Acks::None => freed += lane.gone(id, Err(error)),
                Err(error) => freed += lane.answered(id, Err(error), now),
            }
        }
        if lane.is_troubled() {
            state.looks_at = None;
            then.wake = true;
        }
        if freed > 0 {
            self.room.add_permits(freed);
        }
        then
    }

    fn send(
        self: &Arc<Self>,
        partition: PartitionIndex,
        id: u64,
        batch: RecordBatch,
    ) -> Result<Sent, Error> {
        let acknowledged = self.options.acks != Acks::None;
        match &self.client.transport {
            Transport::InProcess(broker) => {
                let pending = broker.produce(&self.topic, partition, batch)?;
                Ok(match pending.ready() {
                    _ if !acknowledged => Sent::Gone,
                    Some(produced) => Sent::Answered(produced),
                    None => Sent::Pending(pending),
                })
            }
            Transport::Remote(remote) => {
                let listener = Listener {
                    producer: Arc::clone(self) as Arc<dyn HearBatches>,
                    partition,
                    id,
                    acknowledged,
                };
                remote.queue_batch(&self.topic, &batch, listener)?;
                Ok(Sent::Heard)
            }
        }
    }

    fn carry_out(&self, then: Then) {
        self.let_leave(then.queued);
        if then.wake {
            self.wake.notify_one();
        }
    }

    /// Lets the batches that were queued leave.
    pub(super) fn let_leave(&self, queued: Queued) {
        if let Transport::Remote(remote) = &self.client.transport {
            match queued {
                Queued::None => {}
                Queued::Leaves => remote.leave(),
                Queued::LeavesNow => remote.flush(),
            }
        }
    }

    /// Sends the open batches of the partitions that were found due; the driver calls it.
    pub(super) fn send_due(self: &Arc<Self>, state: &mut State) -> Queued {
        let mut queued = Queued::None;
        for partition in std::mem::take(&mut state.due) {
            queued = queued.max(self.pump(state, partition, Open::IfDue).queued);
        }
        queued
    }

    /// Sends what is due of every partition by now; the driver calls it.
    pub(super) fn send_all_due(self: &Arc<Self>, state: &mut State, now: Instant) -> Queued {
        let partitions: Vec<_> = state.lanes.keys().copied().collect();
        let mut queued = Queued::None;
        for partition in partitions {
            if let Some(lane) = state.lanes.get_mut(&partition) {
                let freed = lane.expire(now);
                if freed > 0 {
                    self.room.add_permits(freed);
                }
            }
            queued = queued.max(self.pump(state, partition, Open::IfDue).queued);
        }
        queued
    }

    /// Makes everything due that is gathered; the ends of everything that is held.
    pub(super) fn hurry(self: &Arc<Self>) -> Vec<Arc<BatchOutcome>> {
        let mut state = self.state.lock();
        let partitions: Vec<_> = state.lanes.keys().copied().collect();
        let mut outcomes = Vec::new();
        for partition in partitions {
            if let Some(lane) = state.lanes.get_mut(&partition) {
                lane.hurry();
                outcomes.extend(lane.outcomes());
            }
            let _ = self.pump(&mut state, partition, Open::IfDue);
        }
        state.looks_at = None;
        drop(state);
        self.carry_out(Then {
            queued: Queued::LeavesNow,
            wake: true,
        });
        outcomes
    }

    /// Takes in an answer, and queues what may follow it. The caller lets it leave.
    pub(super) fn answered(
        self: &Arc<Self>,
        partition: PartitionIndex,
        id: u64,
        answer: Result<Produced, Error>,
    ) {
        self.heard(partition, |lane| lane.answered(id, answer, Instant::now()));
    }

    fn heard(self: &Arc<Self>, partition: PartitionIndex, tell: impl FnOnce(&mut Lane) -> usize) {
        let mut state = self.state.lock();
        if let Some(lane) = state.lanes.get_mut(&partition) {
            let freed = tell(lane);
            if freed > 0 {
                self.room.add_permits(freed);
            }
        }
        let mut then = self.pump(&mut state, partition, Open::IfDue);
        // What could not be sent before the answer may be due before the driver would look.
        let lane = state.lanes.get(&partition);
        let due = lane.and_then(|lane| lane.wake_at(self.options.linger));
        then.wake |= state.look_by(due);
        if state.closed {
            // The driver ends once nothing is left.
            state.looks_at = None;
            then.wake = true;
        }
        drop(state);
        if then.wake {
            self.wake.notify_one();
        }
    }
}

impl HearBatches for Inner {
    fn acknowledged(
        self: Arc<Self>,
        partition: PartitionIndex,
        id: u64,
        answer: Result<wire::Produced, Error>,
    ) {
        let answer = answer.map(|produced| produced.at(partition));
        self.answered(partition, id, answer);
    }

    fn taken(self: Arc<Self>, partition: PartitionIndex, id: u64, outcome: Result<(), Error>) {
        self.heard(partition, |lane| lane.gone(id, outcome));
    }
}

/// The machine's time.
fn wall_clock() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let ms = since.unwrap_or_default().as_millis();
    Timestamp::new(i64::try_from(ms).unwrap_or(i64::MAX))
}
