//! produce, new producer: batches in. Submitted at once, acknowledged in the order they came.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use ratatoskr_core::{
    Error,
    batch::RecordBatch,
    broker::Produced,
    wire::{self, ErrorBody, Frame, FrameQueue, NewProducer, Produce, ProducerBody},
};

use super::{Handled, Reply, Session, answer_now, told};

/// The batches that a connection has brought and that are not submitted yet: all of them go to the
/// same partition, so that they can be appended together.
#[derive(Debug, Default)]
pub(in crate::native) struct Run {
    /// The last body: most batches go where the one before did, and then the same bytes need not be
    /// decoded again.
    body: Bytes,
    decoded: Option<Produce>,
    batches: Vec<RecordBatch>,
}

impl Run {
    /// Takes in a batch; its acknowledgement is the last of `acknowledgements` from now on.
    ///
    /// # Errors
    /// The answer to a frame that is none.
    pub(in crate::native) fn take(
        &mut self,
        session: &Session,
        frame: Frame,
        acknowledgements: &mut VecDeque<Acknowledgement>,
    ) -> Result<(), Reply> {
        let (correlation, bytes) = (frame.correlation, frame.body.len() + frame.batches.len());
        let place = self.place(session, &frame, acknowledgements);
        let wanted = place.map_err(|error| session.error(correlation, &error))?;
        let viewed = RecordBatch::view(frame.batches);
        let outcome = match viewed {
            Ok(batch) => {
                self.batches.push(batch);
                Outcome::Submitted
            }
            Err(error) => {
                self.submit(session, acknowledgements);
                Outcome::Known(Err(error.into()))
            }
        };
        acknowledgements.push_back(Acknowledgement {
            correlation,
            wanted,
            outcome,
            bytes,
        });
        Ok(())
    }

    /// Sees to it that `decoded` says where the frame's batch goes; whether an answer is wanted.
    fn place(
        &mut self,
        session: &Session,
        frame: &Frame,
        acknowledgements: &mut VecDeque<Acknowledgement>,
    ) -> Result<bool, ErrorBody> {
        if let Some(produce) = &self.decoded
            && self.body == frame.body
        {
            return Ok(produce.acknowledge);
        }
        self.submit(session, acknowledgements);
        let produce: Produce = frame
            .decode_body()
            .map_err(|error| ErrorBody::from(&error))?;
        let wanted = produce.acknowledge;
        self.decoded = Some(produce);
        // A copy of its own, since a slice would hold on to all that was read with it.
        self.body = Bytes::copy_from_slice(&frame.body);
        Ok(wanted)
    }

    /// Hands what was taken in to the broker. Its acknowledgements are the last ones.
    pub(in crate::native) fn submit(
        &mut self,
        session: &Session,
        acknowledgements: &mut VecDeque<Acknowledgement>,
    ) {
        let batches = std::mem::take(&mut self.batches);
        let Some(produce) = self.decoded.as_ref().filter(|_| !batches.is_empty()) else {
            return;
        };
        let first = acknowledgements.len().saturating_sub(batches.len());
        let answers = session
            .broker
            .produce_many(&produce.topic, produce.partition, batches);
        for (acknowledgement, answer) in acknowledgements.range_mut(first..).zip(answers) {
            acknowledgement.outcome = match answer {
                Ok(pending) => match pending.ready() {
                    Some(produced) => Outcome::Known(Ok(produced)),
                    None => Outcome::Pending(Box::pin(pending.wait())),
                },
                Err(error) => Outcome::Known(Err(error)),
            };
        }
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
    /// Part of a run that is about to be submitted.
    Submitted,
    Known(Result<Produced, Error>),
    Pending(Pin<Box<dyn Future<Output = Result<Produced, Error>> + Send>>),
}

impl Acknowledgement {
    /// Ready once the response, if one is wanted, is in `out`.
    pub(in crate::native) fn poll(
        &mut self,
        session: &Session,
        out: &mut FrameQueue,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let outcome = match &mut self.outcome {
            Outcome::Submitted => return Poll::Pending,
            Outcome::Known(outcome) => outcome.clone(),
            Outcome::Pending(pending) => match pending.as_mut().poll(cx) {
                Poll::Ready(outcome) => outcome,
                Poll::Pending => return Poll::Pending,
            },
        };
        if self.wanted {
            let body = outcome.map(wire::Produced::from).map_err(told);
            session.reply_into::<Produce>(self.correlation, body, out);
        }
        Poll::Ready(())
    }
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
