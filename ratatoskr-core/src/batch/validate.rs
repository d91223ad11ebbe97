//! What the broker asks of a batch before it takes it from a producer.

use super::{BatchError, RecordBatch, RecordLimits, records::RawRecord};
use crate::config::{Compression, TimestampType};

impl RecordBatch {
    /// Checks what a producer sent, as Kafka's broker does: size, CRC, a base offset of 0, as many
    /// records as offsets, nothing that only the broker may set, and a whole producer stamp or none.
    /// The records are walked where they are not compressed; compressed ones are left closed.
    ///
    /// # Errors
    /// [`BatchError`] naming the first thing that is wrong.
    pub fn validate_from_producer(&self, bytes_max: u32) -> Result<(), BatchError> {
        let header = &self.header;
        if header.total_bytes > bytes_max {
            return Err(BatchError::TooLarge {
                bytes: header.total_bytes as usize,
                max: bytes_max as usize,
            });
        }
        self.verify_crc()?;
        if header.base_offset.get() != 0 {
            return Err(BatchError::InvalidBaseOffset(header.base_offset.to_wire()));
        }
        // Decoding the header has refused a negative delta, so this refuses a count of 0 as well.
        if header.record_count.checked_sub(1) != Some(header.last_offset_delta) {
            return Err(BatchError::InvalidCount {
                count: header.record_count,
                last_offset_delta: header.last_offset_delta,
            });
        }
        if header.is_control() {
            return Err(BatchError::ControlBatch);
        }
        if header.timestamp_type() == TimestampType::LogAppendTime {
            return Err(BatchError::LogAppendTime);
        }
        if header.delete_horizon().is_some() {
            return Err(BatchError::DeleteHorizon);
        }
        if let Some(producer) = header.producer()
            && (producer.epoch.get() < 0 || producer.base_sequence.get() < 0)
        {
            return Err(BatchError::InvalidProducer {
                id: producer.id.get(),
                epoch: producer.epoch.get(),
                sequence: producer.base_sequence.get(),
            });
        }
        match header.codec()? {
            Compression::None => self.skim(),
            _ => Ok(()),
        }
    }

    /// Checks that every record has a key, as compaction needs it. Compressed records are decompressed
    /// to look at them.
    ///
    /// # Errors
    /// [`BatchError::KeyMissing`] naming the first that has none; what keeps the records from being
    /// read.
    pub fn validate_keys(&self) -> Result<(), BatchError> {
        let mut records = self.raw_records(&RecordLimits::default())?;
        let mut index = 0;
        while let Some(record) = records.next() {
            if record?.key.is_none() {
                return Err(BatchError::KeyMissing { index });
            }
            index += 1;
        }
        Ok(())
    }

    /// Walks the records, which are not compressed: they must fill the batch and be numbered from 0.
    fn skim(&self) -> Result<(), BatchError> {
        let limits = RecordLimits::default();
        let mut rest = &self.records[..];
        for index in 0..self.header.record_count.unsigned_abs() {
            let record = RawRecord::take(&mut rest, index, &limits)?;
            if record.offset_delta.cast_unsigned() != index {
                return Err(BatchError::InvalidRecord {
                    index,
                    problem: "its offset is out of order",
                });
            }
        }
        if rest.is_empty() {
            Ok(())
        } else {
            Err(BatchError::TrailingBytes(rest.len()))
        }
    }
}
