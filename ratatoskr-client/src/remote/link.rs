//! One connection: requests out in the order they were made, answers back to who asked.
//!
//! A request is queued under the connection's lock, which nobody holds while the operating system is
//! called. One that comes alone, or is large, is written by whoever makes it, with all there is; behind
//! others that wait for their answer it is left to the connection's task, so that requests of one task
//! leave together. That task also writes what the socket did not take, and reads, and writes once for
//! all that the answers of one read have set going. Correlations are given in the order of the bytes,
//! so a goodbye tells which requests were surely not carried out.

use std::{
    collections::HashMap,
    io::{self, IoSlice},
    time::Duration,
};

use bytes::Bytes;
use ratatoskr_core::{
    Outcome,
    batch::RecordBatch,
    limits,
    sync::Mutex,
    wire::{
        self, Body, Deliver, ErrorBody, Frame, FrameError, FrameQueue, Goodbye, Inbox, Kind, Ping,
        Request, Welcome,
    },
};
use tokio::{
    net::TcpStream,
    sync::{Notify, mpsc, oneshot},
    time::Instant,
};

use super::batch::Listener;
use crate::Error;

/// Largest frame taken from a server: one batch of the largest size, and as much again as a frame
/// has otherwise.
const FRAME_BYTES_MAX: usize = limits::BATCH_BYTES_MAX as usize + wire::FRAME_BYTES_MAX;
/// Slices handed to the operating system in one write.
const SLICES_PER_WRITE_MAX: usize = 64;
/// Larger records travel as a slice of their own instead of being copied beside their frame.
const COPY_BYTES_MAX: usize = 4 << 10;

/// So many bytes are written by whoever makes the request. Less than a round of small batches has,
/// so that the server works on the first of them while the rest is made.
const FLUSH_BYTES: usize = 16 << 10;

/// What is heard about a request.
pub(super) type Answer = Result<Frame, Error>;

/// What is heard about a subscription.
#[derive(Debug)]
pub(crate) enum Pushed {
    /// Batches of a partition, or its error.
    Delivered(Deliver, Bytes),
    /// The subscription is gone with its connection.
    Lost,
}

/// A connection on which a version has been agreed on.
#[derive(Debug)]
pub(crate) struct Link {
    stream: TcpStream,
    address: String,
    version: u8,
    frame_bytes_max: usize,
    state: Mutex<State>,
    /// What is being written. Locked by whoever writes; only the connection's task waits for it.
    writing: Mutex<FrameQueue>,
    /// There is something to write for the connection's task.
    blocked: Notify,
    /// The client wants the connection closed.
    closed: Notify,
}

#[derive(Debug, Default)]
struct State {
    queue: FrameQueue,
    last_correlation: u64,
    waiting: HashMap<u64, Waiting>,
    subscriptions: HashMap<u64, mpsc::UnboundedSender<Pushed>>,
    /// Why no further request is taken.
    ended: Option<String>,
}

impl State {
    /// Whether what is queued may wait for what else is about to be.
    fn waits_for_others(&self) -> bool {
        self.waiting.len() > 1 && self.queue.len() < FLUSH_BYTES
    }
}

/// Who hears an answer.
#[derive(Debug)]
enum Waiting {
    /// A task that waits.
    Task(oneshot::Sender<Answer>),
    /// A producer, called by the connection's task.
    Batch(Listener),
}

impl Waiting {
    /// Must not be called under the connection's lock: a producer answers with further requests.
    fn hear(self, answer: Answer) {
        match self {
            // Who asked may have gone.
            Self::Task(task) => drop(task.send(answer)),
            Self::Batch(listener) => listener.hear(answer),
        }
    }
}

impl Link {
    pub(super) fn new(stream: TcpStream, address: String, welcome: &Welcome) -> Self {
        Self {
            stream,
            address,
            version: welcome.version,
            frame_bytes_max: welcome.frame_bytes_max as usize,
            state: Mutex::default(),
            writing: Mutex::default(),
            blocked: Notify::new(),
            closed: Notify::new(),
        }
    }

