//! A file system in memory that can crash, for tests.
//!
//! It keeps what was synced apart from what was not. [`SimFileSystem::crash`] answers with a new file
//! system, as a machine might find it after a power cut:
//! - **Contents.** Writes are split into sectors (512 bytes unless told otherwise). Of each sector,
//!   any version since the last sync of its file persists, independently of all others; what was
//!   never written reads as zeros.
//! - **Sizes**, and the space allocated with them: any since the last sync of the file.
//! - **Names**: any subset of the creations, renamings and removals whose directory was not synced
//!   since. Each is atomic, and those of the same name or file persist in order. A file that was
//!   synced is lost all the same if its name was not, or that of its directory.
//! - **A failed sync** leaves it open for good what of its changes is on the disk, even if a later
//!   sync succeeds, as long as they are not written again.
//!
//! Readers see all that was done, synced or not. Calls can be counted, watched and made to fail
//! ([`Fault`]); capacity can be limited.
//!
//! A map is a copy. By the contract of [`File::map`] nobody changes a mapped file, so that is no
//! difference; here, changing one fails.

mod contents;
mod crash;
mod operation;
mod tree;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use ratatoskr_core::sync::Mutex;

use super::{DirEntry, File, FileSystem, LockGuard, OpenMode};
use crash::Choices;
use operation::Watch;
use tree::{FileNode, NodeId, Tree};

pub use crash::Persist;
pub use operation::{Fault, Operation, OperationKind};

/// Bytes of a sector unless told otherwise.
const SECTOR_BYTES: u64 = 512;

/// See the [module](self). Clones are the same file system.
#[derive(Clone, Debug)]
pub struct SimFileSystem {
    machine: Arc<Machine>,
}

#[derive(Debug)]
struct Machine {
    disk: Mutex<Disk>,
    /// Apart from the disk, so that who watches may look at the disk.
    watch: Mutex<Watch>,
}

#[derive(Debug)]
struct Disk {
    tree: Tree,
    sector_bytes: u64,
    capacity: Option<u64>,
    operations: u64,
    changes: u64,
    locked: Vec<NodeId>,
    reads_wait: bool,
    stopped: bool,
}

impl SimFileSystem {
    /// An empty file system with a root directory.
    pub fn new() -> Self {
        Self::with_sector_bytes(SECTOR_BYTES)
    }

    /// The same, with sectors of this many bytes.
    ///
    /// # Panics
    /// For zero.
    pub fn with_sector_bytes(sector_bytes: u64) -> Self {
        assert!(sector_bytes > 0, "a sector holds something");
        Self::on(Disk {
            tree: Tree::new(),
            sector_bytes,
            capacity: None,
            operations: 0,
            changes: 0,
            locked: Vec::new(),
            reads_wait: false,
            stopped: false,
        })
    }

    fn on(disk: Disk) -> Self {
        Self {
            machine: Arc::new(Machine {
                disk: Mutex::new(disk),
                watch: Mutex::default(),
            }),
        }
    }

    /// What a crash now leaves behind, chosen by `seed`. This file system stays as it is, so that one
    /// moment can be crashed in many ways; the new one has no locks, faults or watchers.
    #[must_use]
    pub fn crash(&self, seed: u64) -> Self {
        self.crash_to(None, seed)
    }

    /// The same, with only the details left to `seed`.
    #[must_use]
    pub fn crash_with(&self, persist: Persist, seed: u64) -> Self {
        self.crash_to(Some(persist), seed)
    }

    fn crash_to(&self, persist: Option<Persist>, seed: u64) -> Self {
        let disk = self.machine.disk.lock();
        let mut choices = Choices::new(seed, persist, disk.tree.unsynced(), disk.changes);
        Self::on(Disk {
            tree: disk.tree.crash(&mut choices),
            sector_bytes: disk.sector_bytes,
            capacity: disk.capacity,
            operations: 0,
            changes: 0,
            locked: Vec::new(),
            reads_wait: disk.reads_wait,
            stopped: false,
        })
    }

