//! Listing, browsing, redriving and discarding dead letters.
//!
//! Which letters have been seen to is kept as the state of a queue group of the broker's own on the
//! dead-letter topic: what was redriven or discarded is done, by whatever name users' groups may read
//! the topic themselves.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use super::{
    BrowsePage, BrowsePosition, DeadLetter, DeadLetterFilter, DeadLetterTopic, DiscardReport,
    RedriveOptions, RedriveReport,
    engine::{QueueShard, check_name},
    letter,
    undone::read_undone,
};
use crate::{
    broker::{Broker, partition::PartitionCell, state::Change, topic::TopicState},
    delivery::{self, DEAD_LETTER_SUFFIX, Done, QueueError},
    error::Error,
    limits,
    name::{GroupId, TopicName},
    offset::{Offset, PartitionIndex},
};

/// The group whose state says which letters have been seen to.
const KEEPER: &str = "_rt.dlq";
/// Letters that are looked at at a time.
const PAGE_LETTERS: usize = 500;

impl Broker {
    /// Every topic that holds dead letters, in the order of their names: those that groups send theirs
    /// to, and those that are named like one.
    ///
    /// # Errors
    /// [`Error::PartitionOffline`], [`Error::ShuttingDown`], [`Error::Fenced`].
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn dead_letter_topics(&self) -> Result<Vec<DeadLetterTopic>, Error> {
        let mut groups = self.dead_letter_senders().await?;
        for topic in self.list_topics() {
            if topic.name.as_str().ends_with(DEAD_LETTER_SUFFIX) {
                groups.entry(topic.name).or_default();
            }
        }
        let mut topics = Vec::new();
        for (name, groups) in groups {
            let Ok(topic) = self.topic(&name) else {
                continue;
            };
            topics.push(DeadLetterTopic {
                letters: self.count_letters(&topic).await?,
                topic: name,
                groups: groups.into_iter().collect(),
            });
        }
        Ok(topics)
    }

    /// Dead letters that were neither redriven nor discarded, from a place on, at most
    /// [`limits::QUEUE_BROWSE_RECORDS_MAX`].
    ///
    /// # Errors
    /// [`Error::UnknownTopic`], [`Error::Queue`] with [`QueueError::NotDeadLetters`],
    /// [`Error::PartitionOffline`], [`Error::InvalidBatch`], [`Error::CorruptRecords`],
    /// [`Error::ShuttingDown`], [`Error::Fenced`].
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn dead_letters_browse(
        &self,
        topic: &TopicName,
        from: BrowsePosition,
        letters_max: usize,
        filter: &DeadLetterFilter,
    ) -> Result<BrowsePage, Error> {
        let letters_max = letters_max.min(limits::QUEUE_BROWSE_RECORDS_MAX);
        let mut walk = self.walk_letters(topic, from).await?;
        let mut page = BrowsePage {
            letters: Vec::new(),
            next: None,
        };
        loop {
            let wanted = letters_max - page.letters.len();
            if wanted == 0 {
                page.next = walk.position();
                return Ok(page);
            }
            let Some((_, letters)) = walk.next(wanted).await? else {
                return Ok(page);
            };
            let letters = letters.into_iter().filter(|letter| filter.takes(letter));
            page.letters.extend(letters);
        }
    }

    /// Sends dead letters back to the topics where they were, as new records without the headers of a
    /// letter; those of one key keep their order. Letters that come meanwhile are left alone.
    ///
    /// A crash between sending a letter and taking note of it leaves it where it is, to be sent again.
    ///
    /// # Errors
    /// As [`dead_letters_browse`](Self::dead_letters_browse), and [`Error::OutcomeUnknown`] where it
    /// could not be noted what was sent. A letter that its topic does not take is counted, and stays.
    ///
    /// # Cancel safety
    /// Dropping the future leaves some letters redriven, and may leave some both sent and here.
    pub async fn dead_letters_redrive(
        &self,
        topic: &TopicName,
        options: &RedriveOptions,
    ) -> Result<RedriveReport, Error> {
        let _one_at_a_time = self.shared.queues.redriving.lock().await;
        let mut walk = self.walk_letters(topic, BrowsePosition::default()).await?;
        let mut report = RedriveReport::default();
        let limit = options.limit.unwrap_or(u64::MAX);
        let page = match options.rate {
            // Ten pages a second, so that a rate is kept evenly.
            Some(rate) => (rate as usize / 10).clamp(1, PAGE_LETTERS),
            None => PAGE_LETTERS,
        };
        while report.matched < limit {
            let Some((cell, letters)) = walk.next(page).await? else {
                break;
            };
            report.examined += letters.len() as u64;
            let left = usize::try_from(limit - report.matched).unwrap_or(usize::MAX);
            let meant: Vec<_> = (letters.into_iter())
                .filter(|letter| options.filter.takes(letter))
                .take(left)
                .collect();
            report.matched += meant.len() as u64;
            if options.dry_run || meant.is_empty() {
                continue;
            }
            let wait = options.rate.map(|rate| {
                let letters = u32::try_from(meant.len()).unwrap_or(u32::MAX);
                Duration::from_secs(letters.into()) / rate.max(1)
            });
            let begun = tokio::time::Instant::now();
            let (sent, failed) = self.send_back(meant).await;
            report.failed += failed;
            report.redriven += sent.len() as u64;
            self.see_to(&walk.shard, &walk.topic, cell.index(), &sent)
                .await?;
            if let Some(wait) = wait {
                tokio::time::sleep_until(begun + wait).await;
            }
        }
        Ok(report)
    }

