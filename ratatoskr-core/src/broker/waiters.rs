//! Who waits for a partition to change, and how they are woken.
//!
//! Invariants:
//! - A waiter registers *before* it looks at the partition, and whoever changes the partition
//!   changes it *before* it wakes, so no wake-up is lost.
//! - A registration is good for one wake-up, and is in the list once at most, however often it is
//!   renewed. One whose owner has gone is dropped when its shard next fills up, so the list stays
//!   within twice the number of those that wait.
//! - Whoever wakes pays nothing where nobody waits, and for a handful of waiters at most; a crowd is
//!   left to a task of its own, which wakes it shard by shard with room for other tasks in between.
//!   There is one such task a partition at a time, however often the partition changes meanwhile.

use std::sync::{
    Arc, OnceLock, Weak,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence},
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
    shards: OnceLock<Arc<Shards>>,
}

#[derive(Debug)]
struct Shards {
    lists: [Shard; SHARDS],
    /// Shards that the dispatcher still has to wake, one bit each.
    due: AtomicU64,
    /// Whether there is a dispatcher.
    dispatching: AtomicBool,
}

impl Waiters {
    /// The next change of the partition notifies the waiter of `registration`.
    pub(super) fn register(&self, registration: &Arc<Registration>) {
        if registration.armed.swap(true, Ordering::SeqCst) {
            return;
        }
        let shards = self.shards.get_or_init(Arc::default);
        let index = self.next.fetch_add(1, Ordering::Relaxed) % SHARDS;
        let mut shard = shards.lists[index].lock();
        if shard.len() == shard.capacity() {
            shard.retain(|registration| registration.strong_count() > 0);
        }
        shard.push(Arc::downgrade(registration));
        drop(shard);
        self.occupied.fetch_or(1 << index, Ordering::SeqCst);
        // Pairs with the fence of `wake`: of two fences one comes first, so either the look at the
        // partition that follows this sees the change, or `wake` sees the bit.
        fence(Ordering::SeqCst);
    }

    /// Wakes everyone registered so far.
    #[inline]
    pub(super) fn wake(&self, runtime: &Handle) {
        // Orders the change of the partition before the look at the waiters: a waiter whose bit is
        // missed registers after it, and so sees the change. Most sends find nobody, and only read.
        fence(Ordering::SeqCst);
        if self.occupied.load(Ordering::Relaxed) == 0 {
            return;
        }
        let occupied = self.occupied.swap(0, Ordering::SeqCst);
        let Some(shards) = self.shards.get() else {
            return;
        };
        if occupied.count_ones() <= SHARDS_WOKEN_INLINE_MAX {
            set_bits(occupied).for_each(|index| shards.wake(index));
            return;
        }
        shards.due.fetch_or(occupied, Ordering::SeqCst);
        if !shards.dispatching.swap(true, Ordering::SeqCst) {
            runtime.spawn(Arc::clone(shards).dispatch());
        }
    }
}

impl Default for Shards {
    fn default() -> Self {
        Self {
            lists: std::array::from_fn(|_| Shard::default()),
            due: AtomicU64::new(0),
            dispatching: AtomicBool::new(false),
        }
    }
}

impl Shards {
    fn wake(&self, index: usize) {
        let taken = std::mem::take(&mut *self.lists[index].lock());
        wake_all(taken);
    }

    /// Wakes what is due until nothing is.
    async fn dispatch(self: Arc<Self>) {
        loop {
            let due = self.due.swap(0, Ordering::SeqCst);
            for index in set_bits(due) {
                self.wake(index);
                tokio::task::yield_now().await;
            }
            if due != 0 {
                continue;
            }
            self.dispatching.store(false, Ordering::SeqCst);
            // Whoever made more due before that left it to this dispatcher.
            let is_over = self.due.load(Ordering::SeqCst) == 0;
            if is_over || self.dispatching.swap(true, Ordering::SeqCst) {
                return;
            }
        }
    }
}

/// The places of the bits that are set.
fn set_bits(bits: u64) -> impl Iterator<Item = usize> {
    (0..SHARDS).filter(move |index| bits & (1 << index) != 0)
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
            .flat_map(|shards| shards.lists.iter())
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
