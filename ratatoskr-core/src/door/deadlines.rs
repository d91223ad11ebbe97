//! How long a connection may be silent, and how long a frame may take.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep};

/// One timer for all deadlines of a connection. It is set anew only when it has fired, since most
/// of the time the deadline has then moved on.
#[derive(Debug)]
pub struct Deadlines {
    timer: Pin<Box<Sleep>>,
    last_heard: Instant,
    /// When the frame that is not whole was first seen so.
    frame_since: Option<Instant>,
}

impl Deadlines {
    /// With nothing heard yet, and nothing due before `first` has passed.
    pub fn new(first: Duration) -> Self {
        Self {
            timer: Box::pin(tokio::time::sleep(first)),
            last_heard: Instant::now(),
            frame_since: None,
        }
    }

    /// Something arrived.
    pub fn bytes_came(&mut self) {
        self.last_heard = Instant::now();
    }

    /// A frame has become whole.
    pub fn frame_came(&mut self) {
        self.frame_since = None;
    }

    /// Ready, with the reason for the log, once a deadline has passed.
    ///
    /// `frame` is given while there is half a frame and more of it could be read.
    pub fn poll_late(
        &mut self,
        idle: Duration,
        frame: Option<Duration>,
        cx: &mut Context<'_>,
    ) -> Poll<&'static str> {
        let frame_by = match frame {
            None => {
                self.frame_since = None;
                None
            }
            Some(deadline) => {
                let since = *self.frame_since.get_or_insert_with(Instant::now);
                Some(since + deadline)
            }
        };
        let idle_by = self.last_heard + idle;
        let next = frame_by.map_or(idle_by, |frame_by| frame_by.min(idle_by));
        if next < self.timer.deadline() || self.timer.is_elapsed() {
            self.timer.as_mut().reset(next);
        }
        loop {
            if self.timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let now = Instant::now();
            if frame_by.is_some_and(|by| by <= now) {
                return Poll::Ready("a frame did not become whole in time");
            }
            if idle_by <= now {
                return Poll::Ready("nothing arrived for too long");
            }
            self.timer.as_mut().reset(next);
        }
    }
}