    /// How many things (names, sizes, sectors) have changed since they were synced.
    pub fn unsynced(&self) -> usize {
        self.machine.disk.lock().tree.unsynced()
    }

    /// Calls so far.
    pub fn operations(&self) -> u64 {
        self.machine.disk.lock().operations
    }

    /// Calls so far that change or sync something.
    pub fn changes(&self) -> u64 {
        self.machine.disk.lock().changes
    }

    /// Makes the first call for which `when` holds go wrong, once. The condition must not call the
    /// file system.
    pub fn inject(&self, when: impl FnMut(&Operation) -> bool + Send + 'static, fault: Fault) {
        self.machine.watch.lock().inject(Box::new(when), fault);
    }

    /// Stops the machine before change number `change`, counted from 0: that call and all after it
    /// fail. Crash it then.
    pub fn stop_before(&self, change: u64) {
        let is_due =
            move |operation: &Operation| operation.kind.is_change() && operation.change == change;
        self.inject(is_due, Fault::Stop);
    }

    /// Whether the machine has stopped.
    pub fn is_stopped(&self) -> bool {
        self.machine.disk.lock().stopped
    }

    /// Tells `observer` of each call before it is done. It may [`crash`](Self::crash) the file
    /// system, but not call it.
    pub fn observe(&self, observer: impl FnMut(&Operation) + Send + 'static) {
        self.machine.watch.lock().observe(Box::new(observer));
    }

    /// Limits the bytes that all files take, in whole sectors; `None` lifts the limit.
    pub fn set_capacity(&self, capacity: Option<u64>) {
        self.machine.disk.lock().capacity = capacity;
    }

    /// Bytes that all files take now.
    pub fn space_bytes(&self) -> u64 {
        self.machine.disk.lock().tree.space_bytes()
    }

    /// Whether [`File::try_read_exact_at`] answers that it would have to wait.
    pub fn set_reads_wait(&self, reads_wait: bool) {
        self.machine.disk.lock().reads_wait = reads_wait;
    }

    /// Changes a stored byte as rot would: it is on the disk, and no call has done it.
    ///
    /// # Errors
    /// `NotFound`; `UnexpectedEof` beyond the file's end.
    pub fn rot(&self, path: &Path, position: u64, mask: u8) -> io::Result<()> {
        let mut disk = self.machine.disk.lock();
        let id = disk.tree.resolve(path)?;
        let contents = &mut disk.tree.file(id)?.contents;
        if position >= contents.size() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        contents.rot(position, mask);
        Ok(())
    }
}

impl Default for SimFileSystem {
    fn default() -> Self {
        Self::new()
    }
}

impl Machine {
    /// Counts a call and lets the faults at it. `Ok` with a fault is for the caller to carry out.
    fn begin(&self, kind: OperationKind, path: &Path) -> io::Result<Option<Fault>> {
        let operation = {
            let mut disk = self.disk.lock();
            disk.check_running()?;
            let operation = Operation {
                number: disk.operations,
                change: disk.changes,
                kind,
                path: path.to_owned(),
            };
            disk.operations += 1;
            disk.changes += u64::from(kind.is_change());
            operation
        };
        let fault = self.watch.lock().fault_of(&operation);
        match fault {
            Some(Fault::Stop) => {
                let mut disk = self.disk.lock();
                disk.stopped = true;
                disk.check_running().map(|()| None)
            }
            Some(Fault::Error(error)) if !kind.is_sync() => Err(error.into()),
            Some(Fault::ShortWrite(_)) if kind != OperationKind::Write => {
                Err(io::ErrorKind::StorageFull.into())
            }
            fault => Ok(fault),
        }
    }

    /// A call that only answers or fails.
    fn perform<T>(
        &self,
        kind: OperationKind,
        path: &Path,
        act: impl FnOnce(&mut Disk) -> io::Result<T>,
    ) -> io::Result<T> {
        self.begin(kind, path)?;
        act(&mut self.disk.lock())
    }
}

