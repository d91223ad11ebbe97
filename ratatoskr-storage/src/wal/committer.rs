//! What the engine sees of the log: submit, and wait.
//!
//! The task that finds no group in progress leads the next one, blocking its thread for one write and
//! one sync; those that come meanwhile are the group after it. On a runtime of one thread, and where
//! nobody waits, the log's own thread leads.

use std::{
    fmt,
    future::Future,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use ratatoskr_core::{
    batch::RecordBatch,
    commit::{CommitError, Committer, Submission, Ticket},
    name::TopicId,
    offset::{Offset, PartitionIndex},
    storage::{IoKind, StorageError, StorageResult},
    sync::Mutex,
};
use tokio::runtime::{Handle, RuntimeFlavor};

use super::{
    WalFileId, WalOptions, WalPoint,
    file::{IdleFile, WalDirectory},
    group::{Group, Spare},
    queue::{Command, Entry, Lead, Offer, Queue, Slot, Work},
    thread::Signal,
    writer::{Room, Writer},
};

/// What the log asks of the partitions it writes for.
pub(crate) trait Partitions: Send + Sync + fmt::Debug {
    /// A partition that takes batches. Asked once a group; the answer is used for that group only.
    ///
    /// # Errors
    /// It takes none now; nothing is written for it.
    fn partition(
        &self,
        topic: TopicId,
        partition: PartitionIndex,
    ) -> StorageResult<Arc<dyn WalPartition>>;

    /// A batch that is durable could not be applied. It must be kept until the partition is opened
    /// again, and nothing may be appended before it.
    fn apply_failed(
        &self,
        topic: TopicId,
        partition: PartitionIndex,
        batch: &RecordBatch,
        error: &StorageError,
    );

    /// So much has been written that a checkpoint is due, or all room is taken by frames that none
    /// covers: one is wanted, and [`Wal::release`] or [`Wal::release_failed`] after it.
    fn checkpoint_wanted(&self);
}

/// What the log asks of one of them.
pub(crate) trait WalPartition: Send + Sync {
    /// The log end, where the next batch must begin. All groups before this one are applied.
    ///
    /// # Errors
    /// The partition takes no batches now; nothing is written for it.
    fn log_end(&self) -> StorageResult<Offset>;

    /// Promises that the next `bytes` bytes of batches will not lack room. Asked once a group.
    ///
    /// # Errors
    /// There is no room; nothing is written for it.
    fn reserve(&self, bytes: u64) -> StorageResult<()>;

    /// The partition's batches from `from` to `end` are durable in the log (and are applied next).
    fn durable(&self, from: Offset, end: Offset);
}

/// The write-ahead log. Clones are handles to the same log.
#[derive(Clone, Debug)]
pub(crate) struct Wal {
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    queue: Mutex<Queue>,
    /// Locked by whoever leads, and in between by checkpoints.
    writer: Mutex<Writer>,
    partitions: Arc<dyn Partitions>,
    options: WalOptions,
    pub(super) signal: Signal,
    directory: WalDirectory,
    /// Set once blocking in a task has turned out not to be allowed here (a `LocalSet`).
    tasks_never_lead: AtomicBool,
}

impl Wal {
    /// Continues the log in `path` at `point`, which is after everything that recovery found and in
    /// a file that is not there yet. Files before it are not touched until
    /// [`adopt`](Self::adopt) takes them over.
    ///
    /// Without [`spawn_thread`](Self::spawn_thread) only tasks on runtimes of several threads lead,
    /// and whoever calls [`lead_group`](Self::lead_group).
    pub(crate) fn new(
        fs: Arc<dyn crate::io::FileSystem>,
        path: &std::path::Path,
        options: WalOptions,
        seed: u32,
        point: WalPoint,
        partitions: Arc<dyn Partitions>,
    ) -> Self {
        let directory = WalDirectory::new(fs, path);
        let writer = Writer::new(directory.clone(), options, seed, point.lsn, point.file);
        Self {
            shared: Arc::new(Shared {
                queue: Mutex::new(Queue::new()),
                writer: Mutex::new(writer),
                partitions,
                options,
                signal: Signal::default(),
                directory,
                tasks_never_lead: AtomicBool::new(false),
            }),
        }
    }

    /// Starts the thread that leads where no task can, and makes files ahead of time. It ends when
    /// the log is closed.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub(crate) fn spawn_thread(&self) -> std::io::Result<std::thread::JoinHandle<()>> {
        super::thread::spawn(self.shared.clone())
    }

    /// Queues a change that is not a batch. The ticket is settled after
    /// [`Command::decided`] has been called.
    ///
    /// # Errors
    /// As [`Committer::submit`]; the command is not called back.
    pub(crate) fn command(&self, command: Command) -> StorageResult<Ticket> {
        self.shared.push(Work::Command(command))
    }

    /// Where the next group will begin: everything before it has been applied. Waits for the group
    /// in progress.
    pub(crate) fn point(&self) -> WalPoint {
        self.shared.writer.lock().point()
    }

    /// A checkpoint covers everything before `point`: older files are recycled or removed, and work
    /// that waited for room goes on.
    ///
    /// # Errors
    /// Where a file cannot be removed; the log goes on all the same.
    pub(crate) fn release(&self, point: WalPoint) -> StorageResult<()> {
        let unneeded = self.shared.writer.lock().release(point.file);
        self.shared.resume();
        let removed = unneeded.into_iter();
        let removed = removed.map(|id| self.shared.directory.remove(id));
        removed.collect()
    }

    /// Takes over the files before `before` that an earlier process left: they are recycled or
    /// removed.
    ///
    /// # Errors
    /// Where one cannot be opened or removed.
    pub(crate) fn adopt(&self, before: WalFileId) -> StorageResult<()> {
        let mut found = Vec::new();
        for id in self.shared.directory.list()? {
            if id < before {
                let file = self.shared.directory.open(id, crate::io::OpenMode::Read)?;
                let bytes = file.bytes;
                found.push(IdleFile { id, bytes });
            }
        }
        let unneeded = self.shared.writer.lock().keep_free(found);
        let removed = unneeded.into_iter();
        let removed = removed.map(|id| self.shared.directory.remove(id));
        removed.collect()
    }

    /// A checkpoint that was to make room has failed: what waits for it fails, surely unwritten.
    pub(crate) fn release_failed(&self, error: &StorageError) {
        let waiting = {
            let mut queue = self.shared.queue.lock();
            if !matches!(queue.lead, Lead::Stalled) {
                return;
            }
            // Nobody leads until all of them have failed: what is submitted meanwhile on top of them
            // must not be decided before them.
            queue.lead = Lead::Held;
            queue.take_all()
        };
        let _pass_on = PassOn::new(&self.shared);
        Group::new(waiting).settle(&CommitError::Failed(error.clone()));
    }

    /// Whether work waits for a checkpoint to make room.
    pub(crate) fn is_stalled(&self) -> bool {
        matches!(self.shared.queue.lock().lead, Lead::Stalled)
    }

    /// Why nothing is taken any more, if so.
    pub(crate) fn refused(&self) -> Option<StorageError> {
        self.shared.queue.lock().refused.clone()
    }

    /// Leads one group in the calling thread, unless somebody leads already or nothing waits.
    /// Answers whether a group was taken.
    pub(crate) fn lead_group(&self) -> bool {
        self.shared.lead_in_thread()
    }

    /// Writes what is queued, then takes nothing more: later submissions answer
    /// [`StorageError::Closed`]. Ends the log's thread. What waits for room stays queued until
    /// [`release`](Self::release) or [`release_failed`](Self::release_failed); closing again writes it.
    pub(crate) fn close(&self) {
        {
            let mut queue = self.shared.queue.lock();
            queue.refused.get_or_insert(StorageError::Closed);
        }
        while self.shared.has_work() {
            if !self.shared.lead_in_thread() {
                // Somebody leads a group: wait until it is done.
                drop(self.shared.writer.lock());
                std::thread::yield_now();
            }
        }
        self.shared.signal.stop();
    }
}

