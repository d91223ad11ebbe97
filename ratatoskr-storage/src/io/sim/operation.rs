//! What is asked of the file system, and how it can be made to go wrong.

use std::{fmt, io, path::PathBuf};

/// One call of the file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Calls before it.
    pub number: u64,
    /// Calls before it that change or sync something: the points between which a crash matters.
    pub change: u64,
    /// What it is.
    pub kind: OperationKind,
    /// Of which file or directory, as it was named when it was opened.
    pub path: PathBuf,
}

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(
    missing_docs,
    reason = "named after the methods of `FileSystem` and `File`"
)]
pub enum OperationKind {
    Open,
    CreateNew,
    Rename,
    RemoveFile,
    CreateDir,
    RemoveDir,
    ListDir,
    SyncDir,
    Lock,
    Size,
    Read,
    Write,
    Allocate,
    SetLen,
    SyncData,
    Map,
}

impl OperationKind {
    /// Whether it changes or syncs something.
    pub const fn is_change(self) -> bool {
        !matches!(
            self,
            Self::Open | Self::ListDir | Self::Size | Self::Read | Self::Map
        )
    }

    /// Whether it syncs something.
    pub const fn is_sync(self) -> bool {
        matches!(self, Self::SyncData | Self::SyncDir)
    }
}

/// How a call goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails with this kind of error and changes nothing. A sync leaves it open what of its
    /// changes is on the disk, and later syncs do not mend that.
    Error(io::ErrorKind),
    /// A write fails with [`io::ErrorKind::StorageFull`] after this many bytes; any other call as by
    /// [`Fault::Error`].
    ShortWrite(usize),
    /// A write or a sync answers that it is done, and is not.
    Lost,
    /// A read answers with this bit changed, counted from its first byte; any other call is done.
    FlipBit(usize),
    /// The machine stops before this call: it and all calls after it fail.
    Stop,
}

type Condition = Box<dyn FnMut(&Operation) -> bool + Send>;
type Observer = Box<dyn FnMut(&Operation) + Send>;

/// Faults to come, and who watches.
#[derive(Default)]
pub(super) struct Watch {
    faults: Vec<(Condition, Fault)>,
    observer: Option<Observer>,
}

impl Watch {
    pub(super) fn inject(&mut self, when: Condition, fault: Fault) {
        self.faults.push((when, fault));
    }

    pub(super) fn observe(&mut self, observer: Observer) {
        self.observer = Some(observer);
    }

    /// The fault that is due, which is over with this.
    pub(super) fn fault_of(&mut self, operation: &Operation) -> Option<Fault> {
        if let Some(observer) = &mut self.observer {
            observer(operation);
        }
        let due = self.faults.iter_mut().position(|(when, _)| when(operation));
        due.map(|index| self.faults.remove(index).1)
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults: Vec<_> = self.faults.iter().map(|(_, fault)| fault).collect();
        f.debug_struct("Watch")
            .field("faults", &faults)
            .field("observed", &self.observer.is_some())
            .finish()
    }
}
