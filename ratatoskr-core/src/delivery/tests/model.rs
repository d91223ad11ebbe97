//! Random histories against a model that keeps each record by itself.

use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;

use super::bench::{Bench, P0, Record};
use crate::{
    delivery::{FencingToken, QueueError, SettleAction, Settlement},
    offset::Offset,
    time::Timestamp,
};

const CONSUMERS: [&str; 3] = ["a", "b", "c"];
const ATTEMPTS_MAX: u32 = 3;

#[derive(Clone, Debug)]
enum Step {
    Produce {
        key: Option<u64>,
        delay_s: u64,
        gone: bool,
    },
    Acquire {
        who: usize,
        records_max: u64,
    },
    /// Of the lease of this number, a part.
    Settle {
        lease: usize,
        skip: u64,
        take: u64,
        how: u8,
        wrong: u8,
    },
    Leave {
        who: usize,
    },
    Advance {
        seconds: u64,
    },
    Bury,
    Restart,
    Snapshot,
}

fn step() -> impl Strategy<Value = Step> {
    let key = prop::option::weighted(0.8, 0..3_u64);
    let delay = prop_oneof![4 => Just(0), 1 => 1..60_u64];
    prop_oneof![
        8 => (key, delay, prop::bool::weighted(0.1))
            .prop_map(|(key, delay_s, gone)| Step::Produce { key, delay_s, gone }),
        8 => (0..3_usize, 1..6_u64)
            .prop_map(|(who, records_max)| Step::Acquire { who, records_max }),
        10 => (any::<usize>(), 0..3_u64, 1..6_u64, 0..5_u8, 0..12_u8).prop_map(
            |(lease, skip, take, how, wrong)| Step::Settle { lease, skip, take, how, wrong }
        ),
        1 => (0..3_usize).prop_map(|who| Step::Leave { who }),
        3 => (0..40_u64).prop_map(|seconds| Step::Advance { seconds }),
        2 => Just(Step::Bury),
        1 => Just(Step::Restart),
        1 => Just(Step::Snapshot),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// May be delivered, unless it is delayed or its key is held.
    Waiting,
    Leased {
        who: usize,
        token: FencingToken,
        until: Duration,
    },
    Dying,
    Done,
}

#[derive(Clone, Copy, Debug)]
struct Model {
    state: State,
    count: u32,
    /// Not before this, in milliseconds.
    due: i64,
    key: Option<u64>,
}

struct World {
    bench: Bench,
    ordered: bool,
    records: Vec<Model>,
    leases: Vec<(usize, FencingToken, u64, u64)>,
    greatest: FencingToken,
}

impl World {
    fn new(ordered: bool) -> Self {
        let ordered_text = ordered.to_string();
        let config = [
            ("ordered_by_key", &*ordered_text),
            ("attempts_max", "3"),
            ("backoff_min_ms", "2s"),
            ("backoff_jitter_percent", "0"),
            ("in_flight_max", "8"),
            ("in_flight_per_consumer_max", "5"),
        ];
        Self {
            bench: Bench::new(&config),
            ordered,
            records: Vec::new(),
            leases: Vec::new(),
            greatest: FencingToken::default(),
        }
    }

    fn held(&self, wanted: impl Fn(&State) -> bool) -> u64 {
        self.records
            .iter()
            .filter(|record| wanted(&record.state))
            .count() as u64
    }

    fn fail(&mut self, offset: usize, due: i64) {
        let record = &mut self.records[offset];
        record.state = if record.count >= ATTEMPTS_MAX {
            State::Dying
        } else {
            State::Waiting
        };
        record.due = due;
    }

    fn expire(&mut self) {
        for offset in 0..self.records.len() {
            if let State::Leased { until, .. } = self.records[offset].state
                && until <= self.bench.now.monotonic
            {
                self.fail(offset, 0);
            }
        }
    }

    /// Whether an earlier record of its key is not done.
    fn is_blocked(&self, offset: usize) -> bool {
        let key = self.records[offset].key;
        self.ordered
            && key.is_some()
            && self.records[..offset].iter().any(|earlier| {
                earlier.key == key && !matches!(earlier.state, State::Done | State::Dying)
            })
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Produce { key, delay_s, gone } => {
                let due = self.bench.now.wall.plus(Duration::from_secs(delay_s));
                let due = (delay_s > 0).then_some(due);
                self.bench.produce(Record { key, due, gone });
                self.records.push(Model {
                    state: if gone { State::Done } else { State::Waiting },
                    count: 0,
                    due: due.map_or(0, Timestamp::get),
                    key,
                });
            }
            Step::Acquire { who, records_max } => self.acquire(who, records_max),
            Step::Settle {
                lease,
                skip,
                take,
                how,
                wrong,
            } => {
                if !self.leases.is_empty() {
                    let lease = self.leases[lease % self.leases.len()];
                    self.settle(lease, skip, take, how, wrong);
                }
            }
            Step::Leave { who } => {
                let left = self.bench.leave(CONSUMERS[who]);
                let mut expected = 0;
                for record in &mut self.records {
                    if matches!(record.state, State::Leased { who: other, .. } if other == who) {
                        record.state = State::Waiting;
                        record.count -= 1;
                        expected += 1;
                    }
                }
                assert_eq!(left, expected);
            }
            Step::Advance { seconds } => {
                self.bench.advance(Duration::from_secs(seconds));
                self.bench.tick();
                self.expire();
            }
            Step::Bury => {
                self.bench.bury();
                for record in &mut self.records {
                    if record.state == State::Dying {
                        record.state = State::Done;
                    }
                }
            }
            Step::Restart => self.restart(false),
            Step::Snapshot => self.restart(true),
        }
    }

    fn restart(&mut self, snapshot: bool) {
        if snapshot {
            self.bench.restart_from_snapshot();
        } else {
            self.bench.restart();
        }
        for record in &mut self.records {
            if matches!(record.state, State::Leased { .. }) {
                record.state = State::Waiting;
                record.count -= 1;
            }
        }
    }

    fn acquire(&mut self, who: usize, records_max: u64) {
        self.expire();
        let leased = self.held(|state| matches!(state, State::Leased { .. }));
        let dying = self.held(|state| *state == State::Dying);
        let own =
            self.held(|state| matches!(state, State::Leased { who: other, .. } if *other == who));
        let room = 8_u64
            .saturating_sub(leased + dying)
            .min(5 - own)
            .min(records_max);
        let now = self.bench.now;
        let may: Vec<u64> = (0..self.records.len())
            .filter(|&offset| {
                let record = &self.records[offset];
                record.state == State::Waiting
                    && record.due <= now.wall.get()
                    && !self.is_blocked(offset)
            })
            .map(|offset| offset as u64)
            .take(usize::try_from(room).unwrap())
            .collect();
        let granted = self.bench.acquire(CONSUMERS[who], records_max);
        let found: Vec<u64> = granted
            .ranges
            .iter()
            .flat_map(|range| range.0..=range.1)
            .collect();
        // What is known to be available comes first, before the log is looked at further.
        if found.len() < may.len() {
            assert!(
                may.starts_with(&found) && (!found.is_empty() || may.is_empty()),
                "{found:?} of {may:?}"
            );
        } else {
            assert_eq!(found, may);
        }
        if !found.is_empty() {
            assert!(granted.token > self.greatest, "tokens grow");
            self.greatest = granted.token;
        }
        for &(first, last, count) in &granted.ranges {
            for offset in first..=last {
                let record = &mut self.records[usize::try_from(offset).unwrap()];
                record.count += 1;
                assert_eq!(record.count, count, "of {offset}");
                record.state = State::Leased {
                    who,
                    token: granted.token,
                    until: now.monotonic + granted.lease,
                };
            }
            self.leases.push((who, granted.token, first, last));
        }
    }

    fn settle(
        &mut self,
        (who, token, first, last): (usize, FencingToken, u64, u64),
        skip: u64,
        take: u64,
        how: u8,
        wrong: u8,
    ) {
        let first = (first + skip).min(last);
        let last = last.min(first + take - 1);
        let (mut by, mut with) = (who, token);
        match wrong {
            0 => by = (who + 1) % CONSUMERS.len(),
            1 => with = FencingToken::new(self.greatest.get() + 1),
            _ => {}
        }
        let action = match how {
            0 | 1 => SettleAction::Acknowledge,
            2 => SettleAction::Release,
            3 => SettleAction::Retry {
                after: None,
                cause: None,
            },
            _ => SettleAction::Reject {
                cause: "bad".into(),
            },
        };
        let offsets = usize::try_from(first).unwrap()..=usize::try_from(last).unwrap();
        let now = self.bench.now;
        let mine: Vec<usize> = offsets
            .clone()
            .filter(|&offset| {
                matches!(self.records[offset].state, State::Leased { who: owner, token, until }
                    if owner == by && token == with && until > now.monotonic)
            })
            .collect();
        let settled = self
            .bench
            .settle(CONSUMERS[by], (first, last), with, action.clone());
        if settled.is_err() {
            // Every record of the range that could be settled is beside one that is in the way.
            let in_the_way = offsets.clone().any(|offset| {
                !mine.contains(&offset)
                    && !matches!(self.records[offset].state, State::Done | State::Dying)
            });
            assert!(mine.is_empty() || in_the_way, "{settled:?}");
            return;
        }
        assert!(!mine.is_empty(), "{settled:?} of nothing");
        for offset in mine {
            let count = self.records[offset].count;
            match how {
                0 | 1 => self.records[offset].state = State::Done,
                2 => self.fail(offset, 0),
                3 => {
                    let wait = 2_000 << (count - 1);
                    self.fail(offset, now.wall.get() + wait);
                }
                _ => self.records[offset].state = State::Dying,
            }
        }
    }

    fn check(&self) {
        let counters = self.bench.counters();
        assert_eq!(
            counters.in_flight,
            self.held(|state| matches!(state, State::Leased { .. }))
        );
        assert_eq!(counters.dying, self.held(|state| *state == State::Dying));
        let undone = |record: &Model| record.state != State::Done;
        if let Some(first) = self.records.iter().position(undone) {
            assert!(
                self.bench.start() <= first as u64,
                "the start passed {first}"
            );
        }
    }

    /// Time passes, and one consumer acknowledges all that comes: everything is done in the end.
    fn finish(&mut self) {
        for _ in 0..self.records.len() * 3 + 3 {
            self.take(&Step::Advance { seconds: 60 });
            self.take(&Step::Bury);
            for who in 0..CONSUMERS.len() {
                self.leases.clear();
                self.acquire(who, 100);
                for lease in self.leases.clone() {
                    self.settle(lease, 0, u64::MAX / 2, 0, 9);
                }
            }
        }
        self.check();
        assert_eq!(self.held(|state| *state != State::Done), 0);
        assert_eq!(self.bench.start(), self.records.len() as u64);
    }
}

