//! The log's own thread: leads where no task can, and makes files ahead of time.
//!
//! It sleeps while nothing happens. While there is work it looks every few milliseconds whether a
//! group waits that nobody leads: a task to which the lead was offered may be busy elsewhere.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use ratatoskr_core::sync::{Condvar, Mutex};

use super::committer::Shared;

/// How long a group may wait for the task that was chosen to lead it.
const PATIENCE: Duration = Duration::from_millis(10);

/// Tells the thread what is wanted.
#[derive(Debug, Default)]
pub(super) struct Signal {
    wanted: Mutex<Wanted>,
    told: Condvar,
    /// Whether the thread sleeps until it is told.
    asleep: AtomicBool,
}

#[derive(Debug, Default)]
struct Wanted {
    leader: bool,
    watch: bool,
    stop: bool,
}

impl Signal {
    pub(super) fn want_leader(&self) {
        self.wanted.lock().leader = true;
        self.told.notify_one();
    }

    /// Work has come: the thread is to see that somebody leads it.
    pub(super) fn keep_watch(&self) {
        if self.asleep.load(Ordering::SeqCst) {
            self.wanted.lock().watch = true;
            self.told.notify_one();
        }
    }

    pub(super) fn stop(&self) {
        self.wanted.lock().stop = true;
        self.told.notify_one();
    }
}

pub(super) fn spawn(shared: Arc<Shared>) -> io::Result<JoinHandle<()>> {
    thread::Builder::new()
        .name("ratatoskr-wal".into())
        .spawn(move || run(&shared))
}

fn run(shared: &Shared) {
    let mut watching = true;
    let mut seen = None;
    loop {
        {
            let signal = &shared.signal;
            let mut wanted = signal.wanted.lock();
            if !wanted.leader && !wanted.watch && !wanted.stop {
                if watching {
                    signal.told.wait_for(&mut wanted, PATIENCE);
                } else {
                    signal.asleep.store(true, Ordering::SeqCst);
                    // Work that came before this was set told nobody.
                    if !shared.idle_work().1 {
                        signal.told.wait(&mut wanted);
                    }
                    signal.asleep.store(false, Ordering::SeqCst);
                }
            }
            if wanted.stop {
                return;
            }
            wanted.leader = false;
            wanted.watch = false;
        }
        while shared.lead_if_told() {}
        let now = shared.idle_work();
        if now.1 && seen == Some(now) {
            shared.lead_in_thread();
        }
        // Groups that came since the last look mean that more may come.
        watching = now.1 || seen != Some(now);
        seen = Some(now);
        shared.prepare_file();
    }
}
