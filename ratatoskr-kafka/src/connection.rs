//! One connection: one task that reads, handles and answers, in the order of the requests.
//!
//! ```text
//! inbox → frames → handlers ─┬─ answer now ──────┐
//!                            ├─ produce: gathered ├→ owed, first in first out → outbox
//!                            └─ work ────────────┘
//! ```
//! Batches are on their way as soon as their request is read. Other work begins when the requests
//! before it are answered, as in Kafka, so that it sees what they did, and a connection holds the
//! result of one fetch at most. A connection that is owed as many answers, or holds as many bytes, as
//! [`KafkaLimits`](crate::KafkaLimits) allows is not read from.

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures_util::future::BoxFuture;
use ratatoskr_core::{
    bytes::Bytes,
    door::{self, Deadlines, Drain, WRITTEN_ON_END_MAX, poll_read, poll_write},
    wire::{FrameQueue, Inbox},
};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    api::Handled,
    frame,
    header::Request,
    produce_run::{Acknowledged, Acknowledgement, ProduceRun},
    reply::Reply,
    session::{Door, Session},
};

/// What an element of a request costs while it is owed an answer, beside its bytes in the request.
const ELEMENT_BYTES: usize = 128;

/// Bytes that are read on end before answers are looked for, though there be more to read.
const READ_ON_END_MAX: usize = 1 << 20;

/// Serves a connection until either side ends it, or, once `drain` begins, until what was taken is
/// answered. `here` is the address that the client has connected to, `peer` its own.
///
/// # Errors
/// Those of the stream.
///
/// # Cancel safety
/// Dropping the future cuts the connection; batches that were taken stay on their way.
pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    here: SocketAddr,
    peer: SocketAddr,
    door: Arc<Door>,
    drain: Drain,
) -> io::Result<()> {
    let session = Session {
        door,
        here,
        peer,
        drain,
    };
    let mut connection = Connection::new(stream, session);
    let ended = connection.run().await?;
    connection.close(ended).await
}

/// An answer that a request has not got yet.
struct Owed {
    answer: Answer,
    /// What the request holds while it waits.
    bytes: usize,
}

enum Answer {
    Ready(Reply),
    Acknowledgement(Acknowledgement),
    Work(BoxFuture<'static, Reply>),
}

/// What one turn of the connection brought.
enum Turn {
    Progress,
    End(End),
    Drain,
}

/// Why a connection ends.
#[derive(Clone, Copy, Debug)]
enum End {
    /// All that was taken is answered, and no more is taken.
    Finished,
    /// The peer sends no more.
    Gone,
    /// The peer broke a rule of the protocol, or a deadline; nothing can be answered to that.
    Broken,
}

struct Connection<S> {
    stream: S,
    session: Session,
    inbox: Inbox,
    outbox: FrameQueue,
    owed: VecDeque<Owed>,
    /// What the requests that are owed an answer hold.
    owed_bytes: usize,
    run: ProduceRun,
    /// Bytes read since anything else was done.
    read_on_end: usize,
    /// Bytes written since others of the thread had their turn.
    written_on_end: usize,
    deadlines: Deadlines,
    /// No further request is taken.
    ending: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    fn new(stream: S, session: Session) -> Self {
        Self {
            stream,
            inbox: Inbox::default(),
            outbox: FrameQueue::default(),
            owed: VecDeque::new(),
            owed_bytes: 0,
            run: ProduceRun::default(),
            read_on_end: 0,
            written_on_end: 0,
            deadlines: Deadlines::new(session.limits().idle_deadline),
            ending: false,
            session,
        }
    }

    async fn run(&mut self) -> io::Result<End> {
        let drain = self.session.drain.clone();
        let mut drain = pin!(drain.begun());
        loop {
            if let Err(end) = self.take_requests() {
                return Ok(end);
            }
            if self.ending && self.owed.is_empty() && self.outbox.is_empty() {
                return Ok(End::Finished);
            }
            match poll_fn(|cx| self.poll_turn(drain.as_mut(), cx)).await? {
                Turn::Progress => {
                    if self.written_on_end >= WRITTEN_ON_END_MAX {
                        self.written_on_end = 0;
                        tokio::task::yield_now().await;
                    }
                }
                Turn::End(end) => return Ok(end),
                Turn::Drain => self.ending = true,
            }
        }
    }

    /// Whether another request may be taken.
    fn has_room(&self) -> bool {
        let limits = self.session.limits();
        !self.ending
            && self.owed.len() < limits.requests_in_flight_max
            && self.owed_bytes + self.outbox.len() < limits.in_flight_bytes_max
    }

    /// Handles every complete request that is here, as far as there is room, and submits what they
    /// brought for the same partition together.
    fn take_requests(&mut self) -> Result<(), End> {
        let taken = self.take_each();
        let owed = &mut self.owed;
        self.run
            .submit(self.session.broker(), |request, place, outcome| {
                let owed = owed.get_mut(request).and_then(Owed::acknowledgement);
                if let Some(acknowledgement) = owed {
                    acknowledgement.set(place, outcome);
                }
            });
        taken
    }

