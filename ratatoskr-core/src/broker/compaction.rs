//! Compacting the logs of topics that keep the latest record of each key.
//!
//! Invariants:
//! - Which logs are due, and how far, is a pure function of what the log holds, its topic's
//!   configuration and the time ([`due`]). How it is done is the backend's matter.
//! - One partition at a time, the one with most to gain first, at the broker's pace.
//! - The headers of batches that producers go on from stay.
//! - Partitions that nobody has used are looked at as well, a few in each round and each once an hour
//!   (see [`Sweep`]): nothing is appended to them, and a backend that has to open one for the look
//!   should not have to open them all at once.
//! - A partition whose compaction fails is left alone for a while; its neighbours are not.

use std::{
    collections::HashMap,
    panic::AssertUnwindSafe,
    sync::{Arc, Weak},
    time::Duration,
};

use futures_util::FutureExt;

use crate::{
    broker::{Shared, partition::PartitionCell, retention::SteadyTime, supervision::panic_message},
    compaction::{CompactRequest, Pace},
    config::TopicConfig,
    name::{TopicId, TopicName},
    offset::{Bounds, Offset, PartitionIndex},
    storage::PartitionStats,
    time::Timestamp,
};

/// How long a partition is left alone after its compaction has failed.
const FAILED_INTERVAL: Duration = Duration::from_hours(1);

/// How often partitions are looked at that nobody has opened.
const CLOSED_INTERVAL: Duration = Duration::from_hours(1);
/// Partitions that nobody has opened that are looked at in one round.
const CLOSED_PER_ROUND: usize = 100;

/// A log that is to be compacted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Due {
    until: Offset,
    dirty_bytes: u64,
    /// Dirty and clean ones together.
    bytes: u64,
}

impl Due {
    /// What is dirty, in thousandths of the whole.
    fn thousandths(&self) -> u64 {
        self.dirty_bytes.saturating_mul(1_000) / self.bytes.max(1)
    }
}

/// How far the log is to be compacted, if it is.
///
/// Sealed segments count, up to the first that readers do not see whole or that is younger than the
/// lag. They are compacted when enough of them is dirty, or when the oldest dirty one is too old.
fn due(log: &PartitionStats, bounds: &Bounds, config: &TopicConfig, now: Timestamp) -> Option<Due> {
    if !config.cleanup_policy.compacts() {
        return None;
    }
    let lag = config.compaction_lag;
    let youngest = (!lag.is_zero()).then(|| now.minus(lag));
    let (_, sealed) = log.segments.split_last()?;
    let clean = sealed.partition_point(|segment| segment.end_offset <= log.compacted_to);
    let (clean, rest) = sealed.split_at_checked(clean)?;
    let is_ripe = |segment: &&crate::storage::SegmentStats| {
        segment.end_offset <= bounds.high_watermark
            && youngest.is_none_or(|youngest| segment.max_timestamp <= youngest)
    };
    let dirty: Vec<_> = rest.iter().take_while(is_ripe).collect();
    let (first, last) = (dirty.first()?, dirty.last()?);
    let dirty_bytes = dirty.iter().map(|segment| segment.bytes).sum();
    let clean_bytes: u64 = clean.iter().map(|segment| segment.bytes).sum();
    let oldest = config.compaction_lag_max.map(|lag_max| now.minus(lag_max));
    let is_overdue = oldest.is_some_and(|oldest| {
        first.max_timestamp >= Timestamp::new(0) && first.max_timestamp < oldest
    });
    let due = Due {
        until: last.end_offset,
        dirty_bytes,
        bytes: clean_bytes + dirty_bytes,
    };
    let is_enough = config.dirty_ratio_min.is_reached_by(dirty_bytes, due.bytes);
    (is_enough || is_overdue).then_some(due)
}

/// Looks after all partitions until the broker stops or has gone.
pub(super) fn spawn(shared: &Arc<Shared>) {
    let context = Arc::clone(&shared.context);
    let mut round = Round {
        shared: Arc::downgrade(shared),
        pace: Pace::bytes_per_second(context.config.compaction_bytes_per_second),
        time: SteadyTime::new(&*context.clock),
        failed: HashMap::new(),
        sweep: Sweep::default(),
    };
    context.runtime.clone().spawn(async move {
        loop {
            tokio::select! {
                () = tokio::time::sleep(context.config.compaction_interval) => {}
                () = context.stopped() => return,
            }
            let worked = AssertUnwindSafe(round.work()).catch_unwind();
            let worked = tokio::select! {
                worked = worked => worked,
                // What was done so far stays done.
                () = context.stopped() => return,
            };
            match worked {
                Ok(true) => {}
                Ok(false) => return,
                // The next round starts afresh.
                Err(panic) => {
                    tracing::error!(panic = panic_message(&*panic), "compaction panicked");
                }
            }
        }
    });
}

