//! A member of a classic group of Kafka's: it joins, is told what to read, reads, commits what it has
//! read, and shows that it is there.
//!
//! Members come and go. A static one is gone without a word and comes back as the same instance; a
//! dynamic one leaves in good order, and the next life is another member.

use std::{collections::BTreeMap, convert::Infallible, net::SocketAddr, time::Duration};

use anyhow::{Context, Result, bail};
use ratatoskr_client::{Offset, PartitionIndex};
use ratatoskr_core::batch::{RecordLimits, batches};
use tokio::{sync::watch, time::sleep};

use super::{
    AGAIN, Seen,
    calls::{self, Joined},
    connection::{Connection, is_down},
};
use crate::{
    group::ledger::Ledger,
    history::{Event, Recorder, payload},
    load::Topic,
};

/// A member lives shorter than this before it is gone.
const LIFE_MAX: Duration = Duration::from_millis(2_500);
/// Longer than the group needs to read to the end.
const WHOLE_LIFE: Duration = Duration::from_mins(10);

/// The coordinator cannot tell just now, or is looked for anew.
pub(super) const RETRIED: [i16; 3] = [14, 15, 16];
/// The member is to join anew: a rebalance, or another generation.
const REJOINED: [i16; 2] = [27, 22];
/// The member is to join anew as somebody else: unknown, or its instance has come back meanwhile.
const FORGOTTEN: [i16; 2] = [25, 82];
/// The answer to a fetch from a partition that is not there yet.
const NOT_YET: [i16; 5] = [3, 5, 6, 9, 56];

/// One member.
pub(super) struct Member {
    pub(super) number: u32,
    pub(super) address: SocketAddr,
    pub(super) topic: Topic,
    pub(super) recorder: Recorder,
    pub(super) ledger: Ledger,
    pub(super) seen: Seen,
    /// Whether the group is to read to the end.
    pub(super) catching_up: watch::Receiver<bool>,
    pub(super) random: fastrand::Rng,
    pub(super) instance: Option<String>,
    /// What the group calls it; empty until it does.
    pub(super) id: String,
    /// What it reads, while it is in the group.
    pub(super) seat: Option<Seat>,
}

/// What a member does in one generation.
#[derive(Debug, Default)]
pub(super) struct Seat {
    generation: i32,
    /// The next offset of each of its partitions.
    next: BTreeMap<PartitionIndex, Offset>,
    /// What it has committed of that.
    committed: BTreeMap<PartitionIndex, Offset>,
}

impl Member {
    /// Reads until it is aborted.
    ///
    /// # Errors
    /// It is told what no member should be.
    pub(super) async fn run(mut self) -> Result<()> {
        loop {
            let life = if *self.catching_up.borrow() {
                WHOLE_LIFE
            } else {
                LIFE_MAX.mul_f64(self.random.f64())
            };
            let ended = tokio::select! {
                Err(error) = self.through_deaths() => Err(error),
                // Whatever it was doing is cut off.
                () = sleep(life) => self.end().await,
            };
            ended.with_context(|| format!("Kafka's member {}", self.number))?;
        }
    }

    async fn through_deaths(&mut self) -> Result<Infallible> {
        loop {
            match self.work().await {
                Err(error) if is_down(&error) => sleep(AGAIN).await,
                ended => return ended,
            }
        }
    }

    /// Works as long as a connection lasts. Its generation outlasts it.
    async fn work(&mut self) -> Result<Infallible> {
        let mut connection = Connection::open(self.address).await?;
        loop {
            let Some(seat) = &self.seat else {
                self.join(&mut connection).await?;
                continue;
            };
            if seat.next.is_empty() {
                sleep(AGAIN).await;
            } else {
                self.read(&mut connection).await?;
            }
            self.commit(&mut connection).await?;
            self.beat(&mut connection).await?;
        }
    }

    /// Does what a code of the group's asks for.
    async fn heed(&mut self, what: &str, code: i16) -> Result<()> {
        if REJOINED.contains(&code) {
            self.seat = None;
        } else if FORGOTTEN.contains(&code) {
            self.seat = None;
            self.id.clear();
        } else if RETRIED.contains(&code) {
            sleep(AGAIN).await;
        } else if code != 0 {
            bail!("{what} was answered with {code}");
        }
        Ok(())
    }

