//! A disk without room: a clear error for whoever sends, and everything else goes on.

use std::{path::Path, process::Command};

use crate::{command::skipped, server::Server};

/// Room for the write-ahead log and little else.
const TMPFS: &str = "size=160m";

/// A file system of its own, unmounted when it goes.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `None` where this user may not mount anything.
    fn mount() -> Option<Self> {
        let directory = tempfile::tempdir().expect("a directory");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", TMPFS, "tmpfs"])
            .arg(directory.path())
            .output();
        mounted
            .is_ok_and(|output| output.status.success())
            .then(|| Self(directory))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

#[test]
fn a_full_disk_refuses_records_and_nothing_else() {
    let Some(disk) = SmallDisk::mount() else {
        skipped("a full disk, since this user may not mount a tmpfs");
        return;
    };
    let server = Server::on_disk(disk.path());
    server.run("topic create keep").text();
    server.run_with("produce keep", b"before\n").bytes();
    server.run("topic create fill").text();
    let block = vec![b'x'; 512 << 10];
    let refused = (0..400)
        .map(|_| server.run_with("produce fill -f %v --timeout 1", &block))
        .find(|done| done.code != 0)
        .expect("160 MiB are full at some point");
    let error = refused.failure(1);
    assert!(error.contains("error[storage_full]"), "{error}");

    let read = server.run("consume keep --until-end").text();
    assert_eq!(read, "before\n");

    // A broker that is started on a full disk comes up, so that somebody can make room.
    server.kill();
    let server = Server::on_disk(disk.path());
    assert_eq!(server.run("consume keep --until-end").text(), "before\n");
    server.run("topic rm fill -y").text();
    server.run_with("produce keep", b"after\n").bytes();
    let read = server.run("consume keep --until-end").text();
    assert_eq!(read, "before\nafter\n");
}