    /// Sends a request; its answer comes through the receiver.
    ///
    /// # Errors
    /// Nothing was sent.
    pub(super) fn request<R: Request>(
        &self,
        request: &R,
        batch: Option<&RecordBatch>,
    ) -> Result<oneshot::Receiver<Answer>, Error> {
        let (answer, answered) = oneshot::channel();
        self.send(None, request, batch, |state, correlation| {
            state.waiting.insert(correlation, Waiting::Task(answer));
        })?;
        Ok(answered)
    }

    /// Queues a request whose answer `listener` hears; [`leave`](Self::leave) or
    /// [`flush`](Self::flush) is to follow.
    ///
    /// # Errors
    /// Nothing was queued.
    pub(super) fn queue<R: Request>(
        &self,
        request: &R,
        batch: Option<&RecordBatch>,
        listener: Listener,
    ) -> Result<(), Error> {
        self.queue_frame(None, request, batch, |state, correlation| {
            state.waiting.insert(correlation, Waiting::Batch(listener));
        })
        .map(drop)
    }

    /// Queues a request that has no answer; [`leave`](Self::leave) or [`flush`](Self::flush) is to
    /// follow.
    ///
    /// # Errors
    /// Nothing was queued.
    pub(super) fn queue_unanswered<B: Body>(
        &self,
        body: &B,
        batch: Option<&RecordBatch>,
    ) -> Result<(), Error> {
        self.queue_frame(None, body, batch, |_, _| {}).map(drop)
    }

    /// Sends a request that has no answer.
    ///
    /// # Errors
    /// Nothing was sent.
    pub(super) fn tell<B: Body>(&self, correlation: Option<u64>, body: &B) -> Result<(), Error> {
        self.send(correlation, body, None, |_, _| {}).map(drop)
    }

    /// Sends a subscribe request; what is pushed comes through `pushed`, beginning perhaps before
    /// the answer. Returns the subscription's correlation.
    ///
    /// # Errors
    /// Nothing was sent.
    pub(super) fn subscribe(
        &self,
        subscribe: &wire::Subscribe,
        pushed: mpsc::UnboundedSender<Pushed>,
    ) -> Result<(u64, oneshot::Receiver<Answer>), Error> {
        let (answer, answered) = oneshot::channel();
        let correlation = self.send(None, subscribe, None, |state, correlation| {
            state.waiting.insert(correlation, Waiting::Task(answer));
            state.subscriptions.insert(correlation, pushed);
        })?;
        Ok((correlation, answered))
    }

    /// Nothing more is wanted from a subscription.
    pub(super) fn unsubscribe(&self, correlation: u64) {
        let there = self.state.lock().subscriptions.remove(&correlation);
        if there.is_some() {
            // Where the connection has ended, so has the subscription.
            let _ = self.tell(Some(correlation), &wire::Unsubscribe {});
        }
    }

    fn send<B: Body>(
        &self,
        correlation: Option<u64>,
        body: &B,
        batch: Option<&RecordBatch>,
        register: impl FnOnce(&mut State, u64),
    ) -> Result<u64, Error> {
        let mut waits_for_others = false;
        let correlation = self.queue_frame(correlation, body, batch, |state, correlation| {
            register(state, correlation);
            waits_for_others = state.waits_for_others();
        })?;
        self.let_leave(waits_for_others);
        Ok(correlation)
    }

    /// Lets what is queued leave: alone, or large, at once; behind requests that wait for their
    /// answer, with those that come before the connection's task runs.
    pub(super) fn leave(&self) {
        let waits_for_others = {
            let state = self.state.lock();
            if state.queue.is_empty() {
                return;
            }
            state.waits_for_others()
        };
        self.let_leave(waits_for_others);
    }

    fn let_leave(&self, waits_for_others: bool) {
        if waits_for_others {
            self.blocked.notify_one();
        } else {
            self.flush();
        }
    }

    fn queue_frame<B: Body>(
        &self,
        correlation: Option<u64>,
        body: &B,
        batch: Option<&RecordBatch>,
        register: impl FnOnce(&mut State, u64),
    ) -> Result<u64, Error> {
        let mut state = self.state.lock();
        if let Some(reason) = &state.ended {
            return Err(self.lost(reason, Outcome::Failed));
        }
        let correlation = correlation.unwrap_or_else(|| {
            state.last_correlation += 1;
            state.last_correlation
        });
        self.enqueue(&mut state.queue, correlation, body, batch)?;
        register(&mut state, correlation);
        Ok(correlation)
    }