struct Round {
    shared: Weak<Shared>,
    pace: Pace,
    time: SteadyTime,
    /// Until when partitions are left alone, on the monotonic clock.
    failed: HashMap<(TopicId, PartitionIndex), Duration>,
    sweep: Sweep,
}

/// How far the look at partitions has come that nobody has opened.
#[derive(Debug, Default)]
struct Sweep {
    /// When it began, on the monotonic clock.
    began: Option<Duration>,
    /// The last one that was looked at; `None` once all were.
    last: Option<(TopicName, PartitionIndex)>,
    /// How many may still be looked at in this round.
    left: usize,
}

impl Sweep {
    /// A round begins, and with it another sweep if the last one is over and long enough ago.
    fn begin_round(&mut self, now: Duration) {
        let is_due = |began| now.saturating_sub(began) >= CLOSED_INTERVAL;
        self.left = CLOSED_PER_ROUND;
        if self.last.is_none() {
            if self.began.is_none_or(is_due) {
                self.began = Some(now);
            } else {
                self.left = 0;
            }
        }
    }

    /// Whether it is this one's turn. Partitions are asked about in their order.
    fn takes(&mut self, cell: &PartitionCell) -> bool {
        let place = (cell.topic_name(), cell.index());
        let was_there = self
            .last
            .as_ref()
            .is_some_and(|(topic, index)| place <= (topic, *index));
        if self.left == 0 || was_there {
            return false;
        }
        self.left -= 1;
        self.last = Some((place.0.clone(), place.1));
        true
    }

    /// All partitions were asked about.
    fn end_round(&mut self) {
        if self.left > 0 {
            self.last = None;
        }
    }
}

impl Round {
    /// Compacts every partition that is due; whether there is still a broker.
    async fn work(&mut self) -> bool {
        let Some(shared) = self.shared.upgrade() else {
            return false;
        };
        let now = self.time.now(&*shared.context.clock);
        let monotonic = shared.context.clock.monotonic();
        let key_map_bytes_max = shared.context.config.compaction_key_map_bytes_max;
        self.failed.retain(|_, until| *until > monotonic);
        let mut found = Vec::new();
        self.sweep.begin_round(monotonic);
        for cell in shared.cells() {
            let compacts = cell.topic_config().cleanup_policy.compacts();
            if !compacts || self.failed.contains_key(&cell.id()) {
                continue;
            }
            if !cell.is_open() {
                if !self.sweep.takes(&cell) {
                    continue;
                }
                // The backend may have to read something for the look.
                tokio::task::yield_now().await;
            }
            if let Some(due) = look_at(&cell, now) {
                found.push((due, cell));
            }
        }
        self.sweep.end_round();
        found.sort_by_key(|(due, _)| std::cmp::Reverse(due.thousandths()));
        drop(shared);
        for (due, cell) in found {
            if self.shared.strong_count() == 0 {
                return false;
            }
            if !cell.is_open() {
                // Its headers are read first.
                self.pace.spend(due.bytes).await;
            }
            let Some(kept_batches) = cell.batches_of_producers().await else {
                continue;
            };
            let request = CompactRequest {
                until: due.until,
                now,
                tombstone_retention: cell.topic_config().tombstone_retention,
                kept_batches,
                key_map_bytes_max,
                pace: self.pace.clone(),
            };
            if !compact(&cell, &request).await {
                self.failed.insert(cell.id(), monotonic + FAILED_INTERVAL);
            }
        }
        true
    }
}

fn look_at(cell: &PartitionCell, now: Timestamp) -> Option<Due> {
    let config = cell.topic_config();
    let (log, bounds) = cell.log_to_retain()?;
    due(&log, &bounds, &config, now)
}

