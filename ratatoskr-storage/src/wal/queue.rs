//! Who waits for the log, and who leads.
//!
//! Work is queued in the order of its submission, which is the order of its frames. At most one task
//! or thread holds the **lead**: it takes a group off the queue and sees it through. When it is done
//! it offers the lead to a waiter of the next group; where nobody waits who could take it, the log's
//! own thread does. A lead that was offered and not taken up (its task is busy elsewhere) is taken
//! over by that thread after a moment, so no waiter depends on another one's being polled.

use std::{
    collections::VecDeque,
    fmt, mem,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use ratatoskr_core::{
    commit::{CommitError, Submission},
    name::TopicId,
    offset::{Offset, PartitionIndex},
    storage::StorageError,
    sync::Mutex,
};

use super::{FrameKind, HEADER_BYTES, group::Spare};

/// What [`Command::decided`] is called with.
pub(crate) type CommandOutcome<'a> = Result<(), &'a CommitError>;

/// A change that is not a batch: of the catalog, or of a log's start.
pub(crate) struct Command {
    /// Not [`FrameKind::Batch`].
    pub kind: FrameKind,
    /// The topic concerned.
    pub topic: TopicId,
    /// The partition concerned, 0 where the whole topic is.
    pub partition: PartitionIndex,
    /// The new log start, 0 where there is none.
    pub base_offset: Offset,
    /// What the frame carries.
    pub payload: Bytes,
    /// Called once, in the order of the log, when the change is durable or will never be.
    pub decided: Box<dyn FnOnce(CommandOutcome<'_>) + Send>,
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command")
            .field("kind", &self.kind)
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
pub(super) enum Work {
    Batch(Submission),
    Command(Command),
}

impl Work {
    /// Bytes of its frame.
    pub(super) fn frame_bytes(&self) -> u64 {
        let payload = match self {
            Self::Batch(submission) => submission.batch.total_bytes(),
            Self::Command(command) => command.payload.len(),
        };
        (HEADER_BYTES + payload) as u64
    }
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) work: Work,
    pub(super) slot: Arc<Slot>,
    /// Which of its group's partitions it goes to; told when it is admitted.
    pub(super) place: usize,
}

/// Where the outcome of one entry meets the task that waits for it.
#[derive(Debug, Default)]
pub(super) struct Slot(Mutex<SlotState>);

#[derive(Debug)]
enum SlotState {
    Waiting {
        waker: Option<Waker>,
        /// Whether the task that waits may block its thread to lead.
        may_lead: bool,
    },
    Decided(Result<(), CommitError>),
}

impl Default for SlotState {
    fn default() -> Self {
        Self::Waiting {
            waker: None,
            may_lead: false,
        }
    }
}

impl Slot {
    /// The outcome, or a promise to wake the task when there is one (or when it is to lead).
    pub(super) fn poll(&self, cx: &Context<'_>, leads: bool) -> Poll<Result<(), CommitError>> {
        match &mut *self.0.lock() {
            SlotState::Decided(outcome) => Poll::Ready(outcome.clone()),
            SlotState::Waiting { waker, may_lead } => {
                match waker {
                    Some(waker) => waker.clone_from(cx.waker()),
                    None => *waker = Some(cx.waker().clone()),
                }
                *may_lead = leads;
                Poll::Pending
            }
        }
    }

    pub(super) fn decide(&self, outcome: Result<(), CommitError>) {
        let before = mem::replace(&mut *self.0.lock(), SlotState::Decided(outcome));
        if let SlotState::Waiting {
            waker: Some(waker), ..
        } = before
        {
            waker.wake();
        }
    }

    /// Nobody waits any more.
    pub(super) fn abandon(&self) {
        if let SlotState::Waiting { waker, may_lead } = &mut *self.0.lock() {
            *waker = None;
            *may_lead = false;
        }
    }

    fn leader(&self) -> Option<Waker> {
        match &*self.0.lock() {
            SlotState::Waiting {
                waker,
                may_lead: true,
            } => waker.clone(),
            _ => None,
        }
    }
}

/// Who sees the next group through.
#[derive(Debug, Default)]
pub(super) enum Lead {
    /// Whoever comes first.
    #[default]
    Free,
    /// Somebody does.
    Held,
    /// The task that waits at this slot, which has been woken.
    Offered(Arc<Slot>),
    /// The log's thread, which has been told.
    OfferedToThread,
    /// Nobody, until a checkpoint has made room.
    Stalled,
}

#[derive(Debug)]
pub(super) struct Queue {
    pub(super) entries: VecDeque<Entry>,
    pub(super) bytes: u64,
    pub(super) lead: Lead,
    /// Why nothing is taken any more.
    pub(super) refused: Option<StorageError>,
    /// Memory for the next group.
    pub(super) spare: Spare,
    /// Counts the groups taken, so that the thread sees whether anything moves.
    pub(super) groups: u64,
}

/// What is to be done once the queue's lock is given back.
#[must_use]
pub(super) enum Offer {
    Nothing,
    Wake(Waker),
    TellThread,
}

impl Queue {
    pub(super) fn new() -> Self {
        Self {
            entries: VecDeque::new(),
            bytes: 0,
            lead: Lead::Free,
            refused: None,
            spare: Spare::default(),
            groups: 0,
        }
    }

    pub(super) fn push(&mut self, entry: Entry) {
        self.bytes += entry.work.frame_bytes();
        self.entries.push_back(entry);
    }

    /// Takes the next group: at least one entry, then as many as fit into `bytes_max`.
    pub(super) fn take_group(&mut self, bytes_max: u64) -> VecDeque<Entry> {
        self.groups += 1;
        if self.bytes <= bytes_max {
            return self.take_all();
        }
        let mut bytes = 0;
        let fits = |entry: &&Entry| {
            bytes += entry.work.frame_bytes();
            bytes <= bytes_max
        };
        let count = self.entries.iter().take_while(fits).count().max(1);
        let mut group = mem::take(&mut self.spare.entries);
        group.extend(self.entries.drain(..count.min(self.entries.len())));
        let taken: u64 = group.iter().map(|entry| entry.work.frame_bytes()).sum();
        self.bytes -= taken;
        group
    }

    /// Takes all there is.
    pub(super) fn take_all(&mut self) -> VecDeque<Entry> {
        self.bytes = 0;
        let spare = mem::take(&mut self.spare.entries);
        mem::replace(&mut self.entries, spare)
    }

    /// Puts a group back that could not be written yet.
    pub(super) fn put_back(&mut self, mut group: VecDeque<Entry>) {
        let bytes: u64 = group.iter().map(|entry| entry.work.frame_bytes()).sum();
        self.bytes += bytes;
        group.append(&mut self.entries);
        self.entries = group;
    }

    /// Takes the lead for the task that waits at `slot`, if it may have it.
    pub(super) fn take_lead(&mut self, slot: &Arc<Slot>) -> bool {
        let may = match &self.lead {
            // A task that is here is sooner there than a thread that has to be woken.
            Lead::Free | Lead::OfferedToThread => true,
            Lead::Offered(chosen) => Arc::ptr_eq(chosen, slot),
            Lead::Held | Lead::Stalled => false,
        };
        if may && self.entries.is_empty() {
            self.lead = Lead::Free;
            return false;
        }
        if may {
            self.lead = Lead::Held;
        }
        may
    }

    /// Gives the lead, which the caller holds or was offered, to whoever waits first and may lead.
    pub(super) fn offer_lead(&mut self) -> Offer {
        if self.entries.is_empty() {
            self.lead = Lead::Free;
            return Offer::Nothing;
        }
        let waiter = self.entries.iter().find_map(|entry| {
            let waker = entry.slot.leader()?;
            Some((entry.slot.clone(), waker))
        });
        if let Some((slot, waker)) = waiter {
            self.lead = Lead::Offered(slot);
            Offer::Wake(waker)
        } else {
            self.lead = Lead::OfferedToThread;
            Offer::TellThread
        }
    }
}
