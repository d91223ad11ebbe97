//! Reading records that were looked at before: released, retried, or fallen due.

use super::{
    attempt::{Room, Seeker},
    scan::{Piece, Scanned},
    taken::Taken,
};
use crate::{
    broker::{partition::PartitionCell, state::Change as Changed},
    delivery::{Change, Done, ScanKind},
    error::Error,
    offset::{Bounds, Offset, PartitionIndex},
};

/// What reading ranges has shown.
#[derive(Default)]
struct Read {
    pieces: Vec<Piece>,
    bytes: usize,
    /// Offsets without a record.
    gone: Vec<(u64, u64)>,
    /// Records whose time to live has passed.
    expired: Vec<(u64, u64)>,
    /// There was no room for what begins here.
    cut: Option<u64>,
}

impl Seeker<'_> {
    /// Reads the batches of what was granted. What is not there any more is taken out of it; what
    /// there is no room for is given back.
    pub(super) async fn read_again(
        &self,
        cell: &PartitionCell,
        at: usize,
        room: &mut Room,
        taken: &mut Taken<'_>,
    ) -> Result<(), Error> {
        let mut read = Read::default();
        if let Err(error) = self
            .read_ranges(cell, at, room.bytes, taken, &mut read)
            .await
        {
            taken.give_back(at, 0);
            return Err(error);
        }
        if let Some(cut) = read.cut {
            taken.give_back(at, cut);
        }
        for (found, is_expired) in [(&read.gone, false), (&read.expired, true)] {
            let found = common(taken.ranges(at), found);
            if found.is_empty() {
                continue;
            }
            if is_expired {
                self.expire(cell.index(), &found).await?;
            } else {
                let changes = found.iter().map(|&(first, last)| lost(first, last));
                self.note_all(cell.index(), changes.collect()).await?;
            }
            taken.remove(at, &found);
        }
        let bytes = taken.fill(at, read.pieces);
        cell.count_read(bytes);
        room.bytes = room.bytes.saturating_sub(bytes);
        Ok(())
    }

    async fn read_ranges(
        &self,
        cell: &PartitionCell,
        at: usize,
        bytes_max: usize,
        taken: &mut Taken<'_>,
        read: &mut Read,
    ) -> Result<(), Error> {
        for (first, last, _) in taken.ranges(at).to_vec() {
            let known = read.pieces.last().map_or(0, |piece| piece.last + 1);
            let mut from = first.max(known);
            while from <= last {
                if read.bytes >= bytes_max && !read.pieces.is_empty() {
                    read.cut = Some(from);
                    return Ok(());
                }
                let room = bytes_max.saturating_sub(read.bytes).max(1);
                match self.read(cell, from, Offset::new(last + 1), room).await {
                    Ok(slices) if slices.is_empty() => {
                        read.gone.push((from, last));
                        from = last + 1;
                    }
                    Ok(slices) => {
                        let slices = slices.into_slices();
                        let scanned = self.scanner(|scanner| scanner.scan(from, slices))?;
                        let end = scanned.scan.end();
                        read.add(scanned);
                        if end <= from {
                            return Ok(());
                        }
                        from = end;
                    }
                    Err(Error::OffsetOutOfRange { bounds, requested }) => {
                        self.note(cell.index(), out_of_range(requested, &bounds))
                            .await?;
                        if requested > bounds.log_end {
                            taken.remove(at, &[(0, u64::MAX - 1)]);
                            return Ok(());
                        }
                        let start = bounds.log_start.get();
                        taken.remove(at, &[(0, start.saturating_sub(1))]);
                        from = start.max(from + 1);
                    }
                    Err(Error::CorruptRecords { until, .. }) if until.get() > from => {
                        read.gone.push((from, until.get() - 1));
                        from = until.get();
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// Takes note of a change that the log has shown.
    pub(super) async fn note(
        &self,
        partition: PartitionIndex,
        change: Change,
    ) -> Result<(), Error> {
        self.note_all(partition, vec![change]).await
    }

    async fn note_all(&self, partition: PartitionIndex, changes: Vec<Change>) -> Result<(), Error> {
        let noted = self.shard.change(|queues| {
            let event = queues.note(self.group, self.topic.id(), partition, changes);
            Ok(Changed {
                events: event.into_iter().collect(),
                answer: (),
            })
        });
        noted.await
    }

    /// The time to live of these records has passed.
    pub(super) async fn expire(
        &self,
        partition: PartitionIndex,
        ranges: &[(u64, u64)],
    ) -> Result<(), Error> {
        let now = self.broker.shared.context.present();
        let changed = self.shard.change(|queues| {
            let event = queues.expire(self.group, self.topic.id(), partition, ranges, now);
            Ok(Changed {
                events: event.into_iter().collect(),
                answer: (),
            })
        });
        changed.await?;
        self.broker.shared.queues.keeper.notify_one();
        Ok(())
    }
}

impl Read {
    fn add(&mut self, scanned: Scanned) {
        let Scanned {
            scan,
            pieces,
            expired,
        } = scanned;
        let gaps = scan.items.iter().filter(|item| item.kind == ScanKind::Gap);
        self.gone.extend(gaps.map(|item| (item.first, item.last)));
        self.expired.extend(expired);
        self.bytes += pieces.iter().map(|piece| piece.bytes.len()).sum::<usize>();
        self.pieces.extend(pieces);
    }
}

/// The parts of `found` that lie in the ranges; both are ascending.
fn common(ranges: &[(u64, u64, u32)], found: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let mut common = Vec::new();
    let mut ranges = ranges.iter().peekable();
    for &(first, last) in found {
        while ranges.next_if(|range| range.1 < first).is_some() {}
        for &(begin, end, _) in ranges.clone().take_while(|range| range.0 <= last) {
            common.push((begin.max(first), end.min(last)));
        }
    }
    common
}

pub(super) const fn lost(first: u64, last: u64) -> Change {
    Change::Done {
        first,
        last,
        how: Done::Lost,
    }
}

/// What it means that an offset is not in the log: records were removed, or the log has lost its end.
pub(super) fn out_of_range(requested: Offset, bounds: &Bounds) -> Change {
    if requested > bounds.log_end {
        Change::End(bounds.log_end.get())
    } else {
        Change::Start(bounds.log_start.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ranges_have_in_common() {
        let ranges = [(0, 4, 1), (6, 6, 2), (10, 20, 1)];
        assert_eq!(
            common(&ranges, &[(3, 12), (15, 15)]),
            [(3, 4), (6, 6), (10, 12), (15, 15)]
        );
        assert_eq!(common(&ranges, &[(5, 5), (7, 9), (21, 99)]), []);
    }
}
