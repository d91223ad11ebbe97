//! A storage on disk: partition logs, a write-ahead log for all of them, a catalog, checkpoints.
//!
//! ```text
//!               create, alter, delete ─┐
//!  engine ──► committer ───────────────┼──► wal/ ── applied ──► topics/<id>/<partition>/
//!               trim ──────────────────┘      ▲                         │ synced
//!                                             └── recycled ◄── CHECKPOINT ◄┘
//! ```
//! - `layout.rs`: what is in the directory; `catalog.rs`: which topics there are; `checkpoint.rs`,
//!   `pending.rs`: the files of these names;
//! - `recovery.rs`, `replay.rs`: from what a crash left to logs that can be used; `verify.rs`: all of
//!   it, read;
//! - `registry.rs`, `topic.rs`, `partition.rs`: what is open; `checkpointer.rs`: what moves on.
//!
//! Invariants:
//! - A change of the catalog, and of a log's start, is durable in the write-ahead log before anybody
//!   sees it, and takes place in the order of that log.
//! - A file of the write-ahead log is recycled only when a checkpoint that lasts covers its frames.
//! - Nothing is removed that the catalog did not delete.

mod catalog;
mod checkpoint;
mod checkpointer;
mod layout;
mod options;
mod partition;
mod pending;
mod recovery;
mod registry;
mod replay;
#[cfg(test)]
mod tests;
mod topic;
mod verify;

use std::{fmt, path::Path, sync::Arc, thread::JoinHandle, time::Duration};

use async_trait::async_trait;
use ratatoskr_core::{
    broker::{Broker, BrokerBuilder},
    commit::{CommitError, Committer},
    config::Durability,
    name::TopicId,
    offset::{Offset, PartitionIndex},
    storage::{Capabilities, Storage, StorageError, StorageResult, Topic, TopicDescriptor},
    sync::Mutex,
};

pub use options::MmapOptions;
pub use recovery::{RecoveryReport, TornTail};

use self::{
    catalog::Change,
    checkpoint::Checkpoint,
    layout::{DirectoryId, Layout},
    registry::Registry,
    replay::Logs,
    topic::MmapTopic,
};
use crate::{
    SystemClock,
    io::{FileSystem, LockGuard, OsFileSystem},
    mmap::{Blocking, SharedCaches, Verify},
    wal::{Command, Wal, WalPoint},
};

/// Topics in a directory on disk.
///
/// One process at a time has a directory open. Dropping the storage ends its threads and gives the
/// directory back; [`close`](Self::close) does so after a last checkpoint, so that the next opening has
/// nothing to replay.
#[derive(Debug)]
pub struct MmapStorage {
    shared: Arc<Shared>,
    id: [u8; 16],
    report: RecoveryReport,
    threads: Mutex<Vec<JoinHandle<()>>>,
    lock: Mutex<Option<Box<dyn LockGuard>>>,
}

/// What handles of topics and partitions share with the storage.
#[derive(Debug)]
struct Shared {
    logs: Logs,
    registry: Arc<Registry>,
    wal: Wal,
    /// Held from before a change of the catalog is checked until it is decided.
    changing: Arc<tokio::sync::Mutex<()>>,
    /// The point of the last checkpoint. Held while one is written.
    covered: Mutex<WalPoint>,
    checkpoint_interval: Duration,
}

impl MmapStorage {
    /// Opens the data directory at `path`, which is made if it is not there, and brings it in order.
    ///
    /// # Errors
    /// [`StorageError::Locked`], [`StorageError::NewerFormat`], [`StorageError::Damaged`]; what the
    /// operating system says.
    ///
    /// # Cancel safety
    /// Once begun, the opening runs to its end; what it opened is then closed again.
    pub async fn open(path: impl AsRef<Path>, options: MmapOptions) -> StorageResult<Self> {
        let path = path.as_ref().to_owned();
        let blocking = blocking(&options);
        blocking
            .run(move || {
                create_with_parents(&path).map_err(|error| {
                    StorageError::io(format_args!("create {}", path.display()), error)
                })?;
                Self::open_on(Arc::new(OsFileSystem), &path, &options)
            })
            .await
    }

