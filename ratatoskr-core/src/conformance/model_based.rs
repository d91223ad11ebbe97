//! Random mixtures of operations on a partition and on its `Model`, which must agree after each.
//!
//! What is done follows from fixed seeds, so a run can be repeated; a failing mixture is shrunk to a
//! small one before it is shown.

use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use super::{BatchSpec, Subject, log::Log, model::request};
use crate::{
    offset::Offset,
    storage::{Access, ReadRequest, StorageError},
    time::Timestamp,
};

/// Mixtures tried by one case.
const MIXTURES: usize = 48;
/// Operations of one mixture, at most.
const OPERATIONS_MAX: usize = 40;
/// Attempts at making a failing mixture smaller.
const SHRINKS_MAX: usize = 400;

/// One step of a mixture. Places are given as parts of the log in 1/1000, a little beyond both of
/// its ends included, so that they fit whatever the log has become.
#[derive(Clone, Debug)]
pub enum Operation {
    /// Appends these batches, the first this far beyond the log end.
    Append {
        /// Offsets left out before the first.
        gap: u64,
        /// The batches.
        specs: Vec<BatchSpec>,
    },
    /// Appends a batch this far below the log end, after one in order.
    AppendOutOfOrder {
        /// Offsets below the log end.
        below: u64,
    },
    /// Reads.
    Read {
        /// Where from.
        from: u64,
        /// Where to.
        until: u64,
        /// Bytes at most.
        bytes_max: usize,
        /// By whom.
        access: Access,
    },
    /// Trims.
    Trim {
        /// Where to.
        to: u64,
    },
    /// Looks up this time.
    Lookup {
        /// In milliseconds.
        at: i64,
    },
    /// Flushes.
    Flush,
    /// Takes a new handle.
    RenewHandle,
    /// Drops everything and opens the backend again.
    Reopen,
}

fn specs() -> impl Strategy<Value = Vec<BatchSpec>> {
    let value_bytes = prop_oneof![4 => 0_usize..200, 1 => 200_usize..3_000];
    let spec = (1_u32..6, value_bytes, 0_i64..200).prop_map(|(records, value_bytes, at)| {
        BatchSpec::of(records).with_value_bytes(value_bytes).at(at)
    });
    prop::collection::vec(spec, 0..4)
}

fn operations() -> impl Strategy<Value = Operation> {
    let place = || 0_u64..=1_000;
    let bytes_max = prop_oneof![Just(0), 0_usize..5_000, Just(usize::MAX)];
    let access = prop_oneof![Just(Access::Inspect), Just(Access::Forward)];
    prop_oneof![
        8 => (prop_oneof![9 => Just(0), 1 => 1_u64..9], specs())
            .prop_map(|(gap, specs)| Operation::Append { gap, specs }),
        1 => (1_u64..20).prop_map(|below| Operation::AppendOutOfOrder { below }),
        8 => (place(), place(), bytes_max, access).prop_map(|(from, until, bytes_max, access)| {
            Operation::Read { from, until, bytes_max, access }
        }),
        2 => place().prop_map(|to| Operation::Trim { to }),
        2 => (-1_i64..210).prop_map(|at| Operation::Lookup { at }),
        1 => Just(Operation::Flush),
        1 => Just(Operation::RenewHandle),
    ]
}

/// Mixtures for a backend of any kind.
pub fn operations_without_reopening() -> impl Strategy<Value = Vec<Operation>> {
    prop::collection::vec(operations(), 1..OPERATIONS_MAX)
}

/// Mixtures for a persistent backend.
pub fn operations_and_reopenings() -> impl Strategy<Value = Vec<Operation>> {
    let operation = prop_oneof![7 => operations(), 1 => Just(Operation::Reopen)];
    prop::collection::vec(operation, 1..OPERATIONS_MAX)
}

/// Any mixture of calls leaves the log as the model has it.
pub async fn random_operations(subject: &Subject) {
    random_operations_of(subject, operations_without_reopening()).await;
}

/// Tries mixtures of this kind, each on a topic of its own.
pub(super) async fn random_operations_of(
    subject: &Subject,
    mixtures: impl Strategy<Value = Vec<Operation>>,
) {
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    for number in 0..MIXTURES {
        let mut tree = mixtures.new_tree(&mut runner).unwrap();
        let Err(mut difference) = perform(subject, &tree.current()).await else {
            continue;
        };
        let mut smallest = tree.current();
        let mut smaller = tree.simplify();
        for _ in 0..SHRINKS_MAX {
            if !smaller {
                break;
            }
            smaller = match perform(subject, &tree.current()).await {
                Err(still) => {
                    (difference, smallest) = (still, tree.current());
                    tree.simplify()
                }
                Ok(()) => tree.complicate(),
            };
        }
        panic!("mixture {number}: {difference}\nafter {smallest:#?}");
    }
}

