//! What may not have been seen of a compacted topic.
//!
//! A reader need not find each record, only a latest one of each key. Which one that is at least, it
//! knows from what was acknowledged before it began. Three things excuse that this one is not found:
//! a later one, one that was written while the reader was on its way and lies beyond where it ended,
//! and a tombstone whose time is up; and then nothing of its key may be found.

use std::{collections::BTreeMap, time::Duration};

use ratatoskr_client::{Offset, PartitionIndex};

use super::{
    Report,
    record::{is_tombstone, key_of},
};
use crate::history::{Found, Tag};

/// The broker counts whole milliseconds: two of its times lie this much closer than they did at most.
const SLACK: Duration = Duration::from_millis(2);

/// A record's place.
pub(super) type At = (PartitionIndex, Offset);

/// What a writer was told of a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is there.
    Acknowledged { at: Duration, place: At },
    /// It was surely not appended.
    Failed,
    /// Nothing, or that nobody knows.
    Unknown,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    /// When the send began.
    pub(super) invoked: Duration,
    pub(super) outcome: Outcome,
}

/// What a reader found from the start to where the topic ended when it began.
#[derive(Clone, Debug)]
pub(super) struct Pass {
    pub(super) began: Duration,
    pub(super) ended: Duration,
    /// In the order in which it was read.
    pub(super) found: Vec<(At, Found)>,
}

/// Everything that was written down.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) sends: BTreeMap<Tag, Sent>,
    pub(super) passes: Vec<Pass>,
}

#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// Empty where all is well.
    pub(super) wrong: Vec<String>,
    pub(super) report: Report,
}

/// What is wrong, where tombstones stay for `retention`.
pub(super) fn check(seen: &Seen, retention: Duration) -> Verdict {
    let mut verdict = Verdict {
        wrong: check_records(seen),
        report: Report::default(),
    };
    let mut of_keys = BTreeMap::<u64, Vec<(Tag, Sent)>>::new();
    for (&tag, &sent) in &seen.sends {
        of_keys.entry(key_of(tag)).or_default().push((tag, sent));
    }
    for pass in &seen.passes {
        let reached = reached(pass);
        let latest = latest(pass);
        for (key, sends) in &of_keys {
            let look = Look {
                pass,
                sends,
                retention,
                latest: latest.get(key).copied(),
            };
            look.judge(&reached, &mut verdict);
        }
    }
    if let Some(last) = seen.passes.last() {
        let acknowledged = |sent: &&Sent| matches!(sent.outcome, Outcome::Acknowledged { .. });
        let acknowledged = seen.sends.values().filter(acknowledged).count();
        let removed = acknowledged.saturating_sub(last.found.len());
        verdict.report.removed = removed as u64;
    }
    verdict
}

/// What is wrong with single records: who sent them, and where they lie.
fn check_records(seen: &Seen) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut shown = BTreeMap::<At, Tag>::new();
    let mut places = BTreeMap::<Tag, At>::new();
    for (&tag, sent) in &seen.sends {
        if let Outcome::Acknowledged { place, .. } = sent.outcome {
            places.insert(tag, place);
            if let Some(other) = shown.insert(place, tag) {
                wrong.push(format!(
                    "{} was acknowledged for {other} and for {tag}",
                    name(place)
                ));
            }
        }
    }
    for pass in &seen.passes {
        let mut before = BTreeMap::<PartitionIndex, Offset>::new();
        for &(place, found) in &pass.found {
            let last = before.insert(place.0, place.1);
            if last.is_some_and(|last| last >= place.1) {
                wrong.push(format!("{} came after a later one", name(place)));
            }
            let Found::Record(tag) = found else {
                wrong.push(format!("{} is what nobody sent", name(place)));
                continue;
            };
            match seen.sends.get(&tag).map(|sent| sent.outcome) {
                None => wrong.push(format!("{} is {tag}, which nobody sent", name(place))),
                Some(Outcome::Failed) => {
                    wrong.push(format!("{} is {tag}, which failed", name(place)));
                }
                Some(_) => {}
            }
            let shown = *shown.entry(place).or_insert(tag);
            if shown != tag {
                wrong.push(format!("{} is {tag}, and was {shown}", name(place)));
            }
            let lies = *places.entry(tag).or_insert(place);
            if lies != place {
                wrong.push(format!("{tag} is at {} and at {}", name(lies), name(place)));
            }
        }
    }
    wrong
}