    /// Gives dead letters up for good. Plain readers of the topic still see them until its retention
    /// removes them.
    ///
    /// # Errors
    /// As [`dead_letters_browse`](Self::dead_letters_browse), and [`Error::OutcomeUnknown`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves some letters discarded.
    pub async fn dead_letters_discard(
        &self,
        topic: &TopicName,
        filter: &DeadLetterFilter,
        limit: Option<u64>,
        dry_run: bool,
    ) -> Result<DiscardReport, Error> {
        let _one_at_a_time = self.shared.queues.redriving.lock().await;
        let mut walk = self.walk_letters(topic, BrowsePosition::default()).await?;
        let mut report = DiscardReport::default();
        let limit = limit.unwrap_or(u64::MAX);
        while report.discarded < limit {
            let Some((cell, letters)) = walk.next(PAGE_LETTERS).await? else {
                break;
            };
            report.examined += letters.len() as u64;
            let left = usize::try_from(limit - report.discarded).unwrap_or(usize::MAX);
            let meant: Vec<_> = (letters.iter())
                .filter(|letter| filter.takes(letter))
                .map(|letter| letter.record.offset)
                .take(left)
                .collect();
            report.discarded += meant.len() as u64;
            if !dry_run {
                self.see_to(&walk.shard, &walk.topic, cell.index(), &meant)
                    .await?;
            }
        }
        Ok(report)
    }

    /// Each topic that groups send dead letters to, with those groups.
    async fn dead_letter_senders(&self) -> Result<BTreeMap<TopicName, BTreeSet<GroupId>>, Error> {
        let mut senders: BTreeMap<TopicName, BTreeSet<GroupId>> = BTreeMap::new();
        for shard in self.shared.queues.shards(self)? {
            let found = shard.read(|queues| {
                let topics = queues.topics().into_iter();
                topics
                    .filter_map(|(group, _, topic)| {
                        let letters = &queues.group(&group)?.config.dead_letters;
                        Some((letters.of(&topic)?, group))
                    })
                    .collect::<Vec<_>>()
            });
            for (letters, group) in found.await? {
                if check_name(&group).is_ok() {
                    senders.entry(letters).or_default().insert(group);
                }
            }
        }
        Ok(senders)
    }

    async fn walk_letters(&self, topic: &TopicName, from: BrowsePosition) -> Result<Walk, Error> {
        self.shared.context.check_running()?;
        let state = self.topic(topic)?;
        let is_named_so = topic.as_str().ends_with(DEAD_LETTER_SUFFIX);
        if !is_named_so && !self.dead_letter_senders().await?.contains_key(topic) {
            return Err(QueueError::NotDeadLetters(topic.clone()).into());
        }
        let group = keeper()?;
        let shard = Arc::clone(self.shared.queues.shard(self, &group).await?);
        self.queue_open(&shard, &group, &state).await?;
        let mut ends = Vec::new();
        for cell in state.partitions() {
            let end = cell.bounds()?.high_watermark;
            ends.push((cell, end));
        }
        Ok(Walk {
            group,
            shard,
            topic: state,
            ends,
            at: from.partition.get() as usize,
            from: from.offset.get(),
        })
    }

    async fn count_letters(&self, topic: &Arc<TopicState>) -> Result<u64, Error> {
        let group = keeper()?;
        let shard = self.shared.queues.shard(self, &group).await?;
        let now = self.shared.context.clock.now();
        let mut letters = 0;
        for cell in topic.partitions() {
            let bounds = cell.bounds()?;
            let (id, index) = (topic.id(), cell.index());
            let (start, end) = (bounds.log_start.get(), bounds.high_watermark.get());
            let undone = shard.read(|queues| {
                queues
                    .knows(&group, id, index)
                    .then(|| queues.undone(&group, id, index, start, usize::MAX, now))
            });
            letters += undone.await?.map_or(end - start, |undone| {
                let ranges = undone.iter().filter(|range| range.first < end);
                ranges
                    .map(|range| range.last.min(end - 1) - range.first + 1)
                    .sum()
            });
        }
        Ok(letters)
    }