    /// Writes what is queued, as far as the socket takes it, unless somebody does already.
    pub(super) fn flush(&self) {
        // Whoever writes looks again after giving the lock back, so nothing that was queued before
        // this is left over.
        while let Some(mut writing) = self.writing.try_lock() {
            writing.append(&mut self.state.lock().queue);
            // A socket that takes nothing, or an error, is the connection's task's to deal with.
            let is_written = matches!(self.write(&mut writing), Ok(true));
            drop(writing);
            if !is_written {
                return self.blocked.notify_one();
            }
            if self.state.lock().queue.is_empty() {
                return;
            }
        }
    }

    fn enqueue<B: Body>(
        &self,
        queue: &mut FrameQueue,
        correlation: u64,
        body: &B,
        batch: Option<&RecordBatch>,
    ) -> Result<(), Error> {
        let batch_bytes = batch.map_or(0, RecordBatch::total_bytes);
        let start = queue.tail().len();
        wire::encode(self.version, correlation, body, batch_bytes, queue.tail()).map_err(local)?;
        let length = queue.tail().len() - start + batch_bytes;
        if length > self.frame_bytes_max {
            queue.tail().truncate(start);
            return Err(local(FrameError::TooLarge {
                length: length as u64,
                max: self.frame_bytes_max,
            }));
        }
        if let Some(batch) = batch {
            if batch_bytes <= COPY_BYTES_MAX {
                batch.encode_to(queue.tail());
            } else {
                queue.tail().extend_from_slice(&batch.header().encode());
                queue.push(batch.records_bytes().clone());
            }
        }
        Ok(())
    }

    /// Writes what the socket takes; whether that was all.
    fn write(&self, queue: &mut FrameQueue) -> io::Result<bool> {
        while !queue.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES_PER_WRITE_MAX];
            let count = queue.fill(&mut slices, usize::MAX);
            match self.stream.try_write_vectored(&slices[..count]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(sent) => queue.advance(sent),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Asks [`run`](Self::run) to end.
    pub(super) fn close(&self) {
        self.closed.notify_one();
    }

    /// Reads, and writes what was left, until the connection ends; returns why. Every request that
    /// was not answered is then.
    pub(super) async fn run(&self, keep_alive: Duration) -> String {
        let reason = match self.run_until_lost(keep_alive).await {
            Ok(()) => "closed by the client".into(),
            Err(reason) => reason,
        };
        self.end(&reason, None);
        reason
    }

    async fn run_until_lost(&self, keep_alive: Duration) -> Result<(), String> {
        let mut inbox = Inbox::default();
        let mut last_heard = Instant::now();
        let mut asked = false;
        loop {
            let silence = if asked { keep_alive * 2 } else { keep_alive };
            tokio::select! {
                () = self.closed.notified() => return Ok(()),
                ready = self.stream.readable() => {
                    ready.map_err(|error| error.to_string())?;
                    if self.read(&mut inbox)? {
                        last_heard = Instant::now();
                        asked = false;
                    }
                }
                written = self.write_blocked() => written.map_err(|error| error.to_string())?,
                () = tokio::time::sleep_until(last_heard + silence) => {
                    if asked {
                        return Err(format!("nothing was heard for {silence:?}"));
                    }
                    asked = true;
                    // The answer is heard like any other; nobody waits for it.
                    let _ = self.tell(None, &Ping {});
                }
            }
        }
    }

    async fn write_blocked(&self) -> io::Result<()> {
        let is_written = self.writing.lock().is_empty();
        let is_written = is_written && self.state.lock().queue.is_empty();
        if is_written {
            self.blocked.notified().await;
        }
        self.stream.writable().await?;
        let mut writing = self.writing.lock();
        writing.append(&mut self.state.lock().queue);
        self.write(&mut writing).map(drop)
    }

    /// Reads what is there and hands out every frame that is whole; whether there was anything.
    fn read(&self, inbox: &mut Inbox) -> Result<bool, String> {
        match self.stream.try_read_buf(inbox.room()) {
            Ok(0) => return Err(self.ended_by_server()),
            Ok(bytes) => inbox.received(bytes),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error.to_string()),
        }
        while let Some(frame) = inbox
            .next_frame(FRAME_BYTES_MAX)
            .map_err(|error| error.to_string())?
        {
            self.take(frame)?;
        }
        // What the answers have set going.
        self.flush();
        Ok(true)
    }

