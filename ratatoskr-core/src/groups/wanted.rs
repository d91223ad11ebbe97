//! What a member wants to read.

use std::{collections::BTreeSet, sync::Arc};

use crate::name::TopicName;

/// The topics that a member names, there or not, and those that its pattern matches, which members with
/// the same pattern share.
#[derive(Clone, Debug)]
pub(super) struct Wanted<'a> {
    pub(super) named: &'a BTreeSet<TopicName>,
    pub(super) matched: Option<Arc<BTreeSet<TopicName>>>,
}

impl Wanted<'_> {
    pub(super) fn contains(&self, topic: &TopicName) -> bool {
        let matched = self.matched.as_ref();
        self.named.contains(topic) || matched.is_some_and(|matched| matched.contains(topic))
    }

    /// Each of them, once or twice.
    pub(super) fn iter(&self) -> impl Iterator<Item = &TopicName> {
        let matched = self.matched.iter().flat_map(|matched| matched.iter());
        self.named.iter().chain(matched)
    }
}
