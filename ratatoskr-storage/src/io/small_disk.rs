//! A disk that is soon full, for tests: a small tmpfs, where mounting one is allowed.

use std::{path::Path, process::Command};

/// Mounted until dropped.
pub(crate) struct SmallDisk {
    dir: tempfile::TempDir,
}

impl SmallDisk {
    /// Its size.
    pub(crate) const BYTES: u64 = 1 << 20;

    /// `None` where this process may not mount; the caller says loudly that it skips.
    pub(crate) fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().ok()?;
        let size = format!("size={}", Self::BYTES);
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "ratatoskr-test"])
            .arg(dir.path())
            .output()
            .is_ok_and(|output| output.status.success());
        mounted.then_some(Self { dir })
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, since a failed test may still hold files open.
        let _ = Command::new("umount")
            .arg("-l")
            .arg(self.dir.path())
            .output();
    }
}