    /// Sends letters of one partition back. Answers the places of those that were taken, and how many
    /// were not.
    async fn send_back(&self, letters: Vec<DeadLetter>) -> (Vec<Offset>, u64) {
        let mut sent = Vec::new();
        let mut failed = 0;
        let mut of_topic: BTreeMap<TopicName, (Vec<Offset>, Vec<_>)> = BTreeMap::new();
        for letter in letters {
            let (places, records) = of_topic.entry(letter.origin_topic).or_default();
            places.push(letter.record.offset);
            let mut record = letter.record.record;
            // It begins anew, and so does its time to live.
            record.timestamp = None;
            records.push(record);
        }
        for (name, (places, records)) in of_topic {
            let published = match self.topic(&name) {
                Ok(topic) => topic.publish_many(&records).await.map(drop),
                Err(error) => Err(error),
            };
            match published {
                Ok(()) => sent.extend(places),
                Err(error) => {
                    tracing::warn!(topic = %name, %error, "dead letters were not taken back");
                    failed += places.len() as u64;
                }
            }
        }
        sent.sort_unstable();
        (sent, failed)
    }

    /// Letters have been seen to.
    async fn see_to(
        &self,
        shard: &Arc<QueueShard>,
        topic: &TopicState,
        partition: PartitionIndex,
        places: &[Offset],
    ) -> Result<(), Error> {
        let group = keeper()?;
        let mut changes: Vec<delivery::Change> = Vec::new();
        for place in places.iter().map(|place| place.get()) {
            match changes.last_mut() {
                Some(delivery::Change::Done { last, .. }) if *last + 1 == place => *last = place,
                _ => changes.push(delivery::Change::Done {
                    first: place,
                    last: place,
                    how: Done::Administered,
                }),
            }
        }
        if changes.is_empty() {
            return Ok(());
        }
        let noted = shard.change(|queues| {
            let event = queues.note(&group, topic.id(), partition, changes);
            Ok(Change {
                events: event.into_iter().collect(),
                answer: (),
            })
        });
        noted.await
    }
}

fn keeper() -> Result<GroupId, Error> {
    GroupId::parse(KEEPER).map_err(|error| Error::Internal(error.to_string()))
}

/// Goes through the letters of a topic that there were when it began.
struct Walk {
    group: GroupId,
    shard: Arc<QueueShard>,
    topic: Arc<TopicState>,
    /// Each partition, and where it ended.
    ends: Vec<(Arc<PartitionCell>, Offset)>,
    /// The partition it is at.
    at: usize,
    from: u64,
}

impl Walk {
    /// Where it is; `None` at its end.
    fn position(&self) -> Option<BrowsePosition> {
        let (cell, _) = self.ends.get(self.at)?;
        Some(BrowsePosition {
            partition: cell.index(),
            offset: Offset::new(self.from),
        })
    }

    /// Up to `max` more letters, all of one partition, perhaps none; `None` at the end. What is not a
    /// letter is passed over.
    async fn next(
        &mut self,
        max: usize,
    ) -> Result<Option<(Arc<PartitionCell>, Vec<DeadLetter>)>, Error> {
        let Some((cell, end)) = self.ends.get(self.at) else {
            return Ok(None);
        };
        let (cell, end) = (Arc::clone(cell), *end);
        let page =
            read_undone(&self.shard, &self.group, &self.topic, &cell, self.from, max).await?;
        if let Some(next) = page.next.filter(|&next| next < end.get()) {
            self.from = next;
        } else {
            (self.at, self.from) = (self.at + 1, 0);
        }
        let records = page.records.into_iter().map(|(record, _)| record);
        let letters = records
            .filter(|record| record.offset < end)
            .filter_map(letter::read)
            .collect();
        Ok(Some((cell, letters)))
    }
}

impl DeadLetterFilter {
    fn takes(&self, letter: &DeadLetter) -> bool {
        let Self {
            group,
            origin_topic,
            cause_contains,
            key,
            since,
            until,
            place,
        } = self;
        group.as_ref().is_none_or(|group| *group == letter.group)
            && origin_topic
                .as_ref()
                .is_none_or(|topic| *topic == letter.origin_topic)
            && cause_contains
                .as_ref()
                .is_none_or(|text| letter.cause.contains(text))
            && key
                .as_ref()
                .is_none_or(|key| letter.record.record.key.as_deref() == Some(&key[..]))
            && since.is_none_or(|since| letter.last_failure >= since)
            && until.is_none_or(|until| letter.last_failure < until)
            && place.is_none_or(|place| place == (letter.record.partition, letter.record.offset))
    }
}