impl Committer for Wal {
    fn submit(&self, submission: Submission) -> Result<Ticket, StorageError> {
        self.shared.push(Work::Batch(submission))
    }
}

impl Shared {
    fn push(self: &Arc<Self>, work: Work) -> StorageResult<Ticket> {
        let slot = Arc::new(Slot::default());
        {
            let mut queue = self.queue.lock();
            if let Some(error) = &queue.refused {
                return Err(error.clone());
            }
            let bytes = queue.bytes + work.frame_bytes();
            if bytes > self.options.queue_bytes_max && !queue.entries.is_empty() {
                return Err(StorageError::Io {
                    kind: IoKind::Unavailable,
                    operation: "queue for the write-ahead log".into(),
                    source: Arc::new(std::io::Error::other("queue_bytes_max is reached")),
                });
            }
            queue.push(Entry {
                work,
                slot: slot.clone(),
                place: 0,
            });
        }
        self.signal.keep_watch();
        Ok(Ticket::pending(Wait {
            shared: self.clone(),
            slot,
            is_decided: false,
        }))
    }

    /// Sees one group through, by whoever holds the lead, and passes the lead on.
    fn lead(&self) {
        let mut pass_on = PassOn::new(self);
        let mut writer = self.writer.lock();
        let (taken, places) = {
            let mut queue = self.queue.lock();
            if queue.entries.is_empty()
                || matches!(queue.refused, Some(StorageError::Fenced { .. }))
            {
                return;
            }
            let places = mem::take(&mut queue.spare.places);
            (queue.take_group(self.group_bytes_max()), places)
        };
        let mut group = Group::with(taken, places);
        match writer.make_room(group.bytes()) {
            Ok(Room::Ready) => {}
            Ok(Room::AfterCheckpoint) => {
                let mut queue = self.queue.lock();
                queue.put_back(group.into_entries());
                queue.lead = Lead::Stalled;
                drop(queue);
                self.partitions.checkpoint_wanted();
                return;
            }
            Err(error) => return group.settle(&CommitError::Failed(error)),
        }
        group.admit(&*self.partitions);
        if group.is_empty() {
            return;
        }
        let guard = FenceOnUnwind(Some(self));
        let written = writer.write_group(&group.frames());
        guard.disarm();
        match written {
            Ok(()) => {
                // Checkpoints read the point under the writer's lock and must find all before it
                // applied, so the lock is kept until then.
                pass_on.spare = group.apply(&*self.partitions);
                let due = writer.checkpoint_is_due();
                drop(writer);
                if due {
                    self.partitions.checkpoint_wanted();
                }
            }
            Err(error) => {
                let fenced = self.fence(&error.to_string());
                group.settle(&CommitError::Unknown(fenced));
            }
        }
    }

