//! Requests over whatever connection there is, within a deadline.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use ratatoskr_core::{
    Outcome,
    batch::RecordBatch,
    name::TopicName,
    offset::PartitionIndex,
    wire::{self, Frame, Request, Subscribe},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use super::{Link, Listener, Pushed, Remote, link::Answer};
use crate::Error;

/// What may be done when a connection is lost before the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Asking twice is as good as asking once.
    Freely,
    /// Only where the request was surely not carried out.
    IfNotCarriedOut,
}

/// A batch on its way to a server.
#[derive(Debug)]
pub(crate) struct Sent(oneshot::Receiver<Answer>);

impl Remote {
    /// Asks, waiting for a connection if there is none, and again where `repeat` allows.
    ///
    /// # Errors
    /// The broker's answer, or what is wrong with the connection.
    pub(crate) async fn call<R: Request>(
        &self,
        operation: &'static str,
        request: &R,
        repeat: Repeat,
    ) -> Result<R::Response, Error> {
        let timeout = self.options.request_timeout;
        let frame = self.exchange(operation, request, repeat, timeout).await?;
        decode::<R>(&frame)
    }

    /// The same where batches follow the answer, which may take `timeout`.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub(crate) async fn call_for_batches<R: Request>(
        &self,
        operation: &'static str,
        request: &R,
        wait: Duration,
    ) -> Result<(R::Response, Bytes), Error> {
        let timeout = self.options.request_timeout + wait;
        let frame = self
            .exchange(operation, request, Repeat::Freely, timeout)
            .await?;
        Ok((decode::<R>(&frame)?, frame.batches))
    }

    async fn exchange<R: Request>(
        &self,
        operation: &'static str,
        request: &R,
        repeat: Repeat,
        timeout: Duration,
    ) -> Result<Frame, Error> {
        let deadline = Instant::now() + timeout;
        let mut lost: Option<Arc<Link>> = None;
        loop {
            let link = self.link_by(deadline, lost.as_ref()).await?;
            let answer = match link.request(request, None) {
                Ok(answered) => answer_by(deadline, answered, operation, timeout).await,
                Err(error) => Err(error),
            };
            let error = match answer {
                Ok(frame) => return Ok(frame),
                Err(error) => error,
            };
            let again = match &error {
                Error::ConnectionLost { outcome, .. } => {
                    repeat == Repeat::Freely || *outcome == Outcome::Failed
                }
                _ => false,
            };
            if !again || Instant::now() >= deadline {
                return Err(error);
            }
            lost = Some(link);
        }
    }

    /// Sends a batch over the connection there is, without waiting.
    ///
    /// # Errors
    /// Nothing was sent.
    pub(crate) fn produce(
        &self,
        topic: &TopicName,
        partition: PartitionIndex,
        batch: &RecordBatch,
    ) -> Result<Sent, Error> {
        let produce = wire::Produce {
            topic: topic.clone(),
            partition,
            acknowledge: true,
        };
        self.link()?.request(&produce, Some(batch)).map(Sent)
    }

    /// Queues a producer's batch for the connection there is; `listener` hears what becomes of it.
    /// [`leave`](Self::leave) or [`flush`](Self::flush) is to follow.
    ///
    /// # Errors
    /// As [`Error::outcome`] tells; the listener then hears nothing.
    pub(crate) fn queue_batch(
        &self,
        topic: &TopicName,
        batch: &RecordBatch,
        listener: Listener,
    ) -> Result<(), Error> {
        let produce = wire::Produce {
            topic: topic.clone(),
            partition: listener.partition,
            acknowledge: listener.acknowledged,
        };
        let link = self.link()?;
        if listener.acknowledged {
            return link.queue(&produce, Some(batch), listener);
        }
        link.queue_unanswered(&produce, Some(batch))?;
        // Frames are taken in their order, so the answer to this tells that the batch was: there is
        // a bound to what is written and not yet taken.
        let taken = link.queue(&wire::Ping {}, None, listener);
        taken.map_err(Error::perhaps_carried_out)
    }

    /// Lets what is queued leave now.
    pub(crate) fn flush(&self) {
        // Without a connection there is nothing that could.
        if let Ok(link) = self.link() {
            link.flush();
        }
    }

    /// Lets what is queued leave now, or, behind requests that are under way, together with what is
    /// queued before the connection's task runs.
    pub(crate) fn leave(&self) {
        if let Ok(link) = self.link() {
            link.leave();
        }
    }

    /// Begins a subscription on whatever connection there is; what is pushed comes through the
    /// receiver.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub(crate) async fn subscribe(
        &self,
        subscribe: &Subscribe,
    ) -> Result<(RemoteSubscription, mpsc::UnboundedReceiver<Pushed>), Error> {
        let timeout = self.options.request_timeout;
        let deadline = Instant::now() + timeout;
        let mut lost: Option<Arc<Link>> = None;
        loop {
            let link = self.link_by(deadline, lost.as_ref()).await?;
            let (pushed, receiver) = mpsc::unbounded_channel();
            let error = match link.subscribe(subscribe, pushed) {
                Ok((correlation, answered)) => {
                    let subscription = RemoteSubscription {
                        link: Arc::clone(&link),
                        correlation,
                    };
                    match answer_by(deadline, answered, "subscribe", timeout).await {
                        Ok(_) => return Ok((subscription, receiver)),
                        Err(error) => error,
                    }
                }
                Err(error) => error,
            };
            if !matches!(error, Error::ConnectionLost { .. }) || Instant::now() >= deadline {
                return Err(error);
            }
            lost = Some(link);
        }
    }
}

/// Waits for an answer.
async fn answer_by(
    deadline: Instant,
    answered: oneshot::Receiver<Answer>,
    operation: &'static str,
    after: Duration,
) -> Answer {
    match tokio::time::timeout_at(deadline, answered).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Err(Error::Closed),
        Err(_) => Err(Error::TimedOut {
            operation,
            after,
            outcome: Outcome::Unknown,
        }),
    }
}

pub(super) fn decode<R: Request>(frame: &Frame) -> Result<R::Response, Error> {
    frame
        .decode_body()
        .map_err(|error| Error::Protocol(error.to_string()))
}

impl Sent {
    /// Waits for the acknowledgement.
    ///
    /// # Errors
    /// The broker's answer, or how the connection was lost.
    pub(crate) async fn wait(self) -> Result<wire::Produced, Error> {
        let frame = self.0.await.map_err(|_| Error::Closed)??;
        decode::<wire::Produce>(&frame)
    }
}

/// A subscription on one connection; dropping it ends it.
#[derive(Debug)]
pub(crate) struct RemoteSubscription {
    link: Arc<Link>,
    correlation: u64,
}

impl RemoteSubscription {
    /// Lets the server push more.
    pub(crate) fn grant(&self, credit: wire::Credit) {
        // Where the connection has ended, the subscription hears of it.
        let _ = self.link.tell(Some(self.correlation), &credit);
    }
}

impl Drop for RemoteSubscription {
    fn drop(&mut self) {
        self.link.unsubscribe(self.correlation);
    }
}
