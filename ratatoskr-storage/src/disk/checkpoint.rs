//! The `CHECKPOINT` file: what is on disk, and from where the write-ahead log is to be replayed.
//!
//! ```text
//! at  0 magic "RATACKPT"   8 bytes    at 20 CRC-32 of bytes 0..20 and the body   u32
//! at  8 format version     u32        at 24 body, MessagePack
//! at 12 body bytes         u64
//! ```
//! The body is an array: replay point [LSN, file id, position], then the topics. A topic is [description, partitions]; the description is that of the catalog's
//! frames, as bytes; a partition is [index, checkpoint of its log].
//!
//! The file is replaced as a whole and only after what it speaks of is synced. What it leaves out can
//! be told from the write-ahead log alone: nothing of the log is recycled before the file lasts.

use std::collections::{BTreeMap, HashMap};

use bytes::{Buf, BufMut, Bytes};
use ratatoskr_core::{
    name::TopicId,
    offset::PartitionIndex,
    storage::{StorageError, StorageResult, TopicDescriptor},
};
use serde::{Deserialize, Serialize};

use super::{
    catalog::{decode_topic, encode_topic},
    layout::Layout,
};
use crate::{
    mmap::{LogCheckpoint, LogId},
    wal::WalPoint,
};

const MAGIC: [u8; 8] = *b"RATACKPT";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 24;
const CRC_AT: usize = 20;
/// Largest checkpoint that is read: far above what the most partitions and topics can need.
const BYTES_MAX: u64 = 1 << 30;

/// What a checkpoint holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Checkpoint {
    /// Everything before it is on disk in the partitions' own files.
    pub(super) point: WalPoint,
    pub(super) topics: Vec<TopicCheckpoint>,
}

/// One topic of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TopicCheckpoint {
    pub(super) topic: TopicDescriptor,
    /// Partitions that were ever written to.
    pub(super) partitions: BTreeMap<PartitionIndex, LogCheckpoint>,
}

#[derive(Serialize, Deserialize)]
struct Body(WalPoint, Vec<(Bytes, Vec<(PartitionIndex, LogCheckpoint)>)>);

impl Checkpoint {
    /// One of these topics and of those logs that belong to them.
    pub(super) fn new(
        point: WalPoint,
        topics: impl Iterator<Item = TopicDescriptor>,
        logs: &HashMap<LogId, LogCheckpoint>,
    ) -> Self {
        let mut by_topic: HashMap<TopicId, BTreeMap<_, _>> = HashMap::new();
        for (id, &log) in logs {
            let partitions = by_topic.entry(id.topic).or_default();
            partitions.insert(id.partition, log);
        }
        let topics = topics.map(|topic| TopicCheckpoint {
            partitions: by_topic.remove(&topic.id).unwrap_or_default(),
            topic,
        });
        Self {
            point,
            topics: topics.collect(),
        }
    }

    /// That of a data directory that has just been born.
    pub(super) const fn empty() -> Self {
        Self {
            point: WalPoint::START,
            topics: Vec::new(),
        }
    }

    pub(super) fn encode(&self) -> StorageResult<Vec<u8>> {
        let mut topics = Vec::with_capacity(self.topics.len());
        for entry in &self.topics {
            let partitions = entry.partitions.iter().map(|(&at, &log)| (at, log));
            topics.push((encode_topic(&entry.topic)?, partitions.collect()));
        }
        let body = rmp_serde::to_vec(&Body(self.point, topics)).map_err(|error| {
            StorageError::io("encode a checkpoint", std::io::Error::other(error))
        })?;
        let mut bytes = Vec::with_capacity(HEADER_BYTES + body.len());
        bytes.put_slice(&MAGIC);
        bytes.put_u32(VERSION);
        bytes.put_u64(body.len() as u64);
        let crc = checksum(&bytes, &body);
        bytes.put_u32(crc);
        bytes.put_slice(&body);
        Ok(bytes)
    }

