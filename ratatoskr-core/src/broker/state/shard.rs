//! One partition of a state log: its machine, and the ways to look at it and to change it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use tokio::sync::Notify;

use super::{Machine, entry::Entry};
use crate::{
    broker::{
        context::Context,
        partition::PartitionCell,
        produce::PendingProduce,
        supervision::panic_message,
        waiters::{Registration, Waiter},
    },
    error::Error,
    offset::Offset,
    sync::Mutex,
};

/// A machine and the log that it is a function of.
#[derive(Debug)]
pub(in crate::broker) struct Shard<M: Machine> {
    pub(super) cell: Arc<PartitionCell>,
    pub(super) inner: Mutex<Inner<M>>,
    /// Held by the one that reads the log.
    pub(super) loading: tokio::sync::Mutex<()>,
    /// Notified when the machine is dropped.
    dropped: Notify,
}

#[derive(Debug)]
pub(super) struct Inner<M> {
    /// Counts the machines there were, so that nobody drops another one than he means.
    pub(super) generation: u64,
    pub(super) loaded: Option<Loaded<M>>,
}

/// A machine that has seen its whole log.
#[derive(Debug)]
pub(super) struct Loaded<M> {
    pub(super) machine: M,
    /// What the next record gets.
    pub(super) end: Offset,
    /// Bytes of events since the last snapshot.
    pub(super) bytes: usize,
    /// Bytes that the last snapshot had.
    pub(super) snapshot_bytes: usize,
    /// Whether a snapshot is being written.
    pub(super) snapshotting: bool,
}

/// What was decided: events to be kept, all or none, and what is answered once they are.
#[derive(Debug)]
pub(in crate::broker) struct Change<E, T> {
    /// In the order in which they are applied.
    pub(in crate::broker) events: Vec<E>,
    /// The answer.
    pub(in crate::broker) answer: T,
}

impl<E, T> Change<E, T> {
    /// Nothing has to be kept.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "queues decide on nothing at times")
    )]
    pub(in crate::broker) const fn nothing(answer: T) -> Self {
        Self {
            events: Vec::new(),
            answer,
        }
    }
}

/// An answer that holds once its change is durable.
#[derive(Debug)]
#[must_use = "only its wait tells whether the change lasts"]
pub(in crate::broker) struct PendingChange<M: Machine, T> {
    pending: Option<(PendingProduce, Watch<M>)>,
    answer: T,
}

impl<M: Machine> Shard<M> {
    pub(super) fn new(cell: Arc<PartitionCell>) -> Arc<Self> {
        Arc::new(Self {
            cell,
            inner: Mutex::new(Inner {
                generation: 0,
                loaded: None,
            }),
            loading: tokio::sync::Mutex::new(()),
            dropped: Notify::new(),
        })
    }

    pub(super) fn context(&self) -> &Arc<Context> {
        self.cell.context()
    }

    /// Decides on a change, and answers once it is durable.
    ///
    /// `decide` may change what is volatile of the machine; what lasts changes by its events alone,
    /// which are applied when it has returned. It is called once at most.
    ///
    /// # Errors
    /// What `decide` answers; [`Error::OutcomeUnknown`] where nobody knows whether the change lasts;
    /// any other error means that it was not made.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the change made or not made.
    pub(in crate::broker) async fn change<T>(
        self: &Arc<Self>,
        decide: impl FnOnce(&mut M) -> Result<Change<M::Event, T>, Error>,
    ) -> Result<T, Error> {
        self.begin(decide).await?.wait().await
    }

    /// As [`change`](Self::change), except that the change has its place in the log when this
    /// returns, and is waited for separately.
    ///
    /// # Errors
    /// As [`change`](Self::change).
    ///
    /// # Cancel safety
    /// As [`change`](Self::change).
    pub(in crate::broker) async fn begin<T>(
        self: &Arc<Self>,
        decide: impl FnOnce(&mut M) -> Result<Change<M::Event, T>, Error>,
    ) -> Result<PendingChange<M, T>, Error> {
        let mut decide = Some(decide);
        loop {
            self.context().check_running()?;
            if let Some(begun) = self.begin_loaded(&mut decide) {
                return begun;
            }
            self.load().await?;
        }
    }

