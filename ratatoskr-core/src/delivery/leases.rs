//! Leases: who holds records, and until when.
//!
//! Invariants:
//! - A lease lives as long as there are records in it; its slot is then used again. What names a
//!   lease for longer than one look names its token as well.
//! - Every lease is in the list of one moment, so that those that end can be found without looking at
//!   the others, and one that is settled leaves nothing behind.

use std::{collections::BTreeMap, time::Duration};

use super::FencingToken;

/// Slots of a page. Pages do not move, so that growing costs no copy and no slack.
const PAGE_SLOTS: usize = 512;
/// Leases end up to this much later than asked for, so that few moments are kept apart.
const GRANULARITY_MS: u64 = 10;

/// The slot of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LeaseId(u32);

impl LeaseId {
    pub(super) const NONE: Self = Self(u32::MAX);

    pub(super) const fn get(self) -> u32 {
        self.0
    }

    const fn is_none(self) -> bool {
        self.0 == u32::MAX
    }
}

/// Records that a consumer acquired of a partition at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lease {
    pub(super) token: FencingToken,
    /// By the monotonic clock.
    pub(super) deadline_ms: u64,
    /// None of its records lies before this offset.
    pub(super) first: u64,
    /// The consumer's number.
    pub(super) owner: u32,
    /// Records still held; none in a slot that is free.
    pub(super) records: u32,
    /// The neighbours in the list of its moment, or in that of free slots.
    previous: LeaseId,
    next: LeaseId,
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Leases {
    pages: Vec<Vec<Lease>>,
    /// The first free slot.
    free: LeaseId,
    /// The first lease of each moment.
    moments: BTreeMap<u64, LeaseId>,
    live: usize,
}

impl Default for Leases {
    fn default() -> Self {
        Self {
            pages: Vec::new(),
            free: LeaseId::NONE,
            moments: BTreeMap::new(),
            live: 0,
        }
    }
}

impl Leases {
    fn slot(&mut self, id: LeaseId) -> Option<&mut Lease> {
        let at = id.0 as usize;
        self.pages
            .get_mut(at / PAGE_SLOTS)?
            .get_mut(at % PAGE_SLOTS)
    }

    /// A lease that is live.
    pub(super) fn get(&self, id: LeaseId) -> Option<&Lease> {
        let at = id.0 as usize;
        let lease = self.pages.get(at / PAGE_SLOTS)?.get(at % PAGE_SLOTS)?;
        (lease.records > 0).then_some(lease)
    }

    /// A new lease of so many records, at least one.
    pub(super) fn insert(
        &mut self,
        token: FencingToken,
        deadline: Duration,
        owner: u32,
        first: u64,
        records: u32,
    ) -> LeaseId {
        let lease = Lease {
            token,
            deadline_ms: moment(deadline),
            first,
            owner,
            records,
            previous: LeaseId::NONE,
            next: LeaseId::NONE,
        };
        let id = self.take_slot(lease);
        self.live += 1;
        self.link(id);
        id
    }

    fn take_slot(&mut self, lease: Lease) -> LeaseId {
        let id = self.free;
        if let Some(slot) = self.slot(id) {
            let next = slot.next;
            *slot = lease;
            self.free = next;
            return id;
        }
        if self
            .pages
            .last()
            .is_none_or(|page| page.len() == PAGE_SLOTS)
        {
            self.pages.push(Vec::new());
        }
        let pages = self.pages.len();
        let Some(page) = self.pages.last_mut() else {
            return LeaseId::NONE;
        };
        page.push(lease);
        let at = (pages - 1) * PAGE_SLOTS + page.len() - 1;
        LeaseId(u32::try_from(at).unwrap_or(u32::MAX))
    }

    fn link(&mut self, id: LeaseId) {
        let Some(deadline) = self.slot(id).map(|lease| lease.deadline_ms) else {
            return;
        };
        let next = self.moments.insert(deadline, id).unwrap_or(LeaseId::NONE);
        if let Some(lease) = self.slot(id) {
            (lease.previous, lease.next) = (LeaseId::NONE, next);
        }
        if let Some(next) = self.slot(next) {
            next.previous = id;
        }
    }

    fn unlink(&mut self, id: LeaseId) {
        let Some(&mut lease) = self.slot(id) else {
            return;
        };
        match self.slot(lease.previous) {
            Some(previous) => previous.next = lease.next,
            None if lease.next.is_none() => {
                self.moments.remove(&lease.deadline_ms);
            }
            None => {
                self.moments.insert(lease.deadline_ms, lease.next);
            }
        }
        if let Some(next) = self.slot(lease.next) {
            next.previous = lease.previous;
        }
    }