    /// Joins as far as it gets: with the others, is told what to read, and where to begin.
    async fn join(&mut self, connection: &mut Connection) -> Result<()> {
        let topic = self.topic.name.as_str();
        let instance = self.instance.as_deref();
        let joined = match calls::join(connection, topic, &self.id, instance).await? {
            Ok(joined) => joined,
            Err(calls::Refused { code: 79, member }) => {
                // It is to join with this id.
                self.id = member;
                return Ok(());
            }
            Err(refused) => return self.heed("joining", refused.code).await,
        };
        let Joined { generation, .. } = joined;
        self.id.clone_from(&joined.member);
        let assignments = calls::assign(&joined, &self.topic);
        let synced = calls::sync(connection, &joined, instance, topic, assignments).await?;
        let assigned = match synced {
            Ok(assigned) => assigned,
            Err(code) => return self.heed("what to read", code).await,
        };
        let asked = self.ledger.ask();
        let found = calls::offsets(connection, topic, &assigned).await?;
        let mut next = BTreeMap::new();
        for (partition, offset) in found {
            let offset = match offset {
                Ok(offset) => offset,
                Err(code) => return self.heed("where to begin", code).await,
            };
            self.ledger.answered(&asked, partition, offset);
            self.recorder.note(Event::Positioned {
                reader: self.number,
                place: self.topic.place(partition),
                offset,
            });
            next.insert(partition, offset);
        }
        self.seen.joined(generation);
        self.seat = Some(Seat {
            generation,
            committed: next.clone(),
            next,
        });
        Ok(())
    }

    /// Reads what is there of its partitions, or waits for a moment.
    async fn read(&mut self, connection: &mut Connection) -> Result<()> {
        let Some(seat) = &mut self.seat else {
            return Ok(());
        };
        let topic = self.topic.name.as_str();
        for (partition, code, records) in calls::fetch(connection, topic, &seat.next).await? {
            if NOT_YET.contains(&code) {
                continue;
            }
            let next = seat.next.get_mut(&partition);
            let next = next.context("records of a partition that nobody asked for")?;
            if code != 0 {
                bail!("a fetch of {partition}@{next} was answered with {code}");
            }
            for batch in batches(records) {
                let batch = batch?;
                batch.verify_crc()?;
                for view in batch.records(&RecordLimits::default())? {
                    let view = view?;
                    // Batches come whole, with what lies before.
                    if view.offset < *next {
                        continue;
                    }
                    let offset = view.offset;
                    self.recorder.note(Event::Read {
                        reader: self.number,
                        place: self.topic.place(partition),
                        offset,
                        found: payload::found(&view.into_record()),
                    });
                    self.ledger.processed(partition, offset);
                    *next = offset.plus(1);
                }
            }
        }
        Ok(())
    }

    /// Commits what it has read since the last time.
    async fn commit(&mut self, connection: &mut Connection) -> Result<()> {
        let Some(seat) = &mut self.seat else {
            return Ok(());
        };
        if seat.next == seat.committed {
            return Ok(());
        }
        let (topic, instance) = (self.topic.name.as_str(), self.instance.as_deref());
        let member = (self.id.as_str(), seat.generation);
        let code = calls::commit(connection, topic, member, instance, &seat.next).await?;
        if code == 0 {
            seat.committed.clone_from(&seat.next);
            for (&partition, &offset) in &seat.committed {
                self.ledger.acknowledged(partition, offset);
            }
            self.seen.committed();
        }
        self.heed("a commit", code).await
    }

    async fn beat(&mut self, connection: &mut Connection) -> Result<()> {
        let Some(seat) = &self.seat else {
            return Ok(());
        };
        let instance = self.instance.as_deref();
        let member = (self.id.as_str(), seat.generation);
        let code = calls::heartbeat(connection, member, instance).await?;
        self.heed("a heartbeat", code).await
    }

    /// The end of a life: without a word, or in good order, which a broker that is down waits with.
    async fn end(&mut self) -> Result<()> {
        self.seat = None;
        if self.instance.is_none() && !self.id.is_empty() {
            while let Err(error) = self.leave().await {
                if !is_down(&error) {
                    return Err(error);
                }
                sleep(AGAIN).await;
            }
        }
        self.id.clear();
        Ok(())
    }

    async fn leave(&mut self) -> Result<()> {
        let mut connection = Connection::open(self.address).await?;
        loop {
            let code = calls::leave(&mut connection, &self.id).await?;
            self.heed("leaving", code).await?;
            if !RETRIED.contains(&code) {
                return Ok(());
            }
        }
    }
}
