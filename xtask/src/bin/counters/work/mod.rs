//! The workloads. Each runs alone in a process of its own, always the same way: one worker thread,
//! records of one size, requests written together, so that the counts repeat.

mod client;
mod in_process;
mod native;
mod peer;

use std::{path::Path, sync::Arc};

use anyhow::Result;
use futures_util::future::BoxFuture;
use ratatoskr_core::{
    Broker,
    batch::{BatchBuilder, RecordBatch},
    broker::NewTopic,
    config::TopicConfigChange,
    name::TopicName,
    offset::PartitionIndex,
    record::Record,
    time::Timestamp,
};
use ratatoskr_storage::{MemoryStorage, MmapOptions, MmapStorage, SystemClock};
use tokio::runtime::{Builder, Runtime};

use crate::meter::{Meter, ROUNDS};

/// Bytes of a record's value, unless a workload says otherwise.
const VALUE_BYTES: usize = 100;
const PARTITION: PartitionIndex = PartitionIndex::new(0);

/// Something that a broker does all day.
pub(crate) struct Workload {
    /// Its row in the table.
    pub(crate) name: &'static str,
    /// Whether the thread that measures plays a peer, whose system calls are not ours.
    pub(crate) caller_is_peer: bool,
    /// Where the topic's records go.
    kept: Kept,
    run: fn(Stage) -> BoxFuture<'static, Result<Meter>>,
}

/// Where records go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kept {
    Memory,
    Os,
    Fsync,
}

/// What a workload runs on.
struct Stage {
    broker: Broker,
    topic: TopicName,
    /// One worker thread, which serves the native door where there is one.
    server: tokio::runtime::Handle,
    meter: Meter,
}

macro_rules! workload {
    ($name:literal, $kept:ident, $peer:literal, $run:path) => {
        Workload {
            name: $name,
            caller_is_peer: $peer,
            kept: Kept::$kept,
            run: |stage| Box::pin($run(stage)),
        }
    };
}

/// All of them, in the order of the reports.
pub(crate) const ALL: [Workload; 17] = [
    workload!("publish-memory", Memory, false, in_process::publish),
    workload!("publish-os", Os, false, in_process::publish),
    workload!("publish-fsync", Fsync, false, in_process::publish),
    workload!(
        "publish-many-memory",
        Memory,
        false,
        in_process::publish_many
    ),
    workload!("publish-many-os", Os, false, in_process::publish_many),
    workload!("produce-batch-memory", Memory, false, in_process::produce),
    workload!("produce-batch-os", Os, false, in_process::produce),
    workload!("stream-memory", Memory, false, in_process::stream),
    workload!("native-produce-memory", Memory, true, native::produce),
    workload!("native-produce-os", Os, true, native::produce),
    workload!("native-produce-fsync", Fsync, true, native::produce),
    workload!("native-fetch-os", Os, true, native::fetch),
    workload!("native-push-memory", Memory, true, native::push),
    workload!("client-produce-memory", Memory, false, client::produce),
    workload!("client-spread-memory", Memory, false, client::spread),
    workload!("client-consume-memory", Memory, false, client::consume),
    workload!("client-follow-memory", Memory, false, client::follow),
];

/// Runs a workload with its data under `directory`.
///
/// # Errors
/// It does not run as it should: an error is answered, a record is missing.
pub(crate) fn run(workload: &Workload, directory: &Path) -> Result<Meter> {
    let server = one_worker()?;
    let caller = Builder::new_current_thread().enable_all().build()?;
    caller.block_on(async {
        let broker = match workload.kept {
            Kept::Memory => {
                let storage = Arc::new(MemoryStorage::new());
                let clock = Arc::new(SystemClock::new());
                Broker::builder(storage, clock).open().await?
            }
            Kept::Os | Kept::Fsync => {
                let storage = MmapStorage::open(directory, MmapOptions::default()).await?;
                Arc::new(storage).broker().open().await?
            }
        };
        let topic = TopicName::parse("orders")?;
        let mut config = TopicConfigChange::default();
        if workload.kept == Kept::Os {
            config.set("durability", "os")?;
        }
        let new = NewTopic {
            partitions: Some(1),
            config,
        };
        broker.create_topic(&topic, new).await?;
        let stage = Stage {
            broker,
            topic,
            server: server.handle().clone(),
            meter: Meter::new()?,
        };
        (workload.run)(stage).await
    })
}

fn one_worker() -> Result<Runtime> {
    Ok(Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?)
}

fn record() -> Record {
    Record::new(vec![b'x'; VALUE_BYTES])
}

/// A batch of this many records with values of this many bytes.
fn batch(records: usize, value_bytes: usize) -> Result<RecordBatch> {
    let mut builder = BatchBuilder::default();
    let record = Record::new(vec![b'x'; value_bytes]);
    for _ in 0..records {
        builder.push(&record, Timestamp::new(1))?;
    }
    Ok(builder.build()?)
}