    /// Groups stay well below a file's size, so that little of a file is left unused.
    fn group_bytes_max(&self) -> u64 {
        let quarter = self.options.file_bytes / 4;
        self.options.group_bytes_max.min(quarter)
    }

    /// Refuses everything from now on.
    fn fence(&self, reason: &str) -> StorageError {
        let error = StorageError::Fenced {
            reason: reason.into(),
        };
        tracing::error!(
            reason,
            "the write-ahead log is fenced: nothing more is accepted"
        );
        let mut queue = self.queue.lock();
        queue.refused = Some(error.clone());
        error
    }

    pub(super) fn lead_in_thread(&self) -> bool {
        {
            let mut queue = self.queue.lock();
            match queue.lead {
                Lead::Free | Lead::OfferedToThread | Lead::Offered(_)
                    if !queue.entries.is_empty() =>
                {
                    queue.lead = Lead::Held;
                }
                _ => return false,
            }
        }
        self.lead();
        true
    }

    /// Whether anything is still to be written, and not held up for want of room.
    fn has_work(&self) -> bool {
        let queue = self.queue.lock();
        match queue.lead {
            Lead::Held => true,
            Lead::Stalled => false,
            _ => !queue.entries.is_empty(),
        }
    }

    /// Leads if the lead was given to the thread; answers whether it was.
    pub(super) fn lead_if_told(&self) -> bool {
        let told = matches!(self.queue.lock().lead, Lead::OfferedToThread);
        told && self.lead_in_thread()
    }

    /// How many groups there were, and whether work waits that nobody leads.
    pub(super) fn idle_work(&self) -> (u64, bool) {
        let queue = self.queue.lock();
        let nobody = !matches!(queue.lead, Lead::Held | Lead::Stalled);
        (queue.groups, nobody && !queue.entries.is_empty())
    }

    /// Makes a file ahead of time if the log will soon want one.
    pub(super) fn prepare_file(&self) {
        let plan = self.writer.lock().plan_ahead();
        let Some((id, bytes)) = plan else { return };
        match self.directory.create(id, bytes, true) {
            Ok(made) => {
                let idle = IdleFile {
                    id: made.id,
                    bytes: made.bytes,
                };
                for id in self.writer.lock().keep_free(vec![idle]) {
                    let _ = self.directory.remove(id);
                }
            }
            Err(error) => tracing::warn!(%error, "no write-ahead log file could be made ahead"),
        }
    }

