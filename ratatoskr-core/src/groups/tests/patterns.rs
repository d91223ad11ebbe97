//! Topics that come while a group looks for what its patterns match.

use std::{cell::RefCell, collections::BTreeSet, sync::Arc};

use super::{
    super::{Decision, Topics},
    world::{Catalog, World, group},
};
use crate::{
    groups::{GroupHeartbeat, MemberEpoch, MemberId, TopicPattern},
    name::{TopicId, TopicName},
};

/// Makes a topic whenever it was asked what a pattern matches.
struct Growing(RefCell<(Catalog, u32)>);

impl Topics for Growing {
    fn shape(&self, topic: &TopicName) -> Option<(TopicId, u32)> {
        self.0.borrow().0.shape(topic)
    }

    fn matching(&self, pattern: &TopicPattern) -> Arc<BTreeSet<TopicName>> {
        let (catalog, made) = &mut *self.0.borrow_mut();
        let matching = catalog.matching(pattern);
        *made += 1;
        catalog.set(&format!("t{made}"), 4);
        matching
    }
}

/// One member must not miss what another one with the same pattern sees.
#[test]
fn members_with_one_pattern_see_the_same_topics() {
    let mut world = World::new();
    let topics = Growing(RefCell::default());
    for (member, joined) in [("a", 1), ("b", 2), ("c", 3)] {
        let join = GroupHeartbeat {
            group: group(),
            member: MemberId::parse(member).unwrap(),
            epoch: MemberEpoch::JOIN,
            instance: None,
            client: String::new(),
            topics: None,
            assignor: None,
            rebalance_timeout: world.limits.rebalance_timeout_max,
            owned: None,
            pattern: Some(TopicPattern::parse("t.*").unwrap()),
        };
        let now = world.now();
        let decision = world.machine.heartbeat(&join, &topics, now, &world.limits);
        let Decision { events, .. } = decision.unwrap();
        world.take(events);
        let looks = topics.0.borrow().1;
        assert_eq!(looks, joined, "one look for all who share a pattern");
    }
}
