//! produce, new producer: batches in. Submitted at once, acknowledged in the order they came.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use ratatoskr_core::{
    Error,
    batch::RecordBatch,
    broker::{PendingProduce, Produced},
    wire::{self, Frame, NewProducer, Produce, ProducerBody, WireDurability},
};

use super::{Handled, Reply, Session, answer_now, told};

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

    /// Ready with the response, if one is wanted.
    pub(in crate::native) fn poll(
        &mut self,
        session: &Session,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Reply>> {
        let outcome = match &mut self.outcome {
            Outcome::Known(outcome) => outcome.clone(),
            Outcome::Pending(pending) => match pending.as_mut().poll(cx) {
                Poll::Ready(outcome) => outcome,
                Poll::Pending => return Poll::Pending,
            },
        };
        Poll::Ready(self.wanted.then(|| {
            let body = outcome.map(body).map_err(told);
            session.reply::<Produce>(self.correlation, body)
        }))
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

pub(super) fn handle(session: &Session, frame: Frame) -> Handled {
    let correlation = frame.correlation;
    let produce: Produce = match frame.decode_body() {
        Ok(produce) => produce,
        Err(error) => {
            return Handled::Answer(session.error(correlation, &(&error).into()));
        }
    };
    let submitted = submit(session, &produce, frame);
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
