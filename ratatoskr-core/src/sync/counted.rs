//! Locks that count how often they are taken, for the whole process and by place in the source.
//!
//! Attempts count too: one that fails has touched the lock's cache line like any other.

use std::{
    collections::BTreeMap,
    panic::Location,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use parking_lot::{MutexGuard, RwLockReadGuard, RwLockWriteGuard};

static TAKES: AtomicU64 = AtomicU64::new(0);
static SITES: parking_lot::Mutex<BTreeMap<(&str, u32), u64>> =
    parking_lot::Mutex::new(BTreeMap::new());

/// A place in the source that takes a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// The file, as the compiler names it.
    pub file: &'static str,
    /// The line.
    pub line: u32,
    /// Takes since the process began.
    pub takes: u64,
}

/// Lock takes since the process began, over all its locks.
pub fn takes() -> u64 {
    TAKES.load(Relaxed)
}

/// The same by place, sorted by file and line.
pub fn sites() -> Vec<Site> {
    let sites = SITES.lock();
    let all = sites.iter();
    all.map(|(&(file, line), &takes)| Site { file, line, takes })
        .collect()
}

#[track_caller]
fn count() {
    let place = Location::caller();
    TAKES.fetch_add(1, Relaxed);
    *SITES
        .lock()
        .entry((place.file(), place.line()))
        .or_default() += 1;
}

/// `parking_lot`'s mutex, counted.
#[derive(Debug, Default)]
pub struct Mutex<T: ?Sized>(parking_lot::Mutex<T>);

impl<T> Mutex<T> {
    /// See [`parking_lot::Mutex`].
    pub const fn new(value: T) -> Self {
        Self(parking_lot::Mutex::new(value))
    }

    /// The value, which nobody else can hold any more.
    pub fn into_inner(self) -> T {
        self.0.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits for the lock and takes it.
    #[track_caller]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        count();
        self.0.lock()
    }

    /// Takes the lock if it is free.
    #[track_caller]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        count();
        self.0.try_lock()
    }

    /// The value, to which there is no other way: no lock is taken.
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut()
    }
}

/// `parking_lot`'s lock for one writer or many readers, counted.
#[derive(Debug, Default)]
pub struct RwLock<T: ?Sized>(parking_lot::RwLock<T>);

impl<T> RwLock<T> {
    /// See [`parking_lot::RwLock`].
    pub const fn new(value: T) -> Self {
        Self(parking_lot::RwLock::new(value))
    }

    /// The value, which nobody else can hold any more.
    pub fn into_inner(self) -> T {
        self.0.into_inner()
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Waits for the lock and takes it beside other readers.
    #[track_caller]
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        count();
        self.0.read()
    }

    /// Takes the lock beside other readers if no writer has it.
    #[track_caller]
    pub fn try_read(&self) -> Option<RwLockReadGuard<'_, T>> {
        count();
        self.0.try_read()
    }

    /// Waits for the lock and takes it alone.
    #[track_caller]
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        count();
        self.0.write()
    }

    /// Takes the lock alone if it is free.
    #[track_caller]
    pub fn try_write(&self) -> Option<RwLockWriteGuard<'_, T>> {
        count();
        self.0.try_write()
    }

    /// The value, to which there is no other way: no lock is taken.
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes_at(line: u32) -> u64 {
        let sites = sites();
        let site = sites.iter().find(|s| s.line == line && s.file == file!());
        site.map_or(0, |site| site.takes)
    }

    #[test]
    fn each_take_counts_where_it_is_taken() {
        let mutex = Mutex::new(1);
        let before = takes();
        let line = line!() + 2;
        for _ in 0..3 {
            *mutex.lock() += 1;
        }
        assert_eq!(takes_at(line), 3);
        // Other tests of this process take locks meanwhile.
        assert!(takes() - before >= 3);
        assert_eq!(mutex.into_inner(), 4);
    }

    #[test]
    fn readers_writers_and_failed_attempts_count() {
        let lock = RwLock::new(());
        let mutex = Mutex::new(());
        let line = line!() + 1;
        let (reader, held) = (lock.read(), mutex.lock());
        assert!(lock.try_write().is_none() && mutex.try_lock().is_none());
        drop((reader, held));
        assert!(lock.try_read().is_some());
        drop(lock.write());
        assert_eq!(
            [line, line + 1, line + 3, line + 4].map(takes_at),
            [2, 2, 1, 1]
        );
    }

    #[test]
    fn access_without_a_lock_does_not_count() {
        let (mut mutex, mut lock) = (Mutex::new(1), RwLock::new(1));
        let line = line!() + 1;
        *mutex.get_mut() += *lock.get_mut();
        assert_eq!(takes_at(line), 0);
        assert_eq!((mutex.into_inner(), lock.into_inner()), (2, 1));
    }
}
