//! Removing records that are too old or too many.
//!
//! Invariants:
//! - Whole segments go, the oldest first, and never a record that readers do not see yet.
//! - Where the log is to start is a pure function of what the log holds, its topic's configuration
//!   and the time ([`cut`]).
//! - A jump of the wall clock removes nothing: see [`SteadyTime`].

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, Weak},
    time::Duration,
};

use futures_util::FutureExt;

use crate::{
    broker::{Shared, partition::PartitionCell, supervision::panic_message},
    config::TopicConfig,
    offset::{Bounds, Offset},
    storage::PartitionStats,
    time::{Clock, Timestamp},
};

/// How far the wall clock may run ahead of the monotonic one between two looks: more is a jump.
const JUMP_MIN: Duration = Duration::from_mins(1);
/// How long a clock that has jumped must run in step before it is believed.
const SETTLED_AFTER: Duration = Duration::from_hours(1);
/// How often partitions are looked at that nobody has opened.
const CLOSED_INTERVAL: Duration = Duration::from_hours(1);

/// Where the log is to start so that it holds no more than its topic keeps; `None` where it may
/// stay as it is.
///
/// By age a segment goes when its newest record is older than `retention`. By size the oldest go as
/// long as those that stay hold `retention_bytes` at least, as in Kafka.
fn cut(
    log: &PartitionStats,
    bounds: &Bounds,
    config: &TopicConfig,
    now: Timestamp,
) -> Option<Offset> {
    if !config.cleanup_policy.deletes() {
        return None;
    }
    let oldest = config.retention.map(|retention| now.minus(retention));
    let mut surplus = config
        .retention_bytes
        .map_or(0, |keep| log.bytes.saturating_sub(keep));
    let mut start = bounds.log_start;
    for segment in &log.segments {
        // A producer that sets no time is no reason to remove its records at once.
        let dated = segment.max_timestamp >= Timestamp::new(0);
        let too_old = dated && oldest.is_some_and(|oldest| segment.max_timestamp < oldest);
        let too_many = segment.bytes > 0 && segment.bytes <= surplus;
        let readable = segment.end_offset <= bounds.high_watermark;
        if !readable || !(too_old || too_many) {
            break;
        }
        surplus = surplus.saturating_sub(segment.bytes);
        start = start.max(segment.end_offset);
    }
    (start > bounds.log_start).then_some(start)
}

/// The wall clock's time, except that a jump ahead is not believed until the clock has run in step
/// with the monotonic one for a while. Until then time goes on from where it was, at the monotonic
/// clock's pace. A jump back is believed at once: it only keeps records longer.
#[derive(Debug)]
pub(super) struct SteadyTime {
    trusted: Moment,
    /// When the clock jumped ahead, if it is being watched.
    jumped: Option<Moment>,
}

/// The same moment on both clocks.
#[derive(Clone, Copy, Debug)]
struct Moment {
    wall: Timestamp,
    monotonic: Duration,
}

impl Moment {
    fn of(clock: &dyn Clock) -> Self {
        Self {
            wall: clock.now(),
            monotonic: clock.monotonic(),
        }
    }

    /// What the wall clock would show at `monotonic`, had it run in step since.
    fn carried_to(self, monotonic: Duration) -> Timestamp {
        self.wall.plus(monotonic.saturating_sub(self.monotonic))
    }
}

impl SteadyTime {
    pub(super) fn new(clock: &dyn Clock) -> Self {
        Self {
            trusted: Moment::of(clock),
            jumped: None,
        }
    }

    pub(super) fn now(&mut self, clock: &dyn Clock) -> Timestamp {
        let seen = Moment::of(clock);
        let expected = self.trusted.carried_to(seen.monotonic);
        if seen.wall <= expected.plus(JUMP_MIN) {
            self.trusted = seen;
            self.jumped = None;
            return seen.wall;
        }
        let in_step = self.jumped.filter(|jumped| {
            let carried = jumped.carried_to(seen.monotonic);
            seen.wall <= carried.plus(JUMP_MIN) && seen.wall.plus(JUMP_MIN) >= carried
        });
        match in_step {
            Some(jumped) if seen.monotonic.saturating_sub(jumped.monotonic) >= SETTLED_AFTER => {
                self.trusted = seen;
                self.jumped = None;
                seen.wall
            }
            Some(_) => expected,
            None => {
                tracing::warn!(wall = %seen.wall, expected = %expected,
                    "the wall clock jumped ahead; nothing is removed for its age until it has settled");
                self.jumped = Some(seen);
                expected
            }
        }
    }
}

