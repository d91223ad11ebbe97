//! Consumer groups as their users see them, and what these tests say often.

mod admin;
mod classic;
mod members;
mod offsets;

use std::time::Duration;

use ratatoskr_core::{
    Error,
    broker::OffsetSpec,
    groups::{
        GroupHeartbeat, GroupHeartbeatResponse, MemberEpoch, MemberId, OffsetCommit, OffsetReset,
        TopicPartitions, TopicPattern,
    },
    name::{GroupId, TopicName},
    offset::{Offset, PartitionIndex},
};

use crate::support::Bench;

fn group(name: &str) -> GroupId {
    GroupId::parse(name).unwrap()
}

fn pattern(text: &str) -> TopicPattern {
    TopicPattern::parse(text).unwrap()
}

fn commit(topic: &TopicName, partition: u32, offset: u64) -> OffsetCommit {
    OffsetCommit {
        topic: topic.clone(),
        partition: PartitionIndex::new(partition),
        offset: Offset::new(offset),
        metadata: String::new(),
    }
}

/// A member as its program knows it.
#[derive(Clone, Debug)]
struct Member {
    group: GroupId,
    id: MemberId,
    epoch: MemberEpoch,
    reads: Vec<TopicPartitions>,
}

impl Member {
    /// Joins.
    async fn join(bench: &Bench, id: &str, topic: &TopicName) -> Self {
        Self::try_join(bench, "g", id, topic).await.unwrap()
    }

    async fn try_join(
        bench: &Bench,
        name: &str,
        id: &str,
        topic: &TopicName,
    ) -> Result<Self, Error> {
        let mut member = Self {
            group: group(name),
            id: MemberId::parse(id).unwrap(),
            epoch: MemberEpoch::JOIN,
            reads: Vec::new(),
        };
        let request = GroupHeartbeat {
            topics: Some(vec![topic.clone()]),
            owned: None,
            ..member.request()
        };
        let answer = bench.broker.group_heartbeat(&request).await?;
        member.take(answer);
        Ok(member)
    }

    /// Joins for the topics that a pattern matches.
    async fn matching(bench: &Bench, text: &str) -> Self {
        let mut member = Self {
            group: group("g"),
            id: MemberId::parse("a").unwrap(),
            epoch: MemberEpoch::JOIN,
            reads: Vec::new(),
        };
        let request = GroupHeartbeat {
            owned: None,
            pattern: Some(pattern(text)),
            ..member.request()
        };
        member.take(bench.broker.group_heartbeat(&request).await.unwrap());
        member
    }

    /// What a member of group "two" says that joins.
    fn join_request(topic: &TopicName) -> GroupHeartbeat {
        let member = Self {
            group: group("two"),
            id: MemberId::parse("z").unwrap(),
            epoch: MemberEpoch::JOIN,
            reads: Vec::new(),
        };
        GroupHeartbeat {
            topics: Some(vec![topic.clone()]),
            owned: None,
            ..member.request()
        }
    }

    fn request(&self) -> GroupHeartbeat {
        GroupHeartbeat {
            group: self.group.clone(),
            member: self.id.clone(),
            epoch: self.epoch,
            instance: None,
            client: "test".to_owned(),
            topics: None,
            assignor: None,
            rebalance_timeout: Duration::from_mins(1),
            owned: Some(self.reads.clone()),
            pattern: None,
        }
    }

    fn take(&mut self, answer: GroupHeartbeatResponse) {
        self.epoch = answer.epoch;
        if let Some(assignment) = answer.assignment {
            self.reads = assignment;
        }
    }

    /// Says what it reads, and reads what it is told.
    async fn beat(&mut self, bench: &Bench) -> Result<(), Error> {
        let answer = bench.broker.group_heartbeat(&self.request()).await?;
        self.take(answer);
        Ok(())
    }

    async fn leave(&self, bench: &Bench) {
        let request = GroupHeartbeat {
            epoch: MemberEpoch::LEAVE,
            ..self.request()
        };
        bench.broker.group_heartbeat(&request).await.unwrap();
    }

    async fn commit(&self, bench: &Bench, offsets: &[OffsetCommit]) -> Result<(), Error> {
        let member = Some((&self.id, self.epoch));
        bench
            .broker
            .commit_offsets(&self.group, member, offsets)
            .await
    }

    /// The partitions that it reads, of all topics.
    fn partitions(&self) -> Vec<u32> {
        let topics = self.reads.iter();
        topics
            .flat_map(|topic| topic.partitions.iter().map(|index| index.get()))
            .collect()
    }
}

/// What a group has committed for partition 0 of a topic.
async fn committed(bench: &Bench, name: &str, topic: &TopicName) -> Option<u64> {
    let wanted = [(topic.clone(), PartitionIndex::new(0))];
    let fetched = bench
        .broker
        .fetch_offsets(&group(name), Some(&wanted))
        .await
        .unwrap();
    let committed = fetched.into_iter().next().unwrap().committed;
    committed.map(|committed| committed.offset.get())
}

/// Commits as somebody who is no member.
async fn commit_alone(bench: &Bench, name: &str, offsets: &[OffsetCommit]) -> Result<(), Error> {
    let group = group(name);
    bench.broker.commit_offsets(&group, None, offsets).await
}

/// Forgets offsets of group "g".
async fn forget(bench: &Bench, places: &[(TopicName, PartitionIndex)]) -> Result<(), Error> {
    bench.broker.delete_offsets(&group("g"), places).await
}

/// Sets where group "g" goes on.
async fn reset(
    bench: &Bench,
    topics: &[TopicName],
    to: OffsetSpec,
    dry_run: bool,
) -> Result<Vec<OffsetReset>, Error> {
    let group = group("g");
    bench
        .broker
        .reset_offsets(&group, topics, to, dry_run)
        .await
}
