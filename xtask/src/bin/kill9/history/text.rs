//! A history as text, one event a line: how a bad one is kept for a person to read, and how the
//! checker's tests are written.
//!
//! ```text
//! producer 1 idempotent        or plain
//! invoke 1:7 topic 0           producer 1 begins to send its record 7
//! ok 1:7 2@31                  … it went to partition 2, offset 31
//! failed 1:7                   … or surely not
//! unknown 1:7                  … or perhaps
//! start 9 0/2@31               reader 9 goes to topic 0, partition 2, offset 31
//! read 9 0/2@31 1:7            … and finds that record; or `changed`
//! ask 4 0/2                    question 4: where does the partition end?
//! end 4 @32                    … here
//! log 0/2@31 1:7               what is in the log at the very end
//! log 0/3                      … nothing at all
//! ```

use std::fmt;

use super::{Delivery, Event, History};

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, delivery) in &self.producers {
            let delivery = match delivery {
                Delivery::Idempotent => "idempotent",
                Delivery::Plain => "plain",
            };
            writeln!(f, "producer {number} {delivery}")?;
        }
        for event in &self.events {
            writeln!(f, "{event}")?;
        }
        for (place, log) in &self.read_back {
            if log.is_empty() {
                writeln!(f, "log {place}")?;
            }
            for (offset, found) in log {
                writeln!(f, "log {place}@{offset} {found}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invoked { tag, topic } => write!(f, "invoke {tag} topic {topic}"),
            Self::Acknowledged {
                tag,
                partition,
                offset,
            } => write!(f, "ok {tag} {partition}@{offset}"),
            Self::Failed { tag } => write!(f, "failed {tag}"),
            Self::Unknown { tag } => write!(f, "unknown {tag}"),
            Self::Positioned {
                reader,
                place,
                offset,
            } => write!(f, "start {reader} {place}@{offset}"),
            Self::Read {
                reader,
                place,
                offset,
                found,
            } => write!(f, "read {reader} {place}@{offset} {found}"),
            Self::EndAsked { question, place } => write!(f, "ask {question} {place}"),
            Self::EndAnswered { question, end } => write!(f, "end {question} @{end}"),
        }
    }
}

#[cfg(test)]
pub(super) mod parse {
    //! Text into a history. Panics on what it does not understand.

    use std::str::FromStr;

    use ratatoskr_core::offset::{Offset, PartitionIndex};

    use super::{Delivery, Event, History};
    use crate::history::{Found, Place, Tag};

    pub(in crate::history) fn history(text: &str) -> History {
        let mut history = History::default();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                ["producer", number_, delivery] => {
                    let delivery = match delivery {
                        "idempotent" => Delivery::Idempotent,
                        "plain" => Delivery::Plain,
                        other => panic!("{other} in {line}"),
                    };
                    history.producers.insert(number(number_), delivery);
                }
                ["log", at] if !at.contains('@') => {
                    history.read_back.entry(place(at)).or_default();
                }
                ["log", at, found_] => {
                    let (place, offset) = position(at);
                    let log = history.read_back.entry(place).or_default();
                    log.push((offset, found(found_)));
                }
                _ => history.events.push(event(&words, line)),
            }
        }
        history
    }

    fn event(words: &[&str], line: &str) -> Event {
        match *words {
            ["invoke", tag_, "topic", topic] => Event::Invoked {
                tag: tag(tag_),
                topic: number(topic),
            },
            ["ok", tag_, at] => {
                let (partition, offset) = split(at, '@');
                Event::Acknowledged {
                    tag: tag(tag_),
                    partition: PartitionIndex::new(number(partition)),
                    offset: Offset::new(number(offset)),
                }
            }
            ["failed", tag_] => Event::Failed { tag: tag(tag_) },
            ["unknown", tag_] => Event::Unknown { tag: tag(tag_) },
            ["start", reader, at] => {
                let (place, offset) = position(at);
                Event::Positioned {
                    reader: number(reader),
                    place,
                    offset,
                }
            }
            ["read", reader, at, found_] => {
                let (place, offset) = position(at);
                Event::Read {
                    reader: number(reader),
                    place,
                    offset,
                    found: found(found_),
                }
            }
            ["ask", question, at] => Event::EndAsked {
                question: number(question),
                place: place(at),
            },
            ["end", question, end] => Event::EndAnswered {
                question: number(question),
                end: Offset::new(number(end.trim_start_matches('@'))),
            },
            _ => panic!("not an event: {line}"),
        }
    }

    fn number<T: FromStr>(text: &str) -> T {
        text.parse()
            .unwrap_or_else(|_| panic!("not a number: {text}"))
    }

    fn split(text: &str, at: char) -> (&str, &str) {
        text.split_once(at)
            .unwrap_or_else(|| panic!("no {at} in {text}"))
    }

    fn tag(text: &str) -> Tag {
        let (producer, sequence) = split(text, ':');
        Tag {
            producer: number(producer),
            sequence: number(sequence),
        }
    }

    fn place(text: &str) -> Place {
        let (topic, partition) = split(text, '/');
        Place {
            topic: number(topic),
            partition: PartitionIndex::new(number(partition)),
        }
    }

    fn position(text: &str) -> (Place, Offset) {
        let (at, offset) = split(text, '@');
        (place(at), Offset::new(number(offset)))
    }

    fn found(text: &str) -> Found {
        match text {
            "changed" => Found::Changed,
            text => Found::Record(tag(text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn what_is_written_can_be_read() {
        let text = "producer 1 idempotent\n\
                    producer 2 plain\n\
                    invoke 1:7 topic 0\n\
                    ok 1:7 2@31\n\
                    failed 1:8\n\
                    unknown 1:9\n\
                    start 9 0/2@31\n\
                    read 9 0/2@31 1:7\n\
                    read 9 0/2@32 changed\n\
                    ask 4 0/2\n\
                    end 4 @32\n\
                    log 0/2@31 1:7\n\
                    log 0/3\n";
        assert_eq!(parse::history(text).to_string(), text);
    }
}
