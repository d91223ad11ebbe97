//! Which connection speaks for a consumer of a queue. What a consumer holds is given back when its
//! connection ends: whoever is gone settles nothing.
//!
//! A client that has lost its connection comes back under its old names, most often before the server
//! notices the loss. A name belongs to the connection that used it last, so the end of the old one
//! takes nothing from the new.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use ratatoskr_core::{Broker, delivery::ConsumerId, name::GroupId, sync::Mutex};

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
    used: Arc<Mutex<BTreeSet<Name>>>,
}

impl Consumers {
    /// Notes that this connection speaks for a consumer; `false` where it speaks for `max` others.
    pub(super) fn speaks_for(&self, group: &GroupId, consumer: &ConsumerId, max: usize) -> bool {
        let name = (group.clone(), consumer.clone());
        let mut used = self.used.lock();
        if used.len() >= max && !used.contains(&name) {
            return false;
        }
        self.registry.names.lock().insert(name.clone(), self.number);
        used.insert(name);
        true
    }

    /// The consumer has left.
    pub(super) fn left(&self, group: &GroupId, consumer: &ConsumerId) {
        let name = (group.clone(), consumer.clone());
        if self.used.lock().remove(&name) {
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
        for name in used {
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
        assert!(old.speaks_for(&group, &consumer, 1));
        assert!(new.speaks_for(&group, &consumer, 1));
        assert!(!old.forget(&name()));
        assert!(new.forget(&name()));
    }

    #[test]
    fn a_connection_speaks_for_so_many_and_for_another_once_one_has_left() {
        let registry = Arc::new(Registry::default());
        let connection = registry.connection();
        let (group, consumer) = name();
        let other = ConsumerId::parse("m2").unwrap();
        assert!(connection.speaks_for(&group, &consumer, 1));
        assert!(connection.speaks_for(&group, &consumer, 1));
        assert!(!connection.speaks_for(&group, &other, 1));
        connection.left(&group, &consumer);
        assert!(connection.speaks_for(&group, &other, 1));
        assert_eq!(registry.names.lock().len(), 1);
    }
}
