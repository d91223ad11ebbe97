//! What administration and shutdown do to a partition as a whole.

use super::{Inner, PartitionCell, State};
use crate::{
    broker::supervision::caught_async,
    error::Error,
    offset::{LeaderEpoch, Offset},
};

/// What a partition is doing.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum PartitionState {
    /// Not opened yet: nobody has asked for it.
    Closed,
    /// It takes sends and reads.
    Online,
    /// It failed and is being brought back.
    Offline {
        /// What took it down.
        reason: String,
    },
}

/// Sends of one partition are held back while this lives.
#[must_use = "dropping it lets sends through again"]
pub(in crate::broker) struct Hold<'a> {
    cell: &'a PartitionCell,
    opening: u64,
}

impl Hold<'_> {
    /// Commits at the topic's durability from now on. Everything before is settled and flushed.
    pub(in crate::broker) fn switch_durability(&self) {
        let durability = self.cell.topic.config().durability;
        let mut inner = self.cell.inner.lock();
        if let Some(open) = inner.open_as_of(self.opening) {
            open.path = self.cell.commit_path(durability);
            open.durability = durability;
        }
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        let mut inner = self.cell.inner.lock();
        if inner.open_as_of(self.opening).is_some() {
            self.cell.release_under_lock(&mut inner);
        }
        drop(inner);
        self.cell.wake();
    }
}

impl PartitionCell {
    /// The state, and the epoch that sends get.
    pub(in crate::broker) fn state(&self) -> (PartitionState, LeaderEpoch) {
        match &self.inner.lock().state {
            State::Closed | State::Deleted => (PartitionState::Closed, LeaderEpoch::new(0)),
            State::Open(open) => (PartitionState::Online, open.leader_epoch),
            State::Offline { reason } => (
                PartitionState::Offline {
                    reason: reason.clone(),
                },
                LeaderEpoch::new(0),
            ),
        }
    }

    /// The epoch that sends get, once the log has been walked for it.
    ///
    /// # Errors
    /// [`Error::PartitionOffline`], and what opening answers.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub(in crate::broker) async fn leader_epoch(&self) -> Result<LeaderEpoch, Error> {
        loop {
            let settled = self.settled.notified();
            tokio::pin!(settled);
            settled.as_mut().enable();
            {
                let mut inner = self.inner.lock();
                let open = self.open_under_lock(&mut inner)?;
                if open.holds == 0 {
                    return Ok(open.leader_epoch);
                }
            }
            settled.await;
        }
    }

    /// Holds back sends, and waits until those before are settled. `None` where the partition is
    /// not open, so that nothing needs to be held.
    pub(in crate::broker) async fn hold_and_drain(&self) -> Option<Hold<'_>> {
        let hold = {
            let mut inner = self.inner.lock();
            let opening = inner.opening;
            let open = inner.open_as_of(opening)?;
            open.holds += 1;
            Hold {
                cell: self,
                opening,
            }
        };
        self.drained().await;
        Some(hold)
    }

    /// Makes everything appended so far durable. A partition that is not open has nothing to flush.
    ///
    /// # Errors
    /// [`Error::PartitionOffline`], and what else the backend answers.
    pub(in crate::broker) async fn flush(&self) -> Result<(), Error> {
        let Some(reader) = self.reader.load_full() else {
            return Ok(());
        };
        let flushed = caught_async(async { reader.log.flush().await }).await;
        flushed.map_err(|failure| {
            let mut inner = self.inner.lock();
            if inner.opening == reader.opening {
                self.take_offline(&mut inner, &failure.to_string());
            }
            self.error_of(&failure)
        })?;
        Ok(())
    }

    /// The topic is deleted: whoever waits learns of it.
    pub(in crate::broker) fn delete(&self) {
        let mut inner = self.inner.lock();
        let gone = Error::UnknownTopic(self.topic.name.clone());
        if let State::Open(open) = std::mem::replace(&mut inner.state, State::Deleted) {
            self.close_open(&mut inner, *open, &gone);
        } else {
            inner.opening += 1;
            self.changed();
        }
    }

    /// How many sends are neither settled nor refused.
    pub(in crate::broker) fn unsettled(&self) -> usize {
        let Inner { state, pending, .. } = &*self.inner.lock();
        let held = match state {
            State::Open(open) => open.held.len(),
            _ => 0,
        };
        pending.len() + held
    }

    /// Waits until no send is on its way, held ones included.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub(in crate::broker) async fn settled(&self) {
        self.wait_until(|inner| match &inner.state {
            State::Open(open) => open.held.is_empty() && inner.pending.is_empty(),
            _ => inner.pending.is_empty(),
        })
        .await;
    }

    /// Opens the partition, and waits until it holds no sends back, none is on its way, and readers
    /// see all that is in the log. Answers where that ends.
    ///
    /// # Errors
    /// [`Error::PartitionOffline`], and what opening answers.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub(in crate::broker) async fn at_rest(&self) -> Result<Offset, Error> {
        loop {
            let settled = self.settled.notified();
            tokio::pin!(settled);
            settled.as_mut().enable();
            {
                let mut inner = self.inner.lock();
                let pending = !inner.pending.is_empty();
                let open = self.open_under_lock(&mut inner)?;
                let unseen = self.high_watermark() < open.log_end;
                if !pending && !unseen && open.holds == 0 {
                    return Ok(open.log_end);
                }
            }
            settled.await;
        }
    }

    /// Waits until nothing is pending.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub(super) async fn drained(&self) {
        self.wait_until(|inner| inner.pending.is_empty()).await;
    }

    async fn wait_until(&self, holds: impl Fn(&Inner) -> bool) {
        loop {
            let settled = self.settled.notified();
            tokio::pin!(settled);
            settled.as_mut().enable();
            if holds(&self.inner.lock()) {
                return;
            }
            settled.await;
        }
    }
}
