//! What produce requests bring, gathered a partition, and their acknowledgements.
//!
//! All requests that one read brought are gathered before any is submitted, so that the batches which
//! a pipelining producer sends to a partition are appended together.

use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use ratatoskr_core::{
    Broker, Error, batch::RecordBatch, broker::Produced, name::TopicName, offset::PartitionIndex,
};

use crate::{
    api::{
        TopicRef,
        produce::{self, Placed, Produce, Refused},
    },
    reply::Reply,
};

/// The batches that are not submitted yet.
#[derive(Debug, Default)]
pub(crate) struct ProduceRun {
    partitions: HashMap<(TopicName, PartitionIndex), Vec<(Place, RecordBatch)>>,
}

/// Which batch of which request: the number of the request, of its topic, and of the partition there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    request: usize,
    topic: usize,
    partition: usize,
}

impl ProduceRun {
    /// Takes in a request, which is to be found under this number when the run is submitted.
    pub(crate) fn take(&mut self, request: usize, produce: Produce) -> Acknowledgement {
        let topics = produce.topics.into_iter().enumerate();
        let topics = topics.map(|(topic, each)| {
            let partitions = each.partitions.into_iter().enumerate();
            let partitions = partitions.map(|(partition, each)| {
                let place = Place {
                    request,
                    topic,
                    partition,
                };
                let outcome = match each.batch {
                    Ok(batch) => self.add(place, batch),
                    Err(refused) => Outcome::Known(Err(refused)),
                };
                (each.index, outcome)
            });
            (each.named, partitions.collect())
        });
        Acknowledgement {
            topics: topics.collect(),
            version: produce.version,
            is_answered: produce.is_answered,
            reply: produce.reply,
        }
    }

    fn add(&mut self, place: Place, batch: Placed) -> Outcome {
        let partition = (batch.topic, batch.partition);
        let batches = self.partitions.entry(partition).or_default();
        batches.push((place, batch.records));
        Outcome::Gathered
    }

    /// Hands what was taken in to the broker, and what became of each batch to `told`, with the number
    /// of the request and the place there.
    pub(crate) fn submit(&mut self, broker: &Broker, mut told: impl FnMut(usize, Place, Outcome)) {
        for ((topic, partition), batches) in self.partitions.drain() {
            let (places, batches): (Vec<_>, Vec<_>) = batches.into_iter().unzip();
            let answers = broker.produce_many(&topic, partition, batches);
            for (place, answer) in places.into_iter().zip(answers) {
                let outcome = match answer {
                    Ok(pending) => match pending.ready() {
                        Some(produced) => Outcome::Known(Ok(produced)),
                        None => Outcome::Pending(Box::pin(pending.wait())),
                    },
                    Err(error) => Outcome::Known(Err((&error).into())),
                };
                told(place.request, place, outcome);
            }
        }
    }
}

/// A produce request whose batches are on their way.
pub(crate) struct Acknowledgement {
    topics: Vec<(TopicRef, Vec<(i32, Outcome)>)>,
    version: i16,
    is_answered: bool,
    reply: Reply,
}

/// What became of a batch so far.
pub(crate) enum Outcome {
    /// To be submitted.
    Gathered,
    Pending(Pin<Box<dyn Future<Output = Result<Produced, Error>> + Send>>),
    Known(Result<Produced, Refused>),
}

/// What the client gets.
pub(crate) enum Acknowledged {
    /// A response.
    Answer(Reply),
    /// Nothing, as it asked for.
    Nothing,
    /// Nothing, although a batch was refused: all that can be done is to close the connection.
    Close,
}

impl Acknowledgement {
    /// Notes what became of one batch.
    pub(crate) fn set(&mut self, place: Place, outcome: Outcome) {
        let topic = self.topics.get_mut(place.topic);
        let slot = topic.and_then(|(_, partitions)| partitions.get_mut(place.partition));
        if let Some((_, slot)) = slot {
            *slot = outcome;
        }
    }

    /// Ready once every batch is as durable as its topic promises, or refused.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for (_, outcome) in self
            .topics
            .iter_mut()
            .flat_map(|(_, partitions)| partitions)
        {
            match outcome {
                Outcome::Known(_) => {}
                Outcome::Gathered => return Poll::Pending,
                Outcome::Pending(pending) => match pending.as_mut().poll(cx) {
                    Poll::Ready(answer) => {
                        *outcome = Outcome::Known(answer.map_err(|error| (&error).into()));
                    }
                    Poll::Pending => return Poll::Pending,
                },
            }
        }
        Poll::Ready(())
    }

    /// What the client gets, once [`poll`](Self::poll) was ready.
    pub(crate) fn finish(self) -> Acknowledged {
        let known = |(index, outcome)| match outcome {
            Outcome::Known(known) => Some((index, known)),
            Outcome::Gathered | Outcome::Pending(_) => None,
        };
        let topics = self.topics.into_iter();
        let topics: Vec<produce::Acknowledged> = topics
            .map(|(named, partitions)| (named, partitions.into_iter().filter_map(known).collect()))
            .collect();
        if self.is_answered {
            let mut reply = self.reply;
            produce::write(&mut reply, self.version, &topics);
            return Acknowledged::Answer(reply);
        }
        let mut outcomes = topics.iter().flat_map(|(_, partitions)| partitions);
        if outcomes.all(|(_, outcome)| outcome.is_ok()) {
            Acknowledged::Nothing
        } else {
            Acknowledged::Close
        }
    }
}
