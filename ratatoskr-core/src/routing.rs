//! Which partition a record goes to.
//!
//! A key goes to `(murmur2(key) & 0x7fffffff) % partitions`, as Kafka's default partitioner has it,
//! so that every door and every such client sends one key to one partition. Records without a key
//! stick to one partition a batch and move on with the next, so that batches grow large and
//! partitions fill evenly.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::offset::PartitionIndex;

/// The 32-bit Murmur2 hash, equal to `Utils.murmur2` of Kafka's Java client.
pub fn murmur2(bytes: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a key is far shorter, and the hash takes 32 bits of its length anyway"
    )]
    let mut hash = SEED ^ bytes.len() as u32;
    let (words, tail) = bytes.as_chunks::<4>();
    for &word in words {
        let mut k = u32::from_le_bytes(word).wrapping_mul(M);
        k ^= k >> R;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !tail.is_empty() {
        for (at, &byte) in tail.iter().enumerate() {
            hash ^= u32::from(byte) << (8 * at);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

/// The partition of a key in a topic of so many partitions (a topic has at least one).
pub fn partition_for_key(key: &[u8], partitions: u32) -> PartitionIndex {
    PartitionIndex::new((murmur2(key) & 0x7fff_ffff) % partitions.max(1))
}

/// Routes the records of one topic: those with a key by it, the others to the partition whose turn
/// it is.
#[derive(Debug, Default)]
pub struct Router {
    turn: AtomicU32,
}

impl Router {
    /// A router that begins with this turn; producers that begin differently do not all fill the
    /// same partition first.
    pub const fn new(turn: u32) -> Self {
        Self {
            turn: AtomicU32::new(turn),
        }
    }

    /// The partition for a record with this key, or without one, in a topic of so many partitions.
    pub fn route(&self, key: Option<&[u8]>, partitions: u32) -> PartitionIndex {
        match key {
            Some(key) => partition_for_key(key, partitions),
            None => PartitionIndex::new(self.turn.load(Ordering::Relaxed) % partitions.max(1)),
        }
    }

    /// Ends a batch: records without a key go to the next partition from now on.
    pub fn next_batch(&self) {
        self.turn.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn murmur2_equals_javas() {
        // From UtilsTest of Kafka.
        for (key, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            (
                "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
                -58_897_971,
            ),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), hash, "{key}");
        }
    }

    #[test]
    fn a_key_goes_where_kafka_sends_it() {
        assert_eq!(partition_for_key(b"foobar", 1), PartitionIndex::new(0));
        // (-790332482 & 0x7fffffff) % 3
        assert_eq!(
            partition_for_key(b"foobar", 3),
            PartitionIndex::new(1_357_151_166 % 3)
        );
    }

    #[test]
    fn records_without_a_key_share_a_batch_and_then_move_on() {
        let router = Router::new(2);
        let batch = |router: &Router| {
            let places = [router.route(None, 3), router.route(None, 3)];
            assert_eq!(places[0], places[1]);
            router.next_batch();
            places[0].get()
        };
        let visited: Vec<_> = (0..4).map(|_| batch(&router)).collect();
        assert_eq!(visited, [2, 0, 1, 2]);
    }

    #[test]
    fn the_turn_wraps() {
        let router = Router::new(u32::MAX);
        router.next_batch();
        assert_eq!(router.route(None, 5), PartitionIndex::new(0));
    }
}