    /// As [`open`](Self::open), in a directory that is there, on any file system. Blocks.
    ///
    /// # Errors
    /// As `open`.
    pub fn open_on(
        fs: Arc<dyn FileSystem>,
        path: &Path,
        options: &MmapOptions,
    ) -> StorageResult<Self> {
        let checked = options.wal.check();
        checked.map_err(|error| StorageError::Unsupported(error.to_string()))?;
        let layout = Layout::new(fs, path);
        let lock = layout.lock()?;
        let directory = match layout.read_format()? {
            Some(directory) => directory,
            None => give_birth(&layout)?,
        };
        let mut logs = Logs {
            layout,
            caches: SharedCaches::with_blocking(options.caches, blocking(options)),
            seed: directory.seed(),
            // What is replayed is verified later, with the rest.
            verify: Verify::Tail,
        };
        let recovered = recovery::recover(&logs)?;
        let registry = Arc::new(Registry::new(recovered.catalog, &recovered.checkpoints)?);
        let wal = Wal::new(
            logs.layout.fs.clone(),
            &logs.layout.wal(),
            options.wal,
            logs.seed,
            recovered.point,
            registry.clone(),
        );
        wal.adopt(recovered.point.file)?;
        logs.layout.empty_trash()?;
        let wanted = Arc::downgrade(&registry);
        logs.caches.on_sync_wanted(move || {
            if let Some(registry) = wanted.upgrade() {
                registry.signal.want();
            }
        });
        logs.verify = options.verify;
        let shared = Arc::new(Shared {
            logs,
            registry,
            wal,
            changing: Arc::default(),
            covered: Mutex::new(recovered.point),
            checkpoint_interval: options.checkpoint_interval,
        });
        let mut report = recovered.report;
        if options.verify == Verify::All {
            verify::verify(&shared, &mut report)?;
        }
        let storage = Self {
            shared,
            id: directory.as_bytes(),
            report,
            threads: Mutex::default(),
            lock: Mutex::new(Some(lock)),
        };
        if options.threads {
            storage.spawn_threads()?;
        }
        Ok(storage)
    }

    fn spawn_threads(&self) -> StorageResult<()> {
        let failed = |error| StorageError::io("start a thread", error);
        let mut threads = self.threads.lock();
        threads.push(self.shared.wal.spawn_thread().map_err(failed)?);
        threads.push(checkpointer::spawn(self.shared.clone()).map_err(failed)?);
        Ok(())
    }

    /// What the directory was named at its birth: 16 random bytes that stay its own.
    pub const fn id(&self) -> [u8; 16] {
        self.id
    }

    /// The committer of topics whose durability is `fsync`.
    pub fn committer(&self) -> Arc<dyn Committer> {
        Arc::new(self.shared.wal.clone())
    }

    /// Begins to build a broker over this storage: with its committer, and the system's clock.
    pub fn broker(self: &Arc<Self>) -> BrokerBuilder {
        Broker::builder(self.clone(), Arc::new(SystemClock::default())).committer(self.committer())
    }

    /// What recovery found and did when this was opened.
    pub const fn recovery(&self) -> &RecoveryReport {
        &self.report
    }

    /// Why nothing is accepted any more, once a sync of the write-ahead log has failed.
    pub fn fenced(&self) -> Option<StorageError> {
        let refused = self.shared.wal.refused();
        refused.filter(|error| matches!(error, StorageError::Fenced { .. }))
    }

    /// Writes a checkpoint now, if there is anything new. Blocks.
    ///
    /// # Errors
    /// What keeps it from being written; the one before stays.
    pub fn checkpoint(&self) -> StorageResult<()> {
        checkpointer::run(&self.shared)
    }

