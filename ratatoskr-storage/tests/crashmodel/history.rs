//! What a storage was asked and what it promised, and whether what a crash left keeps those promises.
//!
//! A change that was asked for and not yet answered may be there after a crash or not. One that was
//! answered must be there, and nothing may be there that was never asked for.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use ratatoskr_core::{
    batch::{self, RecordBatch, RecordLimits, RecordView},
    name::TopicId,
    offset::{Offset, PartitionIndex},
    storage::{Access, Partition, ReadRequest, TopicDescriptor},
};

/// Everything that was asked of a storage.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    pub(crate) topics: BTreeMap<TopicId, TopicHistory>,
}

/// A topic that was ever asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct TopicHistory {
    /// As answered last; `None` before it was created and after it was deleted.
    pub(crate) is: Option<TopicDescriptor>,
    /// The change under way, if there is one.
    pub(crate) asked: Option<Change>,
    pub(crate) partitions: BTreeMap<PartitionIndex, PartitionHistory>,
}

/// What a topic was asked to become.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    To(TopicDescriptor),
    Gone,
}

impl Change {
    fn outcome(&self) -> Option<&TopicDescriptor> {
        match self {
            Self::To(topic) => Some(topic),
            Self::Gone => None,
        }
    }
}

/// A partition of such a topic.
#[derive(Clone, Debug, Default)]
pub(crate) struct PartitionHistory {
    /// What was submitted and has not failed, in the order of offsets.
    batches: BTreeMap<Offset, Bytes>,
    submitted_end: Offset,
    /// Up to here records were promised to survive a crash.
    promised_end: Offset,
    log_start: Offset,
    /// Where a trim under way moves the log start.
    log_start_asked: Offset,
    /// Up to here records may have been compacted.
    compact_asked: Offset,
}

/// What compaction may have left out.
struct Left {
    /// Up to here.
    until: Offset,
    /// Where the latest record of each key lies below that.
    latest: HashMap<Bytes, Offset>,
}

impl PartitionHistory {
    pub(crate) fn submitted(&mut self, batch: &RecordBatch) {
        let header = batch.header();
        self.batches.insert(header.base_offset, batch.to_bytes());
        self.submitted_end = header.end_offset();
    }

    pub(crate) fn promised(&mut self, end: Offset) {
        self.promised_end = self.promised_end.max(end);
    }

    pub(crate) fn compact_asked(&mut self, until: Offset) {
        self.compact_asked = self.compact_asked.max(until);
    }

    pub(crate) fn trim_asked(&mut self, to: Offset) {
        self.log_start_asked = self.log_start.max(to);
    }

    pub(crate) fn trimmed(&mut self) {
        self.log_start = self.log_start_asked;
        self.promised_end = self.promised_end.max(self.log_start);
    }

    /// Compares what is there with what may be there. Then that is what is there: it has been read.
    async fn settle(&mut self, partition: &dyn Partition) -> Result<(), String> {
        let bounds = partition.bounds();
        let (start, end) = (bounds.log_start, bounds.log_end);
        let asked = self.log_start.max(self.log_start_asked);
        if start != self.log_start && start != asked {
            return Err(format!(
                "the log starts at {start}, not at {} or {asked}",
                self.log_start
            ));
        }
        let submitted_end = self.submitted_end.max(start);
        if end < self.promised_end || end > submitted_end {
            return Err(format!(
                "the log ends at {end}: {} was promised, {submitted_end} submitted",
                self.promised_end
            ));
        }
        if bounds.durable_end < end {
            let durable = bounds.durable_end;
            return Err(format!(
                "readable up to {end}, durable only up to {durable}"
            ));
        }
        self.compare_records(partition, start, end).await?;
        self.batches.retain(|&base, _| base < end);
        (self.log_start, self.log_start_asked) = (start, start);
        (self.submitted_end, self.promised_end) = (end, end);
        self.compact_asked = self.compact_asked.min(end);
        Ok(())
    }

    async fn compare_records(
        &self,
        partition: &dyn Partition,
        start: Offset,
        end: Offset,
    ) -> Result<(), String> {
        let everything = ReadRequest {
            from: start,
            until: Offset::MAX,
            bytes_max: usize::MAX,
            access: Access::Inspect,
        };
        let left = self.left(end);
        let mut next = start;
        while next < end {
            let request = ReadRequest {
                from: next,
                ..everything
            };
            let found = partition.read(&request).await;
            let found = found.map_err(|error| format!("reading from {next}: {error}"))?;
            if found.is_empty() {
                return Err(format!("nothing at {next} of a log that ends at {end}"));
            }
            for slice in found.into_slices() {
                for batch in batch::batches(slice) {
                    let batch = batch.map_err(|error| format!("batch at {next}: {error}"))?;
                    next = self.compare_batch(&batch, next, next == start, &left)?;
                }
            }
        }
        if next != end {
            return Err(format!("records up to {next} in a log that ends at {end}"));
        }
        Ok(())
    }

