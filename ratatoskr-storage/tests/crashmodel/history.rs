//! What a storage was asked and what it promised, and whether what a crash left keeps those promises.
//!
//! A change that was asked for and not yet answered may be there after a crash or not. One that was
//! answered must be there, and nothing may be there that was never asked for.

use std::collections::BTreeMap;

use bytes::Bytes;
use ratatoskr_core::{
    batch::{self, RecordBatch},
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
                    next = self.compare_batch(&batch, next, next == start)?;
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
    ) -> Result<Offset, String> {
        let header = batch.header();
        let base = header.base_offset;
        // The log start may lie within a batch.
        if base > next || (base < next && !is_first) {
            return Err(format!("a batch at {base} where {next} is due"));
        }
        match self.batches.get(&base) {
            Some(there) if *there == batch.to_bytes() => Ok(header.end_offset()),
            Some(_) => Err(format!("the batch at {base} is not the one submitted")),
            None => Err(format!("nobody submitted a batch at {base}")),
        }
    }
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
