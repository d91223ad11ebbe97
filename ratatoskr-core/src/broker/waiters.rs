//! Who waits for a partition to change, and how they are woken.
//!
//! Invariants:
//! - A waiter registers *before* it looks at the partition, and whoever changes the partition
//!   changes it *before* it wakes, so no wake-up is lost.
//! - A registration is good for one wake-up. One whose waiter has gone is dropped when its shard
//!   next fills up, so the list stays within twice the number of live waiters.
//! - Whoever wakes pays for a handful of waiters at most; a crowd is woken by a task of its own,
//!   shard by shard, with room for other tasks in between.

use std::sync::{
    Arc, OnceLock, Weak,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use parking_lot::Mutex;
use tokio::{runtime::Handle, sync::Notify};

const SHARDS: usize = 64;
/// Shards that are woken by the caller itself.
const SHARDS_WOKEN_INLINE_MAX: u32 = 4;

type Shard = Mutex<Vec<Weak<Notify>>>;

/// The waiters of one partition. A partition that nobody has waited for holds no shards.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    /// One bit for each shard that has waiters.
    occupied: AtomicU64,
    next: AtomicUsize,
    shards: OnceLock<Box<[Shard; SHARDS]>>,
}

impl Waiters {
    /// The next change of the partition notifies `waiter`.
    pub(super) fn register(&self, waiter: &Arc<Notify>) {
        let shards = self
            .shards
            .get_or_init(|| Box::new(std::array::from_fn(|_| Shard::default())));
        let index = self.next.fetch_add(1, Ordering::Relaxed) % SHARDS;
        let mut shard = shards[index].lock();
        if shard.len() == shard.capacity() {
            shard.retain(|waiter| waiter.strong_count() > 0);
        }
        shard.push(Arc::downgrade(waiter));
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

fn wake_all(waiters: Vec<Weak<Notify>>) {
    for waiter in waiters {
        if let Some(waiter) = waiter.upgrade() {
            waiter.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_waiter_registered_before_the_wake_is_woken_once() {
        let waiters = Waiters::default();
        let waiter = Arc::new(Notify::new());
        waiters.register(&waiter);
        waiters.wake(&Handle::current());
        waiter.notified().await;
        waiters.wake(&Handle::current());
        let again = tokio::time::timeout(std::time::Duration::ZERO, waiter.notified()).await;
        assert!(again.is_err(), "one registration woke twice");
    }

    #[tokio::test]
    async fn a_crowd_is_woken_by_another_task() {
        let waiters = Waiters::default();
        let crowd: Vec<_> = (0..1_000).map(|_| Arc::new(Notify::new())).collect();
        for waiter in &crowd {
            waiters.register(waiter);
        }
        waiters.wake(&Handle::current());
        for waiter in crowd {
            waiter.notified().await;
        }
    }

    #[test]
    fn waiters_that_have_gone_take_no_room() {
        let waiters = Waiters::default();
        for _ in 0..100_000 {
            waiters.register(&Arc::new(Notify::new()));
        }
        let held: usize = waiters
            .shards
            .get()
            .into_iter()
            .flat_map(|shards| shards.iter())
            .map(|shard| shard.lock().len())
            .sum();
        assert!(
            held <= SHARDS * 8,
            "{held} registrations of nobody are kept"
        );
    }
}
