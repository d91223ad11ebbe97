//! Who sent a batch: the identity behind idempotent producing (KIP-98).

use serde::{Deserialize, Serialize};

use crate::offset::number;

number! {
    /// A producer's id, handed out by the broker; -1 on the wire means "not idempotent".
    ProducerId(i64)
}
number! {
    /// Counts the lives of a producer id; an older epoch is fenced.
    ProducerEpoch(i16)
}
number! {
    /// A record's number among those of its producer in its partition; wraps from `i32::MAX` to 0.
    Sequence(i32)
}

impl Sequence {
    /// The sequence `records` further on, wrapping to 0 past `i32::MAX` as Kafka's does.
    #[must_use]
    pub const fn plus(self, records: u32) -> Self {
        let sum = (self.0.cast_unsigned() as u64 + records as u64) & 0x7fff_ffff;
        Self(sum as i32)
    }
}

/// The producer, its epoch, and the sequence of a batch's first record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProducerStamp {
    /// Who sends.
    pub id: ProducerId,
    /// In which of its lives.
    pub epoch: ProducerEpoch,
    /// The number of the first record.
    pub base_sequence: Sequence,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_wrap_to_zero() {
        assert_eq!(Sequence::new(i32::MAX).plus(1), Sequence::new(0));
        assert_eq!(Sequence::new(i32::MAX - 1).plus(3), Sequence::new(1));
        assert_eq!(Sequence::new(5).plus(5), Sequence::new(10));
    }
}