/// Performs a mixture on a new log.
async fn perform(subject: &Subject, operations: &[Operation]) -> Result<(), String> {
    let mut log = Log::create(subject).await;
    let id = log.topic.id();
    let mut durable_end = Offset::ZERO;
    for (number, operation) in operations.iter().enumerate() {
        let step = |difference| format!("step {number}, {operation:?}: {difference}");
        if matches!(operation, Operation::Reopen) {
            log = log.reopen(subject).await;
            let end = log.partition.bounds().log_end;
            if end < durable_end {
                return Err(step(format!("durable to {durable_end}, there to {end}")));
            }
            log.model.cut(end).map_err(step)?;
            log.model.compare(&*log.partition).await.map_err(step)?;
        } else {
            perform_one(&mut log, operation).await.map_err(step)?;
        }
        let bounds = log.partition.bounds();
        log.model.compare_bounds(&bounds).map_err(step)?;
        if bounds.durable_end < durable_end {
            let now = bounds.durable_end;
            return Err(step(format!("durable end {durable_end}, then {now}")));
        }
        durable_end = bounds.durable_end;
    }
    log.model.compare(&*log.partition).await?;
    let deleted = log.storage.delete_topic(id).await;
    deleted.map_err(|error| format!("deleting the topic: {error:?}"))
}

async fn perform_one(log: &mut Log, operation: &Operation) -> Result<(), String> {
    let (start, end) = (log.model.log_start(), log.model.log_end());
    let place = |part: u64| {
        let first = start.get().saturating_sub(2);
        Offset::new(first + part * (end.get() + 4 - first) / 1_000)
    };
    match operation {
        Operation::Append { gap, specs } => {
            let mut batches = log.model.next_batches(specs);
            for batch in &mut batches {
                let header = *batch.header();
                batch.assign(header.base_offset.plus(*gap), header.leader_epoch);
            }
            let expected = log.model.append(&batches);
            match log.partition.append(&batches) {
                Ok(appended) if appended == expected => Ok(()),
                other => Err(format!("expected {expected:?}, got {other:?}")),
            }
        }
        Operation::AppendOutOfOrder { below } => append_out_of_order(log, *below),
        Operation::Read {
            from,
            until,
            bytes_max,
            access,
        } => {
            let request = ReadRequest {
                access: *access,
                ..request(place(*from), place(*until), *bytes_max)
            };
            log.model.compare_read(&*log.partition, &request).await
        }
        Operation::Trim { to } => trim(log, place(*to)).await,
        Operation::Lookup { at } => {
            let at = Timestamp::new(*at);
            log.model.compare_time(&*log.partition, at).await
        }
        Operation::Flush => match log.partition.flush().await {
            Ok(durable_end) if durable_end == end => Ok(()),
            other => Err(format!("expected {end}, got {other:?}")),
        },
        Operation::RenewHandle => {
            log.renew_handle();
            Ok(())
        }
        Operation::Reopen => Err("reopening is not done here".into()),
    }
}

fn append_out_of_order(log: &mut Log, below: u64) -> Result<(), String> {
    let mut batches = log.model.next_batches(&[BatchSpec::of(2)]);
    let base_offset = log.model.log_end().get().saturating_sub(below);
    batches.push(BatchSpec::of(1).build(Offset::new(base_offset)));
    let answer = log.partition.append(&batches);
    // What the engine does after such an error.
    log.renew_handle();
    match answer {
        Err(StorageError::OutOfOrder { .. }) => Ok(()),
        other => Err(format!("expected out of order, got {other:?}")),
    }
}

async fn trim(log: &mut Log, to: Offset) -> Result<(), String> {
    let answer = log.partition.advance_log_start(to).await;
    if to > log.model.log_end() {
        return match answer {
            Err(StorageError::OffsetOutOfRange { requested, .. }) if requested == to => Ok(()),
            other => Err(format!("expected out of range, got {other:?}")),
        };
    }
    log.model.trim(to);
    let bounds = answer.map_err(|error| format!("{error:?}"))?;
    log.model.compare_bounds(&bounds)
}