    /// Commits one group of what was submitted, or writes the checkpoint that it has to wait for, in
    /// this thread: what the storage's threads do otherwise. Answers whether there was anything to do.
    /// Blocks.
    pub fn drive(&self) -> bool {
        if self.shared.wal.is_stalled() {
            // Where it fails, what waits for it fails too, and says so.
            let _ = self.checkpoint();
            return true;
        }
        self.shared.wal.lead_group()
    }

    /// Commits what was submitted, writes a last checkpoint and gives the directory back. Handles
    /// answer [`StorageError::Closed`] from then on. Closing twice is as once.
    ///
    /// # Errors
    /// What keeps the checkpoint from being written; the storage is closed all the same, and the next
    /// opening replays the write-ahead log.
    ///
    /// # Cancel safety
    /// Once begun, closing runs to its end.
    pub async fn close(self: &Arc<Self>) -> StorageResult<()> {
        let this = self.clone();
        self.shared
            .off_the_workers(move || this.close_blocking())
            .await
    }

    /// As [`close`](Self::close), on this thread. Blocks.
    ///
    /// # Errors
    /// As `close`.
    pub fn close_blocking(&self) -> StorageResult<()> {
        let Some(lock) = self.lock.lock().take() else {
            return Ok(());
        };
        self.end_threads();
        let written = match self.fenced() {
            Some(error) => Err(error),
            None => self.checkpoint(),
        };
        // What waited for room has it now, or never will; nothing may be written once the directory
        // is given back.
        self.shared.wal.close();
        self.shared.wal.release_failed(&StorageError::Closed);
        self.shared.registry.close();
        drop(lock);
        written
    }

    fn end_threads(&self) {
        self.shared.wal.close();
        self.shared.registry.signal.stop();
        for thread in self.threads.lock().drain(..) {
            // A thread that has panicked has said so.
            let _ = thread.join();
        }
    }
}

impl Drop for MmapStorage {
    fn drop(&mut self) {
        if self.lock.lock().is_some() {
            self.end_threads();
            self.shared.wal.release_failed(&StorageError::Closed);
            self.shared.registry.close();
        }
    }
}

/// Makes a directory and those above it that are missing; their names last on return.
fn create_with_parents(path: &Path) -> std::io::Result<()> {
    let missing: Vec<_> = path
        .ancestors()
        .take_while(|above| !above.as_os_str().is_empty() && !above.exists())
        .collect();
    std::fs::create_dir_all(path)?;
    for made in missing {
        let above = made.parent().filter(|above| !above.as_os_str().is_empty());
        OsFileSystem.sync_dir(above.unwrap_or(Path::new(".")))?;
    }
    Ok(())
}

/// Makes a new data directory: everything in it, then the file that says it is one.
fn give_birth(layout: &Layout) -> StorageResult<DirectoryId> {
    let id = DirectoryId::random();
    layout.create_directories()?;
    Checkpoint::empty().write(layout)?;
    layout.write_format(id)?;
    Ok(id)
}

/// Where a storage with these options waits for the disk.
const fn blocking(options: &MmapOptions) -> Blocking {
    if options.threads {
        Blocking::OffTheWorkers
    } else {
        Blocking::Here
    }
}

