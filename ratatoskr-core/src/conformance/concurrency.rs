//! Cases on calls from several threads at once: one appends, as the engine does, others do the rest.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use super::{
    BatchSpec, Model, Subject,
    batches::{bytes_of, bytes_read},
    log::{Log, descriptor},
    model::request,
};
use crate::{
    batch::RecordBatch,
    offset::{Offset, PartitionIndex},
    storage::{Partition, PartitionExt, StorageError},
};

/// Appends this many times, of varied sizes.
const APPENDS: u32 = 400;

/// What will be appended, call by call, and the log that it makes.
fn planned() -> (Vec<Vec<RecordBatch>>, Model) {
    let mut model = Model::default();
    let calls = (0..APPENDS).map(|call| {
        let size = 37 * call as usize % 500;
        let specs = [
            BatchSpec::of(1 + call % 5).with_value_bytes(size),
            BatchSpec::of(1 + call % 3),
        ];
        let batches = model.next_batches(&specs);
        model.append(&batches);
        batches
    });
    (calls.collect(), model)
}

/// A thread that appends what is planned.
struct Appender {
    thread: thread::JoinHandle<()>,
    done: Arc<AtomicBool>,
}

impl Appender {
    fn start(partition: &Arc<dyn Partition>, calls: Vec<Vec<RecordBatch>>) -> Self {
        let partition = Arc::clone(partition);
        let done = Arc::new(AtomicBool::new(false));
        let signal = SetOnDrop(Arc::clone(&done));
        let thread = thread::spawn(move || {
            // Dropped when the thread panics, too, so that nobody waits for it in vain.
            let _signal = signal;
            for batches in calls {
                partition.append(&batches).unwrap();
                thread::yield_now();
            }
        });
        Self { thread, done }
    }

    fn is_done(&self) -> bool {
        self.done.load(Ordering::Acquire)
    }

    fn join(self) {
        self.thread.join().unwrap();
    }
}

struct SetOnDrop(Arc<AtomicBool>);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// A reader that follows the log sees each batch once, whole and in order, and never one that only
/// part of an `append` call has brought so far: "All or none are appended."
pub async fn readers_beside_an_appender_see_whole_batches_in_order(subject: &Subject) {
    let log = Log::create(subject).await;
    let (calls, model) = planned();
    let call_ends: Vec<_> = calls
        .iter()
        .filter_map(|call| Some(call.last()?.header().end_offset()))
        .collect();
    let appender = Appender::start(&log.partition, calls);

    let mut read = Vec::new();
    let mut from = Offset::ZERO;
    loop {
        // Asked before the read: what was appended before the appender was done must be found.
        let was_done = appender.is_done();
        let end = log.partition.bounds().log_end;
        assert!(end >= from, "the log end went back from {from} to {end}");
        assert!(
            end == Offset::ZERO || call_ends.binary_search(&end).is_ok(),
            "the log ends at {end}, within one append"
        );
        let request = request(from, Offset::MAX, 3_000);
        let found = log.partition.read_either(&request).await.unwrap();
        let found = bytes_read(&found).unwrap();
        if let Some(last) = crate::batch::batches(found.clone().into()).last() {
            from = last.unwrap().header().end_offset();
        } else if was_done {
            break;
        }
        read.extend(found);
    }
    appender.join();
    assert_eq!(from, model.log_end());
    assert!(read == bytes_of(model.batches()), "bytes differ");
    model.compare(&*log.partition).await.unwrap();
}

/// A reader beside a trim gets the batch it asked for, or learns that it is gone.
pub async fn readers_beside_a_trim_see_records_or_an_error(subject: &Subject) {
    let log = Log::create(subject).await;
    let (calls, mut model) = planned();
    let appender = Appender::start(&log.partition, calls);
    let mut step = 0;
    loop {
        let was_done = appender.is_done();
        let bounds = log.partition.bounds();
        let middle = bounds.log_start.get().midpoint(bounds.log_end.get());
        let to = Offset::new(middle);
        let trim = log.partition.advance_log_start(to);
        let read = read_one(&*log.partition, bounds.log_start, &model);
        let (trimmed, ()) = if step % 2 == 0 {
            tokio::join!(biased; trim, read)
        } else {
            let (read, trimmed) = tokio::join!(biased; read, trim);
            (trimmed, read)
        };
        assert_eq!(trimmed.unwrap().log_start, to);
        step += 1;
        if was_done {
            break;
        }
    }
    appender.join();
    model.trim(log.partition.bounds().log_start);
    model.compare(&*log.partition).await.unwrap();
}

async fn read_one(partition: &dyn Partition, from: Offset, model: &Model) {
    let request = request(from, Offset::MAX, 0);
    match partition.read(&request).await {
        Ok(found) => {
            let found = bytes_read(&found).unwrap();
            let expected = model.read(&request).unwrap();
            let may_be_empty = from == model.log_end() || found.is_empty();
            assert!(may_be_empty || found == bytes_of(expected), "bytes differ");
        }
        Err(StorageError::OffsetOutOfRange { requested, bounds }) => {
            assert_eq!(requested, from);
            assert!(bounds.log_start > from, "{from} is within {bounds:?}");
        }
        Err(error) => panic!("{error:?}"),
    }
}

/// A flush beside appends covers "every record appended before the call".
pub async fn flushes_beside_an_appender_cover_what_was_there(subject: &Subject) {
    let log = Log::create(subject).await;
    let (calls, model) = planned();
    let appender = Appender::start(&log.partition, calls);
    loop {
        let was_done = appender.is_done();
        let before = log.partition.bounds().log_end;
        let durable_end = log.partition.flush().await.unwrap();
        let after = log.partition.bounds();
        assert!(durable_end >= before, "{durable_end} after {before}");
        assert!(after.durable_end >= durable_end && after.durable_end <= after.log_end);
        if was_done {
            break;
        }
    }
    appender.join();
    model.compare(&*log.partition).await.unwrap();
}

/// Partitions are independent: they may be appended to at the same time.
pub async fn partitions_are_appended_to_at_once(subject: &Subject) {
    let storage = subject.open().await;
    let topic = descriptor(&*storage, "topic", 4);
    let topic = storage.create_topic(&topic).await.unwrap();
    let mut appenders = Vec::new();
    for index in 0..4 {
        let partition = topic.partition(PartitionIndex::new(index)).unwrap();
        let appender = Appender::start(&partition, planned().0);
        appenders.push((partition, appender));
    }
    let (_, model) = planned();
    for (partition, appender) in appenders {
        appender.join();
        model.compare(&*partition).await.unwrap();
    }
}
