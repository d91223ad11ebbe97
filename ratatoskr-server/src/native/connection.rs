//! One connection after its hello: one task that reads, handles, acknowledges and writes.
//!
//! ```text
//! inbox → frames → handlers ─┬─ answer now ─────────────────────────┐
//!                            ├─ acknowledgements, in order (produce) ├→ outbox
//!                            ├─ work, in any order (fetch, topics)   │
//!                            └─ subscriptions → deliveries ──────────┘
//! ```
//! A connection that has as many unanswered requests, or as many bytes of them and of unsent
//! responses, as [`NativeLimits`] allows takes no further frame until some are answered.

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use ratatoskr_core::wire::{self, ErrorBody, ErrorCode, Frame, FrameQueue, Goodbye, Inbox, Kind};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Instant, Sleep},
};

use super::{
    buffers::{WRITTEN_ON_END_MAX, poll_read, poll_write},
    handlers::{self, Acknowledgement, Completed, Handled, Reply, Run, Session},
    handshake::{Greeted, unsupported_version},
    subscription::Subscriptions,
};

/// How long a closed connection is still read from, so that the peer gets what was sent last: a
/// socket closed with unread bytes resets the connection, which throws away unread responses.
const CLOSE_LINGER: Duration = Duration::from_secs(1);

/// Bytes that are read on end before answers are looked for, though there be more to read.
const READ_ON_END_MAX: usize = 1 << 20;

/// What one turn of the connection brought.
enum Turn {
    /// Something moved.
    Progress,
    /// The peer sends no more.
    End,
    /// A deadline has passed.
    Late(&'static str),
    /// The server is shutting down.
    Drain,
}

/// Serves a connection until either side ends it.
///
/// # Errors
/// Those of the stream.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    greeted: Greeted<S>,
    session: Session,
) -> io::Result<()> {
    let mut connection = Connection::new(greeted, session);
    let served = connection.run().await;
    connection.close(served).await
}

struct Connection<S> {
    stream: S,
    session: Session,
    inbox: Inbox,
    outbox: FrameQueue,
    /// Acknowledgements of produce requests, answered in the order of the requests.
    acknowledgements: VecDeque<Acknowledgement>,
    /// Everything else that has to be waited for.
    work: FuturesUnordered<BoxFuture<'static, Completed>>,
    subscriptions: Subscriptions,
    run: Run,
    /// Unanswered requests, and the bytes of their frames.
    requests: usize,
    request_bytes: usize,
    last_correlation: u64,
    /// Bytes read since anything else was done.
    read_on_end: usize,
    /// Bytes written since others had their turn.
    written_on_end: usize,
    deadlines: Deadlines,
    /// No further frame is taken: goodbye was said, or the peer sends no more.
    ending: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    fn new(greeted: Greeted<S>, session: Session) -> Self {
        Self {
            stream: greeted.stream,
            inbox: greeted.inbox,
            outbox: FrameQueue::default(),
            acknowledgements: VecDeque::new(),
            work: FuturesUnordered::new(),
            subscriptions: Subscriptions::default(),
            run: Run::default(),
            requests: 0,
            request_bytes: 0,
            last_correlation: 0,
            read_on_end: 0,
            written_on_end: 0,
            deadlines: Deadlines::new(session.limits.idle_deadline),
            ending: false,
            session,
        }
    }

    /// Until the connection has nothing more to do. `Err` holds what to tell the peer, if anything.
    async fn run(&mut self) -> Result<(), Ending> {
        let drain = self.session.drain.clone();
        let mut drain = pin!(drain.begun());
        loop {
            self.take_frames()?;
            if self.ending && self.is_finished() {
                return Ok(());
            }
            match poll_fn(|cx| self.poll_turn(drain.as_mut(), cx)).await? {
                Turn::Progress => {
                    if self.written_on_end >= WRITTEN_ON_END_MAX {
                        self.written_on_end = 0;
                        tokio::task::yield_now().await;
                    }
                }
                Turn::End => self.end(),
                Turn::Late(what) => {
                    return Err(ErrorBody::new(ErrorCode::TimedOut, what).into());
                }
                Turn::Drain => {
                    self.take_frames()?;
                    let goodbye = Goodbye {
                        reason: "the server is shutting down".into(),
                        last_correlation: self.last_correlation,
                    };
                    let version = self.session.version;
                    wire::encode(version, 0, &goodbye, 0, self.outbox.tail())
                        .map_err(io::Error::other)?;
                    self.end();
                }
            }
        }
    }

