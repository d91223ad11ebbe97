//! produce, new producer: batches in. Submitted at once, acknowledged in the order they came.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use ratatoskr_core::{
    Error,
    batch::RecordBatch,
    broker::{PendingProduce, Produced},
    wire::{
        self, ErrorBody, Frame, FrameQueue, NewProducer, Produce, ProducerBody, WireDurability,
    },
};

use super::{Handled, Session, answer_now, told};

/// Where a connection's last batch went: most go where the one before did, and then the same bytes
/// need not be decoded again.
#[derive(Debug, Default)]
pub(in crate::native) struct LastProduce {
    body: Bytes,
    decoded: Option<Produce>,
}

impl LastProduce {
    fn decode(&mut self, frame: &Frame) -> Result<&Produce, ErrorBody> {
        if self.decoded.is_none() || self.body != frame.body {
            self.decoded = Some(
                frame
                    .decode_body()
                    .map_err(|error| ErrorBody::from(&error))?,
            );
            // A copy of its own, since a slice would hold on to all that was read with it.
            self.body = Bytes::copy_from_slice(&frame.body);
        }
        self.decoded
            .as_ref()
            .ok_or_else(|| ErrorBody::new(wire::ErrorCode::Internal, "nothing was decoded"))
    }
}

/// A batch on its way to its topic's durability.
pub(in crate::native) struct Acknowledgement {
    correlation: u64,
    /// Whether the client wants to know.
    wanted: bool,
    outcome: Outcome,
    /// Bytes of the request.
    pub(in crate::native) bytes: usize,
}

enum Outcome {
    Known(Result<Produced, Error>),
    Pending(Pin<Box<dyn Future<Output = Result<Produced, Error>> + Send>>),
}

impl Acknowledgement {
    pub(in crate::native) const fn of_bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }

    /// Ready once the response, if one is wanted, is in `out`.
    pub(in crate::native) fn poll(
        &mut self,
        session: &Session,
        out: &mut FrameQueue,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let outcome = match &mut self.outcome {
            Outcome::Known(outcome) => outcome.clone(),
            Outcome::Pending(pending) => match pending.as_mut().poll(cx) {
                Poll::Ready(outcome) => outcome,
                Poll::Pending => return Poll::Pending,
            },
        };
        if self.wanted {
            let body = outcome.map(body).map_err(told);
            session.reply_into::<Produce>(self.correlation, body, out);
        }
        Poll::Ready(())
    }
}

fn body(produced: Produced) -> wire::Produced {
    wire::Produced {
        base_offset: produced.base_offset,
        log_append_time: produced.log_append_time,
        durability: WireDurability(produced.durability),
        duplicate: produced.duplicate,
    }
}

pub(super) fn handle(session: &Session, last: &mut LastProduce, frame: Frame) -> Handled {
    let correlation = frame.correlation;
    let produce = match last.decode(&frame) {
        Ok(produce) => produce,
        Err(error) => return Handled::Answer(session.error(correlation, &error)),
    };
    let submitted = submit(session, produce, frame);
    Handled::Acknowledge(Acknowledgement {
        correlation,
        wanted: produce.acknowledge,
        outcome: match submitted {
            Ok(pending) => match pending.ready() {
                Some(produced) => Outcome::Known(Ok(produced)),
                None => Outcome::Pending(Box::pin(pending.wait())),
            },
            Err(error) => Outcome::Known(Err(error)),
        },
        bytes: 0,
    })
}

fn submit(session: &Session, produce: &Produce, frame: Frame) -> Result<PendingProduce, Error> {
    let batch = RecordBatch::view(frame.batches)?;
    session
        .broker
        .produce(&produce.topic, produce.partition, batch)
}

pub(super) fn new_producer(session: &Session, frame: &Frame) -> Handled {
    answer_now::<NewProducer>(session, frame, |_| {
        let producer = session.broker.new_producer();
        Ok(ProducerBody {
            id: producer.id,
            epoch: producer.epoch,
        })
    })
}
