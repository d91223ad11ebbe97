//! Which topics patterns match. Members ask with every heartbeat, and topics seldom come or go; so what
//! was found is kept, and changed by those that have come or gone since.
//!
//! Patterns are matched under no lock of the catalog, which everybody needs, but under that of the shard
//! of the group that asks.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use crate::{
    broker::{Shared, catalog::Since},
    groups::{TopicPattern, Topics},
    name::{TopicId, TopicName},
    sync::Mutex,
};

/// Bytes that all that is kept may take, as far as they are counted.
const BYTES_MAX: usize = 32 << 20;
/// A name takes about so many bytes beside those that it shares with its topic.
const NAME_BYTES: usize = 32;
/// A pattern takes about so many beside its text.
const PATTERN_BYTES: usize = 128;

/// What patterns match, as far as it was asked for.
#[derive(Debug, Default)]
pub(super) struct Matches(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    by_pattern: HashMap<String, Matched>,
    bytes: usize,
}

#[derive(Clone, Debug, Default)]
struct Matched {
    /// The version of the catalog.
    as_of: u64,
    topics: Arc<BTreeSet<TopicName>>,
}

impl Matched {
    fn bytes(&self, pattern: &TopicPattern) -> usize {
        PATTERN_BYTES + pattern.as_str().len() + self.topics.len() * NAME_BYTES
    }
}

impl Matches {
    fn get(&self, pattern: &TopicPattern) -> Option<Matched> {
        self.0.lock().by_pattern.get(pattern.as_str()).cloned()
    }

    fn keep(&self, pattern: &TopicPattern, matched: Matched) {
        let mut kept = self.0.lock();
        let bytes = matched.bytes(pattern);
        if kept.bytes + bytes > BYTES_MAX {
            *kept = Kept::default();
        }
        kept.bytes += bytes;
        let before = kept.by_pattern.insert(pattern.as_str().to_owned(), matched);
        kept.bytes -= before.map_or(0, |before| before.bytes(pattern));
    }
}

impl Topics for Shared {
    fn shape(&self, topic: &TopicName) -> Option<(TopicId, u32)> {
        let topic = self.catalog.read().topic(topic).ok()?;
        Some((topic.shared().id, topic.partition_count()))
    }

    fn matching(&self, pattern: &TopicPattern) -> Arc<BTreeSet<TopicName>> {
        let matches = &self.groups.matches;
        let known = matches.get(pattern);
        let (as_of, since) = {
            let catalog = self.catalog.read();
            let as_of = known.as_ref().map(|known| known.as_of);
            (catalog.version(), catalog.since(as_of))
        };
        let topics = match since {
            Since::Changed(changed) => {
                let known = known.unwrap_or_default().topics;
                if changed.is_empty() {
                    return known;
                }
                brought_up_to_date(known, changed, pattern)
            }
            Since::All(names) => {
                let names = names.into_iter();
                Arc::new(names.filter(|name| pattern.matches(name)).collect())
            }
        };
        matches.keep(
            pattern,
            Matched {
                as_of,
                topics: Arc::clone(&topics),
            },
        );
        topics
    }
}

fn brought_up_to_date(
    mut topics: Arc<BTreeSet<TopicName>>,
    changed: Vec<(TopicName, bool)>,
    pattern: &TopicPattern,
) -> Arc<BTreeSet<TopicName>> {
    for (name, is_there) in changed {
        let belongs = is_there && pattern.matches(&name);
        if belongs != topics.contains(&name) {
            let topics = Arc::make_mut(&mut topics);
            if belongs {
                topics.insert(name);
            } else {
                topics.remove(&name);
            }
        }
    }
    topics
}
