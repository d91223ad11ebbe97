//! Records that prove themselves: each names the run, the producer and its number, and carries a
//! checksum over its filling and all of that. So a benchmark that reads also verifies.
//!
//! ```text
//! run u64 | producer u32 | sequence u64 | crc32c u32 | filling        (little endian)
//! ```
//!
//! The checksum takes in the filling first, which is the same in all records of a producer: making a
//! record costs a checksum of its 20 other bytes, and so little beside what is measured.

use std::collections::HashMap;

use ratatoskr_core::bytes::{BufMut as _, Bytes, BytesMut};

/// Bytes of the smallest record.
pub const BYTES_MIN: usize = HEAD + 4;

const HEAD: usize = 20;

/// Makes the records of one producer of one run.
#[derive(Clone, Debug)]
pub struct Payloads {
    run: u64,
    producer: u32,
    sequence: u64,
    filling: Bytes,
    /// The checksum of the filling.
    filled: u32,
}

impl Payloads {
    /// Records of `bytes` bytes, at least [`BYTES_MIN`]. `run` also varies the filling, which does
    /// not compress.
    pub fn new(run: u64, producer: u32, bytes: usize) -> Self {
        let mut random = fastrand::Rng::with_seed(run);
        let mut filling = vec![0; bytes.saturating_sub(BYTES_MIN)];
        random.fill(&mut filling);
        Self {
            run,
            producer,
            sequence: 0,
            filled: crc32c::crc32c(&filling),
            filling: filling.into(),
        }
    }

    /// Bytes of each record.
    pub fn record_bytes(&self) -> u64 {
        (BYTES_MIN + self.filling.len()) as u64
    }

    /// The next record; its sequence is one more than that of the one before.
    pub fn next_record(&mut self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(BYTES_MIN + self.filling.len());
        bytes.put_u64_le(self.run);
        bytes.put_u32_le(self.producer);
        bytes.put_u64_le(self.sequence);
        let sum = crc32c::crc32c_append(self.filled, &bytes);
        bytes.put_u32_le(sum);
        bytes.put_slice(&self.filling);
        self.sequence += 1;
        bytes.freeze()
    }
}

/// Judges the records of any number of runs as they are read from one topic.
#[derive(Clone, Debug, Default)]
pub struct Verifier {
    /// The stream that the last record was of; most often the next one is as well.
    latest: Option<(Stream, u64)>,
    /// What the next sequence of every other stream must at least be.
    next: HashMap<Stream, u64>,
    /// Records that are what was sent.
    pub good: u64,
    /// Records that are not, or that no load generator sent.
    pub foreign: u64,
    /// Records that came after a later one of their producer in their partition, or again.
    pub out_of_order: u64,
}

/// What one producer of one run sent to one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Stream {
    run: u64,
    producer: u32,
    partition: u32,
}

/// What a record says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    /// The run that it is of.
    pub run: u64,
    /// The producer of that run.
    pub producer: u32,
    /// Its number among that producer's records, from 0.
    pub sequence: u64,
}

impl Verifier {
    /// Takes in a record read from `partition`. Its label, where it is good.
    pub fn take(&mut self, partition: u32, payload: &[u8]) -> Option<Label> {
        let Some(label) = parse(payload) else {
            self.foreign += 1;
            return None;
        };
        let next = self.next_of(Stream {
            run: label.run,
            producer: label.producer,
            partition,
        });
        if label.sequence < *next {
            self.out_of_order += 1;
            return None;
        }
        *next = label.sequence + 1;
        self.good += 1;
        Some(label)
    }

    /// Counts what another one saw, which is not looked at together with what this one sees.
    pub const fn add(&mut self, other: &Self) {
        self.good += other.good;
        self.foreign += other.foreign;
        self.out_of_order += other.out_of_order;
    }

    /// Whether everything was as it was sent.
    pub const fn is_satisfied(&self) -> bool {
        self.foreign == 0 && self.out_of_order == 0
    }

    fn next_of(&mut self, stream: Stream) -> &mut u64 {
        if self.latest.is_none_or(|(latest, _)| latest != stream) {
            if let Some((latest, next)) = self.latest.take() {
                self.next.insert(latest, next);
            }
            let next = self.next.get(&stream).copied().unwrap_or_default();
            self.latest = Some((stream, next));
        }
        &mut self.latest.get_or_insert((stream, 0)).1
    }
}

fn parse(payload: &[u8]) -> Option<Label> {
    let (head, rest) = payload.split_first_chunk::<HEAD>()?;
    let (sum, filling) = rest.split_first_chunk::<4>()?;
    if u32::from_le_bytes(*sum) != crc32c::crc32c_append(crc32c::crc32c(filling), head) {
        return None;
    }
    let (run, rest) = head.split_first_chunk::<8>()?;
    let (producer, rest) = rest.split_first_chunk::<4>()?;
    let (sequence, _) = rest.split_first_chunk::<8>()?;
    Some(Label {
        run: u64::from_le_bytes(*run),
        producer: u32::from_le_bytes(*producer),
        sequence: u64::from_le_bytes(*sequence),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(records: &[(u32, Bytes)]) -> (u64, u64, u64) {
        let mut verifier = Verifier::default();
        for (partition, payload) in records {
            verifier.take(*partition, payload);
        }
        (verifier.good, verifier.foreign, verifier.out_of_order)
    }

    #[test]
    fn records_have_the_size_asked_for_and_prove_themselves() {
        let mut payloads = Payloads::new(7, 1, 100);
        let (a, b, c) = (
            payloads.next_record(),
            payloads.next_record(),
            payloads.next_record(),
        );
        assert_eq!(a.len(), 100);
        assert_eq!(Payloads::new(7, 1, 0).next_record().len(), BYTES_MIN);
        let read = [(0, a.clone()), (1, b.clone()), (0, c.clone())];
        assert_eq!(verdict(&read), (3, 0, 0));
        assert_eq!(verdict(&[(0, c), (0, a.clone())]), (1, 0, 1));
        assert_eq!(verdict(&[(0, a.clone()), (0, a)]), (1, 0, 1));
    }

    #[test]
    fn streams_that_take_turns_are_told_apart() {
        let mut one = Payloads::new(7, 1, 30);
        let mut two = Payloads::new(7, 2, 30);
        let (a, b, c) = (one.next_record(), two.next_record(), one.next_record());
        let read = [(0, a.clone()), (0, b.clone()), (0, c), (0, b), (0, a)];
        assert_eq!(verdict(&read), (3, 0, 2));
    }

    #[test]
    fn a_changed_or_foreign_record_is_seen() {
        let good = Payloads::new(7, 1, 40).next_record();
        for at in 0..good.len() {
            let mut changed = good.to_vec();
            changed[at] ^= 1;
            assert_eq!(verdict(&[(0, changed.into())]), (0, 1, 0), "byte {at}");
        }
        assert_eq!(verdict(&[(0, Bytes::from_static(b"hello"))]), (0, 1, 0));
    }
}
