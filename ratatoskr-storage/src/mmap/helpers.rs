//! Threads that help whoever has many files to read, bounded for all logs of a storage together.
//!
//! Helpers are taken where there is work that another thread could begin, and given back when there is
//! none left. A thread that shares out logs, of which each shares out its segments, so keeps all of
//! them busy, whether there is one large log or many small ones.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// How many helpers are free.
#[derive(Debug)]
pub(crate) struct Helpers(AtomicUsize);

/// One that works, given back when it is dropped.
struct Taken<'a>(&'a Helpers);

impl Helpers {
    /// `count` helpers; with none, all work is done in order by whoever has it.
    pub(crate) const fn new(count: usize) -> Self {
        Self(AtomicUsize::new(count))
    }

    /// What `work` makes of each of `items`, in their order. Returns when all are done; `work` runs on
    /// this thread and on those helpers that are free, or become free meanwhile.
    pub(crate) fn map<T: Sync, R: Send + Sync>(
        &self,
        items: &[T],
        work: impl Fn(&T) -> R + Sync,
    ) -> Vec<R> {
        let done: Vec<OnceLock<R>> = items.iter().map(|_| OnceLock::new()).collect();
        let next = AtomicUsize::new(0);
        let do_one = || {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let (Some(item), Some(done)) = (items.get(at), done.get(at)) else {
                return false;
            };
            done.get_or_init(|| work(item));
            true
        };
        thread::scope(|scope| {
            loop {
                while next.load(Ordering::Relaxed) + 1 < items.len()
                    && let Some(taken) = self.take()
                {
                    let help = move || {
                        let _given_back = taken;
                        while do_one() {}
                    };
                    if thread::Builder::new().spawn_scoped(scope, help).is_err() {
                        break;
                    }
                }
                if !do_one() {
                    return;
                }
            }
        });
        done.into_iter().filter_map(OnceLock::into_inner).collect()
    }

    fn take(&self) -> Option<Taken<'_>> {
        let one_less = |free: usize| free.checked_sub(1);
        let taken = self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, one_less);
        taken.ok().map(|_| Taken(self))
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn all_is_done_once_and_in_order() {
        for count in [0, 1, 3] {
            let helpers = Helpers::new(count);
            let items: Vec<u32> = (0..100).collect();
            assert_eq!(helpers.map(&items, |item| item * 2).len(), 100);
            let nested = helpers.map(&items, |&item| helpers.map(&[item, 1], |part| part + 1));
            assert_eq!(nested[41], [42, 2], "with {count} helpers");
            assert_eq!(helpers.0.into_inner(), count);
        }
    }

    #[test]
    fn helpers_work_at_the_same_time() {
        // Nobody passes unless all three are at work together.
        let together = Barrier::new(3);
        let done = Helpers::new(2).map(&[(); 3], |()| together.wait().is_leader());
        assert_eq!(done.iter().filter(|led| **led).count(), 1);
    }
}