impl Shared {
    /// Does what waits for the disk where that may be.
    async fn off_the_workers<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> StorageResult<T> + Send + 'static,
    ) -> StorageResult<T> {
        self.logs.caches.blocking.run(work).await
    }

    /// Makes a change of the catalog durable, then carries it out. `changing` is given back when that
    /// is decided, whether or not anybody still waits for it.
    async fn change(
        self: &Arc<Self>,
        change: Change,
        changing: tokio::sync::OwnedMutexGuard<()>,
    ) -> StorageResult<()> {
        let shared = self.clone();
        let ticket = self.wal.command(Command {
            kind: change.kind(),
            topic: change.topic(),
            partition: PartitionIndex::new(0),
            base_offset: Offset::ZERO,
            payload: change.payload()?,
            decided: Box::new(move |outcome| {
                if outcome.is_ok() {
                    shared.carry_out(change);
                }
                drop(changing);
            }),
        })?;
        outcome_of(ticket.wait().await)
    }

    fn carry_out(&self, change: Change) {
        let deleted = match change {
            Change::Deleted(id) => Some(id),
            Change::Created(_) | Change::Updated(_) => None,
        };
        self.registry.apply(change);
        if let Some(id) = deleted {
            let layout = &self.logs.layout;
            let moved = layout.move_topic(&id.to_string(), &layout.trash());
            if let Err(error) = moved {
                // The next opening finds a directory that no topic has, and keeps it aside.
                tracing::warn!(topic = %id, %error, "the files of a deleted topic stay for now");
            }
        }
    }

    fn handle(self: &Arc<Self>, id: TopicId) -> StorageResult<Arc<dyn Topic>> {
        Ok(Arc::new(MmapTopic {
            shared: self.clone(),
            state: self.registry.topic(id)?,
        }))
    }
}

#[async_trait]
impl Storage for MmapStorage {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            durability_default: Durability::Fsync,
            fsync: true,
            persistent: true,
            compaction: true,
        }
    }

    async fn create_topic(&self, topic: &TopicDescriptor) -> StorageResult<Arc<dyn Topic>> {
        let changing = self.shared.changing.clone().lock_owned().await;
        let registry = &self.shared.registry;
        if let Some(there) = registry.descriptor(topic.id) {
            if there.name != topic.name {
                return Err(StorageError::TopicExists(there.name));
            }
            return self.shared.handle(topic.id);
        }
        if registry.id_of(&topic.name).is_some() {
            return Err(StorageError::TopicExists(topic.name.clone()));
        }
        self.shared
            .change(Change::Created(topic.clone()), changing)
            .await?;
        self.shared.handle(topic.id)
    }

    async fn open_topic(&self, id: TopicId) -> StorageResult<Arc<dyn Topic>> {
        self.shared.handle(id)
    }

    async fn update_topic(&self, topic: &TopicDescriptor) -> StorageResult<()> {
        let changing = self.shared.changing.clone().lock_owned().await;
        let there = self.shared.registry.descriptor(topic.id);
        let there = there.ok_or(StorageError::UnknownTopic(topic.id))?;
        if topic.partitions < there.partitions {
            return Err(StorageError::Unsupported(format!(
                "{} partitions where there are {}",
                topic.partitions, there.partitions
            )));
        }
        let mut topic = topic.clone();
        topic.name = there.name.clone();
        if topic == there {
            return Ok(());
        }
        if topic.config.durability != there.config.durability {
            let state = self.shared.registry.topic(topic.id)?;
            self.shared.off_the_workers(move || state.sync()).await?;
        }
        self.shared.change(Change::Updated(topic), changing).await
    }

    async fn delete_topic(&self, id: TopicId) -> StorageResult<()> {
        let changing = self.shared.changing.clone().lock_owned().await;
        if self.shared.registry.descriptor(id).is_none() {
            return Ok(());
        }
        self.shared.change(Change::Deleted(id), changing).await
    }

    async fn list_topics(&self) -> StorageResult<Vec<TopicDescriptor>> {
        Ok(self.shared.registry.descriptors())
    }
}

impl fmt::Display for RecoveryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} frames ({} bytes) of {} partitions replayed, {} partitions failed, {} directories orphaned",
            self.frames,
            self.bytes,
            self.partitions,
            self.failed.len(),
            self.orphaned.len(),
        )
    }
}

/// What a ticket's outcome is to somebody who asked for a change.
fn outcome_of(outcome: Result<(), CommitError>) -> StorageResult<()> {
    outcome.map_err(|error| match error {
        CommitError::Failed(error) | CommitError::Unknown(error) => error,
    })
}