    fn resume(&self) {
        let offer = {
            let mut queue = self.queue.lock();
            if !matches!(queue.lead, Lead::Stalled) {
                return;
            }
            queue.offer_lead()
        };
        self.carry_out(offer);
    }

    fn carry_out(&self, offer: Offer) {
        match offer {
            Offer::Nothing => {}
            Offer::Wake(waker) => {
                waker.wake();
                // Should that task be busy elsewhere, the thread is to notice.
                self.signal.keep_watch();
            }
            Offer::TellThread => self.signal.want_leader(),
        }
    }

    fn tasks_may_lead(&self) -> bool {
        !self.tasks_never_lead.load(Ordering::Relaxed)
            && Handle::try_current()
                .is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread)
    }

    /// Leads from within a task of a runtime of several threads.
    fn lead_in_task(&self) {
        let mut started = false;
        let led = catch_unwind(AssertUnwindSafe(|| {
            tokio::task::block_in_place(|| {
                started = true;
                self.lead();
            });
        }));
        if led.is_err() && !started {
            // A `LocalSet` forbids it even there, and there is no way to ask beforehand.
            self.tasks_never_lead.store(true, Ordering::Relaxed);
            let offer = self.queue.lock().offer_lead();
            self.carry_out(offer);
        }
    }
}

/// Gives the lead away when a group is done, however it ended.
struct PassOn<'a> {
    shared: &'a Shared,
    /// What the group leaves to the next one.
    spare: Spare,
}

impl<'a> PassOn<'a> {
    fn new(shared: &'a Shared) -> Self {
        Self {
            shared,
            spare: Spare::default(),
        }
    }
}

impl Drop for PassOn<'_> {
    fn drop(&mut self) {
        let mut queue = self.shared.queue.lock();
        queue.spare = mem::take(&mut self.spare);
        if matches!(queue.lead, Lead::Stalled) {
            return;
        }
        if let Some(error @ StorageError::Fenced { .. }) = queue.refused.clone() {
            queue.lead = Lead::Free;
            let waiting = queue.take_all();
            drop(queue);
            Group::new(waiting).settle(&CommitError::Unknown(error));
            return;
        }
        let offer = queue.offer_lead();
        drop(queue);
        self.shared.carry_out(offer);
    }
}

/// A panic while a group is written leaves nobody knowing what is in the file.
struct FenceOnUnwind<'a>(Option<&'a Shared>);

impl FenceOnUnwind<'_> {
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for FenceOnUnwind<'_> {
    fn drop(&mut self) {
        if let Some(shared) = self.0 {
            shared.fence("writing a group panicked");
        }
    }
}

/// Waits for one entry's outcome, and leads where that is its turn.
struct Wait {
    shared: Arc<Shared>,
    slot: Arc<Slot>,
    is_decided: bool,
}

impl Future for Wait {
    type Output = Result<(), CommitError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let may_lead = self.shared.tasks_may_lead();
            if let Poll::Ready(outcome) = self.slot.poll(cx, may_lead) {
                self.is_decided = true;
                return Poll::Ready(outcome);
            }
            let mut queue = self.shared.queue.lock();
            if may_lead {
                if !queue.take_lead(&self.slot) {
                    return Poll::Pending;
                }
                drop(queue);
                self.shared.lead_in_task();
            } else {
                if matches!(queue.lead, Lead::Free) && !queue.entries.is_empty() {
                    queue.lead = Lead::OfferedToThread;
                    drop(queue);
                    self.shared.signal.want_leader();
                }
                return Poll::Pending;
            }
        }
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        if self.is_decided {
            // It has left the queue, and so the lead is not offered to it.
            return;
        }
        self.slot.abandon();
        let offer = {
            let mut queue = self.shared.queue.lock();
            match &queue.lead {
                Lead::Offered(chosen) if Arc::ptr_eq(chosen, &self.slot) => queue.offer_lead(),
                Lead::Free if !queue.entries.is_empty() => queue.offer_lead(),
                _ => return,
            }
        };
        self.shared.carry_out(offer);
    }
}
