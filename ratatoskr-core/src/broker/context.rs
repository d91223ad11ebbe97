//! What every part of the broker shares: clock, committer, budgets, and whether it is still running.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{runtime::Handle, sync::watch};

use crate::{
    broker::{
        config::BrokerConfig,
        in_flight::InFlight,
        waiters::{Registration, Waiters},
    },
    commit::Committer,
    compaction::Pace,
    error::Error,
    time::Clock,
};

#[derive(Debug)]
pub(super) struct Context {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) committer: Option<Arc<dyn Committer>>,
    pub(super) config: BrokerConfig,
    pub(super) in_flight: Arc<InFlight>,
    /// How fast readers are given what had to be waited for.
    pub(super) cold_reads: Pace,
    /// Where background work runs; a committer calls back from threads that belong to no runtime.
    pub(super) runtime: Handle,
    phase: watch::Sender<Phase>,
    /// Whether the phase is still [`Phase::Running`]: all that a send looks at.
    running: AtomicBool,
    /// Readers, of whom there may be many: they wait for this beside their partitions.
    waiters: Waiters,
}

/// How far the broker's life has gone; it only moves forward.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Running,
    ShuttingDown,
    Fenced { reason: String },
}

impl Context {
    pub(super) fn new(
        clock: Arc<dyn Clock>,
        committer: Option<Arc<dyn Committer>>,
        config: BrokerConfig,
    ) -> Arc<Self> {
        Arc::new(Self {
            clock,
            committer,
            in_flight: InFlight::new(config.in_flight_bytes_max),
            cold_reads: match config.cold_read_bytes_per_second {
                Some(rate) => Pace::bytes_per_second(rate),
                None => Pace::UNLIMITED,
            },
            config,
            runtime: Handle::current(),
            phase: watch::Sender::new(Phase::Running),
            running: AtomicBool::new(true),
            waiters: Waiters::default(),
        })
    }

    /// # Errors
    /// [`Error::ShuttingDown`], [`Error::Fenced`].
    #[inline]
    pub(super) fn check_running(&self) -> Result<(), Error> {
        if self.running.load(Ordering::Acquire) {
            return Ok(());
        }
        match &*self.phase.borrow() {
            Phase::Running => Ok(()),
            Phase::ShuttingDown => Err(Error::ShuttingDown),
            Phase::Fenced { reason } => Err(Error::Fenced {
                reason: reason.clone(),
            }),
        }
    }

    pub(super) fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// Wakes the waiter once the broker no longer runs.
    pub(super) fn register(&self, registration: &Arc<Registration>) {
        self.waiters.register(registration);
    }

    fn stop(&self) {
        self.running.store(false, Ordering::Release);
        self.waiters.wake(&self.runtime);
    }

    /// Ends once the broker no longer runs.
    pub(super) async fn stopped(&self) {
        // The sender is part of `self`, so waiting cannot fail before it has gone.
        let _ = self
            .phase
            .subscribe()
            .wait_for(|phase| *phase != Phase::Running)
            .await;
    }

    /// Takes the whole broker down: nothing that it is told can be made durable any more.
    pub(super) fn fence(&self, reason: &str) {
        let fenced = self.phase.send_if_modified(|phase| {
            let running = !matches!(phase, Phase::Fenced { .. });
            if running {
                *phase = Phase::Fenced {
                    reason: reason.to_owned(),
                };
            }
            running
        });
        self.stop();
        if fenced {
            tracing::error!(reason, "the broker is fenced");
        }
    }

    /// Refuses operations from now on.
    pub(super) fn shut_down(&self) {
        self.phase.send_if_modified(|phase| {
            let running = *phase == Phase::Running;
            if running {
                *phase = Phase::ShuttingDown;
            }
            running
        });
        self.stop();
    }

    /// How long to wait before attempt number `attempt` (from 0) to bring something back.
    pub(super) fn restart_backoff(&self, attempt: u32) -> Duration {
        let config = &self.config;
        config
            .restart_backoff_min
            .saturating_mul(2u32.saturating_pow(attempt.min(31)))
            .min(config.restart_backoff_max)
    }
}
