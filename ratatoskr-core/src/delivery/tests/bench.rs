//! A group over a log that is a list, with a clock that stands still, and events that are kept.

use std::time::Duration;

use crate::{
    delivery::{
        AcquireRequest, ConsumerId, DeadWork, Done, Event, FencingToken, Granted, Now, QueueConfig,
        QueueConfigChange, QueueCounters, QueueError, Queues, Scan, ScanKind, ScanLimits,
        SettleAction, SettleRequest, Settlement, partition::PartitionQueue,
    },
    name::{GroupId, TopicId, TopicName},
    offset::{Offset, PartitionIndex},
    time::Timestamp,
};

pub(super) const P0: PartitionIndex = PartitionIndex::new(0);

#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    pub(super) key: Option<u64>,
    pub(super) due: Option<Timestamp>,
    /// Taken by compaction.
    pub(super) gone: bool,
}

pub(super) struct Bench {
    pub(super) queues: Queues,
    pub(super) log: Vec<Record>,
    pub(super) events: Vec<Event>,
    pub(super) now: Now,
    pub(super) limits: ScanLimits,
    pub(super) random: u64,
    config: QueueConfig,
    topic: TopicName,
}

pub(super) fn group() -> GroupId {
    GroupId::parse("g").unwrap()
}

pub(super) fn topic() -> TopicId {
    TopicId::from_bytes([1; 16]).unwrap()
}

fn consumer(name: &str) -> ConsumerId {
    ConsumerId::parse(name).unwrap()
}

impl Bench {
    pub(super) fn new(config: &[(&str, &str)]) -> Self {
        Self::on("orders", config)
    }

    pub(super) fn on(topic: &str, config: &[(&str, &str)]) -> Self {
        let mut bench = Self {
            queues: Queues::default(),
            log: Vec::new(),
            events: Vec::new(),
            now: Now {
                wall: Timestamp::new(1_000_000),
                monotonic: Duration::ZERO,
            },
            limits: ScanLimits::default(),
            random: 0,
            config: QueueConfig::default(),
            topic: TopicName::parse(topic).unwrap(),
        };
        let loaded = bench.queues.loaded();
        bench.take(vec![loaded]);
        bench.configure(config);
        bench.open();
        bench
    }

    pub(super) fn configure(&mut self, config: &[(&str, &str)]) {
        let mut change = QueueConfigChange::default();
        for (key, value) in config {
            change.set(key, value).unwrap();
        }
        self.config = change.apply_to(&self.config).unwrap();
        let config = self.config.clone();
        self.take(vec![Event::Group {
            group: group(),
            config,
        }]);
    }

    fn open(&mut self) {
        self.take(vec![Event::Opened {
            group: group(),
            topic: topic(),
            name: self.topic.clone(),
            partition: P0,
            start: Offset::ZERO,
        }]);
    }

    /// What the state log does with events: keeps them, as bytes, and applies them.
    pub(super) fn take(&mut self, events: Vec<Event>) {
        for event in events {
            let bytes = rmp_serde::to_vec(&event).unwrap();
            let event: Event = rmp_serde::from_slice(&bytes).unwrap();
            self.events.push(event.clone());
            self.queues.apply(event);
        }
    }

    pub(super) fn produce(&mut self, record: Record) {
        self.log.push(record);
    }

    fn scan(&self, from: u64) -> Scan {
        let mut scan = Scan {
            from,
            keyed: self.config.ordered_by_key,
            items: Vec::new(),
        };
        for (offset, record) in (0..).zip(&self.log).skip(usize::try_from(from).unwrap()) {
            let kind = if record.gone {
                ScanKind::Gap
            } else {
                ScanKind::Record {
                    key: record.key.filter(|_| self.config.ordered_by_key),
                    due: record.due.filter(|&due| due > self.now.wall),
                }
            };
            scan.push(offset, offset, kind);
        }
        scan
    }

    /// Looks twice, as the broker does: at what is known, and at what the log has beyond.
    pub(super) fn acquire(&mut self, who: &str, records_max: u64) -> Granted {
        let first = self.grant(who, records_max, None);
        if !first.ranges.is_empty() || first.frontier >= self.log.len() as u64 {
            return first;
        }
        let scan = self.scan(first.frontier);
        self.grant(who, records_max, Some(&scan))
    }

    fn grant(&mut self, who: &str, records_max: u64, scan: Option<&Scan>) -> Granted {
        loop {
            let mut events = Vec::new();
            let request = AcquireRequest {
                group: &group(),
                topic: topic(),
                partition: P0,
                consumer: &consumer(who),
                records_max,
                lease: None,
                now: self.now,
            };
            let granted = self
                .queues
                .acquire(&request, scan, self.limits, &mut events)
                .unwrap();
            let again = !events.is_empty() && granted.ranges.is_empty();
            self.take(events);
            if !again {
                return granted;
            }
        }
    }

    pub(super) fn settle(
        &mut self,
        who: &str,
        (first, last): (u64, u64),
        token: FencingToken,
        action: SettleAction,
    ) -> Result<(), QueueError> {
        let settlement = Settlement {
            partition: P0,
            first: Offset::new(first),
            last: Offset::new(last),
            token,
            action,
        };
        self.settle_all(who, &[settlement]).remove(0)
    }

    pub(super) fn settle_all(
        &mut self,
        who: &str,
        settlements: &[Settlement],
    ) -> Vec<Result<(), QueueError>> {
        let mut events = Vec::new();
        let request = SettleRequest {
            group: &group(),
            topic: topic(),
            consumer: &consumer(who),
            settlements,
            now: self.now,
            random: self.random,
        };
        let settled = self.queues.settle(&request, &mut events).unwrap();
        self.take(events);
        settled.results
    }

    pub(super) fn leave(&mut self, who: &str) -> u64 {
        self.queues.leave(&group(), &consumer(who)).unwrap()
    }

    pub(super) fn advance(&mut self, by: Duration) {
        self.now.wall = self.now.wall.plus(by);
        self.now.monotonic += by;
    }

    pub(super) fn tick(&mut self) -> Option<Duration> {
        loop {
            let mut events = Vec::new();
            let ticked = self.queues.tick(self.now, &mut events);
            let done = events.is_empty() && ticked.next != Some(Duration::ZERO);
            self.take(events);
            if done {
                return ticked.next;
            }
        }
    }

    /// Moves what is given up to the dead letters.
    pub(super) fn bury(&mut self) -> Vec<DeadWork> {
        let works = self.queues.dying(|_| true);
        for work in &works {
            let how = if work.to.is_some() {
                Done::DeadLettered
            } else {
                Done::Discarded
            };
            let event = self.queues.buried(work, work.last, how);
            self.take(event.into_iter().collect());
        }
        works
    }

    /// The state as its log makes it.
    pub(super) fn restart(&mut self) {
        self.queues = Queues::default();
        for event in self.events.clone() {
            self.queues.apply(event);
        }
        let loaded = self.queues.loaded();
        self.take(vec![loaded]);
    }

    /// The state as a snapshot makes it.
    pub(super) fn restart_from_snapshot(&mut self) {
        let mut events = Vec::new();
        self.queues.snapshot(&mut |event| events.push(event));
        self.events = events;
        self.restart();
    }

    pub(super) fn counters(&self) -> QueueCounters {
        self.queues.counters()[0].1
    }

    pub(super) fn queue(&self) -> &PartitionQueue {
        self.queues.partition(&group(), topic(), P0).unwrap()
    }

    pub(super) fn start(&self) -> u64 {
        self.queue().start()
    }
}
