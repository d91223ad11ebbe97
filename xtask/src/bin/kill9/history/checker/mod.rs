//! Finds the broken promises in a history.
//!
//! The history is walked once in its order, then the logs as they were read back at the end. What
//! holds of a process kill is asked for: whatever was acknowledged or read stays, whether its topic
//! is synced or not, for the operating system lives on.

#[cfg(test)]
mod tests;
mod violation;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ratatoskr_core::offset::Offset;

pub(crate) use violation::Violation;

use super::{Delivery, Event, Found, History, Place, Tag};
use violation::Reader;

/// Every promise that the history breaks; empty for a good one.
///
/// # Panics
/// On a history that no run writes: outcomes of what was not invoked, answers to no question.
pub(crate) fn check(history: &History) -> Vec<Violation> {
    let mut checker = Checker::new(history);
    for event in &history.events {
        checker.event(event);
    }
    for (place, log) in &history.read_back {
        checker.read_back(*place, log);
    }
    checker.losses(&history.read_back);
    checker.violations
}

/// What is known of one send.
struct Send {
    topic: u32,
    /// Whether its producer was, or will be, told that it surely was not appended.
    failed: bool,
    invoked: bool,
}

/// Who says that a record is at an offset.
#[derive(Clone, Copy)]
enum Witness {
    Acknowledgement,
    Reader,
}

struct Checker<'a> {
    producers: &'a BTreeMap<u32, Delivery>,
    sends: HashMap<Tag, Send>,
    /// The first thing known of each offset.
    known: BTreeMap<(Place, Offset), (Found, Witness)>,
    /// One past the last offset known of each partition.
    ends: HashMap<Place, Offset>,
    /// What each question's answer must not fall below.
    questions: HashMap<u64, (Place, Offset)>,
    /// The offset that each reader must be given next.
    readers: HashMap<(Reader, Place), Offset>,
    /// Where each record was in the reading back.
    placed: HashMap<Tag, (Place, Offset)>,
    violations: Vec<Violation>,
}

impl<'a> Checker<'a> {
    fn new(history: &'a History) -> Self {
        let mut sends = HashMap::new();
        // An outcome may be written down after a reader saw the record, so they are collected first.
        for event in &history.events {
            match *event {
                Event::Invoked { tag, topic } => {
                    let send = Send {
                        topic,
                        failed: false,
                        invoked: false,
                    };
                    let before = sends.insert(tag, send);
                    assert!(before.is_none(), "{tag} was sent twice");
                }
                Event::Failed { tag } => sent(&mut sends, tag).failed = true,
                Event::Acknowledged { tag, .. } | Event::Unknown { tag } => {
                    sent(&mut sends, tag);
                }
                _ => {}
            }
        }
        Self {
            producers: &history.producers,
            sends,
            known: BTreeMap::new(),
            ends: HashMap::new(),
            questions: HashMap::new(),
            readers: HashMap::new(),
            placed: HashMap::new(),
            violations: Vec::new(),
        }
    }

    fn event(&mut self, event: &Event) {
        match *event {
            Event::Invoked { tag, .. } => sent(&mut self.sends, tag).invoked = true,
            Event::Failed { .. } | Event::Unknown { .. } => {}
            Event::Acknowledged {
                tag,
                partition,
                offset,
            } => {
                let topic = sent(&mut self.sends, tag).topic;
                let place = Place { topic, partition };
                self.witness(place, offset, Found::Record(tag), Witness::Acknowledgement);
            }
            Event::Positioned {
                reader,
                place,
                offset,
            } => {
                let reader = Reader::Numbered(reader);
                self.readers.insert((reader, place), offset);
            }
            Event::Read {
                reader,
                place,
                offset,
                found,
            } => self.read(Reader::Numbered(reader), place, offset, found),
            Event::EndAsked { question, place } => {
                let known = self.ends.get(&place).copied().unwrap_or_default();
                self.questions.insert(question, (place, known));
            }
            Event::EndAnswered { question, end } => self.end_answered(question, end),
        }
    }

    fn end_answered(&mut self, question: u64, end: Offset) {
        let asked = self.questions.remove(&question);
        let Some((place, known)) = asked else {
            panic!("nobody asked question {question}");
        };
        if end < known {
            self.violations.push(Violation::EndWentBack {
                place,
                known,
                answered: end,
            });
        }
        self.reaches(place, end);
    }