    /// `None` where no machine is loaded.
    fn begin_loaded<T, D>(
        self: &Arc<Self>,
        decide: &mut Option<D>,
    ) -> Option<Result<PendingChange<M, T>, Error>>
    where
        D: FnOnce(&mut M) -> Result<Change<M::Event, T>, Error>,
    {
        let mut inner = self.inner.lock();
        let generation = inner.generation;
        let loaded = inner.loaded.as_mut()?;
        let decide = decide.take()?;
        let changed = catch_unwind(AssertUnwindSafe(|| {
            let Change { events, answer } = decide(&mut loaded.machine)?;
            let pending = self.submit(loaded, events)?;
            Ok((pending, answer))
        }));
        let snapshot = loaded.begin_snapshot_if_due();
        let result = match changed {
            Ok(Ok((Submitted::Misplaced, _))) => {
                self.drop_machine(&mut inner, generation);
                Err(self.reloading())
            }
            Ok(Ok((Submitted::Nothing, answer))) => Ok(PendingChange {
                pending: None,
                answer,
            }),
            Ok(Ok((Submitted::Pending(pending), answer))) => Ok(PendingChange {
                pending: Some((pending, Watch::new(self, generation, loaded.end))),
                answer,
            }),
            Ok(Err(error)) => Err(error),
            Err(panic) => {
                // Events may be in the log that the machine has not taken in, or the reverse.
                self.drop_machine(&mut inner, generation);
                Err(Error::Internal(panic_message(&*panic)))
            }
        };
        drop(inner);
        if snapshot {
            self.spawn_snapshot();
        }
        Some(result)
    }

    /// Gives events their place in the log, and applies them.
    pub(super) fn submit(
        &self,
        loaded: &mut Loaded<M>,
        events: Vec<M::Event>,
    ) -> Result<Submitted, Error> {
        if events.is_empty() {
            return Ok(Submitted::Nothing);
        }
        let entries: Vec<_> = events.into_iter().map(Entry::Event).collect();
        let submitted = self.append(loaded, &entries)?;
        if !matches!(submitted, Submitted::Misplaced) {
            for entry in entries {
                if let Entry::Event(event) = entry {
                    loaded.machine.apply(event);
                }
            }
        }
        Ok(submitted)
    }

    /// Gives entries their place in the log.
    pub(super) fn append(
        &self,
        loaded: &mut Loaded<M>,
        entries: &[Entry<M::Event>],
    ) -> Result<Submitted, Error> {
        let batch = Entry::batch(entries, self.context().clock.now())?;
        let (bytes, records) = (batch.total_bytes(), entries.len() as u64);
        let Some(pending) = self.cell.submit_at(loaded.end, batch)? else {
            return Ok(Submitted::Misplaced);
        };
        loaded.end = loaded.end.plus(records);
        loaded.bytes += bytes;
        Ok(Submitted::Pending(pending))
    }

    /// Looks at the machine, and answers once all that it has seen is durable.
    ///
    /// # Errors
    /// [`Error::PartitionOffline`] where the state has to be read from its log and cannot, or had to
    /// be while this waited; [`Error::ShuttingDown`], [`Error::Fenced`].
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing but what `look` has changed.
    pub(in crate::broker) async fn read<T>(
        self: &Arc<Self>,
        look: impl FnOnce(&mut M) -> T,
    ) -> Result<T, Error> {
        let mut look = Some(look);
        let (answer, generation, end) = loop {
            self.context().check_running()?;
            if let Some(looked) = self.look(&mut look) {
                break looked;
            }
            self.load().await?;
        };
        self.durable(generation, end).await?;
        Ok(answer)
    }

    fn look<T, L: FnOnce(&mut M) -> T>(&self, look: &mut Option<L>) -> Option<(T, u64, Offset)> {
        let mut inner = self.inner.lock();
        let generation = inner.generation;
        let loaded = inner.loaded.as_mut()?;
        let answer = look.take()?(&mut loaded.machine);
        Some((answer, generation, loaded.end))
    }

