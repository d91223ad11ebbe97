//! A timer that is finer than tokio's, which wakes at whole milliseconds.

use std::{
    io,
    os::fd::OwnedFd,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::unix::AsyncFd;

/// How far ahead it is set at least. Setting it makes a virtual machine's host do something, which
/// takes microseconds: set for each of 200,000 records a second, it took most of a processor, and the
/// latencies that were measured were its own. What is due meanwhile is sent a little late and together,
/// and its latency still counts from when it was due.
const GRAIN: Duration = Duration::from_micros(50);

/// A `timerfd`: wakes its task within tens of microseconds, and does not spin.
#[derive(Debug)]
pub struct Timer {
    file: AsyncFd<OwnedFd>,
    /// When it goes off; `None` while it is not set.
    deadline: Option<Instant>,
}

impl Timer {
    /// A timer that is not set, on the runtime that this is called in.
    ///
    /// # Errors
    /// The process has no more file descriptors.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O.
    pub fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let file = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        #[expect(
            deprecated,
            reason = "its successor is unsafe code; this owns the descriptor, and nobody else has it"
        )]
        let file = AsyncFd::new(file)?;
        Ok(Self {
            file,
            deadline: None,
        })
    }

    /// Ready once `deadline` has come. Each call may name another one. Wakes no sooner than 50 µs from
    /// now; whoever calls for another reason and finds that the deadline has come does not wait.
    ///
    /// # Errors
    /// What the system says of the timer.
    pub fn poll_until(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            self.deadline = None;
            return Poll::Ready(Ok(()));
        }
        if self.deadline != Some(deadline) {
            self.set(left.max(GRAIN))?;
            self.deadline = Some(deadline);
        }
        loop {
            let mut guard = ready!(self.file.poll_read_ready(cx))?;
            let mut expirations = [0; 8];
            match rustix::io::read(self.file.get_ref(), &mut expirations) {
                Ok(_) => {
                    self.deadline = None;
                    return Poll::Ready(Ok(()));
                }
                Err(rustix::io::Errno::AGAIN) => guard.clear_ready(),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }

    /// Waits until `deadline` has come.
    ///
    /// # Errors
    /// As [`poll_until`](Self::poll_until).
    ///
    /// # Cancel safety
    /// Dropping the future leaves the timer fit for the next wait.
    pub async fn until(&mut self, deadline: Instant) -> io::Result<()> {
        std::future::poll_fn(|cx| self.poll_until(deadline, cx)).await
    }

    fn set(&self, left: Duration) -> io::Result<()> {
        let zero = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let value = Itimerspec {
            it_interval: zero,
            it_value: Timespec {
                tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            },
        };
        timerfd_settime(self.file.get_ref(), TimerfdTimerFlags::empty(), &value)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_never_goes_off_early_and_can_be_set_again() {
        let mut timer = Timer::new().unwrap();
        for us in [0, 50, 300, 1, 2_000] {
            let deadline = Instant::now() + Duration::from_micros(us);
            timer.until(deadline).await.unwrap();
            assert!(Instant::now() >= deadline, "{us} µs");
        }
    }

    #[tokio::test]
    async fn another_deadline_takes_the_place_of_the_first() {
        let mut timer = Timer::new().unwrap();
        let far = Instant::now() + Duration::from_hours(1);
        let near = Instant::now() + Duration::from_micros(100);
        std::future::poll_fn(|cx| {
            assert!(timer.poll_until(far, cx).is_pending());
            timer.poll_until(near, cx)
        })
        .await
        .unwrap();
        assert!(Instant::now() >= near);
    }
}
