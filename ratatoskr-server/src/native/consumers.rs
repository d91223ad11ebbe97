//! Which connection speaks for a consumer of a queue. What a consumer holds is given back when its
//! connection ends: whoever is gone settles nothing.
//!
//! A client that has lost its connection comes back under its old names, most often before the server
//! notices the loss. A name belongs to the connection that used it last, so the end of the old one
//! takes nothing from the new. A consumer that leaves is given nothing any more that it still waits for:
//! nobody would settle it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use ratatoskr_core::{Broker, delivery::ConsumerId, name::GroupId, sync::Mutex};
use tokio::sync::watch;

type Name = (GroupId, ConsumerId);

/// All names, with the number of the connection that used each last.
#[derive(Debug, Default)]
pub(super) struct Registry {
    connections: AtomicU64,
    names: Mutex<HashMap<Name, u64>>,
}

impl Registry {
    /// The names of one more connection.
    pub(super) fn connection(self: &Arc<Self>) -> Consumers {
        Consumers {
            number: self.connections.fetch_add(1, Ordering::Relaxed),
            registry: Arc::clone(self),
            used: Arc::default(),
        }
    }
}

/// The names that one connection has used.
#[derive(Clone, Debug)]
pub(super) struct Consumers {
    registry: Arc<Registry>,
    number: u64,
    /// Each with what is dropped when it leaves.
    used: Arc<Mutex<BTreeMap<Name, watch::Sender<()>>>>,
}

/// How to learn that a consumer has left.
#[derive(Debug)]
pub(super) struct Stay(watch::Receiver<()>);

impl Stay {
    /// Waits for that.
    pub(super) async fn ended(mut self) {
        while self.0.changed().await.is_ok() {}
    }
}

impl Consumers {
    /// Notes that this connection speaks for a consumer; `None` where it speaks for `max` others.
    pub(super) fn speaks_for(
        &self,
        group: &GroupId,
        consumer: &ConsumerId,
        max: usize,
    ) -> Option<Stay> {
        let name = (group.clone(), consumer.clone());
        let mut used = self.used.lock();
        if used.len() >= max && !used.contains_key(&name) {
            return None;
        }
        self.registry.names.lock().insert(name.clone(), self.number);
        Some(Stay(used.entry(name).or_default().subscribe()))
    }

    /// The consumer has left.
    pub(super) fn left(&self, group: &GroupId, consumer: &ConsumerId) {
        let name = (group.clone(), consumer.clone());
        if self.used.lock().remove(&name).is_some() {
            self.forget(&name);
        }
    }

    /// Whether the name was still this connection's.
    fn forget(&self, name: &Name) -> bool {
        let mut names = self.registry.names.lock();
        let last = names.get(name) == Some(&self.number);
        if last {
            names.remove(name);
        }
        last
    }

    /// The connection has ended: gives back what its consumers hold.
    pub(super) async fn end(&self, broker: &Broker) {
        let used = std::mem::take(&mut *self.used.lock());
        for name in used.into_keys() {
            if !self.forget(&name) {
                continue;
            }
            let (group, consumer) = name;
            if let Err(error) = broker.queue_leave(&group, &consumer).await {
                tracing::debug!(%group, %consumer, %error, "leases are left to expire");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt as _;

    use super::*;

    fn name() -> Name {
        let group = GroupId::parse("mailers").unwrap();
        (group, ConsumerId::parse("m1").unwrap())
    }

    #[test]
    fn a_name_belongs_to_the_connection_that_used_it_last() {
        let registry = Arc::new(Registry::default());
        let (old, new) = (registry.connection(), registry.connection());
        let (group, consumer) = name();
        assert!(old.speaks_for(&group, &consumer, 1).is_some());
        assert!(new.speaks_for(&group, &consumer, 1).is_some());
        assert!(!old.forget(&name()));
        assert!(new.forget(&name()));
    }

    #[test]
    fn a_connection_speaks_for_so_many_and_for_another_once_one_has_left() {
        let registry = Arc::new(Registry::default());
        let connection = registry.connection();
        let (group, consumer) = name();
        let other = ConsumerId::parse("m2").unwrap();
        let stay = connection.speaks_for(&group, &consumer, 1).unwrap();
        assert!(connection.speaks_for(&group, &consumer, 1).is_some());
        assert!(connection.speaks_for(&group, &other, 1).is_none());
        let mut ended = pin!(stay.ended());
        assert!(ended.as_mut().now_or_never().is_none());
        connection.left(&group, &consumer);
        assert!(ended.now_or_never().is_some());
        assert!(connection.speaks_for(&group, &other, 1).is_some());
        assert_eq!(registry.names.lock().len(), 1);
    }
}