fn run(ordered: bool, steps: &[Step]) {
    let mut world = World::new(ordered);
    for step in steps {
        world.take(step);
        world.check();
    }
    world.finish();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_history_without_order(steps in prop::collection::vec(step(), 1..100)) {
        run(false, &steps);
    }

    #[test]
    fn any_history_ordered_by_key(steps in prop::collection::vec(step(), 1..100)) {
        run(true, &steps);
    }
}

#[test]
fn one_poisoned_key_among_ten_thousand_holds_up_no_other_and_no_key_is_reordered() {
    const KEYS: u64 = 10_000;
    const ROUNDS: u64 = 3;
    let mut bench = Bench::new(&[
        ("ordered_by_key", "true"),
        ("attempts_max", "1000"),
        ("backoff_jitter_percent", "0"),
        ("in_flight_per_consumer_max", "1000"),
    ]);
    for offset in 0..KEYS * ROUNDS {
        bench.produce(Record {
            key: Some(offset % KEYS),
            due: None,
            gone: false,
        });
    }
    let poisoned = 4_711;
    let mut last: BTreeMap<u64, u64> = BTreeMap::new();
    let mut acknowledged = 0;
    let mut failures = 0;
    for _ in 0..1_000 {
        let granted = bench.acquire("a", 1_000);
        let mut settlements = Vec::new();
        for &(first, until, _) in &granted.ranges {
            for offset in first..=until {
                let key = offset % KEYS;
                let before = last.insert(key, offset);
                let action = if key == poisoned {
                    assert_eq!(offset, poisoned, "a later record of the poisoned key came");
                    failures += 1;
                    SettleAction::Retry {
                        after: None,
                        cause: None,
                    }
                } else {
                    assert!(before < Some(offset), "key {key} was reordered");
                    acknowledged += 1;
                    SettleAction::Acknowledge
                };
                settlements.push(Settlement {
                    partition: P0,
                    first: Offset::new(offset),
                    last: Offset::new(offset),
                    token: granted.token,
                    action,
                });
            }
        }
        let results = bench.settle_all("a", &settlements);
        assert!(results.iter().all(Result::is_ok));
        bench.advance(Duration::from_secs(1));
    }
    assert_eq!(acknowledged, (KEYS - 1) * ROUNDS);
    assert!(failures >= 5, "it was tried {failures} times");
    assert_eq!(bench.counters().blocked, ROUNDS - 1);
}

#[test]
fn settlements_of_one_call_cannot_settle_twice() {
    let mut bench = Bench::new(&[]);
    for _ in 0..10 {
        bench.produce(Record {
            key: None,
            due: None,
            gone: false,
        });
    }
    let token = bench.acquire("a", 10).token;
    let settlement = |first, last| Settlement {
        partition: P0,
        first: Offset::new(first),
        last: Offset::new(last),
        token,
        action: SettleAction::Acknowledge,
    };
    let settlements = [
        settlement(4, 6),
        settlement(0, 3),
        settlement(6, 8),
        settlement(3, 3),
        settlement(0, 9),
        settlement(7, 9),
    ];
    let results = bench.settle_all("a", &settlements);
    let twice = Err(QueueError::AlreadySettled);
    assert_eq!(
        results,
        [Ok(()), Ok(()), twice.clone(), twice.clone(), twice, Ok(())]
    );
    assert_eq!(bench.counters().acknowledged, 10);
}
