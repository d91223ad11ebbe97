//! `ratatoskr check` and `ratatoskr bench`: they find what is wrong, and say so with their exit code.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{command::run, server::Server};

/// The largest file below a directory whose name ends like this.
fn largest(directory: &Path, ending: &str) -> Option<PathBuf> {
    let mut found: Option<(u64, PathBuf)> = None;
    let mut directories = vec![directory.to_path_buf()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).ok()?.flatten() {
            let path = entry.path();
            let bytes = entry.metadata().ok()?.len();
            if path.is_dir() {
                directories.push(path);
            } else if path.to_string_lossy().ends_with(ending)
                && found.as_ref().is_none_or(|(most, _)| bytes > *most)
            {
                found = Some((bytes, path));
            }
        }
    }
    found.map(|(_, path)| path)
}

#[test]
fn a_directory_is_read_to_its_last_record() {
    let data = tempfile::tempdir().expect("a directory");
    let server = Server::on_disk(data.path());
    server.run("topic create t --partitions 2").text();
    let lines = "some line\n".repeat(5_000);
    server.run_with("produce t", lines.as_bytes()).bytes();
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));

    let check = format!(
        "check data --data-dir {} --output table",
        data.path().display()
    );
    let table = run(&check).text();
    assert!(table.contains("t/0") && table.contains("t/1"), "{table}");
    assert!(!table.contains("NO"), "{table}");

    let segment = largest(data.path(), ".log").expect("a segment");
    let mut bytes = fs::read(&segment).expect("it is ours");
    bytes[2_000] ^= 1;
    fs::write(&segment, bytes).expect("it is ours");
    let found = run(&check);
    assert_eq!(found.code, 1, "{}", found.stderr);
    let table = String::from_utf8_lossy(&found.stdout).into_owned();
    assert!(table.contains("NO"), "{table}");
    assert!(
        found.stderr.contains("1 of 3 checks failed"),
        "{}",
        found.stderr
    );
}

#[test]
fn a_directory_that_is_in_use_or_not_there_is_not_checked() {
    let data = tempfile::tempdir().expect("a directory");
    let _server = Server::on_disk(data.path());
    run(&format!("check data --data-dir {}", data.path().display())).failure(4);
    let nowhere = data.path().join("nowhere");
    run(&format!("check data --data-dir {}", nowhere.display())).failure(3);
    assert!(!nowhere.exists(), "a check makes nothing");
}

#[test]
fn a_broker_that_answers_is_healthy() {
    let server = Server::in_memory();
    let found = server.run("check server").text();
    assert!(found.contains("\"ok\":true"), "{found}");
}

#[test]
fn a_benchmark_verifies_what_it_reads() {
    let server = Server::in_memory();
    let report = server
        .run("bench produce --records 3000 --partitions 3 --size 200")
        .text();
    let report: serde_json::Value = serde_json::from_str(&report).expect("JSON");
    assert_eq!(
        (&report["records"], &report["failed"]),
        (&3_000.into(), &0.into())
    );
    assert!(report["latency_us"]["p99"].is_number(), "{report}");

    let report = server.run("bench consume").text();
    let report: serde_json::Value = serde_json::from_str(&report).expect("JSON");
    assert_eq!(
        (&report["records"], &report["verified"]),
        (&3_000.into(), &true.into())
    );

    server
        .run_with("produce bench", b"no benchmark sent this\n")
        .bytes();
    let error = server.run("bench consume").failure(1);
    assert!(
        error.contains("3000 records are as they were sent, 1 are not"),
        "{error}"
    );
}
