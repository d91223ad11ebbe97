//! What every assignment must be, whatever the members want.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::super::{
    Assignor, MemberId, PartitionKey,
    assignor::{Assignment, Shape, assign},
    wanted::Wanted,
};
use crate::name::{TopicId, TopicName};

type Wants = BTreeMap<MemberId, BTreeSet<TopicName>>;

fn topic(at: usize) -> TopicName {
    TopicName::parse(&format!("t{at}")).unwrap()
}

fn shape(partitions: &[u32]) -> Shape {
    let topics = partitions.iter().enumerate();
    topics
        .map(|(at, &partitions)| {
            let mut id = [0; 16];
            id[0] = u8::try_from(at).unwrap() + 1;
            (topic(at), (TopicId::from_bytes(id).unwrap(), partitions))
        })
        .collect()
}

fn wants(members: &[(usize, BTreeSet<usize>)]) -> Wants {
    let members = members.iter();
    members
        .map(|(id, topics)| {
            let id = MemberId::parse(&format!("m{id}")).unwrap();
            (id, topics.iter().copied().map(topic).collect())
        })
        .collect()
}

fn run(assignor: Assignor, wants: &Wants, shape: &Shape, before: &Assignment) -> Assignment {
    let wanted = |named| Wanted {
        named,
        matched: None,
    };
    let wants = wants.iter().map(|(member, named)| (member, wanted(named)));
    assign(assignor, &wants.collect(), shape, before)
}

fn moved(before: &Assignment, after: &Assignment) -> usize {
    let holder = |assignment: &Assignment| {
        let pairs = assignment.iter();
        pairs
            .flat_map(|(member, keys)| keys.iter().map(move |key| (*key, member.clone())))
            .collect::<BTreeMap<PartitionKey, MemberId>>()
    };
    let (before, after) = (holder(before), holder(after));
    let was = before.iter();
    was.filter(|(key, member)| after.get(key).is_some_and(|now| now != *member))
        .count()
}

/// Every partition that somebody wants goes to one who wants it, and nobody has two more than
/// another that could take one of them.
fn check(wants: &Wants, shape: &Shape, assignment: &Assignment) {
    let mut given = BTreeSet::new();
    let wanted = |member: &MemberId, key: &PartitionKey| {
        let name = shape
            .iter()
            .find(|(_, (id, _))| *id == key.topic)
            .unwrap()
            .0;
        wants[member].contains(name)
    };
    for (member, keys) in assignment {
        for key in keys {
            assert!(wanted(member, key), "{member} does not want {key:?}");
            assert!(given.insert(*key), "{key:?} is given twice");
            for (other, others) in assignment {
                let even = keys.len() < others.len() + 2 || !wanted(other, key);
                assert!(even, "{member} could give {key:?} to {other}");
            }
        }
    }
    let there: usize = shape
        .iter()
        .filter(|(name, _)| wants.values().any(|topics| topics.contains(*name)))
        .map(|(_, (_, partitions))| *partitions as usize)
        .sum();
    assert_eq!(given.len(), there);
}

fn members() -> impl Strategy<Value = Vec<(usize, BTreeSet<usize>)>> {
    let topics = prop::collection::btree_set(0..4_usize, 0..4);
    prop::collection::btree_map(0..8_usize, topics, 0..7)
        .prop_map(|members| members.into_iter().collect())
}

proptest! {
    #[test]
    fn assignments_are_complete_and_even(
        partitions in prop::collection::vec(0..12_u32, 4),
        first in members(),
        second in members(),
    ) {
        let shape = shape(&partitions);
        for assignor in [Assignor::Sticky, Assignor::Uniform] {
            let before = run(assignor, &wants(&first), &shape, &Assignment::new());
            check(&wants(&first), &shape, &before);
            let after = run(assignor, &wants(&second), &shape, &before);
            check(&wants(&second), &shape, &after);
            let again = run(assignor, &wants(&second), &shape, &after);
            prop_assert_eq!(again, after, "the same question has the same answer");
        }
    }

    #[test]
    fn sticky_moves_no_more_than_it_must(members in 1..9_usize, partitions in 0..40_u32) {
        let shape = shape(&[partitions]);
        let all = |ids: std::ops::Range<usize>| {
            wants(&ids.map(|id| (id, BTreeSet::from([0]))).collect::<Vec<_>>())
        };
        let before = run(Assignor::Sticky, &all(0..members), &shape, &Assignment::new());
        let joined = run(Assignor::Sticky, &all(0..members + 1), &shape, &before);
        // Only what the new member gets has moved.
        let share = partitions as usize / (members + 1);
        prop_assert!(moved(&before, &joined) <= share, "{} moved", moved(&before, &joined));
        let left = run(Assignor::Sticky, &all(0..members), &shape, &joined);
        let stayed: Assignment = joined.iter().filter(|(id, _)| left.contains_key(*id))
            .map(|(id, keys)| (id.clone(), keys.clone())).collect();
        prop_assert_eq!(moved(&stayed, &left), 0);
    }
}