impl Disk {
    fn check_running(&self) -> io::Result<()> {
        if self.stopped {
            return Err(io::Error::other("the simulated machine has stopped"));
        }
        Ok(())
    }

    /// The number of the change that is being made.
    const fn now(&self) -> u64 {
        self.changes
    }

    fn room(&self) -> u64 {
        self.capacity.map_or(u64::MAX, |capacity| {
            capacity.saturating_sub(self.tree.space_bytes())
        })
    }

    /// A file that may be changed.
    fn writable(&mut self, id: NodeId) -> io::Result<&mut FileNode> {
        let file = self.tree.file(id)?;
        if file.mapped {
            return Err(io::Error::other("a mapped file must not be changed"));
        }
        Ok(file)
    }
}

impl FileSystem for SimFileSystem {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let kind = match mode {
            OpenMode::CreateNew => OperationKind::CreateNew,
            OpenMode::Read | OpenMode::Write => OperationKind::Open,
        };
        self.machine.perform(kind, path, |disk| {
            let (now, sector_bytes) = (disk.now(), disk.sector_bytes);
            let id = match mode {
                OpenMode::CreateNew => disk.tree.create_file(path, sector_bytes, now)?,
                OpenMode::Read | OpenMode::Write => disk.tree.resolve(path)?,
            };
            disk.tree.file(id)?.opened += 1;
            Ok(Arc::new(SimFile {
                machine: Arc::clone(&self.machine),
                id,
                path: path.to_owned(),
                writes: mode != OpenMode::Read,
            }) as Arc<dyn File>)
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.machine.perform(OperationKind::Rename, from, |disk| {
            let now = disk.now();
            disk.tree.rename(from, to, now)
        })
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.machine
            .perform(OperationKind::RemoveFile, path, |disk| {
                let now = disk.now();
                disk.tree.remove_file(path, now)
            })
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.machine
            .perform(OperationKind::CreateDir, path, |disk| {
                let now = disk.now();
                disk.tree.create_dir(path, now)
            })
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.machine
            .perform(OperationKind::RemoveDir, path, |disk| {
                let now = disk.now();
                disk.tree.remove_dir(path, now)
            })
    }

    fn list_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let list = |disk: &mut Disk| disk.tree.list(path);
        self.machine.perform(OperationKind::ListDir, path, list)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let fault = self.machine.begin(OperationKind::SyncDir, path)?;
        let tree = &mut self.machine.disk.lock().tree;
        match fault {
            Some(Fault::Error(error)) => {
                tree.fail_sync_dir(path)?;
                Err(error.into())
            }
            Some(Fault::Lost) => tree.resolve(path).map(drop),
            _ => tree.sync_dir(path),
        }
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>> {
        self.machine.perform(OperationKind::Lock, path, |disk| {
            let (now, sector_bytes) = (disk.now(), disk.sector_bytes);
            let id = match disk.tree.resolve(path) {
                Ok(id) => id,
                Err(_) => disk.tree.create_file(path, sector_bytes, now)?,
            };
            if disk.locked.contains(&id) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            disk.locked.push(id);
            let machine = Arc::clone(&self.machine);
            Ok(Box::new(SimLock { machine, id }) as Box<dyn LockGuard>)
        })
    }
}

#[derive(Debug)]
struct SimLock {
    machine: Arc<Machine>,
    id: NodeId,
}

impl LockGuard for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut disk = self.machine.disk.lock();
        disk.locked.retain(|&id| id != self.id);
    }
}

#[derive(Debug)]
struct SimFile {
    machine: Arc<Machine>,
    id: NodeId,
    path: PathBuf,
    writes: bool,
}

