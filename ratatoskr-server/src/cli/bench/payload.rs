//! Records that prove themselves: each names the run, the producer and its number, and carries a
//! checksum over all of that and its filling. So a benchmark that reads also verifies.
//!
//! ```text
//! run u64 | producer u32 | sequence u64 | crc32 u32 | filling        (little endian)
//! ```

use std::collections::HashMap;

use ratatoskr_core::bytes::{BufMut as _, Bytes, BytesMut};

/// The smallest record.
pub(super) const BYTES_MIN: usize = HEAD + 4;

const HEAD: usize = 20;

/// Makes the records of one producer of one run.
#[derive(Clone, Debug)]
pub(super) struct Payloads {
    run: u64,
    producer: u32,
    sequence: u64,
    filling: Bytes,
}

impl Payloads {
    /// Records of `bytes` bytes, at least [`BYTES_MIN`]. `run` also varies the filling, which does
    /// not compress.
    pub(super) fn new(run: u64, producer: u32, bytes: usize) -> Self {
        let mut random = fastrand::Rng::with_seed(run);
        let mut filling = vec![0; bytes.saturating_sub(BYTES_MIN)];
        random.fill(&mut filling);
        Self {
            run,
            producer,
            sequence: 0,
            filling: filling.into(),
        }
    }

    /// The next record.
    pub(super) fn next(&mut self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(BYTES_MIN + self.filling.len());
        bytes.put_u64_le(self.run);
        bytes.put_u32_le(self.producer);
        bytes.put_u64_le(self.sequence);
        let sum = checksum(&bytes, &self.filling);
        bytes.put_u32_le(sum);
        bytes.put_slice(&self.filling);
        self.sequence += 1;
        bytes.freeze()
    }
}

fn checksum(head: &[u8], filling: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(head);
    hasher.update(filling);
    hasher.finalize()
}

/// Judges the records of any number of runs as they are read.
#[derive(Debug, Default)]
pub(super) struct Verifier {
    /// The next sequence of each run and producer in each partition must be at least this.
    next: HashMap<(u64, u32, u32), u64>,
    /// Records that are what was sent.
    pub(super) good: u64,
    /// Records that are not, or that no benchmark sent.
    pub(super) foreign: u64,
    /// Records that came after a later one of their producer in their partition, or again.
    pub(super) out_of_order: u64,
}

impl Verifier {
    /// Takes in a record read from `partition`.
    pub(super) fn take(&mut self, partition: u32, payload: &[u8]) {
        let Some((run, producer, sequence)) = parse(payload) else {
            self.foreign += 1;
            return;
        };
        let next = self.next.entry((run, producer, partition)).or_default();
        if sequence < *next {
            self.out_of_order += 1;
            return;
        }
        *next = sequence + 1;
        self.good += 1;
    }

    /// Whether everything was as it was sent.
    pub(super) const fn is_satisfied(&self) -> bool {
        self.foreign == 0 && self.out_of_order == 0
    }
}

fn parse(payload: &[u8]) -> Option<(u64, u32, u64)> {
    let (head, rest) = payload.split_first_chunk::<HEAD>()?;
    let (sum, filling) = rest.split_first_chunk::<4>()?;
    if u32::from_le_bytes(*sum) != checksum(head, filling) {
        return None;
    }
    let (run, rest) = head.split_first_chunk::<8>()?;
    let (producer, rest) = rest.split_first_chunk::<4>()?;
    let (sequence, _) = rest.split_first_chunk::<8>()?;
    Some((
        u64::from_le_bytes(*run),
        u32::from_le_bytes(*producer),
        u64::from_le_bytes(*sequence),
    ))
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
        let (a, b, c) = (payloads.next(), payloads.next(), payloads.next());
        assert_eq!(a.len(), 100);
        assert_eq!(Payloads::new(7, 1, 0).next().len(), BYTES_MIN);
        let read = [(0, a.clone()), (1, b.clone()), (0, c.clone())];
        assert_eq!(verdict(&read), (3, 0, 0));
        assert_eq!(verdict(&[(0, c), (0, a.clone())]), (1, 0, 1));
        assert_eq!(verdict(&[(0, a.clone()), (0, a)]), (1, 0, 1));
    }

    #[test]
    fn a_changed_or_foreign_record_is_seen() {
        let good = Payloads::new(7, 1, 40).next();
        for at in 0..good.len() {
            let mut changed = good.to_vec();
            changed[at] ^= 1;
            assert_eq!(verdict(&[(0, changed.into())]), (0, 1, 0), "byte {at}");
        }
        assert_eq!(verdict(&[(0, Bytes::from_static(b"hello"))]), (0, 1, 0));
    }
}
