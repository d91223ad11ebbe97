//! Which subscriptions of a connection have something to do.
//!
//! Each is polled with a waker of its own, made once, which puts it on the connection's list and
//! wakes the connection's task: so neither a push nor a wait allocates, and a connection of many
//! subscriptions looks at those alone that were woken.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Wake, Waker},
};

use futures_util::task::AtomicWaker;
use ratatoskr_core::sync::Mutex;

/// The list.
#[derive(Debug, Default)]
pub(super) struct ReadyList {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    correlations: Mutex<Vec<u64>>,
    /// Whether there may be any: the connection looks more often than something has come.
    any: AtomicBool,
    task: AtomicWaker,
}

/// A place on the list, for one subscription.
#[derive(Debug)]
struct Place {
    correlation: u64,
    /// Whether it is on the list.
    is_listed: AtomicBool,
    list: Arc<Inner>,
}

/// What a subscription is polled with.
#[derive(Debug)]
pub(super) struct ReadyPlace {
    place: Arc<Place>,
    waker: Waker,
}

impl ReadyList {
    /// A place for the subscription of this correlation.
    pub(super) fn place(&self, correlation: u64) -> ReadyPlace {
        let place = Arc::new(Place {
            correlation,
            is_listed: AtomicBool::new(false),
            list: Arc::clone(&self.inner),
        });
        let waker = Waker::from(Arc::clone(&place));
        ReadyPlace { place, waker }
    }

    /// Moves all that are on the list to the end of `due`; the task of `context` is woken when the
    /// next one comes.
    pub(super) fn take(&self, due: &mut VecDeque<u64>, context: &Context<'_>) {
        self.inner.task.register(context.waker());
        if self.inner.any.swap(false, Ordering::SeqCst) {
            due.extend(self.inner.correlations.lock().drain(..));
        }
    }
}

impl ReadyPlace {
    /// It was taken from the list, and is polled now: from now on it may come onto it again.
    pub(super) fn leave(&self) {
        self.place.is_listed.store(false, Ordering::SeqCst);
    }

    /// Puts it at the end of `due` as if it had been taken from the list, unless it is on that.
    pub(super) fn stay(&self, due: &mut VecDeque<u64>) {
        if !self.place.is_listed.swap(true, Ordering::SeqCst) {
            due.push_back(self.place.correlation);
        }
    }

    /// Puts it on the list, unless it is there.
    pub(super) fn wake(&self) {
        self.waker.wake_by_ref();
    }

    /// What to poll with, to be put on the list when there is more to do.
    pub(super) fn context(&self) -> Context<'_> {
        Context::from_waker(&self.waker)
    }
}

impl Wake for Place {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.is_listed.swap(true, Ordering::SeqCst) {
            self.list.correlations.lock().push(self.correlation);
            self.list.any.store(true, Ordering::SeqCst);
            self.list.task.wake();
        }
    }
}