    /// Looks at the machine at once, if it is loaded. What it has seen may not be durable yet.
    pub(in crate::broker) fn peek<T>(&self, look: impl FnOnce(&mut M) -> T) -> Option<T> {
        let mut inner = self.inner.lock();
        let loaded = inner.loaded.as_mut()?;
        Some(look(&mut loaded.machine))
    }

    /// Waits until the log is durable up to `end`.
    async fn durable(&self, generation: u64, end: Offset) -> Result<(), Error> {
        if self.cell.high_watermark() >= end {
            return Ok(());
        }
        let waiter = Arc::new(Waiter::default());
        let registration = Registration::new(&waiter);
        loop {
            self.cell.register(&registration);
            let dropped = self.dropped.notified();
            tokio::pin!(dropped);
            dropped.as_mut().enable();
            if self.inner.lock().generation != generation {
                return Err(self.reloading());
            }
            if self.cell.high_watermark() >= end {
                return Ok(());
            }
            self.context().check_running()?;
            tokio::select! {
                () = waiter.woken() => {}
                () = dropped => {}
                // Nothing is on its way any more: what is not there by now will not come.
                () = self.cell.settled() => {
                    if self.cell.high_watermark() < end {
                        self.drop_generation(generation);
                    }
                }
                () = self.context().stopped() => {}
            }
        }
    }

    /// Drops the machine, if it is still this one: its log has lost what it has seen.
    fn drop_generation(&self, generation: u64) {
        self.drop_machine(&mut self.inner.lock(), generation);
    }

    fn drop_machine(&self, inner: &mut Inner<M>, generation: u64) {
        if inner.generation == generation && inner.loaded.take().is_some() {
            inner.generation += 1;
            tracing::warn!(topic = %self.cell.topic_name(), partition = %self.cell.index(),
                "state is read anew from its log");
            self.dropped.notify_waiters();
        }
    }

    pub(super) fn reloading(&self) -> Error {
        Error::PartitionOffline {
            topic: self.cell.topic_name().clone(),
            partition: self.cell.index(),
            reason: "its state is being read anew from the log".to_owned(),
        }
    }
}

/// What became of events.
#[derive(Debug)]
pub(super) enum Submitted {
    /// There were none.
    Nothing,
    Pending(PendingProduce),
    /// The log does not end where the machine says.
    Misplaced,
}

impl<M: Machine, T> PendingChange<M, T> {
    /// Waits until the change is durable.
    ///
    /// # Errors
    /// See [`Shard::change`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves the change made or not made.
    pub(in crate::broker) async fn wait(self) -> Result<T, Error> {
        if let Some((pending, watch)) = self.pending {
            watch.end(pending.wait().await)?;
        }
        Ok(self.answer)
    }
}

/// Looks to it that the machine does not outlive a change that was not kept, whether or not somebody
/// waits for the change.
#[derive(Debug)]
pub(super) struct Watch<M: Machine> {
    shard: Option<Arc<Shard<M>>>,
    generation: u64,
    end: Offset,
}

impl<M: Machine> Watch<M> {
    pub(super) fn new(shard: &Arc<Shard<M>>, generation: u64, end: Offset) -> Self {
        Self {
            shard: Some(Arc::clone(shard)),
            generation,
            end,
        }
    }

    /// The change has come to its end.
    pub(super) fn end<T>(mut self, outcome: Result<T, Error>) -> Result<T, Error> {
        if let Some(shard) = self.shard.take()
            && outcome.is_err()
        {
            shard.drop_generation(self.generation);
        }
        outcome
    }
}

impl<M: Machine> Drop for Watch<M> {
    fn drop(&mut self) {
        let Some(shard) = self.shard.take() else {
            return;
        };
        if shard.cell.high_watermark() >= self.end {
            return;
        }
        let (generation, end) = (self.generation, self.end);
        let runtime = shard.context().runtime.clone();
        runtime.spawn(async move {
            // An error has dropped the machine, and that is all that was wanted.
            let _ = shard.durable(generation, end).await;
        });
    }
}
