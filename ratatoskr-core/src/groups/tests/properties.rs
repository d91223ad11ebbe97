//! Random histories against a model of what members read and what was committed.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use proptest::prelude::*;

use super::{
    super::{MemberEpoch, MemberId, PartitionKey},
    world::{World, group},
};
use crate::{
    groups::{GroupError, GroupHeartbeat, GroupState, InstanceId, TopicPartitions, TopicPattern},
    name::TopicName,
};

const TOPICS: [&str; 2] = ["x", "y"];

#[derive(Clone, Debug)]
enum Step {
    Join {
        member: usize,
        wants: Wants,
        is_static: bool,
    },
    /// Does what it was told, and says so; the answer may get lost.
    Beat {
        member: usize,
        lost: bool,
    },
    Busy {
        member: usize,
    },
    Leave {
        member: usize,
        for_a_while: bool,
    },
    Commit {
        member: usize,
        by: u64,
    },
    Grow {
        topic: usize,
    },
    Remake {
        topic: usize,
    },
    Wait {
        seconds: u64,
    },
    Restart,
}

/// What a member wants to read.
#[derive(Clone, Copy, Debug)]
enum Wants {
    First,
    Both,
    Pattern(&'static str),
}

fn wants() -> impl Strategy<Value = Wants> {
    let pattern = prop_oneof![Just(".*"), Just("y"), Just("z.*")];
    prop_oneof![
        Just(Wants::First),
        Just(Wants::Both),
        pattern.prop_map(Wants::Pattern),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let member = 0..4_usize;
    prop_oneof![
        3 => (member.clone(), wants(), any::<bool>())
            .prop_map(|(member, wants, is_static)| Step::Join { member, wants, is_static }),
        8 => (member.clone(), prop::bool::weighted(0.2))
            .prop_map(|(member, lost)| Step::Beat { member, lost }),
        2 => member.clone().prop_map(|member| Step::Busy { member }),
        2 => (member.clone(), any::<bool>())
            .prop_map(|(member, for_a_while)| Step::Leave { member, for_a_while }),
        4 => (member, 1..5_u64).prop_map(|(member, by)| Step::Commit { member, by }),
        1 => (0..2_usize).prop_map(|topic| Step::Grow { topic }),
        1 => (0..2_usize).prop_map(|topic| Step::Remake { topic }),
        2 => (1..60_u64).prop_map(|seconds| Step::Wait { seconds }),
        1 => Just(Step::Restart),
    ]
}

/// What the members themselves know.
#[derive(Default)]
struct Actor {
    epoch: i32,
    told: Vec<TopicPartitions>,
    reads: Vec<TopicPartitions>,
}

struct Model {
    world: World,
    actors: BTreeMap<usize, Actor>,
    committed: BTreeMap<PartitionKey, u64>,
    partitions: [u32; 2],
}

impl Model {
    fn new() -> Self {
        let mut world = World::new();
        for topic in TOPICS {
            world.catalog.set(topic, 3);
        }
        Self {
            world,
            actors: BTreeMap::new(),
            committed: BTreeMap::new(),
            partitions: [3, 3],
        }
    }

    fn request(&self, member: usize, epoch: i32) -> GroupHeartbeat {
        GroupHeartbeat {
            group: group(),
            member: id(member),
            epoch: MemberEpoch::new(epoch),
            instance: None,
            client: String::new(),
            topics: None,
            pattern: None,
            assignor: None,
            rebalance_timeout: Duration::from_secs(30),
            owned: self.actors.get(&member).map(|actor| actor.reads.clone()),
        }
    }

    fn run(&mut self, step: &Step) {
        match *step {
            Step::Join {
                member,
                wants,
                is_static,
            } => {
                let (topics, pattern) = match wants {
                    Wants::First => (&TOPICS[..1], None),
                    Wants::Both => (&TOPICS[..], None),
                    Wants::Pattern(text) => (&[][..], TopicPattern::parse(text).ok()),
                };
                let request = GroupHeartbeat {
                    topics: Some(
                        topics
                            .iter()
                            .map(|name| TopicName::parse(name).unwrap())
                            .collect(),
                    ),
                    pattern,
                    instance: is_static
                        .then(|| InstanceId::parse(&format!("i{}", member / 2)).unwrap()),
                    ..self.request(member, 0)
                };
                // Whoever joins has stopped reading.
                self.actors.remove(&member);
                if let Ok(answer) = self.world.heartbeat(&request) {
                    self.actors.insert(
                        member,
                        Actor {
                            epoch: answer.epoch.get(),
                            told: answer.assignment.unwrap(),
                            reads: Vec::new(),
                        },
                    );
                }
            }
            Step::Beat { member, lost } => {
                if let Some(actor) = self.actors.get_mut(&member) {
                    actor.reads = actor.told.clone();
                    self.beat(member, lost);
                }
            }
            Step::Busy { member } => self.beat(member, false),
            Step::Leave {
                member,
                for_a_while,
            } => {
                let epoch = if for_a_while { -2 } else { -1 };
                let request = self.request(member, epoch);
                if self.world.heartbeat(&request).is_ok() {
                    self.actors.remove(&member);
                }
            }
            Step::Commit { member, by } => self.commit(member, by),
            Step::Grow { topic } => {
                self.partitions[topic] = (self.partitions[topic] + 1).min(6);
                self.world
                    .catalog
                    .set(TOPICS[topic], self.partitions[topic]);
            }
            Step::Remake { topic } => {
                self.world.catalog.drop(TOPICS[topic]);
                self.world
                    .catalog
                    .set(TOPICS[topic], self.partitions[topic]);
            }
            Step::Wait { seconds } => self.world.wait(Duration::from_secs(seconds)),
            Step::Restart => self.world.restart(),
        }
    }

    fn beat(&mut self, member: usize, lost: bool) {
        let Some(actor) = self.actors.get(&member) else {
            return;
        };
        let request = self.request(member, actor.epoch);
        match self.world.heartbeat(&request) {
            Ok(answer) if !lost => {
                let actor = self.actors.get_mut(&member).unwrap();
                assert!(answer.epoch.get() >= actor.epoch, "an epoch went back");
                actor.epoch = answer.epoch.get();
                actor.told = answer.assignment.unwrap_or_else(|| actor.reads.clone());
            }
            Ok(_) => {}
            // It learns that it is out, and stops reading.
            Err(_) => {
                self.actors.remove(&member);
            }
        }
    }

    /// Commits one more than there is for all that it reads.
    fn commit(&mut self, member: usize, by: u64) {
        let Some(actor) = self.actors.get(&member) else {
            return;
        };
        let mut offsets = Vec::new();
        for topic in &actor.reads {
            for &partition in &topic.partitions {
                let key = PartitionKey {
                    topic: topic.id,
                    partition,
                };
                let there = self
                    .world
                    .catalog
                    .key(topic.topic.as_str(), partition.get());
                if there.is_some_and(|(_, found)| found == key) {
                    let next = self.committed.get(&key).copied().unwrap_or_default() + by;
                    offsets.push((topic.topic.to_string(), partition.get(), next));
                }
            }
        }
        let epoch = MemberEpoch::new(actor.epoch);
        match self.world.commit(Some(&(id(member), epoch)), &offsets, "") {
            Ok(()) => {
                for (topic, partition, offset) in offsets {
                    let (_, key) = self.world.catalog.key(&topic, partition).unwrap();
                    let before = self.committed.insert(key, offset);
                    assert!(before.is_none_or(|before| before < offset));
                }
            }
            Err(error) => assert!(
                matches!(
                    error,
                    crate::Error::Group(
                        GroupError::UnknownMember { .. }
                            | GroupError::FencedMember { .. }
                            | GroupError::NotAssigned { .. }
                    )
                ),
                "{error}"
            ),
        }
    }

    /// Nobody reads what another reads, and offsets are those that were committed.
    fn check(&self) {
        let Some(group) = self.world.group() else {
            return;
        };
        let mut held = BTreeSet::new();
        for (id, member) in &group.membership.members {
            for (key, _) in member.held() {
                assert!(held.insert(*key), "{key:?} is held twice");
                assert_eq!(group.membership.holder(key), Some(id));
            }
        }
        // A member that the broker still knows under its epoch reads nothing that another holds.
        for (&member, actor) in &self.actors {
            let known = group.membership.members.get(&id(member));
            let Some(known) = known.filter(|known| known.epoch.get() == actor.epoch) else {
                continue;
            };
            for topic in &actor.reads {
                for &partition in &topic.partitions {
                    let key = PartitionKey {
                        topic: topic.id,
                        partition,
                    };
                    let mine = known.held().any(|(held, _)| *held == key);
                    assert!(mine, "m{member} reads {key:?}, which is not its own");
                }
            }
        }
        for (key, offset) in &self.committed {
            let found = group.offsets.get(key).map(|found| found.offset.get());
            assert_eq!(found, Some(*offset));
        }
        assert_eq!(group.offsets.len(), self.committed.len());
    }

    /// Left alone, the group comes to rest, with every partition read.
    fn come_to_rest(&mut self) {
        for _ in 0..8 {
            let members: Vec<_> = self.actors.keys().copied().collect();
            for member in members {
                self.run(&Step::Beat {
                    member,
                    lost: false,
                });
            }
            self.world.wait(Duration::from_secs(30));
            self.check();
        }
        let Some(group) = self.world.group() else {
            return;
        };
        assert_ne!(group.membership.state(), GroupState::Reconciling);
        for (member, keys) in &group.membership.target {
            let reads: BTreeSet<_> = group.membership.members[member]
                .assigned
                .keys()
                .copied()
                .collect();
            assert_eq!(reads, *keys);
        }
    }
}

fn id(member: usize) -> MemberId {
    MemberId::parse(&format!("m{member}")).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_history_makes_two_members_read_one_partition(steps in prop::collection::vec(step(), 1..60)) {
        let mut model = Model::new();
        for step in &steps {
            model.run(step);
            model.check();
        }
        model.come_to_rest();
        model.world.restart();
    }
}