    /// Takes no further frame; what was taken is finished.
    fn end(&mut self) {
        self.ending = true;
        self.subscriptions.clear();
    }

    fn is_finished(&self) -> bool {
        self.acknowledgements.is_empty() && self.work.is_empty() && self.outbox.is_empty()
    }

    /// Whether another frame may be taken.
    fn has_room(&self) -> bool {
        let limits = &self.session.limits;
        !self.ending
            && self.requests < limits.requests_in_flight_max
            && self.request_bytes + self.outbox.len() < limits.in_flight_bytes_max
    }

    /// Handles every complete frame that is here, as far as there is room.
    fn take_frames(&mut self) -> Result<(), Ending> {
        let taken = self.take_each();
        self.submit_run();
        taken
    }

    fn take_each(&mut self) -> Result<(), Ending> {
        while self.has_room() {
            let bytes_max = self.session.limits.frame_bytes_max;
            match self.inbox.next_frame(bytes_max) {
                Ok(Some(frame)) => {
                    self.deadlines.frame_came();
                    self.take(frame)?;
                }
                Ok(None) => break,
                Err(error) => return Err(ErrorBody::from(&error).into()),
            }
        }
        Ok(())
    }

    /// Submits the batches that came one after another for one partition.
    fn submit_run(&mut self) {
        self.run.submit(&self.session, &mut self.acknowledgements);
    }

    fn take(&mut self, frame: Frame) -> Result<(), Ending> {
        if frame.version != self.session.version {
            return Err(unsupported_version().into());
        }
        self.last_correlation = self.last_correlation.max(frame.correlation);
        let bytes = frame.body.len() + frame.batches.len();
        if frame.kind() == Some(Kind::Produce) && !frame.is_response() {
            let taken = self
                .run
                .take(&self.session, frame, &mut self.acknowledgements);
            match taken {
                Ok(()) => self.request_taken(bytes),
                Err(reply) => self.send(reply),
            }
            return Ok(());
        }
        self.submit_run();
        match handlers::dispatch(&self.session, &mut self.subscriptions, &frame) {
            Handled::Answer(reply) => self.send(reply),
            Handled::Later(work) => {
                self.request_taken(bytes);
                self.work.push(Box::pin(async move {
                    Completed {
                        bytes,
                        reply: work.await,
                    }
                }));
            }
            Handled::Credited => {}
        }
        Ok(())
    }

    fn request_taken(&mut self, bytes: usize) {
        self.requests += 1;
        self.request_bytes += bytes;
    }

    fn request_answered(&mut self, bytes: usize) {
        self.requests -= 1;
        self.request_bytes -= bytes;
    }

    fn send(&mut self, reply: Reply) {
        self.outbox.tail().unsplit(reply.head);
        for slice in reply.batches {
            self.outbox.push(slice);
        }
    }

