//! Idempotent producers against a broker whose commits, flushes and appends fail at random: when
//! all is well again, each record is in the log once, in its producer's order, where the
//! acknowledgement said.

use std::{collections::VecDeque, time::Duration};

use proptest::prelude::*;
use ratatoskr_core::{
    BrokerConfig, Error, broker::Produced, commit::CommitError, name::TopicName, offset::Offset,
};
use tokio::task::JoinHandle;

use crate::support::{Bench, Fault, ManualCommitter, Operation, P0, batch_of, settle};

const PRODUCERS: usize = 3;

#[derive(Clone, Debug)]
enum Step {
    Send { producer: usize },
    Commit,
    FailCommit { unknown: bool },
    BreakAppend { panic: bool },
    FillDisk,
    BreakFlush,
    BreakRead,
    LetTimePass,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0..PRODUCERS).prop_map(|producer| Step::Send { producer }),
        6 => Just(Step::Commit),
        1 => any::<bool>().prop_map(|unknown| Step::FailCommit { unknown }),
        1 => any::<bool>().prop_map(|panic| Step::BreakAppend { panic }),
        1 => Just(Step::FillDisk),
        1 => Just(Step::BreakFlush),
        1 => Just(Step::BreakRead),
        2 => Just(Step::LetTimePass),
        1 => Just(Step::Restart),
    ]
}

/// A producer as a client is: it pipelines, and after a failure sends again from there.
#[derive(Default)]
struct Producer {
    id: i64,
    /// Where each acknowledged record is.
    acknowledged: Vec<Offset>,
    in_flight: VecDeque<JoinHandle<Result<Produced, Error>>>,
}

impl Producer {
    /// Takes the answers that have come; after a failure nothing is in flight any more.
    async fn reap(&mut self) {
        while let Some(first) = self.in_flight.front()
            && first.is_finished()
        {
            match self.in_flight.pop_front().unwrap().await.unwrap() {
                Ok(produced) => self.acknowledged.push(produced.base_offset),
                Err(_) => self.in_flight.clear(),
            }
        }
    }

    fn send(&mut self, bench: &Bench, topic: &TopicName) {
        let sequence = self.acknowledged.len() + self.in_flight.len();
        let value = format!("{}-{sequence}", self.id);
        let batch = batch_of(self.id, 0, i32::try_from(sequence).unwrap(), &[&value]);
        match bench.broker.produce(topic, P0, batch) {
            Ok(pending) => self.in_flight.push_back(tokio::spawn(pending.wait())),
            // Sent again the next time, as long as nothing is in flight before it.
            Err(_) => assert!(self.acknowledged.len() <= sequence),
        }
    }
}

struct World {
    bench: Bench,
    committer: Option<std::sync::Arc<ManualCommitter>>,
    topic: TopicName,
    producers: Vec<Producer>,
}

impl World {
    async fn new(committing: bool) -> Self {
        let (bench, committer) = if committing {
            let (bench, committer) = Bench::committing(BrokerConfig::default()).await;
            (bench, Some(committer))
        } else {
            (Bench::flushing().await, None)
        };
        let topic = bench.topic("orders", 1).await;
        let producers = (0..PRODUCERS).map(|id| Producer {
            id: i64::try_from(id).unwrap(),
            ..Producer::default()
        });
        Self {
            bench,
            committer,
            topic,
            producers: producers.collect(),
        }
    }