/// Looks after all partitions until the broker stops or has gone.
pub(super) fn spawn(shared: &Arc<Shared>) {
    let interval = shared.context.config.retention_interval;
    let clock = Arc::clone(&shared.context.clock);
    let context = Arc::clone(&shared.context);
    let shared = Arc::downgrade(shared);
    let mut time = SteadyTime::new(&*clock);
    let mut closed_looked_at = None;
    context.runtime.clone().spawn(async move {
        loop {
            tokio::select! {
                () = tokio::time::sleep(interval) => {}
                () = context.stopped() => return,
            }
            let now = time.now(&*clock);
            let monotonic = clock.monotonic();
            let closed =
                closed_looked_at.is_none_or(|at| monotonic.saturating_sub(at) >= CLOSED_INTERVAL);
            if closed {
                closed_looked_at = Some(monotonic);
            }
            let round = AssertUnwindSafe(look_after_all(&shared, now, closed));
            match round.catch_unwind().await {
                Ok(true) => {}
                Ok(false) => return,
                // The next round starts afresh.
                Err(panic) => {
                    tracing::error!(panic = panic_message(&*panic), "retention panicked");
                }
            }
        }
    });
}

/// One look at every partition; whether there is still a broker.
async fn look_after_all(shared: &Weak<Shared>, now: Timestamp, closed: bool) -> bool {
    let cells = match shared.upgrade() {
        Some(shared) => shared.cells(),
        None => return false,
    };
    for cell in cells {
        if shared.strong_count() == 0 {
            return false;
        }
        if closed || cell.is_open() {
            look_after(&cell, now).await;
        }
        cell.expire_producers();
    }
    true
}

