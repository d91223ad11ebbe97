//! The data directory: what is in it, whose it is, and how it is born.
//!
//! ```text
//! LOCK         held by the process that has the directory open
//! FORMAT       text: what this is, the format's version, the directory's id; written last of all
//! CHECKPOINT   what is on disk, and from where the write-ahead log is to be replayed
//! wal/         the write-ahead log
//! topics/      <topic id>/<partition>/: segments, indexes, perhaps `pending`
//! trash/       what was deleted and is not gone yet
//! orphaned/    what no catalog knows; never removed by us
//! ```
//! A directory that is not empty and has no `FORMAT` is either one whose birth was cut short (then it
//! holds nothing but what is named above) or not ours, and is refused.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use ratatoskr_core::{
    name::TopicId,
    storage::{StorageError, StorageResult},
};

use crate::{
    io::{DirEntry, File, FileSystem, LockGuard, OpenMode},
    mmap::LogId,
    planted::{self, Bug},
};

/// The newest format of the directory as a whole that this version reads, and the one it writes.
pub(super) const FORMAT_VERSION: u32 = 1;
const FIRST_LINE: &str = "ratatoskr data directory";
/// Longest `FORMAT` file that is read.
const FORMAT_BYTES_MAX: u64 = 4 << 10;

const LOCK: &str = "LOCK";
const FORMAT: &str = "FORMAT";
const CHECKPOINT: &str = "CHECKPOINT";
const WAL: &str = "wal";
const TOPICS: &str = "topics";
const TRASH: &str = "trash";
const ORPHANED: &str = "orphaned";
const TEMPORARY_SUFFIX: &str = ".tmp";
/// What a file system itself puts into its root.
const FOREIGN: &str = "lost+found";

/// The directory, by its paths.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) fs: Arc<dyn FileSystem>,
    root: PathBuf,
}

/// Identifies a data directory; seeds the checksums of its write-ahead log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DirectoryId(TopicId);

impl DirectoryId {
    pub(super) const fn as_bytes(self) -> [u8; 16] {
        *self.0.as_bytes()
    }

    pub(super) fn random() -> Self {
        Self(TopicId::random())
    }

    /// What the checksums of the write-ahead log start from.
    pub(super) fn seed(self) -> u32 {
        crc32fast::hash(self.0.as_bytes())
    }
}

impl Layout {
    pub(super) fn new(fs: Arc<dyn FileSystem>, root: &Path) -> Self {
        Self {
            fs,
            root: root.to_owned(),
        }
    }

    pub(super) fn checkpoint(&self) -> PathBuf {
        self.root.join(CHECKPOINT)
    }

    pub(super) fn wal(&self) -> PathBuf {
        self.root.join(WAL)
    }

    pub(super) fn topics(&self) -> PathBuf {
        self.root.join(TOPICS)
    }

    pub(super) fn trash(&self) -> PathBuf {
        self.root.join(TRASH)
    }

    pub(super) fn orphaned(&self) -> PathBuf {
        self.root.join(ORPHANED)
    }

    pub(super) fn topic(&self, id: TopicId) -> PathBuf {
        self.topics().join(id.to_string())
    }

    pub(super) fn partition(&self, id: LogId) -> PathBuf {
        self.topic(id.topic).join(id.partition.to_string())
    }

