//! Values for ranges of offsets, those of neighbours that are equal in one piece.

use std::collections::BTreeMap;

#[derive(Clone, Debug)]
pub(super) struct RangeMap<V> {
    /// By the first offset: the last one, and the value.
    ranges: BTreeMap<u64, (u64, V)>,
}

impl<V> Default for RangeMap<V> {
    fn default() -> Self {
        Self {
            ranges: BTreeMap::new(),
        }
    }
}

impl<V: Clone + PartialEq> RangeMap<V> {
    /// Bytes that the ranges take at most, without what values point to.
    pub(super) fn bytes(&self) -> usize {
        // A B-tree's nodes are at least half full.
        self.ranges.len() * 2 * (size_of::<u64>() + size_of::<(u64, V)>())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, u64, &V)> {
        self.ranges
            .iter()
            .map(|(&first, (last, value))| (first, *last, value))
    }

    /// The range cut where values begin and end.
    pub(super) fn pieces(&self, first: u64, last: u64) -> Vec<(u64, u64, Option<V>)> {
        let mut pieces = Vec::new();
        let mut next = first;
        let before = self.ranges.range(..=first).next_back();
        let begin = before.map_or(first, |(&begin, _)| begin);
        for (&from, (to, value)) in self.ranges.range(begin..=last) {
            if *to < next {
                continue;
            }
            if from > next {
                pieces.push((next, from - 1, None));
            }
            pieces.push((from.max(next), (*to).min(last), Some(value.clone())));
            next = to.saturating_add(1);
        }
        if next <= last {
            pieces.push((next, last, None));
        }
        pieces
    }

    /// Takes the values from a range away.
    pub(super) fn clear(&mut self, first: u64, last: u64) {
        if self.ranges.is_empty() {
            return;
        }
        let overlapping: Vec<_> = (self.pieces(first, last).into_iter())
            .filter_map(|(from, _, value)| value.map(|_| from))
            .collect();
        for from in overlapping {
            let Some((&begin, _)) = self.ranges.range(..=from).next_back() else {
                continue;
            };
            let Some((end, value)) = self.ranges.remove(&begin) else {
                continue;
            };
            if begin < first {
                self.ranges.insert(begin, (first - 1, value.clone()));
            }
            if end > last {
                self.ranges.insert(last + 1, (end, value));
            }
        }
    }

    /// Gives a range a value.
    pub(super) fn set(&mut self, mut first: u64, mut last: u64, value: V) {
        self.clear(first, last);
        let before = self.ranges.range(..first).next_back();
        if let Some((&begin, (end, other))) = before
            && *end + 1 == first
            && *other == value
        {
            first = begin;
        }
        if let Some((end, other)) = self.ranges.get(&last.saturating_add(1))
            && *other == value
        {
            let after = last + 1;
            last = *end;
            self.ranges.remove(&after);
        }
        self.ranges.insert(first, (last, value));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ranges_are_as_values_one_by_one(
            steps in prop::collection::vec((0..60_u64, 0..20_u64, prop::option::of(0..3_u8)), 0..40),
        ) {
            let mut map = RangeMap::default();
            let mut model = [None; 80];
            for (first, length, value) in steps {
                let last = first + length;
                match value {
                    Some(value) => map.set(first, last, value),
                    None => map.clear(first, last),
                }
                for offset in first..=last {
                    model[usize::try_from(offset).unwrap()] = value;
                }
                let mut pieces = Vec::new();
                for (first, last, value) in map.pieces(3, 77) {
                    pieces.extend((first..=last).map(|_| value));
                }
                prop_assert_eq!(&pieces[..], &model[3..78]);
                let mut ranges = map.iter().peekable();
                while let Some((_, last, value)) = ranges.next() {
                    let next = ranges.peek();
                    prop_assert!(next.is_none_or(|next| next.0 > last + 1 || next.2 != value));
                }
            }
        }
    }
}