    pub(super) fn decode(bytes: &[u8]) -> StorageResult<Self> {
        let (header, body) = bytes
            .split_at_checked(HEADER_BYTES)
            .ok_or_else(|| damaged("it is cut short"))?;
        let (covered, mut crc) = header
            .split_at_checked(CRC_AT)
            .ok_or_else(|| damaged("it is cut short"))?;
        let mut fields = covered
            .strip_prefix(&MAGIC)
            .ok_or_else(|| damaged("it does not begin as a checkpoint does"))?;
        let version = fields.try_get_u32().unwrap_or_default();
        if version > VERSION {
            return Err(StorageError::NewerFormat {
                found: version,
                supported: VERSION,
            });
        }
        let length = fields.try_get_u64().unwrap_or_default();
        if length != body.len() as u64 {
            return Err(damaged("it is cut short"));
        }
        if crc.try_get_u32().ok() != Some(checksum(covered, body)) {
            return Err(damaged("its checksum does not match"));
        }
        let Body(point, topics) =
            rmp_serde::from_slice(body).map_err(|error| damaged(&error.to_string()))?;
        let topics = topics.into_iter().map(|(topic, partitions)| {
            Ok(TopicCheckpoint {
                topic: decode_topic(&topic)?,
                partitions: partitions.into_iter().collect(),
            })
        });
        Ok(Self {
            point,
            topics: topics.collect::<StorageResult<_>>()?,
        })
    }

    /// Reads the directory's checkpoint.
    ///
    /// # Errors
    /// [`StorageError::Damaged`], also where it is missing; [`StorageError::NewerFormat`].
    pub(super) fn read(layout: &Layout) -> StorageResult<Self> {
        let path = layout.checkpoint();
        let bytes = layout.read_file(&path, BYTES_MAX)?;
        Self::decode(&bytes.ok_or_else(|| damaged("it is missing"))?)
    }

    /// Puts it in place; it lasts on return.
    pub(super) fn write(&self, layout: &Layout) -> StorageResult<()> {
        layout.replace_file(&layout.checkpoint(), &[&self.encode()?])
    }

    /// The logs' checkpoints by topic.
    pub(super) fn logs(&self) -> impl Iterator<Item = (LogId, LogCheckpoint)> {
        self.topics.iter().flat_map(|entry| {
            let topic = entry.topic.id;
            let partitions = entry.partitions.iter();
            partitions.map(move |(&partition, &log)| (LogId { topic, partition }, log))
        })
    }
}

fn checksum(header: &[u8], body: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(header);
    crc.update(body);
    crc.finalize()
}

fn damaged(detail: &str) -> StorageError {
    StorageError::Damaged {
        file: "CHECKPOINT".into(),
        detail: detail.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use ratatoskr_core::{
        config::{Durability, TopicConfig},
        name::TopicName,
    };

    use super::*;
    use crate::wal::{Lsn, WalFileId};

    fn checkpoint() -> Checkpoint {
        let topic = TopicId::from_bytes(*b"topic of a test.").unwrap();
        let log = LogCheckpoint {
            log_start: 1.into(),
            log_end: 20.into(),
            segment_base: 10.into(),
            position: 300,
            leader_epoch: 0.into(),
            max_timestamp: 1_000.into(),
        };
        let descriptor = TopicDescriptor {
            id: topic,
            name: TopicName::parse("orders").unwrap(),
            partitions: 3,
            config: TopicConfig::new(Durability::Fsync),
        };
        let partition = 2.into();
        let logs = HashMap::from([(LogId { topic, partition }, log)]);
        let point = WalPoint {
            lsn: Lsn::new(42),
            file: WalFileId::new(3),
            position: 8_192,
        };
        Checkpoint::new(point, [descriptor].into_iter(), &logs)
    }

    #[test]
    fn the_bytes_of_a_checkpoint() {
        let bytes = checkpoint().encode().unwrap();
        assert_eq!(Checkpoint::decode(&bytes).unwrap(), checkpoint());
        let mut text = String::new();
        for (line, at) in bytes.chunks(16).zip((0..).step_by(16)) {
            let hex: Vec<_> = line.iter().map(|byte| format!("{byte:02x}")).collect();
            let shown = |&byte: &u8| if byte.is_ascii_graphic() { byte } else { b'.' };
            let ascii: String = line.iter().map(|byte| char::from(shown(byte))).collect();
            writeln!(text, "{at:4}  {:47}  {ascii}", hex.join(" ")).unwrap();
        }
        insta::assert_snapshot!(text);
    }

    #[test]
    fn each_flipped_bit_is_noticed() {
        let good = checkpoint().encode().unwrap();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Checkpoint::decode(&bad).is_err(), "bit {bit}");
        }
        for length in 0..good.len() {
            assert!(
                Checkpoint::decode(&good[..length]).is_err(),
                "{length} bytes"
            );
        }
    }
}
