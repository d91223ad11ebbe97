//! What each command does: decode, call the broker, encode. Logic that another door would need
//! belongs in the broker.

mod fetch;
mod groups;
mod produce;
mod stats;
mod subscribe;
mod topics;

use std::{future::Future, sync::Arc};

use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use ratatoskr_core::{
    Broker, Error,
    storage::BatchSlices,
    wire::{
        self, Body, Done, ErrorBody, ErrorCode, Frame, FrameError, FrameQueue, Kind, Ping, Request,
    },
};

pub(super) use produce::{Acknowledgement, Run};

use super::{limits::NativeLimits, listener::Drain, subscription::Subscriptions};

/// What the handlers of one connection share.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) broker: Broker,
    pub(super) limits: Arc<NativeLimits>,
    pub(super) version: u8,
    /// How the client names itself.
    pub(super) client: Arc<str>,
    pub(super) drain: Drain,
}

/// A frame to be sent: everything up to the end of its body, and the batches after it.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) head: BytesMut,
    pub(super) batches: Vec<Bytes>,
}

/// What a handler made of a frame.
pub(super) enum Handled {
    /// The answer is there.
    Answer(Reply),
    /// The answer comes when it comes.
    Later(BoxFuture<'static, Reply>),
    /// There is no answer.
    Credited,
}

/// The answer to a request of this many bytes, which was waited for.
pub(super) struct Completed {
    pub(super) bytes: usize,
    pub(super) reply: Reply,
}

/// A command that waits for the broker and answers with a body alone.
trait Command: Request + Send + 'static
where
    Self::Response: Send,
{
    /// Carries it out.
    fn run(self, broker: &Broker)
    -> impl Future<Output = Result<Self::Response, ErrorBody>> + Send;
}

/// Handles one frame, other than a produce request: those are gathered in a [`Run`].
pub(super) fn dispatch(
    session: &Session,
    subscriptions: &mut Subscriptions,
    frame: &Frame,
) -> Handled {
    if frame.is_response() {
        return unknown_kind(session, frame);
    }
    match frame.kind() {
        Some(Kind::Ping) => answer_now::<Ping>(session, frame, |_| Ok(Done {})),
        Some(Kind::NewProducer) => produce::new_producer(session, frame),
        Some(Kind::Fetch) => fetch::handle(session, frame),
        Some(Kind::FindOffset) => later::<wire::FindOffset>(session, frame),
        Some(Kind::Subscribe) => subscribe::begin(session, subscriptions, frame),
        Some(Kind::Credit) => subscribe::credit(session, subscriptions, frame),
        Some(Kind::Unsubscribe) => subscribe::end(session, subscriptions, frame),
        Some(Kind::CreateTopic) => later::<wire::CreateTopic>(session, frame),
        Some(Kind::DeleteTopic) => later::<wire::DeleteTopic>(session, frame),
        Some(Kind::ListTopics) => later::<wire::ListTopics>(session, frame),
        Some(Kind::DescribeTopic) => later::<wire::DescribeTopic>(session, frame),
        Some(Kind::AlterTopic) => later::<wire::AlterTopic>(session, frame),
        Some(Kind::AddPartitions) => later::<wire::AddPartitions>(session, frame),
        Some(Kind::Trim) => later::<wire::Trim>(session, frame),
        Some(Kind::GroupHeartbeat) => later::<wire::GroupHeartbeat>(session, frame),
        Some(Kind::CommitOffsets) => later::<wire::CommitOffsets>(session, frame),
        Some(Kind::FetchOffsets) => later::<wire::FetchOffsets>(session, frame),
        Some(Kind::DeleteOffsets) => later::<wire::DeleteOffsets>(session, frame),
        Some(Kind::ListGroups) => later::<wire::ListGroups>(session, frame),
        Some(Kind::DescribeGroup) => later::<wire::DescribeGroup>(session, frame),
        Some(Kind::DeleteGroup) => later::<wire::DeleteGroup>(session, frame),
        Some(Kind::GroupLag) => later::<wire::GroupLag>(session, frame),
        Some(Kind::ResetOffsets) => later::<wire::ResetOffsets>(session, frame),
        Some(Kind::Stats) => stats::handle(session, frame),
        _ => unknown_kind(session, frame),
    }
}

fn unknown_kind(session: &Session, frame: &Frame) -> Handled {
    let text = format!("a server takes no frames of kind {:#04x}", frame.kind_code);
    let error = ErrorBody::new(ErrorCode::UnknownKind, text);
    Handled::Answer(session.error(frame.correlation, &error))
}

/// Answers at once.
fn answer_now<R: Request>(
    session: &Session,
    frame: &Frame,
    answer: impl FnOnce(R) -> Result<R::Response, ErrorBody>,
) -> Handled {
    let outcome = decode::<R>(frame).and_then(answer);
    Handled::Answer(session.reply::<R>(frame.correlation, outcome))
}

/// Answers when the broker does.
fn later<C: Command>(session: &Session, frame: &Frame) -> Handled
where
    C::Response: Send,
{
    let correlation = frame.correlation;
    let command = match decode::<C>(frame) {
        Ok(command) => command,
        Err(error) => return Handled::Answer(session.error(correlation, &error)),
    };
    let session = session.clone();
    Handled::Later(Box::pin(async move {
        let outcome = command.run(&session.broker).await;
        session.reply::<C>(correlation, outcome)
    }))
}

/// The body of a request, which no batches follow.
fn decode<B: Body>(frame: &Frame) -> Result<B, ErrorBody> {
    if frame.batches.is_empty() {
        frame.decode_body().map_err(|error| (&error).into())
    } else {
        let text = format!("no batches follow a frame of kind {}", B::KIND.name());
        Err(ErrorBody::new(ErrorCode::Malformed, text))
    }
}

impl Session {
    /// The response to a request.
    fn reply<R: Request>(
        &self,
        correlation: u64,
        outcome: Result<R::Response, ErrorBody>,
    ) -> Reply {
        match outcome {
            Ok(body) => self.reply_with::<R>(correlation, &body, Vec::new()),
            Err(error) => self.error(correlation, &error),
        }
    }

