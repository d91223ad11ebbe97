//! A history: what producers were told, what readers saw, in the order in which it happened.
//!
//! It is written down while a broker is worked and killed, and [`check`](checker::check) says
//! afterwards which promises the broker broke. Nothing here talks to a broker.
//!
//! **Invariants**
//! - A send is written down as invoked *before* the broker can see it, and its outcome *after* the
//!   producer was told. So whatever a reader sees was invoked earlier in the history.
//! - A send has at most one outcome. One without an outcome is unknown.

pub(crate) mod checker;
pub(crate) mod payload;
mod text;

use std::{collections::BTreeMap, fmt, sync::Arc};

use ratatoskr_core::{
    offset::{Offset, PartitionIndex},
    sync::Mutex,
};

/// One record, named by who sends it and the how-manieth of theirs it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Tag {
    pub(crate) producer: u32,
    pub(crate) sequence: u64,
}

/// A partition of a topic; topics are numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    pub(crate) topic: u32,
    pub(crate) partition: PartitionIndex,
}

/// What a reader found at an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Found {
    /// A record whose key and value are what this tag's record was sent with.
    Record(Tag),
    /// Bytes that no producer sends.
    Changed,
}

/// What a producer promises its user about sending again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// Each send is in the log at most once, whatever went wrong.
    Idempotent,
    /// A send whose outcome is unknown may be in the log more than once.
    Plain,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A producer begins to send a record to a topic.
    Invoked { tag: Tag, topic: u32 },
    /// The producer is told: it is there.
    Acknowledged {
        tag: Tag,
        partition: PartitionIndex,
        offset: Offset,
    },
    /// The producer is told: surely not appended.
    Failed { tag: Tag },
    /// The producer is told: nobody knows.
    Unknown { tag: Tag },
    /// A reader starts, or is asked to go on, at an offset.
    Positioned {
        reader: u32,
        place: Place,
        offset: Offset,
    },
    /// A reader is given what is at an offset.
    Read {
        reader: u32,
        place: Place,
        offset: Offset,
        found: Found,
    },
    /// Somebody asks where a partition ends; `question` is the question's number.
    EndAsked { question: u64, place: Place },
    /// The answer, exclusive.
    EndAnswered { question: u64, end: Offset },
}

/// Everything that happened to one data directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct History {
    pub(crate) producers: BTreeMap<u32, Delivery>,
    pub(crate) events: Vec<Event>,
    /// What is in the logs at the very end, from each log's start.
    pub(crate) read_back: BTreeMap<Place, Vec<(Offset, Found)>>,
}

/// Many tasks write one history.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recorder {
    history: Arc<Mutex<History>>,
}

impl Recorder {
    pub(crate) fn producer(&self, number: u32, delivery: Delivery) {
        self.history.lock().producers.insert(number, delivery);
    }

    pub(crate) fn note(&self, event: Event) {
        self.history.lock().events.push(event);
    }

    pub(crate) fn read_back(&self, place: Place, log: Vec<(Offset, Found)>) {
        self.history.lock().read_back.insert(place, log);
    }

    /// The history so far, with which this recorder starts anew.
    pub(crate) fn take(&self) -> History {
        std::mem::take(&mut *self.history.lock())
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.producer, self.sequence)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record(tag) => tag.fmt(f),
            Self::Changed => f.write_str("changed"),
        }
    }
}