async fn look_after(cell: &PartitionCell, now: Timestamp) {
    let config = cell.topic_config();
    let is_bounded = config.retention.is_some() || config.retention_bytes.is_some();
    if !config.cleanup_policy.deletes() || !is_bounded {
        return;
    }
    let Some((log, bounds)) = cell.log_to_retain() else {
        return;
    };
    let Some(to) = cut(&log, &bounds, &config, now) else {
        return;
    };
    match cell.retain_from(to).await {
        Ok(()) => tracing::info!(topic = %cell.topic_name(), partition = %cell.index(),
            from = %bounds.log_start, %to, "records removed by retention"),
        Err(error) => tracing::warn!(topic = %cell.topic_name(), partition = %cell.index(),
            %error, "retention failed; it will be tried again"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{CleanupPolicy, Durability},
        storage::SegmentStats,
        time::ManualClock,
    };

    const NOW: Timestamp = Timestamp::new(1_000_000);

    /// Segments of ten records each, given as (bytes, newest timestamp).
    fn log(segments: &[(u64, i64)]) -> (PartitionStats, Bounds) {
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
        let stats = segments.into_iter().collect();
        (stats, Bounds::of_log(Offset::ZERO, end, end))
    }

    /// Where the log starts after a cut under a retention in ms and in bytes.
    #[track_caller]
    fn check(
        segments: &[(u64, i64)],
        retention_ms: Option<u64>,
        bytes: Option<u64>,
        start: Option<u64>,
    ) {
        let (stats, bounds) = log(segments);
        let mut config = TopicConfig::new(Durability::Os);
        config.retention = retention_ms.map(Duration::from_millis);
        config.retention_bytes = bytes;
        let expected = start.map(Offset::new);
        assert_eq!(cut(&stats, &bounds, &config, NOW), expected);
    }

    #[test]
    fn segments_go_by_age_from_the_oldest_on() {
        let log = [(1, 100), (1, 200), (1, 300)];
        check(&log, Some(1_000_000 - 200), None, Some(10));
        check(&log, Some(1_000_000 - 201), None, Some(20));
        check(&log, Some(1_000_000 - 100), None, None);
        check(&log, Some(1), None, Some(30));
        check(&log, None, None, None);
        check(&[], Some(1), Some(0), None);
    }

    #[test]
    fn a_young_segment_keeps_the_older_ones_behind_it() {
        check(&[(1, 999_999), (1, 100)], Some(1_000), None, None);
    }

    #[test]
    fn records_without_a_time_do_not_age() {
        check(&[(1, -1), (1, -1)], Some(1), None, None);
        check(&[(5, -1), (5, -1)], Some(1), Some(5), Some(10));
    }

    #[test]
    fn segments_go_by_size_as_long_as_enough_stays() {
        let log = [(10, 0), (10, 0), (10, 0)];
        check(&log, None, Some(20), Some(10));
        check(&log, None, Some(21), None);
        check(&log, None, Some(10), Some(20));
        check(&log, None, Some(9), Some(20));
        check(&log, None, Some(0), Some(30));
        check(&log, None, Some(31), None);
    }

    #[test]
    fn records_that_nobody_sees_yet_stay() {
        let (stats, mut bounds) = log(&[(10, 0), (10, 0)]);
        bounds.high_watermark = Offset::new(15);
        let config = TopicConfig::new(Durability::Fsync);
        let now = Timestamp::new(i64::MAX / 2);
        assert_eq!(cut(&stats, &bounds, &config, now), Some(Offset::new(10)));
    }

    #[test]
    fn a_log_that_is_only_compacted_keeps_its_records() {
        let (stats, bounds) = log(&[(10, 0)]);
        let mut config = TopicConfig::new(Durability::Os);
        config.cleanup_policy = CleanupPolicy::Compact;
        let now = Timestamp::new(i64::MAX / 2);
        assert_eq!(cut(&stats, &bounds, &config, now), None);
    }

    #[test]
    fn a_clock_that_runs_in_step_is_believed() {
        let clock = ManualClock::at(NOW);
        let mut time = SteadyTime::new(&clock);
        for hours in [0, 1, 100, 10_000] {
            clock.advance(Duration::from_hours(hours));
            assert_eq!(time.now(&clock), clock.now());
        }
    }

    #[test]
    fn a_jump_ahead_is_believed_once_the_clock_has_run_in_step_for_an_hour() {
        let clock = ManualClock::at(NOW);
        let mut time = SteadyTime::new(&clock);
        let jump = Duration::from_hours(24 * 365);
        clock.jump(NOW.plus(jump));
        assert_eq!(time.now(&clock), NOW);
        let almost = SETTLED_AFTER.saturating_sub(Duration::from_millis(1));
        clock.advance(almost);
        assert_eq!(time.now(&clock), NOW.plus(almost));
        clock.advance(Duration::from_millis(1));
        assert_eq!(time.now(&clock), clock.now());
    }

    #[test]
    fn a_clock_that_jumps_again_and_again_is_not_believed() {
        let clock = ManualClock::at(NOW);
        let mut time = SteadyTime::new(&clock);
        for n in 1..10 {
            clock.advance(SETTLED_AFTER);
            let expected = NOW.plus(SETTLED_AFTER * n);
            clock.jump(expected.plus(Duration::from_hours(24) * n));
            assert_eq!(time.now(&clock), expected);
        }
    }

    #[test]
    fn a_jump_that_is_taken_back_leaves_no_trace() {
        let clock = ManualClock::at(NOW);
        let mut time = SteadyTime::new(&clock);
        clock.jump(NOW.plus(Duration::from_hours(24)));
        assert_eq!(time.now(&clock), NOW);
        clock.jump(NOW);
        clock.advance(SETTLED_AFTER * 2);
        assert_eq!(time.now(&clock), clock.now());
    }

    #[test]
    fn a_jump_back_is_believed_at_once() {
        let clock = ManualClock::at(NOW);
        let mut time = SteadyTime::new(&clock);
        clock.jump(Timestamp::new(5));
        assert_eq!(time.now(&clock), Timestamp::new(5));
    }
}