    /// The response to a request, written behind what is in `out`.
    fn reply_into<R: Request>(
        &self,
        correlation: u64,
        outcome: Result<R::Response, ErrorBody>,
        out: &mut FrameQueue,
    ) {
        let encoded = match outcome {
            Ok(body) => wire::encode_response::<R>(self.version, correlation, &body, 0, out.tail()),
            Err(error) => wire::encode(self.version, correlation, &error, 0, out.tail()),
        };
        if let Err(error) = encoded {
            out.tail()
                .unsplit(self.cannot_encode(correlation, &error).head);
        }
    }

    /// The response to a request, with batches.
    fn reply_with<R: Request>(
        &self,
        correlation: u64,
        body: &R::Response,
        batches: Vec<Bytes>,
    ) -> Reply {
        let mut head = BytesMut::new();
        let bytes = batches.iter().map(Bytes::len).sum();
        let version = self.version;
        match wire::encode_response::<R>(version, correlation, body, bytes, &mut head) {
            Ok(()) => Reply { head, batches },
            Err(error) => self.cannot_encode(correlation, &error),
        }
    }

    /// A frame that nobody asked for, written behind what is in `out`.
    pub(super) fn push<B: Body>(
        &self,
        correlation: u64,
        body: &B,
        batches: BatchSlices,
        out: &mut FrameQueue,
    ) {
        match wire::encode(self.version, correlation, body, batches.len(), out.tail()) {
            Ok(()) => batches
                .into_slices()
                .into_iter()
                .for_each(|slice| out.push(slice)),
            Err(error) => {
                out.tail()
                    .unsplit(self.cannot_encode(correlation, &error).head);
            }
        }
    }

    /// An error in place of a response.
    fn error(&self, correlation: u64, error: &ErrorBody) -> Reply {
        let mut head = BytesMut::new();
        match wire::encode(self.version, correlation, error, 0, &mut head) {
            Ok(()) => Reply {
                head,
                batches: Vec::new(),
            },
            Err(error) => self.cannot_encode(correlation, &error),
        }
    }

    /// What is left to say where a response cannot be written, for example because it is longer than
    /// its length field can tell.
    fn cannot_encode(&self, correlation: u64, error: &FrameError) -> Reply {
        tracing::error!(%error, client = %self.client, "a frame cannot be written");
        let mut head = BytesMut::new();
        let body = ErrorBody::new(ErrorCode::Internal, "the response cannot be written");
        if let Err(error) = wire::encode(self.version, correlation, &body, 0, &mut head) {
            tracing::error!(%error, "nor can an error in its place");
        }
        Reply {
            head,
            batches: Vec::new(),
        }
    }
}

/// The broker's error as the wire has it.
#[expect(
    clippy::needless_pass_by_value,
    reason = "it is what `map_err` hands over"
)]
fn told(error: Error) -> ErrorBody {
    (&error).into()
}
