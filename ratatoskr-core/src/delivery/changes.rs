//! What can happen to records of a group for good: the vocabulary of its log.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// What happened to a range of offsets, ends included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Change {
    /// They are done.
    Done {
        /// The first offset.
        first: u64,
        /// The last offset.
        last: u64,
        /// How.
        how: Done,
    },
    /// They failed, and are to be delivered again.
    Retry {
        /// The first offset.
        first: u64,
        /// The last offset.
        last: u64,
        /// How often they have been delivered.
        count: u32,
        /// When they failed for the first time.
        first_failure: Timestamp,
        /// Not before this.
        due: Option<Timestamp>,
    },
    /// They are given up, and on their way to the dead letters.
    Dead {
        /// The first offset.
        first: u64,
        /// The last offset.
        last: u64,
        /// What their dead letters say.
        dead: Dead,
    },
    /// Everything before this offset is done or gone.
    Start(u64),
    /// The log has lost everything from this offset on; other records will get these offsets.
    End(u64),
}

/// How records came to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Done {
    /// A consumer said so.
    Acknowledged,
    /// They are dead letters now.
    DeadLettered,
    /// They were given up, and their group keeps no dead letters.
    Discarded,
    /// Their time to live had passed.
    Expired,
    /// They cannot be read.
    Lost,
    /// An administrator said so.
    Administered,
}

/// What a dead letter says of how it came to be one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Dead {
    /// How often the record was delivered.
    pub(crate) count: u32,
    /// When it failed for the first time.
    pub(crate) first_failure: Timestamp,
    /// When it was given up.
    pub(crate) last_failure: Timestamp,
    /// Why.
    pub(crate) cause: String,
}

/// What a group does with records that fail, in one topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    /// Deliveries after which a record is given up.
    pub(crate) attempts_max: u32,
    /// What becomes of it then.
    pub(crate) fate: Fate,
    /// Whether it goes the same way once its time to live has passed.
    pub(crate) dead_letter_expired: bool,
    /// How long it waits before that.
    pub(crate) backoff: super::Backoff,
}

/// See [`Policy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It goes to the dead letters.
    DeadLetter,
    /// It is counted and forgotten.
    Discard,
    /// It stays, since it is a dead letter already.
    Stay,
}

/// What reading a part of the log has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scan {
    /// The first offset looked at.
    pub(crate) from: u64,
    /// Whether keys were looked at.
    pub(crate) keyed: bool,
    /// What lies there, in order and without gaps.
    pub(crate) items: Vec<ScanItem>,
}

/// Offsets of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ScanItem {
    /// The first offset.
    pub(crate) first: u64,
    /// The last offset.
    pub(crate) last: u64,
    /// What they are.
    pub(crate) kind: ScanKind,
}

/// See [`ScanItem`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScanKind {
    /// No records to deliver.
    Gap,
    /// Records; one alone where it has a key or a time.
    Record {
        /// The hash of its key, where order matters.
        key: Option<u64>,
        /// Not before this.
        due: Option<Timestamp>,
    },
}

impl Scan {
    /// Takes note of what comes next.
    pub(crate) fn push(&mut self, first: u64, last: u64, kind: ScanKind) {
        let merges = matches!(
            kind,
            ScanKind::Gap
                | ScanKind::Record {
                    key: None,
                    due: None
                }
        );
        match self.items.last_mut() {
            Some(item) if merges && item.kind == kind => item.last = last,
            _ => self.items.push(ScanItem { first, last, kind }),
        }
    }

    /// One past the last offset looked at.
    pub(crate) fn end(&self) -> u64 {
        self.items.last().map_or(self.from, |item| item.last + 1)
    }
}
