//! Where the latest record of each key lies, in a fixed amount of memory.
//!
//! An open-addressed table of 24-byte slots: 128 bits of hash and an offset. Keys themselves are not
//! kept, so two keys of one hash would be taken for one. Both halves are `SipHash` with random keys,
//! which nobody can aim at; by chance a table of a billion keys meets such a pair once in 10^20.

use std::hash::{BuildHasher, RandomState};

use crate::offset::Offset;

const SLOT_BYTES: usize = size_of::<Slot>();
/// No offset reaches this.
const FREE: u64 = u64::MAX;
/// At least this many keys fit, however little memory is allowed.
const KEYS_MIN: usize = 16;

#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: [u64; 2],
    offset: u64,
}

#[derive(Debug)]
pub(super) struct KeyMap {
    slots: Box<[Slot]>,
    used: usize,
    used_max: usize,
    hashers: [RandomState; 2],
}

impl KeyMap {
    /// A map for at most `keys` keys, fewer where `bytes_max` bytes do not hold as many.
    pub(super) fn new(keys: u64, bytes_max: usize) -> Self {
        let fitting = (bytes_max / SLOT_BYTES).max(KEYS_MIN * 4 / 3);
        // A quarter stays free, so that searches are short and always end.
        let wanted = usize::try_from(keys).unwrap_or(usize::MAX);
        let wanted = wanted.saturating_add(wanted / 3).saturating_add(KEYS_MIN);
        let count = wanted.min(fitting);
        let free = Slot {
            hash: [0; 2],
            offset: FREE,
        };
        Self {
            slots: vec![free; count].into(),
            used: 0,
            used_max: count - count.div_ceil(4),
            hashers: Default::default(),
        }
    }

    /// Notes a record; records come in the order of their offsets. `false` where there is no room.
    pub(super) fn insert(&mut self, key: &[u8], offset: Offset) -> bool {
        let hash = self.hash(key);
        let at = self.find(hash);
        let is_new = self.slots[at].offset == FREE;
        if is_new && self.used >= self.used_max {
            return false;
        }
        self.used += usize::from(is_new);
        self.slots[at] = Slot {
            hash,
            offset: offset.get(),
        };
        true
    }

    /// Where the latest record of a key lies, if one was noted.
    pub(super) fn latest(&self, key: &[u8]) -> Option<Offset> {
        let slot = self.slots[self.find(self.hash(key))];
        (slot.offset != FREE).then(|| Offset::new(slot.offset))
    }

    fn hash(&self, key: &[u8]) -> [u64; 2] {
        self.hashers.each_ref().map(|hasher| hasher.hash_one(key))
    }

    /// The slot of this hash, or the free one that it would get.
    fn find(&self, hash: [u64; 2]) -> usize {
        let count = self.slots.len();
        let mut at = usize::try_from(hash[0] % count as u64).unwrap_or_default();
        loop {
            let slot = self.slots[at];
            if slot.offset == FREE || slot.hash == hash {
                return at;
            }
            at = (at + 1) % count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_offset_of_each_key_is_found() {
        let mut map = KeyMap::new(1_000, usize::MAX);
        for offset in 0..3_000 {
            let key = format!("key {}", offset % 1_000);
            assert!(map.insert(key.as_bytes(), Offset::new(offset)));
        }
        for key in 0..1_000 {
            let latest = map.latest(format!("key {key}").as_bytes());
            assert_eq!(latest, Some(Offset::new(key + 2_000)));
        }
        assert_eq!(map.latest(b"key 1000"), None);
    }

    #[test]
    fn a_full_map_takes_known_keys_only() {
        let mut map = KeyMap::new(u64::MAX, 240 * SLOT_BYTES);
        for key in 0..180_u64 {
            assert!(map.insert(&key.to_be_bytes(), Offset::new(key)));
        }
        assert!(!map.insert(&180_u64.to_be_bytes(), Offset::new(180)));
        assert!(map.insert(&7_u64.to_be_bytes(), Offset::new(181)));
        assert_eq!(map.latest(&7_u64.to_be_bytes()), Some(Offset::new(181)));
        assert_eq!(map.latest(&180_u64.to_be_bytes()), None);
    }

    #[test]
    fn some_keys_fit_however_little_memory_there_is() {
        let mut map = KeyMap::new(u64::MAX, 0);
        for key in 0..8_u64 {
            assert!(map.insert(&key.to_be_bytes(), Offset::new(key)));
        }
    }
}