    fn ended_by_server(&self) -> String {
        let said = self.state.lock().ended.clone();
        said.unwrap_or_else(|| "the server closed the connection".into())
    }

    fn take(&self, frame: Frame) -> Result<(), String> {
        let decode = |error: FrameError| error.to_string();
        match frame.kind() {
            Some(Kind::Error) if frame.correlation == 0 => {
                let body: ErrorBody = frame.decode_body().map_err(decode)?;
                return Err(body.message);
            }
            Some(Kind::Error) => {
                let body: ErrorBody = frame.decode_body().map_err(decode)?;
                self.answer(frame.correlation, Err(told(body)));
            }
            Some(Kind::Goodbye) => {
                let goodbye: Goodbye = frame.decode_body().map_err(decode)?;
                self.end(&goodbye.reason, Some(goodbye.last_correlation));
            }
            Some(Kind::Deliver) => {
                let deliver: Deliver = frame.decode_body().map_err(decode)?;
                let mut state = self.state.lock();
                if let Some(pushed) = state.subscriptions.get(&frame.correlation)
                    && pushed
                        .send(Pushed::Delivered(deliver, frame.batches))
                        .is_err()
                {
                    state.subscriptions.remove(&frame.correlation);
                }
            }
            _ if frame.is_response() => self.answer(frame.correlation, Ok(frame)),
            // A newer server may tell more than is understood here.
            _ => tracing::debug!(kind = frame.kind_code, "a frame of unknown kind"),
        }
        Ok(())
    }

    fn answer(&self, correlation: u64, answer: Answer) {
        let waiting = self.state.lock().waiting.remove(&correlation);
        if let Some(waiting) = waiting {
            waiting.hear(answer);
        }
    }

    /// Takes no further request. Those above `last_taken` were surely not carried out; the others
    /// may yet be answered, unless the connection is gone, when there is no such number.
    fn end(&self, reason: &str, last_taken: Option<u64>) {
        let mut state = self.state.lock();
        let reason = state.ended.get_or_insert_with(|| reason.to_owned()).clone();
        let beyond = |correlation: u64| last_taken.is_some_and(|last| correlation > last);
        // In the order of the requests, as they would have been answered.
        let mut over: Vec<(u64, Waiting)> = state
            .waiting
            .extract_if(|&correlation, _| last_taken.is_none() || beyond(correlation))
            .collect();
        over.sort_unstable_by_key(|&(correlation, _)| correlation);
        if last_taken.is_none() {
            for (_, pushed) in state.subscriptions.drain() {
                let _ = pushed.send(Pushed::Lost);
            }
        }
        drop(state);
        for (correlation, waiting) in over {
            let outcome = if beyond(correlation) {
                Outcome::Failed
            } else {
                Outcome::Unknown
            };
            waiting.hear(Err(self.lost(&reason, outcome)));
        }
    }

    fn lost(&self, reason: &str, outcome: Outcome) -> Error {
        Error::ConnectionLost {
            address: self.address.clone(),
            reason: reason.to_owned(),
            outcome,
        }
    }
}

/// The broker's error, or what else the server said.
pub(crate) fn told(body: ErrorBody) -> Error {
    match body.into_error() {
        Ok(error) => Error::Broker(error),
        Err(error) => Error::Remote(error),
    }
}

/// A frame that cannot be sent.
fn local(error: FrameError) -> Error {
    match error {
        FrameError::TooLarge { length, max } => Error::RecordTooLarge {
            bytes: usize::try_from(length).unwrap_or(usize::MAX),
            bytes_max: max,
        },
        error => Error::Protocol(error.to_string()),
    }
}
