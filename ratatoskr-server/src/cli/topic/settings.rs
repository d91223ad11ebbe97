//! Topic settings as `NAME=VALUE` on the command line.

use ratatoskr_core::config::TopicConfigChange;

use crate::cli::{exit::Outcome, settings};

/// Names and values for the help of the verbs that take them.
pub(super) const HELP: &str = "\
Settings:
  durability       fsync, interval(100ms), os or memory
  retention_ms     how long records are kept: 7d, 12h, 30m, 10s, or none for ever
  retention_bytes  bytes a partition keeps: 10GiB, 512MiB, or none
  segment_bytes    bytes after which a segment is sealed: 4KiB to 1GiB
  segment_ms       age after which a segment is sealed
  batch_bytes_max  largest batch taken: 1KiB to 64MiB
  ttl_ms           how long a queue delivers a record that names no time of its own
  compression      of batches that the broker builds: none, gzip, snappy, lz4 or zstd
  cleanup_policy   delete, compact or compact,delete
  timestamp_type   create (the producer's time) or append (the broker's)
  tombstone_retention_ms  how long a compacted topic shows that a key was deleted
  compaction_lag_ms       younger records are not compacted
  compaction_lag_max_ms   older records are compacted however few they are, or none
  dirty_ratio_min         part of a log that must be new before it is compacted: 0 to 1";

/// One change out of all of them; the last word counts where a name stands twice.
///
/// # Errors
/// [`Exit::Usage`](crate::cli::exit::Exit::Usage) for an unknown name or a value that cannot be.
pub(super) fn change(settings: &[String]) -> Outcome<TopicConfigChange> {
    let mut change = TopicConfigChange::default();
    settings::each(settings, &TopicConfigChange::KEYS, |name, value| {
        change.set(name, value)
    })?;
    Ok(change)
}
