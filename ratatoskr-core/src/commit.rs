//! Who decides order and durability: the committer.
//!
//! The engine assigns offsets and **submits** a batch while it holds the partition's lock, so the
//! order of submission is the order of offsets. The committer makes it last, then hands it back to
//! its [`CommitSink`], which appends it to the partition and wakes readers. Submitting never waits;
//! waiting is the [`Ticket`]'s.
//!
//! Without a committer the engine appends at once (`os`, `interval`, `memory`), or appends and
//! flushes before it lets readers see (`fsync` on a backend that has no write-ahead log).

use std::{fmt, future::Future, pin::Pin, sync::Arc};

use crate::{
    batch::RecordBatch,
    name::TopicId,
    offset::PartitionIndex,
    storage::{StorageError, StorageResult},
    time::Timestamp,
};

/// Makes batches durable in the order they are submitted.
pub trait Committer: Send + Sync + fmt::Debug {
    /// Queues a batch. Does not wait. The caller holds the partition's lock, so the sink is never
    /// called from within this call.
    ///
    /// # Errors
    /// The batch was surely not, and never will be, committed: the sink is not called.
    fn submit(&self, submission: Submission) -> Result<Ticket, StorageError>;
}

/// A batch on its way to the log.
#[derive(Debug)]
pub struct Submission {
    /// The topic's id.
    pub topic: TopicId,
    /// The partition.
    pub partition: PartitionIndex,
    /// The batch, with base offset and leader epoch assigned.
    pub batch: RecordBatch,
    /// When the engine took it, by its own clock.
    pub append_time: Timestamp,
    /// Who takes it when it is committed.
    pub sink: Arc<dyn CommitSink>,
}

/// Takes batches whose fate is decided. For each submission exactly one of the two is called, in
/// the order of submission, from whichever thread commits; neither may wait. Batches that follow one
/// another and were submitted with the same sink may be applied together. Only a batch that its sink
/// turns away may be failed while those before it are still being written.
pub trait CommitSink: Send + Sync + fmt::Debug {
    /// Whether batches submitted with this sink may still be committed. The committer asks right
    /// before it writes a batch's frame, after every outcome of earlier batches was handed out; on
    /// `false`, which is final, it does not write it and answers [`CommitError::Failed`].
    ///
    /// Offsets are assigned when a batch is submitted, so once one batch of a partition has failed,
    /// those submitted behind it would leave a gap in the log. The engine then submits with a new
    /// sink, and this answer keeps the old ones out.
    fn accepts(&self) -> bool;

    /// These batches, at least one, are durable. Append them to the partition and let readers see
    /// them.
    ///
    /// # Errors
    /// They are durable but could not be applied; the committer keeps all of them for the partition's
    /// reopening, and their tickets end [`CommitError::Unknown`].
    fn apply(&self, batches: &[RecordBatch]) -> StorageResult<()>;

    /// The batch was not committed, or nobody knows.
    fn fail(&self, batch: RecordBatch, error: &CommitError);
}

/// How a commit ended when it did not end well.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CommitError {
    /// Surely not appended; safe to send again.
    #[error("not committed: {0}")]
    Failed(#[source] StorageError),
    /// Appended or not, nobody knows; only an idempotent producer may send again blindly.
    #[error("outcome unknown: {0}")]
    Unknown(#[source] StorageError),
}

/// The fate of a submitted batch, to be waited for.
///
/// Dropping a ticket abandons the wait, not the batch.
pub struct Ticket(State);

enum State {
    Ready(Result<(), CommitError>),
    Pending(Pin<Box<dyn Future<Output = Result<(), CommitError>> + Send>>),
}

impl Ticket {
    /// A ticket whose outcome is known.
    pub const fn ready(outcome: Result<(), CommitError>) -> Self {
        Self(State::Ready(outcome))
    }

    /// A ticket that `outcome` will settle. Dropping the future must not lose the batch.
    pub fn pending(
        outcome: impl Future<Output = Result<(), CommitError>> + Send + 'static,
    ) -> Self {
        Self(State::Pending(Box::pin(outcome)))
    }

    /// Whether [`wait`](Self::wait) answers at once.
    pub const fn is_ready(&self) -> bool {
        matches!(self.0, State::Ready(_))
    }

    /// Waits until the batch is committed at its topic's durability and can be read.
    ///
    /// # Errors
    /// [`CommitError::Failed`] or [`CommitError::Unknown`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves the batch on its way.
    pub async fn wait(self) -> Result<(), CommitError> {
        match self.0 {
            State::Ready(outcome) => outcome,
            State::Pending(outcome) => outcome.await,
        }
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket")
            .field("ready", &self.is_ready())
            .finish_non_exhaustive()
    }
}
