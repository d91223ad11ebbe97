//! A committer that commits when it is told to, and keeps the contract otherwise.

use std::{collections::VecDeque, sync::Arc};

use ratatoskr_core::{
    commit::{CommitError, Committer, Submission, Ticket},
    storage::StorageError,
    sync::Mutex,
};
use tokio::sync::oneshot;

type Answer = oneshot::Sender<Result<(), CommitError>>;

#[derive(Debug, Default)]
pub(crate) struct ManualCommitter {
    queue: Mutex<VecDeque<(Submission, Answer)>>,
    refusals: Mutex<VecDeque<StorageError>>,
}

impl ManualCommitter {
    /// How many batches wait to be committed.
    pub(crate) fn queued(&self) -> usize {
        self.queue.lock().len()
    }

    /// The next submission is refused.
    pub(crate) fn refuse(&self, error: StorageError) {
        self.refusals.lock().push_back(error);
    }

    /// Commits the oldest batch, if its sink still takes it.
    pub(crate) fn commit(self: &Arc<Self>) {
        let (submission, answer) = self.queue.lock().pop_front().expect("nothing is queued");
        let Submission { batch, sink, .. } = submission;
        let outcome = if sink.accepts() {
            sink.apply(&[batch]).map_err(CommitError::Unknown)
        } else {
            let error = CommitError::Failed(StorageError::Closed);
            sink.fail(batch, &error);
            Err(error)
        };
        let _ = answer.send(outcome);
    }

    /// Commits all that is queued.
    pub(crate) fn commit_all(self: &Arc<Self>) {
        while self.queued() > 0 {
            self.commit();
        }
    }

    /// Fails the newest batch, whose sink turns it away.
    pub(crate) fn turn_away_newest(&self) {
        let (submission, answer) = self.queue.lock().pop_back().expect("nothing is queued");
        assert!(!submission.sink.accepts(), "its sink would take it");
        let error = CommitError::Failed(StorageError::Closed);
        submission.sink.fail(submission.batch, &error);
        let _ = answer.send(Err(error));
    }

    /// Fails the oldest batch.
    pub(crate) fn fail(&self, error: CommitError) {
        let (submission, answer) = self.queue.lock().pop_front().expect("nothing is queued");
        submission.sink.fail(submission.batch, &error);
        let _ = answer.send(Err(error));
    }
}

impl Committer for ManualCommitter {
    fn submit(&self, submission: Submission) -> Result<Ticket, StorageError> {
        if let Some(error) = self.refusals.lock().pop_front() {
            return Err(error);
        }
        let (answer, outcome) = oneshot::channel();
        self.queue.lock().push_back((submission, answer));
        Ok(Ticket::pending(async move {
            outcome
                .await
                .unwrap_or(Err(CommitError::Unknown(StorageError::Closed)))
        }))
    }
}