impl SimFile {
    fn read(&self, buffer: &mut [u8], position: u64, may_wait: bool) -> io::Result<bool> {
        let fault = self.machine.begin(OperationKind::Read, &self.path)?;
        let mut disk = self.machine.disk.lock();
        if disk.reads_wait && !may_wait {
            return Ok(false);
        }
        disk.tree.file(self.id)?.contents.read(buffer, position)?;
        if let Some(Fault::FlipBit(bit)) = fault
            && let Some(byte) = buffer.get_mut(bit / 8)
        {
            *byte ^= 1 << (bit % 8);
        }
        Ok(true)
    }

    fn check_writes(&self) -> io::Result<()> {
        if self.writes {
            Ok(())
        } else {
            Err(io::ErrorKind::PermissionDenied.into())
        }
    }
}

impl File for SimFile {
    fn size(&self) -> io::Result<u64> {
        let size = |disk: &mut Disk| Ok(disk.tree.file(self.id)?.contents.size());
        self.machine.perform(OperationKind::Size, &self.path, size)
    }

    fn read_exact_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()> {
        self.read(buffer, position, true).map(drop)
    }

    fn try_read_exact_at(&self, buffer: &mut [u8], position: u64) -> io::Result<bool> {
        self.read(buffer, position, false)
    }

    /// Tells no holes apart, so that readers look at every byte.
    fn next_data(&self, position: u64) -> io::Result<u64> {
        Ok(position)
    }

    fn write_all_at(&self, parts: &[&[u8]], position: u64) -> io::Result<()> {
        let fault = self.machine.begin(OperationKind::Write, &self.path)?;
        self.check_writes()?;
        let mut disk = self.machine.disk.lock();
        let (now, room) = (disk.now(), disk.room());
        let contents = &mut disk.writable(self.id)?.contents;
        let mut bytes = parts.concat();
        match fault {
            Some(Fault::Lost) => Ok(()),
            Some(Fault::ShortWrite(written)) => {
                bytes.truncate(written);
                contents.write(&bytes, position, now, room)?;
                Err(io::ErrorKind::StorageFull.into())
            }
            _ => contents.write(&bytes, position, now, room),
        }
    }

    fn allocate(&self, size: u64) -> io::Result<()> {
        let allocate = |disk: &mut Disk| {
            self.check_writes()?;
            let (now, room) = (disk.now(), disk.room());
            disk.writable(self.id)?.contents.allocate(size, now, room)
        };
        let kind = OperationKind::Allocate;
        self.machine.perform(kind, &self.path, allocate)
    }

    fn set_len(&self, size: u64) -> io::Result<()> {
        let set_size = |disk: &mut Disk| {
            self.check_writes()?;
            let now = disk.now();
            disk.writable(self.id)?.contents.set_size(size, now);
            Ok(())
        };
        let kind = OperationKind::SetLen;
        self.machine.perform(kind, &self.path, set_size)
    }

    fn sync_data(&self) -> io::Result<()> {
        let fault = self.machine.begin(OperationKind::SyncData, &self.path)?;
        let mut disk = self.machine.disk.lock();
        let contents = &mut disk.tree.file(self.id)?.contents;
        match fault {
            Some(Fault::Error(error)) => {
                contents.fail_sync();
                Err(error.into())
            }
            Some(Fault::Lost) => Ok(()),
            _ => {
                contents.sync();
                Ok(())
            }
        }
    }

    fn map(&self, size: u64) -> io::Result<Bytes> {
        let map = |disk: &mut Disk| {
            let file = disk.tree.file(self.id)?;
            if size > file.contents.size() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let mut copy = vec![0; usize::try_from(size).map_err(io::Error::other)?];
            file.contents.read(&mut copy, 0)?;
            file.mapped = true;
            Ok(copy.into())
        };
        self.machine.perform(OperationKind::Map, &self.path, map)
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        if let Ok(file) = self.machine.disk.lock().tree.file(self.id) {
            file.opened -= 1;
        }
    }
}

#[cfg(test)]
mod tests;
