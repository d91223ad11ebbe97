//! What was run, when, and what came of it: one line of JSON a run.

use std::{
    fs::OpenOptions,
    io::Write,
    path::Path,
    process::Command,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::episode::Report;

/// What a run did.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    /// Times the broker was killed.
    pub(crate) kills: u64,
    /// Of those, while it was starting, recovery included.
    pub(crate) kills_starting: u64,
    /// Of those, while it was ending in good order.
    pub(crate) kills_ending: u64,
    /// Data directories begun.
    pub(crate) episodes: u64,
    /// Sends begun.
    pub(crate) invoked: u64,
    /// Of those, acknowledged.
    pub(crate) acknowledged: u64,
    /// Of those, surely not appended.
    pub(crate) failed: u64,
    /// Of those, of unknown outcome.
    pub(crate) unknown: u64,
    /// Records that readers were given, without those read back at the end.
    pub(crate) read: u64,
    /// Acknowledged records of the compacted topic that were gone at the end.
    pub(crate) removed: u64,
    /// Times that a reader of that topic found the latest record of a key.
    pub(crate) proved: u64,
    /// Times that it found nothing of a key, its tombstone having gone in its time.
    pub(crate) gone: u64,
    /// Batches that producers of Kafka's protocol sent again.
    pub(crate) kafka_resent: u64,
    /// Generations that the groups of Kafka's protocol had.
    pub(crate) kafka_generations: u64,
    /// Acknowledged commits of their members.
    pub(crate) kafka_commits: u64,
}

/// With so many data directories something must have been compacted, and sent again.
const EPISODES_ENOUGH: u64 = 5;

impl Totals {
    pub(crate) fn report(&mut self, report: &Report) {
        let Report { compacted, kafka } = report;
        self.removed += compacted.removed;
        self.proved += compacted.proved;
        self.gone += compacted.gone;
        self.kafka_resent += kafka.resent;
        self.kafka_generations += kafka.generations;
        self.kafka_commits += kafka.commits;
    }

    /// # Errors
    /// What was to be tested did not happen.
    pub(crate) fn check(&self) -> Result<()> {
        if self.episodes < EPISODES_ENOUGH {
            return Ok(());
        }
        ensure!(
            self.removed > 0 && self.proved > 0 && self.gone > 0,
            "nothing was compacted, or no tombstone went: nothing was proved of it"
        );
        // Each group begins with one generation.
        ensure!(
            self.kafka_resent > 0
                && self.kafka_generations > self.episodes
                && self.kafka_commits > 0,
            "no producer of Kafka's sent anything again, or no group met: nothing was proved of it"
        );
        Ok(())
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.kills += other.kills;
        self.kills_starting += other.kills_starting;
        self.kills_ending += other.kills_ending;
        self.episodes += other.episodes;
        self.invoked += other.invoked;
        self.acknowledged += other.acknowledged;
        self.failed += other.failed;
        self.unknown += other.unknown;
        self.read += other.read;
    }
}

impl std::fmt::Display for Totals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} kills ({} while starting, {} while ending) of {} data directories; {} sends: {} acknowledged, \
             {} failed, {} unknown; {} records read meanwhile; {} records compacted away, {} latest ones found, \
             {} keys gone with their tombstones; Kafka's clients: {} batches sent again, {} generations, {} commits",
            self.kills,
            self.kills_starting,
            self.kills_ending,
            self.episodes,
            self.invoked,
            self.acknowledged,
            self.failed,
            self.unknown,
            self.read,
            self.removed,
            self.proved,
            self.gone,
            self.kafka_resent,
            self.kafka_generations,
            self.kafka_commits,
        )
    }
}

/// Appends a run to the ledger in this directory.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn append(
    directory: &Path,
    seed: u64,
    totals: &Totals,
    took: Duration,
    outcome: &Result<()>,
) -> Result<()> {
    let at = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let line = json!({
        "at_seconds": at.as_secs(),
        "commit": commit(),
        "seed": seed,
        "kills": totals.kills,
        "kills_starting": totals.kills_starting,
        "kills_ending": totals.kills_ending,
        "data_directories": totals.episodes,
        "sends": totals.invoked,
        "acknowledged": totals.acknowledged,
        "failed": totals.failed,
        "unknown": totals.unknown,
        "read": totals.read,
        "compacted_away": totals.removed,
        "latest_found": totals.proved,
        "keys_gone": totals.gone,
        "kafka_resent": totals.kafka_resent,
        "kafka_generations": totals.kafka_generations,
        "kafka_commits": totals.kafka_commits,
        "took_seconds": took.as_secs(),
        "passed": outcome.is_ok(),
        "problem": outcome.as_ref().err().map(|error| format!("{error:#}")),
    });
    let path = directory.join("ledger.jsonl");
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .with_context(|| path.display().to_string())?;
    writeln!(file, "{line}").with_context(|| path.display().to_string())
}

/// The commit that is checked out, where this is a git work tree.
fn commit() -> Option<String> {
    let output = Command::new("git")
        .args(["rev-parse", "--short", "HEAD"])
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
