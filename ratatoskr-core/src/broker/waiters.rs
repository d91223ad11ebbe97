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
//! - A few who wait again and again, as those do who follow the end of a log, cost no allocation.

use std::{
    future::poll_fn,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence},
    },
    task::{Context, Poll},
};

use futures_util::task::AtomicWaker;
use tokio::runtime::Handle;

use crate::sync::Mutex;

const SHARDS: usize = 64;
/// Shards that are woken by the caller itself.
const SHARDS_WOKEN_INLINE_MAX: u32 = 4;

/// So many waiters of a shard are woken without giving up the room of its list.
const FEW: usize = 8;

type Shard = Mutex<Vec<Weak<Registration>>>;

/// Someone who waits for any of its registrations; one task at a time.
#[derive(Debug, Default)]
pub(super) struct Waiter {
    woken: AtomicBool,
    waker: AtomicWaker,
}

impl Waiter {
    fn wake(&self) {
        self.woken.store(true, Ordering::SeqCst);
        self.waker.wake();
    }

    /// Ready once it was woken since this was ready the last time.
    pub(super) fn poll(&self, context: &Context<'_>) -> Poll<()> {
        if self.woken.swap(false, Ordering::SeqCst) {
            return Poll::Ready(());
        }
        self.waker.register(context.waker());
        // It may have been woken before there was a waker.
        if self.woken.swap(false, Ordering::SeqCst) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// Waits until it is woken, unless it was since this ended the last time.
    ///
    /// # Cancel safety
    /// Dropping the future loses no wake-up.
    pub(super) async fn woken(&self) {
        poll_fn(|context| self.poll(context)).await;
    }
}

/// One waiter's interest in one partition.
#[derive(Debug)]
pub(super) struct Registration {
    waiter: Arc<Waiter>,
    /// Whether it is in a list, or about to be woken.
    armed: AtomicBool,
    /// The shard it goes to, always the same one; [`SHARDS`] before the first time.
    shard: AtomicUsize,
}

impl Registration {
    pub(super) fn new(waiter: &Arc<Waiter>) -> Arc<Self> {
        Arc::new(Self {
            waiter: Arc::clone(waiter),
            armed: AtomicBool::new(false),
            shard: AtomicUsize::new(SHARDS),
        })
    }

    /// Whether nothing has changed since it was registered.
    pub(super) fn is_armed(&self) -> bool {
        self.armed.load(Ordering::SeqCst)
    }

    fn wake(&self) {
        // Whoever renews it before this is woken by what follows; after this, by the next.
        self.armed.store(false, Ordering::SeqCst);
        self.waiter.wake();
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
        let mut index = registration.shard.load(Ordering::Relaxed);
        if index == SHARDS {
            index = self.next.fetch_add(1, Ordering::Relaxed) % SHARDS;
            registration.shard.store(index, Ordering::Relaxed);
        }
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
        let mut few: [Option<Weak<Registration>>; FEW] = [const { None }; FEW];
        let mut crowd = Vec::new();
        {
            let mut list = self.lists[index].lock();
            if list.len() > FEW {
                crowd = std::mem::take(&mut *list);
            } else {
                for (place, registration) in few.iter_mut().zip(list.drain(..)) {
                    *place = Some(registration);
                }
            }
        }
        for registration in few.into_iter().flatten().chain(crowd) {
            if let Some(registration) = registration.upgrade() {
                registration.wake();
            }
        }
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
        let waiter = Arc::new(Waiter::default());
        let registration = Registration::new(&waiter);
        waiters.register(&registration);
        waiters.wake(&Handle::current());
        waiter.woken().await;
        waiters.wake(&Handle::current());
        let again = tokio::time::timeout(std::time::Duration::ZERO, waiter.woken()).await;
        assert!(again.is_err(), "one registration woke twice");
    }

    #[tokio::test]
    async fn a_crowd_is_woken_by_another_task() {
        let waiters = Waiters::default();
        let crowd: Vec<_> = (0..1_000)
            .map(|_| {
                let waiter = Arc::new(Waiter::default());
                let registration = Registration::new(&waiter);
                waiters.register(&registration);
                (waiter, registration)
            })
            .collect();
        waiters.wake(&Handle::current());
        for (waiter, _registration) in crowd {
            waiter.woken().await;
        }
    }

    #[test]
    fn waiters_that_have_gone_take_no_room() {
        let waiters = Waiters::default();
        let waiter = Arc::new(Waiter::default());
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
        let registration = Registration::new(&Arc::new(Waiter::default()));
        for _ in 0..1_000 {
            waiters.register(&registration);
        }
        assert_eq!(registrations(&waiters), 1);
    }

    #[test]
    fn one_who_waits_again_and_again_keeps_its_room() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let waiters = Waiters::default();
        let registration = Registration::new(&Arc::new(Waiter::default()));
        for _ in 0..1_000 {
            waiters.register(&registration);
            waiters.wake(runtime.handle());
        }
        let shards = waiters.shards.get().unwrap();
        let used = shards
            .lists
            .iter()
            .filter(|shard| shard.lock().capacity() > 0);
        assert_eq!(
            used.count(),
            1,
            "the list of one waiter was given up and made anew"
        );
    }
}
