//! Who waits for a partition to change, and how they are woken.
//!
//! Invariants:
//! - A waiter registers *before* it looks at the partition, and whoever changes the partition
//!   changes it *before* it wakes, so no wake-up is lost.
//! - A registration is good for one wake-up, and is in the list once at most, however often it is
//!   renewed. One whose owner has gone is dropped when its shard next fills up, so the list stays
//!   within twice the number of those that wait.
//! - Whoever wakes pays for a handful of waiters at most; a crowd is woken by a task of its own,
//!   shard by shard, with room for other tasks in between.

use std::sync::{
    Arc, OnceLock, Weak,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};

use tokio::{runtime::Handle, sync::Notify};

use crate::sync::Mutex;

const SHARDS: usize = 64;
/// Shards that are woken by the caller itself.
const SHARDS_WOKEN_INLINE_MAX: u32 = 4;

type Shard = Mutex<Vec<Weak<Registration>>>;

/// One waiter's interest in one partition.
#[derive(Debug)]
pub(super) struct Registration {
    waiter: Arc<Notify>,
    /// Whether it is in a list, or about to be woken.
    armed: AtomicBool,
}

impl Registration {
    pub(super) fn new(waiter: &Arc<Notify>) -> Arc<Self> {
        Arc::new(Self {
            waiter: Arc::clone(waiter),
            armed: AtomicBool::new(false),
        })
    }
}

/// The waiters of one partition. A partition that nobody has waited for holds no shards.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    /// One bit for each shard that has waiters.
    occupied: AtomicU64,
    next: AtomicUsize,
    shards: OnceLock<Box<[Shard; SHARDS]>>,
}

impl Waiters {
    /// The next change of the partition notifies the waiter of `registration`.
    pub(super) fn register(&self, registration: &Arc<Registration>) {
        if registration.armed.swap(true, Ordering::SeqCst) {
            return;
        }
        let shards = self
            .shards
            .get_or_init(|| Box::new(std::array::from_fn(|_| Shard::default())));
        let index = self.next.fetch_add(1, Ordering::Relaxed) % SHARDS;
        let mut shard = shards[index].lock();
        if shard.len() == shard.capacity() {
            shard.retain(|registration| registration.strong_count() > 0);
        }
        shard.push(Arc::downgrade(registration));
        self.occupied.fetch_or(1 << index, Ordering::SeqCst);
    }

    /// Wakes everyone registered so far.
    pub(super) fn wake(&self, runtime: &Handle) {
        // The exchange orders the change of the partition before the look at the waiters: a waiter
        // whose bit it misses registers after it, and so sees the change.
        let occupied = self.occupied.swap(0, Ordering::SeqCst);
        if occupied == 0 {
            return;
        }
        let Some(shards) = self.shards.get() else {
            return;
        };
        let taken = shards
            .iter()
            .enumerate()
            .filter(|(index, _)| occupied & (1 << index) != 0)
            .map(|(_, shard)| std::mem::take(&mut *shard.lock()));
        if occupied.count_ones() <= SHARDS_WOKEN_INLINE_MAX {
            taken.for_each(wake_all);
        } else {
            let crowd: Vec<_> = taken.collect();
            runtime.spawn(async move {
                for waiters in crowd {
                    wake_all(waiters);
                    tokio::task::yield_now().await;
                }
            });
        }
    }
}

fn wake_all(registrations: Vec<Weak<Registration>>) {
    for registration in registrations {
        if let Some(registration) = registration.upgrade() {
            // Whoever renews it before this is woken by what follows; after this, by the next.
            registration.armed.store(false, Ordering::SeqCst);
            registration.waiter.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registrations(waiters: &Waiters) -> usize {
        let shards = waiters.shards.get().into_iter();
        shards
            .flat_map(|shards| shards.iter())
            .map(|shard| shard.lock().len())
            .sum()
    }

    #[tokio::test]
    async fn a_waiter_registered_before_the_wake_is_woken_once() {
        let waiters = Waiters::default();
        let waiter = Arc::new(Notify::new());
        let registration = Registration::new(&waiter);
        waiters.register(&registration);
        waiters.wake(&Handle::current());
        waiter.notified().await;
        waiters.wake(&Handle::current());
        let again = tokio::time::timeout(std::time::Duration::ZERO, waiter.notified()).await;
        assert!(again.is_err(), "one registration woke twice");
    }

    #[tokio::test]
    async fn a_crowd_is_woken_by_another_task() {
        let waiters = Waiters::default();
        let crowd: Vec<_> = (0..1_000)
            .map(|_| {
                let waiter = Arc::new(Notify::new());
                let registration = Registration::new(&waiter);
                waiters.register(&registration);
                (waiter, registration)
            })
            .collect();
        waiters.wake(&Handle::current());
        for (waiter, _registration) in crowd {
            waiter.notified().await;
        }
    }

    #[test]
    fn waiters_that_have_gone_take_no_room() {
        let waiters = Waiters::default();
        let waiter = Arc::new(Notify::new());
        for _ in 0..100_000 {
            waiters.register(&Registration::new(&waiter));
        }
        let held = registrations(&waiters);
        assert!(
            held <= SHARDS * 8,
            "{held} registrations of nobody are kept"
        );
    }

    #[test]
    fn renewing_a_registration_takes_no_room() {
        let waiters = Waiters::default();
        let registration = Registration::new(&Arc::new(Notify::new()));
        for _ in 0..1_000 {
            waiters.register(&registration);
        }
        assert_eq!(registrations(&waiters), 1);
    }
}