    /// Moves whatever can move; pending only when nothing can.
    fn poll_turn(
        &mut self,
        drain: Pin<&mut impl Future<Output = ()>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Turn>> {
        // Goodbye comes before the errors of what shutdown interrupts.
        if !self.ending && drain.poll(cx).is_ready() {
            return Poll::Ready(Ok(Turn::Drain));
        }
        // What has come is taken before anything is waited for, so that what came together is made
        // durable together, and answered by one write.
        let reads = self.has_room();
        let mut progress = false;
        if reads {
            match poll_read(&mut self.inbox, &mut self.stream, cx) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(Turn::End)),
                Poll::Ready(Ok(bytes)) => {
                    self.deadlines.bytes_came();
                    self.read_on_end += bytes;
                    if self.read_on_end < READ_ON_END_MAX {
                        return Poll::Ready(Ok(Turn::Progress));
                    }
                    progress = true;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {}
            }
        }
        self.read_on_end = 0;
        progress |= self.poll_acknowledgements(cx);
        progress |= self.poll_work(cx);
        progress |= self.subscriptions.push(&self.session, &mut self.outbox, cx);
        if !self.outbox.is_empty() {
            match poll_write(&mut self.outbox, &mut self.stream, cx) {
                Poll::Ready(Ok(sent)) => {
                    self.written_on_end += sent;
                    progress = true;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => self.written_on_end = 0,
            }
        }
        if progress {
            return Poll::Ready(Ok(Turn::Progress));
        }
        let half_a_frame = reads && !self.inbox.is_empty();
        let limits = &self.session.limits;
        let frame_deadline = half_a_frame.then_some(limits.frame_deadline);
        self.deadlines
            .poll_late(limits.idle_deadline, frame_deadline, cx)
            .map(|what| Ok(Turn::Late(what)))
    }

    fn poll_acknowledgements(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        while let Some(first) = self.acknowledgements.front_mut() {
            if first.poll(&self.session, &mut self.outbox, cx).is_pending() {
                break;
            }
            let bytes = first.bytes;
            self.acknowledgements.pop_front();
            self.request_answered(bytes);
            progress = true;
        }
        progress
    }

    fn poll_work(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        // A full outbox keeps further responses from being made.
        while self.outbox.len() < self.session.limits.in_flight_bytes_max {
            let Poll::Ready(Some(completed)) = self.work.poll_next_unpin(cx) else {
                break;
            };
            progress = true;
            self.request_answered(completed.bytes);
            self.send(completed.reply);
        }
        progress
    }

    /// Says why, if there is something to say, and closes.
    async fn close(mut self, served: Result<(), Ending>) -> io::Result<()> {
        match served {
            Ok(()) => {}
            Err(Ending::Io(error)) => return Err(error),
            Err(Ending::Told(error)) => {
                tracing::debug!(client = %self.session.client, error = %error.message, "closing");
                wire::encode(self.session.version, 0, &error, 0, self.outbox.tail())
                    .map_err(io::Error::other)?;
            }
        }
        let flushing = async {
            while !self.outbox.is_empty() {
                poll_fn(|cx| poll_write(&mut self.outbox, &mut self.stream, cx)).await?;
            }
            io::Result::Ok(())
        };
        tokio::time::timeout(CLOSE_LINGER, flushing)
            .await
            .unwrap_or(Ok(()))?;
        close(&mut self.stream).await
    }
}

/// Closes a connection in such a way that the peer gets what was sent last.
///
/// # Errors
/// Those of the stream.
pub(super) async fn close<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> io::Result<()> {
    let closing = async {
        stream.shutdown().await?;
        let mut discarded = [0; 4 << 10];
        while stream.read(&mut discarded).await? > 0 {}
        io::Result::Ok(())
    };
    tokio::time::timeout(CLOSE_LINGER, closing)
        .await
        .unwrap_or(Ok(()))
}

/// Why a connection ends before the peer wants it to.
enum Ending {
    Io(io::Error),
    Told(ErrorBody),
}

impl From<io::Error> for Ending {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<ErrorBody> for Ending {
    fn from(error: ErrorBody) -> Self {
        Self::Told(error)
    }
}

/// One timer for all deadlines of a connection. It is set anew only when it has fired, since most
/// of the time the deadline has then moved on.
struct Deadlines {
    timer: Pin<Box<Sleep>>,
    last_heard: Instant,
    /// When the frame that is not whole was first seen so.
    frame_since: Option<Instant>,
}

impl Deadlines {
    fn new(first: Duration) -> Self {
        Self {
            timer: Box::pin(tokio::time::sleep(first)),
            last_heard: Instant::now(),
            frame_since: None,
        }
    }

    fn bytes_came(&mut self) {
        self.last_heard = Instant::now();
    }

    fn frame_came(&mut self) {
        self.frame_since = None;
    }

    /// `frame` is given while there is half a frame and more of it could be read.
    fn poll_late(
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