    fn fail(&self, operation: Operation, fault: Fault) {
        self.bench.storage.fail(operation, &self.topic, P0, fault);
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Send { producer } => {
                let producer = &mut self.producers[producer];
                producer.reap().await;
                producer.send(&self.bench, &self.topic);
            }
            Step::Commit => self.commit(),
            Step::FailCommit { unknown } => self.fail_commit(unknown),
            Step::BreakAppend { panic: true } => self.fail(Operation::Append, Fault::Panic),
            Step::BreakAppend { panic: false } => self.fail(Operation::Append, Fault::broken()),
            Step::FillDisk => self.fail(Operation::Append, Fault::full()),
            Step::BreakFlush => self.fail(Operation::Flush, Fault::broken()),
            Step::BreakRead => self.fail(Operation::Read, Fault::broken()),
            Step::LetTimePass => tokio::time::sleep(Duration::from_secs(1)).await,
            Step::Restart => self.restart().await,
        }
        settle().await;
    }

    fn commit(&self) {
        if let Some(committer) = &self.committer
            && committer.queued() > 0
        {
            committer.commit();
        }
    }

    fn fail_commit(&self, unknown: bool) {
        let Fault::Error(error) = Fault::full() else {
            unreachable!("a full disk is an error");
        };
        if let Some(committer) = &self.committer
            && committer.queued() > 0
        {
            committer.fail(if unknown {
                CommitError::Unknown(error)
            } else {
                CommitError::Failed(error)
            });
        }
    }

    /// Another broker over the same storage, once this one has shut down.
    async fn restart(&mut self) {
        if let Some(committer) = &self.committer {
            committer.commit_all();
        }
        let _ = self.bench.broker.shutdown(Duration::from_secs(1)).await;
        settle().await;
        for producer in &mut self.producers {
            producer.reap().await;
            producer.in_flight.clear();
        }
        let mut builder =
            ratatoskr_core::Broker::builder(self.bench.storage.clone(), self.bench.clock.clone());
        if let Some(committer) = &self.committer {
            builder = builder.committer(committer.clone());
        }
        self.bench.broker = builder.open().await.unwrap();
    }

    /// Nothing fails any more, and each producer sends until all it had sent is acknowledged.
    async fn heal(&mut self, sent: &[usize]) {
        self.bench.storage.clear_faults();
        for _ in 0..1_000 {
            if let Some(committer) = &self.committer {
                committer.commit_all();
            }
            settle().await;
            let mut done = true;
            for (producer, &sent) in self.producers.iter_mut().zip(sent) {
                producer.reap().await;
                if producer.acknowledged.len() < sent {
                    done = false;
                    if producer.in_flight.is_empty() {
                        producer.send(&self.bench, &self.topic);
                    }
                }
            }
            if done {
                return;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        panic!("a producer is never done");
    }

    async fn check(&self) {
        let values = self.bench.values(&self.topic).await;
        let mut seen = [0; PRODUCERS];
        for value in &values {
            let (id, sequence) = value.split_once('-').unwrap();
            let id: usize = id.parse().unwrap();
            assert_eq!(sequence, seen[id].to_string(), "in {values:?}");
            seen[id] += 1;
        }
        for producer in &self.producers {
            for (sequence, offset) in producer.acknowledged.iter().enumerate() {
                let at = usize::try_from(offset.get()).unwrap();
                assert_eq!(values[at], format!("{}-{sequence}", producer.id));
            }
        }
        let bounds = self.bench.broker.bounds(&self.topic, P0).unwrap();
        assert_eq!(bounds.high_watermark, bounds.log_end);
        assert_eq!(bounds.log_end, Offset::new(values.len() as u64));
        assert_eq!(self.bench.broker.stats().in_flight_bytes, 0);
        assert_eq!(self.bench.broker.problems(), []);
    }
}

fn run(committing: bool, steps: Vec<Step>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut world = World::new(committing).await;
        let mut sent = [0; PRODUCERS];
        for step in steps {
            if let Step::Send { producer } = step {
                let state = &mut world.producers[producer];
                state.reap().await;
                sent[producer] =
                    sent[producer].max(state.acknowledged.len() + state.in_flight.len() + 1);
            }
            world.take(step).await;
        }
        world.heal(&sent).await;
        world.check().await;
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn with_a_committer(steps in prop::collection::vec(step(), 1..80)) {
        run(true, steps);
    }

    #[test]
    fn with_flushes(steps in prop::collection::vec(step(), 1..80)) {
        run(false, steps);
    }
}