    /// Records of a lease are not held any more; a lease without any is over. Answers whose they were.
    pub(super) fn remove_records(&mut self, id: LeaseId, records: u64) -> Option<u32> {
        let lease = self.slot(id).filter(|lease| lease.records > 0)?;
        let owner = lease.owner;
        lease.records = lease
            .records
            .saturating_sub(u32::try_from(records).unwrap_or(u32::MAX));
        if lease.records == 0 {
            self.unlink(id);
            let free = self.free;
            if let Some(lease) = self.slot(id) {
                lease.next = free;
            }
            self.free = id;
            self.live -= 1;
            if self.live == 0 {
                *self = Self::default();
            }
        }
        Some(owner)
    }

    /// Lets a lease last until another moment.
    pub(super) fn extend(&mut self, id: LeaseId, deadline: Duration) {
        self.unlink(id);
        if let Some(lease) = self.slot(id) {
            lease.deadline_ms = moment(deadline);
        }
        self.link(id);
    }

    /// When the first lease ends.
    pub(super) fn next_deadline(&self) -> Option<Duration> {
        let (&first, _) = self.moments.first_key_value()?;
        Some(Duration::from_millis(first))
    }

    /// Up to `max` leases that have ended.
    pub(super) fn ended(
        &self,
        now: Duration,
        max: usize,
    ) -> impl Iterator<Item = (LeaseId, &Lease)> {
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let moments = self.moments.range(..=now);
        moments
            .flat_map(|(_, &first)| {
                std::iter::successors(Some(first), |&id| Some(self.get(id)?.next))
                    .map_while(|id| Some((id, self.get(id)?)))
            })
            .take(max)
    }

    /// Every live lease.
    pub(super) fn iter(&self) -> impl Iterator<Item = (LeaseId, &Lease)> {
        let slots = self.pages.iter().flatten().zip(0..);
        slots
            .filter(|(lease, _)| lease.records > 0)
            .map(|(lease, id)| (LeaseId(id), lease))
    }

    /// Bytes that the leases take.
    pub(super) fn bytes(&self) -> usize {
        let slots: usize = self.pages.iter().map(Vec::capacity).sum();
        // A B-tree's nodes are at least half full, and have a key and a value for each of 11 entries.
        slots * size_of::<Lease>()
            + self.pages.capacity() * size_of::<Vec<Lease>>()
            + self.moments.len() * 2 * (size_of::<u64>() + size_of::<LeaseId>() + 4)
    }
}

fn moment(deadline: Duration) -> u64 {
    let ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
    ms.div_ceil(GRANULARITY_MS).saturating_mul(GRANULARITY_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(leases: &Leases, now_ms: u64) -> Vec<u64> {
        let ended = leases.ended(Duration::from_millis(now_ms), usize::MAX);
        let mut tokens: Vec<_> = ended.map(|(_, lease)| lease.token.get()).collect();
        tokens.sort_unstable();
        tokens
    }

    #[test]
    fn leases_end_at_their_moment_and_leave_nothing_behind() {
        let mut leases = Leases::default();
        let ids: Vec<_> = (1..=5)
            .map(|n| {
                let deadline = Duration::from_millis(10 * (n % 2));
                leases.insert(FencingToken::new(n), deadline, 0, n, 2)
            })
            .collect();
        assert_eq!(tokens(&leases, 0), [2, 4]);
        assert_eq!(tokens(&leases, 9), [2, 4]);
        assert_eq!(tokens(&leases, 10), [1, 2, 3, 4, 5]);
        leases.extend(ids[1], Duration::from_millis(31));
        leases.remove_records(ids[3], 1);
        assert_eq!(tokens(&leases, 0), [4]);
        assert_eq!(leases.remove_records(ids[3], 1), Some(0));
        assert_eq!(leases.remove_records(ids[3], 1), None);
        assert_eq!(leases.next_deadline(), Some(Duration::from_millis(10)));
        for id in [ids[0], ids[4], ids[2]] {
            leases.remove_records(id, 2);
        }
        assert_eq!(leases.next_deadline(), Some(Duration::from_millis(40)));
        leases.remove_records(ids[1], 2);
        assert!(leases.iter().next().is_none() && leases.next_deadline().is_none());
    }

    #[test]
    fn slots_are_used_again() {
        let mut leases = Leases::default();
        let keep = leases.insert(FencingToken::new(1), Duration::ZERO, 0, 0, 1);
        for n in 0..10_000 {
            let id = leases.insert(FencingToken::new(n), Duration::ZERO, 0, 0, 1);
            leases.remove_records(id, 1);
        }
        assert!(leases.bytes() < 1_000, "{} bytes", leases.bytes());
        assert!(leases.get(keep).is_some());
    }
}