    fn compare_batch(
        &self,
        batch: &RecordBatch,
        next: Offset,
        is_first: bool,
        left: &Left,
    ) -> Result<Offset, String> {
        let header = batch.header();
        let base = header.base_offset;
        // The log start may lie within a batch.
        if base > next || (base < next && !is_first) {
            return Err(format!("a batch at {base} where {next} is due"));
        }
        match self.batches.get(&base) {
            Some(there) if *there == batch.to_bytes() => Ok(header.end_offset()),
            Some(_) if base < left.until => self.compare_compacted(batch, left),
            Some(_) => Err(format!("the batch at {base} is not the one submitted")),
            None => Err(format!("nobody submitted a batch at {base}")),
        }
    }

    /// What may be missing in a log that ends at `end`. What a crash took has superseded nothing.
    fn left(&self, end: Offset) -> Left {
        let until = self.compact_asked.min(end);
        let mut latest = HashMap::new();
        for bytes in self.batches.range(..until).map(|(_, bytes)| bytes) {
            for record in records(bytes).into_iter().filter(|r| r.offset < until) {
                latest.insert(record.key.unwrap_or_default(), record.offset);
            }
        }
        Left { until, latest }
    }

    /// Compares a batch with those that it was made of.
    fn compare_compacted(&self, batch: &RecordBatch, left: &Left) -> Result<Offset, String> {
        let header = batch.header();
        let offsets = header.base_offset..header.end_offset();
        batch.verify_crc().map_err(|error| error.to_string())?;
        let mut end = header.base_offset;
        let mut there = records(&batch.to_bytes()).into_iter().peekable();
        for bytes in self.batches.range(offsets.clone()).map(|(_, bytes)| bytes) {
            for record in records(bytes) {
                end = record.offset.plus(1);
                if there.next_if_eq(&record).is_some() {
                    continue;
                }
                let latest = record.key.as_ref().and_then(|key| left.latest.get(key));
                let is_superseded = latest.is_some_and(|latest| record.offset < *latest);
                let is_tombstone = record.value.is_none();
                if record.offset >= left.until || !(is_superseded || is_tombstone) {
                    return Err(format!("the record at {} is gone", record.offset));
                }
            }
        }
        match there.next() {
            Some(other) => Err(format!("nobody submitted the record at {}", other.offset)),
            None if end != offsets.end => {
                Err(format!("a batch ends at {}, not {end}", offsets.end))
            }
            None => Ok(end),
        }
    }
}

/// The records of a batch.
fn records(batch: &Bytes) -> Vec<RecordView> {
    let batch = RecordBatch::view(batch.clone()).unwrap();
    let records = batch.records(&RecordLimits::default()).unwrap();
    records.map(Result::unwrap).collect()
}

impl TopicHistory {
    pub(crate) fn partition(&mut self, index: PartitionIndex) -> &mut PartitionHistory {
        self.partitions.entry(index).or_default()
    }

    /// The change under way has come through.
    pub(crate) fn answered(&mut self) {
        if let Some(change) = self.asked.take() {
            self.is = change.outcome().cloned();
        }
    }

    fn settle(&mut self, there: Option<&TopicDescriptor>) -> Result<(), String> {
        let is = self.is.as_ref() == there;
        let asked = self.asked.as_ref();
        let came = asked.is_some_and(|change| change.outcome() == there);
        if !is && !came {
            return Err(format!(
                "the topic is {there:?}, not {:?} (or {:?})",
                self.is, self.asked
            ));
        }
        self.is = there.cloned();
        self.asked = None;
        if self.is.is_none() {
            self.partitions.clear();
        }
        Ok(())
    }
}

impl History {
    pub(crate) fn topic(&mut self, id: TopicId) -> &mut TopicHistory {
        self.topics.entry(id).or_default()
    }

    /// Compares a storage with what it may hold. Then that is what it holds.
    ///
    /// # Errors
    /// The promise that is broken.
    pub(crate) async fn settle(
        &mut self,
        storage: &dyn ratatoskr_core::storage::Storage,
    ) -> Result<(), String> {
        let listed = storage.list_topics().await.map_err(|e| e.to_string())?;
        let there: BTreeMap<_, _> = listed.into_iter().map(|topic| (topic.id, topic)).collect();
        if let Some(stranger) = there.keys().find(|id| !self.topics.contains_key(id)) {
            return Err(format!("nobody created topic {stranger}"));
        }
        for (id, topic) in &mut self.topics {
            let of_topic = |what: String| format!("topic {id}: {what}");
            topic.settle(there.get(id)).map_err(of_topic)?;
            let Some(descriptor) = &topic.is else {
                continue;
            };
            let open = storage.open_topic(*id).await;
            let open = open.map_err(|error| of_topic(error.to_string()))?;
            for index in (0..descriptor.partitions).map(PartitionIndex::new) {
                let of_partition = |what| of_topic(format!("partition {index}: {what}"));
                let partition = open.partition(index);
                let partition = partition.map_err(|error| of_partition(error.to_string()))?;
                let history = topic.partitions.entry(index).or_default();
                history.settle(&*partition).await.map_err(of_partition)?;
            }
        }
        Ok(())
    }
}