/// Whether it went well.
async fn compact(cell: &PartitionCell, request: &CompactRequest) -> bool {
    match cell.compact(request).await {
        Ok(done) => {
            if done.before.bytes > 0 {
                tracing::info!(topic = %cell.topic_name(), partition = %cell.index(),
                    to = %done.to, before = ?done.before, after = ?done.after, "compacted");
            }
            true
        }
        Err(error) => {
            tracing::warn!(topic = %cell.topic_name(), partition = %cell.index(), %error,
                "compaction failed; it will be tried again");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{CleanupPolicy, Durability, Ratio},
        storage::SegmentStats,
    };

    const NOW: Timestamp = Timestamp::new(1_000_000);

    /// A log of segments of ten records, given as (bytes, newest timestamp); the last is active.
    struct Case {
        stats: PartitionStats,
        bounds: Bounds,
        config: TopicConfig,
    }

    impl Case {
        fn new(segments: &[(u64, i64)], compacted_to: u64) -> Self {
            let segments: Vec<_> = (0..)
                .zip(segments)
                .map(|(at, &(bytes, max_timestamp))| SegmentStats {
                    base_offset: Offset::new(at * 10),
                    end_offset: Offset::new(at * 10 + 10),
                    bytes,
                    max_timestamp: Timestamp::new(max_timestamp),
                })
                .collect();
            let end = segments.last().map_or(Offset::ZERO, |last| last.end_offset);
            let mut config = TopicConfig::new(Durability::Os);
            config.cleanup_policy = CleanupPolicy::Compact;
            Self {
                stats: PartitionStats {
                    compacted_to: Offset::new(compacted_to),
                    ..segments.into_iter().collect()
                },
                bounds: Bounds::of_log(Offset::ZERO, end, end),
                config,
            }
        }

        fn with(mut self, change: impl FnOnce(&mut TopicConfig)) -> Self {
            change(&mut self.config);
            self
        }

        #[track_caller]
        fn check(&self, until: Option<u64>) {
            let due = due(&self.stats, &self.bounds, &self.config, NOW);
            assert_eq!(due.map(|due| due.until), until.map(Offset::new));
        }
    }

    #[test]
    fn sealed_segments_are_due_once_enough_of_them_is_dirty() {
        Case::new(&[(10, 1), (10, 1), (99, 1)], 0).check(Some(20));
        Case::new(&[(10, 1), (10, 1), (99, 1)], 10).check(Some(20));
        Case::new(&[(11, 1), (10, 1), (99, 1)], 10).check(None);
        Case::new(&[(11, 1), (10, 1), (99, 1)], 10)
            .with(|config| config.dirty_ratio_min = Ratio::from_thousandths(400).unwrap())
            .check(Some(20));
        Case::new(&[(10, 1), (10, 1), (99, 1)], 20).check(None);
    }

    #[test]
    fn the_active_segment_is_never_due() {
        Case::new(&[(10, 1)], 0).check(None);
        Case::new(&[], 0).check(None);
    }

    #[test]
    fn logs_of_other_topics_are_never_due() {
        Case::new(&[(10, 1), (10, 1)], 0)
            .with(|config| config.cleanup_policy = CleanupPolicy::Delete)
            .check(None);
        Case::new(&[(10, 1), (10, 1)], 0)
            .with(|config| config.cleanup_policy = CleanupPolicy::CompactDelete)
            .check(Some(10));
    }

    #[test]
    fn young_segments_and_all_behind_them_wait() {
        let lag = |config: &mut TopicConfig| config.compaction_lag = Duration::from_secs(100);
        let segments = [(10, 899_999), (10, 900_001), (10, 1), (10, 1)];
        Case::new(&segments, 0).with(lag).check(Some(10));
        Case::new(&segments, 10).with(lag).check(None);
    }

    #[test]
    fn old_dirty_records_are_due_however_few_they_are() {
        let lag =
            |config: &mut TopicConfig| config.compaction_lag_max = Some(Duration::from_secs(100));
        Case::new(&[(1_000, 1), (1, 899_999), (9, 1)], 10)
            .with(lag)
            .check(Some(20));
        Case::new(&[(1_000, 1), (1, 900_000), (9, 1)], 10)
            .with(lag)
            .check(None);
        // Records without a time have no age.
        Case::new(&[(1_000, 1), (1, -1), (9, 1)], 10)
            .with(lag)
            .check(None);
    }

    #[test]
    fn records_that_nobody_sees_yet_wait() {
        let mut case = Case::new(&[(10, 1), (10, 1), (10, 1)], 0);
        case.bounds.high_watermark = Offset::new(19);
        case.check(Some(10));
    }
}