    fn take_each(&mut self) -> Result<(), End> {
        let bytes_max = self.session.limits().request_bytes_max;
        while self.has_room() {
            match frame::next(self.inbox.bytes(), bytes_max) {
                Ok(Some(frame)) => {
                    self.deadlines.frame_came();
                    self.take(&frame)?;
                }
                Ok(None) => break,
                Err(error) => {
                    tracing::debug!(%error, "closing a Kafka connection");
                    return Err(End::Broken);
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, frame: &Bytes) -> Result<(), End> {
        let session = &self.session;
        let elements_max = session.limits().request_elements_max;
        let handled = Request::read(frame, elements_max).and_then(|mut request| {
            let handled = (request.api.handle)(session, &mut request);
            let elements = elements_max - request.body.elements_left();
            match handled {
                Ok(handled) => Ok((handled, frame.len() + elements * ELEMENT_BYTES)),
                Err(malformed) => Err(request.malformed(malformed)),
            }
        });
        let (handled, bytes) = match handled {
            Ok(handled) => handled,
            Err(why) => {
                session.door.log(why);
                return Err(End::Broken);
            }
        };
        let answer = match handled {
            Handled::Answer(reply) => Answer::Ready(reply),
            Handled::Later(work) => Answer::Work(work),
            Handled::Produce(produce) => {
                Answer::Acknowledgement(self.run.take(self.owed.len(), produce))
            }
        };
        self.owed_bytes += bytes;
        self.owed.push_back(Owed { answer, bytes });
        Ok(())
    }

    /// Moves whatever can move; pending only when nothing can.
    fn poll_turn(
        &mut self,
        drain: Pin<&mut impl Future<Output = ()>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Turn>> {
        if !self.ending && drain.poll(cx).is_ready() {
            return Poll::Ready(Ok(Turn::Drain));
        }
        // What has come is taken before anything is waited for, so that what came together is made
        // durable together, and answered by one write.
        let reads = self.has_room();
        let mut progress = false;
        if reads {
            match poll_read(&mut self.inbox, &mut self.stream, cx)? {
                Poll::Ready(0) => return Poll::Ready(Ok(Turn::End(End::Gone))),
                Poll::Ready(bytes) => {
                    self.deadlines.bytes_came();
                    self.read_on_end += bytes;
                    if self.read_on_end < READ_ON_END_MAX {
                        return Poll::Ready(Ok(Turn::Progress));
                    }
                    progress = true;
                }
                Poll::Pending => {}
            }
        }
        self.read_on_end = 0;
        match self.poll_owed(cx) {
            Ok(answered) => progress |= answered,
            Err(end) => return Poll::Ready(Ok(Turn::End(end))),
        }
        if !self.outbox.is_empty() {
            match poll_write(&mut self.outbox, &mut self.stream, cx)? {
                Poll::Ready(sent) => {
                    self.written_on_end += sent;
                    progress = true;
                }
                Poll::Pending => self.written_on_end = 0,
            }
        }
        if progress {
            return Poll::Ready(Ok(Turn::Progress));
        }
        if !self.owed.is_empty() {
            // The peer waits for us, not we for it.
            self.deadlines.bytes_came();
        }
        let limits = self.session.limits();
        let half_a_frame = reads && !self.inbox.is_empty();
        let frame_deadline = half_a_frame.then_some(limits.frame_deadline);
        let late = ready!(
            self.deadlines
                .poll_late(limits.idle_deadline, frame_deadline, cx)
        );
        tracing::debug!(late, "closing a Kafka connection");
        Poll::Ready(Ok(Turn::End(End::Broken)))
    }

    /// Answers what can be answered, in order, as long as the peer takes it.
    fn poll_owed(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let mut progress = false;
        while self.outbox.len() < self.session.limits().in_flight_bytes_max {
            let Some(first) = self.owed.front_mut() else {
                break;
            };
            let Poll::Ready(()) = first.answer.poll(cx) else {
                break;
            };
            progress = true;
            let Some(Owed { answer, bytes }) = self.owed.pop_front() else {
                break;
            };
            self.owed_bytes -= bytes;
            match answer {
                Answer::Ready(reply) => reply.send(&mut self.outbox),
                Answer::Acknowledgement(acknowledgement) => match acknowledgement.finish() {
                    Acknowledged::Answer(reply) => reply.send(&mut self.outbox),
                    Acknowledged::Nothing => {}
                    Acknowledged::Close => return Err(End::Broken),
                },
                Answer::Work(_) => {}
            }
        }
        Ok(progress)
    }

    /// Sends what is still to be sent, if anybody reads it, and closes.
    async fn close(mut self, end: End) -> io::Result<()> {
        if let End::Gone = end {
            return Ok(());
        }
        door::flush_and_close(&mut self.outbox, &mut self.stream).await
    }
}

impl Owed {
    fn acknowledgement(&mut self) -> Option<&mut Acknowledgement> {
        match &mut self.answer {
            Answer::Acknowledgement(acknowledgement) => Some(acknowledgement),
            Answer::Ready(_) | Answer::Work(_) => None,
        }
    }
}

impl Answer {
    /// Ready once it is known; work is then replaced by what came of it.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Ready(_) => Poll::Ready(()),
            Self::Acknowledgement(acknowledgement) => acknowledgement.poll(cx),
            Self::Work(work) => {
                *self = Self::Ready(ready!(work.as_mut().poll(cx)));
                Poll::Ready(())
            }
        }
    }
}
