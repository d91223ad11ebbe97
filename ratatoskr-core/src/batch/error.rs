//! Why bytes are not a record batch, or not one to accept.

use crate::config::Compression;

/// Why bytes are not a record batch, or not one that the broker takes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// The bytes end too early.
    #[error("batch is cut short: {needed} bytes needed, {have} there")]
    Truncated {
        /// Bytes that the batch should have.
        needed: usize,
        /// Bytes that there are.
        have: usize,
    },
    /// Bytes follow where exactly one batch is expected.
    #[error("{0} bytes follow the batch")]
    TrailingBytes(usize),
    /// Not message format v2.
    #[error("message format {0} is not supported, only 2")]
    UnsupportedMagic(i8),
    /// The length field cannot be.
    #[error("batch length {0} cannot be")]
    InvalidLength(i32),
    /// A base offset below zero, or not zero where a producer sends.
    #[error("base offset {0} cannot be")]
    InvalidBaseOffset(i64),
    /// Count and offsets do not agree.
    #[error("{count} records do not agree with a last offset delta of {last_offset_delta}")]
    InvalidCount {
        /// Records that the header names.
        count: i32,
        /// Last offset minus base offset, as the header has it.
        last_offset_delta: i32,
    },
    /// The bytes are not those that were sent.
    #[error("CRC-32C is {found:08x}, the batch says {expected:08x}")]
    CrcMismatch {
        /// As the header has it.
        expected: u32,
        /// As computed.
        found: u32,
    },
    /// A codec nobody has defined.
    #[error("compression codec {0} is unknown")]
    UnknownCodec(i16),
    /// A codec that this build leaves out.
    #[error("compression {0} is not in this build (cargo feature `{0}` of ratatoskr-core)")]
    CodecNotBuilt(Compression),
    /// A codec gave up, most often since the compressed bytes are not what it calls valid.
    #[error("{codec} gave up on the records: {reason}")]
    Codec {
        /// The codec that the header names.
        codec: Compression,
        /// What the codec says.
        reason: String,
    },
    /// The records would decompress to more bytes, in all or by ratio, than is allowed.
    #[error("{compressed} compressed bytes hold more than the {max} bytes allowed for them")]
    DecompressedTooLarge {
        /// Bytes of the compressed records.
        compressed: usize,
        /// Bytes that they may become.
        max: usize,
    },
    /// A record inside the batch cannot be read.
    #[error("record {index} of the batch: {problem}")]
    InvalidRecord {
        /// The record's place in the batch, from 0.
        index: u32,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// More headers than a record may have.
    #[error("a record has {count} headers, {max} are allowed")]
    TooManyHeaders {
        /// Headers that it has.
        count: usize,
        /// Headers that it may have.
        max: usize,
    },
    /// A longer key than a record may have.
    #[error("a record's key has {bytes} bytes, {max} are allowed")]
    KeyTooLarge {
        /// Bytes that it has.
        bytes: usize,
        /// Bytes that it may have.
        max: usize,
    },
    /// A larger batch than is allowed.
    #[error("batch of {bytes} bytes, {max} are allowed")]
    TooLarge {
        /// Bytes that it has.
        bytes: usize,
        /// Bytes that it may have.
        max: usize,
    },
    /// A batch without a record, where there must be one.
    #[error("batch has no records")]
    Empty,
    /// A producer sent a control batch; only the broker writes those.
    #[error("producers may not send control batches")]
    ControlBatch,
    /// A producer sent a batch stamped with the log's append time; only the broker stamps so.
    #[error("producers may not set the timestamp type to append time")]
    LogAppendTime,
    /// A producer said when compaction may remove tombstones; only the broker says so.
    #[error("producers may not set a delete horizon")]
    DeleteHorizon,
    /// A record without a key where the latest record of each key is kept.
    #[error("record {index} of the batch has no key, and its topic is compacted")]
    KeyMissing {
        /// The record's place in the batch, from 0.
        index: u32,
    },
    /// A producer id without the epoch and sequence that go with it.
    #[error("producer {id} sent epoch {epoch} and sequence {sequence}")]
    InvalidProducer {
        /// The producer's id.
        id: i64,
        /// Its epoch, which may not be negative.
        epoch: i16,
        /// The batch's first sequence, which may not be negative.
        sequence: i32,
    },
}