    /// A reader is given `found`: the next offset, and a record that may be there.
    fn read(&mut self, reader: Reader, place: Place, offset: Offset, found: Found) {
        let next = self.readers.entry((reader, place)).or_insert(offset);
        let expected = std::mem::replace(next, offset.plus(1));
        if offset > expected {
            self.violations.push(Violation::ReaderSkipped {
                reader,
                place,
                expected,
                found: offset,
            });
        } else if offset < expected {
            self.violations.push(Violation::ReaderWentBack {
                reader,
                place,
                expected,
                found: offset,
            });
        }
        match found {
            Found::Changed => self.violations.push(Violation::Changed { place, offset }),
            Found::Record(tag) => match self.sends.get(&tag) {
                Some(send) if send.invoked && send.topic == place.topic => {
                    if send.failed {
                        let violation = Violation::FailedRead { tag, place, offset };
                        self.violations.push(violation);
                    }
                }
                _ => {
                    let violation = Violation::NobodySent { tag, place, offset };
                    self.violations.push(violation);
                }
            },
        }
        self.witness(place, offset, found, Witness::Reader);
    }

    /// Somebody says that `found` is at `offset`.
    fn witness(&mut self, place: Place, offset: Offset, found: Found, witness: Witness) {
        self.reaches(place, offset.plus(1));
        let (first, by) = self
            .known
            .entry((place, offset))
            .or_insert((found, witness));
        if *first != found {
            self.violations.push(Violation::TwoValues {
                place,
                offset,
                first: *first,
                second: found,
            });
        } else if matches!(witness, Witness::Acknowledgement) {
            *by = witness;
        }
    }

    fn reaches(&mut self, place: Place, end: Offset) {
        let known = self.ends.entry(place).or_default();
        *known = end.max(*known);
    }

    /// The log of a partition, from offset 0 to its end.
    fn read_back(&mut self, place: Place, log: &[(Offset, Found)]) {
        let end = log.last().map_or(Offset::ZERO, |(last, _)| last.plus(1));
        let known = self.ends.get(&place).copied().unwrap_or_default();
        if end < known {
            self.violations.push(Violation::EndWentBack {
                place,
                known,
                answered: end,
            });
        }
        self.readers.insert((Reader::Last, place), Offset::ZERO);
        let mut latest: HashMap<u32, Tag> = HashMap::new();
        for &(offset, found) in log {
            self.read(Reader::Last, place, offset, found);
            if let Found::Record(tag) = found {
                self.in_order(place, offset, tag, &mut latest);
            }
        }
    }

    /// Asks for one record of a tag, and for a producer's records in the order of their sequences.
    fn in_order(&mut self, place: Place, offset: Offset, tag: Tag, latest: &mut HashMap<u32, Tag>) {
        if let Some(&first) = self.placed.get(&tag) {
            if self.producers.get(&tag.producer) != Some(&Delivery::Plain) {
                let second = (place, offset);
                let violation = Violation::Duplicated { tag, first, second };
                self.violations.push(violation);
            }
            return;
        }
        self.placed.insert(tag, (place, offset));
        let after = *latest.entry(tag.producer).or_insert(tag);
        if tag < after {
            self.violations.push(Violation::Reordered {
                place,
                earlier: tag,
                after,
            });
        } else {
            latest.insert(tag.producer, tag);
        }
    }

    /// What was known during the history and is not in the logs at the end.
    fn losses(&mut self, read_back: &BTreeMap<Place, Vec<(Offset, Found)>>) {
        let kept: BTreeSet<(Place, Offset)> = read_back
            .iter()
            .flat_map(|(place, log)| log.iter().map(|(offset, _)| (*place, *offset)))
            .collect();
        for (&(place, offset), &(found, witness)) in &self.known {
            // What is changed was complained of when it was read.
            let Found::Record(tag) = found else { continue };
            if kept.contains(&(place, offset)) {
                continue;
            }
            self.violations.push(match witness {
                Witness::Acknowledgement => Violation::AcknowledgedLost { tag, place, offset },
                Witness::Reader => Violation::ReadLost { tag, place, offset },
            });
        }
    }
}

fn sent(sends: &mut HashMap<Tag, Send>, tag: Tag) -> &mut Send {
    sends
        .get_mut(&tag)
        .unwrap_or_else(|| panic!("{tag} was never invoked"))
}