    /// Takes the directory for this process.
    ///
    /// # Errors
    /// [`StorageError::Locked`] where another one has it.
    pub(super) fn lock(&self) -> StorageResult<Box<dyn LockGuard>> {
        let path = self.root.join(LOCK);
        self.fs.lock(&path).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => StorageError::Locked {
                directory: self.root.display().to_string(),
            },
            _ => StorageError::io(format_args!("lock {}", path.display()), error),
        })
    }

    /// Reads `FORMAT`; `None` where the directory has yet to be born.
    ///
    /// # Errors
    /// [`StorageError::NewerFormat`]; [`StorageError::Damaged`] where it says something else, or is
    /// missing among files that are not ours.
    pub(super) fn read_format(&self) -> StorageResult<Option<DirectoryId>> {
        let path = self.root.join(FORMAT);
        let Some(bytes) = self.read_file(&path, FORMAT_BYTES_MAX)? else {
            self.refuse_strangers()?;
            return Ok(None);
        };
        let damaged = |detail: &str| StorageError::Damaged {
            file: path.display().to_string(),
            detail: detail.into(),
        };
        let text = std::str::from_utf8(&bytes).map_err(|_| damaged("it is not text"))?;
        let mut lines = text.lines();
        if lines.next() != Some(FIRST_LINE) {
            return Err(damaged("it does not say that this is a data directory"));
        }
        let mut value = |name: &str| lines.next().and_then(|line| line.strip_prefix(name));
        let found: u32 = value("format ")
            .and_then(|version| version.parse().ok())
            .ok_or_else(|| damaged("it names no format"))?;
        if found > FORMAT_VERSION {
            return Err(StorageError::NewerFormat {
                found,
                supported: FORMAT_VERSION,
            });
        }
        let id = value("id ")
            .and_then(|id| id.parse().ok())
            .ok_or_else(|| damaged("it names no directory id"))?;
        Ok(Some(DirectoryId(id)))
    }

    /// Makes the directories of a new data directory; they last on return.
    pub(super) fn create_directories(&self) -> StorageResult<()> {
        for path in [self.wal(), self.topics(), self.trash(), self.orphaned()] {
            self.create_dir(&path)?;
        }
        self.sync_dir(&self.root)
    }

    /// Writes `FORMAT`: from now on the directory is one of ours.
    pub(super) fn write_format(&self, id: DirectoryId) -> StorageResult<()> {
        let text = format!("{FIRST_LINE}\nformat {FORMAT_VERSION}\nid {}\n", id.0);
        self.replace_file(&self.root.join(FORMAT), &[text.as_bytes()])
    }

    /// Puts a file in place as a whole: after a crash it is there as it was, or as it is to be.
    pub(super) fn replace_file(&self, path: &Path, parts: &[&[u8]]) -> StorageResult<()> {
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(TEMPORARY_SUFFIX);
        let temporary = PathBuf::from(temporary);
        let write = || {
            match self.fs.remove_file(&temporary) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let file = self.fs.open(&temporary, OpenMode::CreateNew)?;
            file.write_all_at(parts, 0)?;
            if !planted::is(Bug::ReplacedUnsynced) {
                file.sync_data()?;
            }
            self.fs.rename(&temporary, path)
        };
        write()
            .map_err(|error| StorageError::io(format_args!("write {}", path.display()), error))?;
        self.sync_dir(path.parent().unwrap_or(&self.root))
    }

    /// The whole of a file, if it is there.
    ///
    /// # Errors
    /// [`StorageError::Damaged`] beyond `bytes_max`.
    pub(super) fn read_file(&self, path: &Path, bytes_max: u64) -> StorageResult<Option<Vec<u8>>> {
        let failed = |error| StorageError::io(format_args!("read {}", path.display()), error);
        let file: Arc<dyn File> = match self.fs.open(path, OpenMode::Read) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let size = file.size().map_err(failed)?;
        let length = usize::try_from(size).ok().filter(|_| size <= bytes_max);
        let Some(length) = length else {
            return Err(StorageError::Damaged {
                file: path.display().to_string(),
                detail: format!("it has {size} bytes, more than it can have"),
            });
        };
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, 0).map_err(failed)?;
        Ok(Some(bytes))
    }

    /// Makes a topic's directory. It lasts once `topics/` is synced.
    pub(super) fn create_topic(&self, id: TopicId) -> StorageResult<()> {
        self.create_dir(&self.topic(id))
    }

    /// Makes moves of topics' directories last.
    pub(super) fn sync_moves(&self) -> StorageResult<()> {
        for path in [self.trash(), self.orphaned(), self.topics()] {
            self.sync_dir(&path)?;
        }
        Ok(())
    }

    /// Moves a topic's directory, if it has one, out of the way; [`sync_moves`](Self::sync_moves)
    /// makes that last. In the trash it is removed later, among the orphans it stays.
    pub(super) fn move_topic(&self, name: &str, to: &Path) -> StorageResult<()> {
        let from = self.topics().join(name);
        let taken: Vec<_> = self.list(to)?.into_iter().map(|entry| entry.name).collect();
        let numbered = (1_u32..).map(|number| format!("{name}.{number}"));
        let mut free = std::iter::once(name.to_owned()).chain(numbered);
        let free = free.find(|name| !taken.contains(name)).unwrap_or_default();
        match self.fs.rename(&from, &to.join(free)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StorageError::io(
                format_args!("move {} to {}", from.display(), to.display()),
                error,
            )),
            _ => Ok(()),
        }
    }

    /// Removes what is in the trash.
    pub(super) fn empty_trash(&self) -> StorageResult<()> {
        for entry in self.list(&self.trash())? {
            self.remove(&self.trash().join(&entry.name), entry.is_dir)?;
        }
        Ok(())
    }

    fn remove(&self, path: &Path, is_dir: bool) -> StorageResult<()> {
        let removed = if is_dir {
            for entry in self.list(path)? {
                self.remove(&path.join(&entry.name), entry.is_dir)?;
            }
            self.fs.remove_dir(path)
        } else {
            self.fs.remove_file(path)
        };
        removed.map_err(|error| StorageError::io(format_args!("remove {}", path.display()), error))
    }

    pub(super) fn list(&self, path: &Path) -> StorageResult<Vec<DirEntry>> {
        let entries = self.fs.list_dir(path);
        entries.map_err(|error| StorageError::io(format_args!("list {}", path.display()), error))
    }

    /// As `list`, of a directory that may be missing.
    pub(super) fn list_if_there(&self, path: &Path) -> StorageResult<Vec<DirEntry>> {
        match self.fs.list_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            _ => self.list(path),
        }
    }

    pub(super) fn create_dir(&self, path: &Path) -> StorageResult<()> {
        let created = self.fs.create_dir(path);
        created.map_err(|error| StorageError::io(format_args!("create {}", path.display()), error))
    }

    pub(super) fn sync_dir(&self, path: &Path) -> StorageResult<()> {
        self.fs
            .sync_dir(path)
            .map_err(|error| StorageError::io(format_args!("sync {}", path.display()), error))
    }

    fn refuse_strangers(&self) -> StorageResult<()> {
        let ours = [LOCK, CHECKPOINT, WAL, TOPICS, TRASH, ORPHANED, FOREIGN];
        let entries = self.list(&self.root)?;
        let stranger = entries.iter().find(|entry| {
            !ours.contains(&entry.name.as_str()) && !entry.name.ends_with(TEMPORARY_SUFFIX)
        });
        match stranger {
            Some(stranger) => Err(StorageError::Damaged {
                file: self.root.display().to_string(),
                detail: format!(
                    "it is not empty (there is {:?}), and there is no {FORMAT} file in it",
                    stranger.name
                ),
            }),
            None => Ok(()),
        }
    }
}
