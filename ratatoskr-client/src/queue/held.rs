//! What a consumer holds, by the token that it came with: whoever renews a lease must name a record
//! that is still held under it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use ratatoskr_core::{
    delivery::{FencingToken, SettleAction, Settlement},
    offset::{Offset, PartitionIndex},
    sync::Mutex,
};
use tokio::sync::Notify;

#[derive(Debug, Default)]
pub(super) struct Held {
    leases: Mutex<BTreeMap<(PartitionIndex, FencingToken), Lease>>,
    taken: Notify,
}

#[derive(Debug, Default)]
struct Lease {
    lasts: Duration,
    offsets: BTreeSet<Offset>,
}

impl Held {
    pub(super) fn taken(
        &self,
        partition: PartitionIndex,
        token: FencingToken,
        lasts: Duration,
        offsets: impl IntoIterator<Item = Offset>,
    ) {
        let mut held = self.leases.lock();
        let lease = held.entry((partition, token)).or_default();
        lease.lasts = lasts;
        lease.offsets.extend(offsets);
        drop(held);
        self.taken.notify_one();
    }

    /// The records are with somebody else, or done.
    pub(super) fn settled(&self, settlement: &Settlement) {
        let key = (settlement.partition, settlement.token);
        let mut held = self.leases.lock();
        if let Some(lease) = held.get_mut(&key) {
            let range = settlement.first..=settlement.last;
            lease.offsets.retain(|offset| !range.contains(offset));
            if lease.offsets.is_empty() {
                held.remove(&key);
            }
        }
    }

    /// Nothing is held any more.
    pub(super) fn clear(&self) {
        self.leases.lock().clear();
    }

    /// The shortest lease, once there is one.
    pub(super) async fn shortest(&self) -> Duration {
        loop {
            let shortest = self.leases.lock().values().map(|lease| lease.lasts).min();
            match shortest {
                Some(lease) => return lease,
                None => self.taken.notified().await,
            }
        }
    }

    /// What renews every lease.
    pub(super) fn renewals(&self) -> Vec<Settlement> {
        let held = self.leases.lock();
        held.iter()
            .filter_map(|(&(partition, token), lease)| {
                let &offset = lease.offsets.first()?;
                Some(Settlement {
                    partition,
                    first: offset,
                    last: offset,
                    token,
                    action: SettleAction::Extend(lease.lasts),
                })
            })
            .collect()
    }
}
