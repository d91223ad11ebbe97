//! How far groups are behind, in records and in time.

use crate::{
    batch::{RecordLimits, batches},
    broker::{
        Broker,
        partition::{PartitionCell, Wanted},
    },
    error::Error,
    groups::{CommittedOffset, GroupError, MemberId, PartitionKey, PartitionLag},
    name::{GroupId, TopicName},
    offset::Offset,
    storage::Access,
    time::Timestamp,
};

impl Broker {
    /// How far a group is behind in every partition that it has committed for or reads, in the order
    /// of topics and partitions. A partition that is down is left out.
    ///
    /// The time is that since the first record was created that the group has not consumed, which is
    /// read for it.
    ///
    /// # Errors
    /// [`Error::Group`]: [`UnknownGroup`](GroupError::UnknownGroup). [`Error::PartitionOffline`]
    /// where the group's state cannot be had, [`Error::ShuttingDown`], [`Error::Fenced`].
    ///
    /// # Cancel safety
    /// As [`fetch_offsets`](Self::fetch_offsets).
    pub async fn group_lag(&self, group: &GroupId) -> Result<Vec<PartitionLag>, Error> {
        let names = self.shared.topic_names();
        let topics = &*self.shared;
        let partitions = self.look_at_groups(group, |groups| {
            let known = groups.group(group)?;
            let mut keys = groups.partitions_in_use(group, topics);
            for (&key, _) in known.offsets.iter() {
                keys.entry(key).or_default();
            }
            let partitions = keys.into_iter().filter_map(|(key, holder)| {
                let name = names.get(&key.topic)?.clone();
                Some((name, key, holder))
            });
            Some(partitions.collect::<Vec<_>>())
        });
        let unknown = || GroupError::UnknownGroup(group.clone());
        let mut partitions = partitions.await?.flatten().ok_or_else(unknown)?;
        partitions.sort_unstable();
        let keys: Vec<_> = partitions.iter().map(|(_, key, _)| *key).collect();
        let committed = self.committed(group, &keys).await?;
        let mut lags = Vec::with_capacity(partitions.len());
        for ((topic, key, member), committed) in partitions.into_iter().zip(committed) {
            let lag = match committed {
                Ok(committed) => self.lag_in(topic, key, member, committed).await,
                Err(error) => Err(error),
            };
            match lag {
                Ok(lag) => lags.push(lag),
                Err(
                    Error::PartitionOffline { .. }
                    | Error::UnknownTopic(_)
                    | Error::UnknownPartition { .. },
                ) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(lags)
    }

    async fn lag_in(
        &self,
        topic: TopicName,
        key: PartitionKey,
        member: Option<MemberId>,
        committed: Option<CommittedOffset>,
    ) -> Result<PartitionLag, Error> {
        let cell = self.topic(&topic)?.partition(key.partition)?;
        let bounds = cell.bounds()?;
        let end = bounds.high_watermark;
        let next = (committed.as_ref()).map(|committed| committed.offset.max(bounds.log_start));
        let lag_ms = match next {
            None => None,
            Some(next) if next >= end => Some(0),
            Some(next) => created_at(&cell, next).await.map(|created| {
                let age = self.shared.context.clock.now().get() - created.get();
                u64::try_from(age).unwrap_or_default()
            }),
        };
        Ok(PartitionLag {
            topic,
            partition: key.partition,
            member,
            committed: committed.as_ref().map(|committed| committed.offset),
            log_start: bounds.log_start,
            end,
            records: next.map(|next| end.distance_from(next)),
            lag_ms,
            committed_at: committed.map(|committed| committed.at),
        })
    }
}

/// When the record at this offset, or the next one there is, was created; `None` where that cannot
/// be read or is not known.
async fn created_at(cell: &PartitionCell, at: Offset) -> Option<Timestamp> {
    let wanted = Wanted::from(at, 1, Access::Inspect);
    for slice in cell.read(&wanted).await.ok()?.batches.into_slices() {
        for batch in batches(slice) {
            let batch = batch.ok()?;
            for record in batch.records(&RecordLimits::default()).ok()? {
                let record = record.ok()?;
                if record.offset >= at {
                    return (record.timestamp >= Timestamp::new(0)).then_some(record.timestamp);
                }
            }
        }
    }
    None
}