/// The last record of each partition that a reader saw.
fn reached(pass: &Pass) -> BTreeMap<PartitionIndex, Offset> {
    let places = pass.found.iter().map(|(place, _)| *place);
    places.collect()
}

/// The last record of each key that a reader saw.
fn latest(pass: &Pass) -> BTreeMap<u64, (Offset, Tag)> {
    let records = pass.found.iter().filter_map(|&(place, found)| match found {
        Found::Record(tag) => Some((key_of(tag), (place.1, tag))),
        Found::Changed => None,
    });
    records.collect()
}

/// What a reader saw of one key.
struct Look<'a> {
    pass: &'a Pass,
    /// All sends of the key.
    sends: &'a [(Tag, Sent)],
    retention: Duration,
    latest: Option<(Offset, Tag)>,
}

impl Look<'_> {
    fn judge(&self, reached: &BTreeMap<PartitionIndex, Offset>, verdict: &mut Verdict) {
        let Some((tag, place)) = self.promised() else {
            return;
        };
        if self.latest.is_some_and(|(offset, _)| offset >= place.1) {
            verdict.report.proved += 1;
        } else if self.is_superseded_beyond(reached.get(&place.0).copied()) {
            // Nothing is known.
        } else if self.is_deleted(place.1) {
            verdict.report.gone += 1;
        } else {
            let found = self.latest.map_or("nothing of it".to_owned(), |(at, tag)| {
                format!("{tag} at {at} is")
            });
            verdict.wrong.push(format!(
                "key {}: {tag} was acknowledged at {} before {:?}, and {found} found until {:?}",
                key_of(tag),
                name(place),
                self.pass.began,
                self.pass.ended,
            ));
        }
    }

    /// The latest record that was acknowledged before the reader began.
    fn promised(&self) -> Option<(Tag, At)> {
        let acknowledged = self
            .sends
            .iter()
            .filter_map(|(tag, sent)| match sent.outcome {
                Outcome::Acknowledged { at, place } if at < self.pass.began => Some((*tag, place)),
                _ => None,
            });
        acknowledged.max_by_key(|(_, place)| place.1)
    }

    /// Whether a later record may lie beyond where the reader ended.
    fn is_superseded_beyond(&self, reached: Option<Offset>) -> bool {
        self.sends.iter().any(|(_, sent)| {
            let beyond = match sent.outcome {
                Outcome::Acknowledged { at, place } => {
                    at >= self.pass.began && reached.is_none_or(|end| place.1 > end)
                }
                Outcome::Failed => false,
                Outcome::Unknown => true,
            };
            beyond && sent.invoked < self.pass.ended
        })
    }

    /// Whether a tombstone at this offset or behind it may have gone, with all before it.
    fn is_deleted(&self, from: Offset) -> bool {
        let is_over = self.sends.iter().any(|(tag, sent)| {
            let is_there = match sent.outcome {
                Outcome::Acknowledged { place, .. } => place.1 >= from,
                Outcome::Failed => false,
                Outcome::Unknown => true,
            };
            let until = sent.invoked + self.retention;
            is_tombstone(*tag) && is_there && until <= self.pass.ended + SLACK
        });
        let took = self.pass.ended.saturating_sub(self.pass.began);
        // One that takes longer may have seen a value before it was removed, and come too late for
        // the tombstone.
        let is_slow = took + SLACK >= self.retention;
        is_over && (self.latest.is_none() || is_slow)
    }
}

fn name((partition, offset): At) -> String {
    format!("record {partition}:{offset}")
}

#[cfg(test)]
mod tests;
