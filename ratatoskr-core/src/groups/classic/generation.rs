//! The lasting state of a classic group: who is in it, and what each of them was assigned.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{
    CONSUMER, JoinGroup,
    opaque::Opaque,
    subscription::{assigned_partitions, subscribed_topics},
};
use crate::{
    groups::{
        InstanceId, MemberDescription, MemberEpoch, MemberId, PartitionKey, TopicPartitions, Topics,
    },
    name::TopicName,
    offset::PartitionIndex,
};

/// A generation. Fields are only ever added, at the end and with a default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Generation {
    pub(crate) number: MemberEpoch,
    /// What the group is for; empty where nobody has said so.
    pub(crate) protocol_type: String,
    /// How it is assigned; empty where nobody has decided yet.
    pub(crate) protocol: String,
    pub(super) leader: Option<MemberId>,
    pub(crate) members: BTreeMap<MemberId, Member>,
}

/// A member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Member {
    pub(crate) instance: Option<InstanceId>,
    pub(crate) client: String,
    pub(crate) host: String,
    pub(super) session_timeout: Duration,
    pub(super) rebalance_timeout: Duration,
    /// The best first.
    pub(super) protocols: Vec<(String, Opaque)>,
    pub(super) assignment: Opaque,
}

impl Member {
    pub(super) fn new(request: &JoinGroup) -> Self {
        Self {
            instance: request.instance.clone(),
            client: request.client.clone(),
            host: request.host.clone(),
            session_timeout: request.session_timeout,
            rebalance_timeout: request.rebalance_timeout,
            protocols: (request.protocols.iter())
                .map(|(name, metadata)| (name.clone(), metadata.into()))
                .collect(),
            assignment: Opaque::default(),
        }
    }

    pub(super) fn knows(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|(name, _)| name == protocol)
    }

    /// Whether it wants now what it wanted before.
    pub(super) fn wants(&self, protocols: &[(String, Bytes)]) -> bool {
        let same =
            |((name, metadata), (new, new_metadata)): (&(String, Opaque), &(String, Bytes))| {
                name == new && metadata.0 == *new_metadata
            };
        self.protocols.len() == protocols.len() && self.protocols.iter().zip(protocols).all(same)
    }

    /// What it wants, as this protocol has it.
    pub(super) fn metadata(&self, protocol: &str) -> Bytes {
        let found = self.protocols.iter().find(|(name, _)| name == protocol);
        found.map_or_else(Bytes::new, |(_, metadata)| metadata.0.clone())
    }

    /// What of it a client may make as long as it likes.
    pub(super) fn bytes(&self) -> usize {
        let protocols = self.protocols.iter();
        let protocols = protocols.map(|(name, metadata)| name.len() + metadata.0.len());
        let names = self.client.len() + self.host.len();
        protocols.sum::<usize>() + names + self.assignment.0.len()
    }
}

impl Generation {
    pub(super) fn instance(&self, instance: &InstanceId) -> Option<&MemberId> {
        let mut members = self.members.iter();
        let found = members.find(|(_, member)| member.instance.as_ref() == Some(instance));
        found.map(|(id, _)| id)
    }

    /// A static member is back under a new id; whether it leads.
    pub(super) fn take_over(&mut self, earlier: &MemberId, new: &MemberId) -> bool {
        if let Some(member) = self.members.remove(earlier) {
            self.members.insert(new.clone(), member);
        }
        let leads = self.leader.as_ref() == Some(earlier);
        if leads {
            self.leader = Some(new.clone());
        }
        leads
    }

    pub(super) fn bytes(&self) -> usize {
        let members = self.members.values().map(Member::bytes);
        self.protocol_type.len() + members.sum::<usize>()
    }

    /// Whether a member that knows these protocols can be assigned something together with the others.
    pub(super) fn supports(&self, request: &JoinGroup) -> bool {
        if request.protocol_type.is_empty() || request.protocols.is_empty() {
            return false;
        }
        let itself = request.member.as_ref();
        let mut others = (self.members.iter())
            .filter(|(id, member)| {
                let same_instance =
                    request.instance.is_some() && member.instance == request.instance;
                Some(*id) != itself && !same_instance
            })
            .map(|(_, member)| member)
            .peekable();
        if others.peek().is_none() {
            return true;
        }
        let others: Vec<_> = others.collect();
        let known_to_all = |name: &str| others.iter().all(|member| member.knows(name));
        self.protocol_type == request.protocol_type
            && request.protocols.iter().any(|(name, _)| known_to_all(name))
    }

    /// The protocol that most members like best, of those that all know.
    pub(super) fn choose_protocol(&self) -> Option<String> {
        let known_to_all = |name: &str| self.members.values().all(|member| member.knows(name));
        let mut votes = BTreeMap::<&str, usize>::new();
        for member in self.members.values() {
            let mut names = member.protocols.iter().map(|(name, _)| name.as_str());
            if let Some(best) = names.find(|name| known_to_all(name)) {
                *votes.entry(best).or_default() += 1;
            }
        }
        let best =
            (votes.into_iter()).max_by_key(|&(name, votes)| (votes, std::cmp::Reverse(name)));
        best.map(|(name, _)| name.to_owned())
    }

    /// The topics that a member wants, where it says so in a way that is understood.
    fn topics_of(&self, member: &Member) -> BTreeSet<TopicName> {
        if self.protocol_type != CONSUMER {
            return BTreeSet::new();
        }
        let protocols = member.protocols.iter();
        let chosen =
            protocols.filter(|(name, _)| self.protocol.is_empty() || *name == self.protocol);
        chosen
            .flat_map(|(_, metadata)| subscribed_topics(&metadata.0).unwrap_or_default())
            .collect()
    }

    /// What a member reads, where the leader said so in a way that is understood.
    fn partitions_of(&self, member: &Member) -> Vec<(TopicName, PartitionIndex)> {
        if self.protocol_type != CONSUMER {
            return Vec::new();
        }
        assigned_partitions(&member.assignment.0).unwrap_or_default()
    }

    /// The partitions that a member reads, of topics that are there.
    pub(in crate::groups) fn keys_of(
        &self,
        member: &Member,
        topics: &impl Topics,
    ) -> BTreeSet<PartitionKey> {
        let partitions = self.partitions_of(member).into_iter();
        partitions
            .filter_map(|(topic, partition)| {
                let (topic, _) = topics.shape(&topic)?;
                Some(PartitionKey { topic, partition })
            })
            .collect()
    }

    /// The members for people, who know partitions by their names.
    pub(in crate::groups) fn described(
        &self,
        topics: &impl Topics,
        named: impl Fn(&mut dyn Iterator<Item = PartitionKey>) -> Vec<TopicPartitions>,
    ) -> Vec<MemberDescription> {
        let members = self.members.iter();
        members
            .map(|(id, member)| {
                let assigned = named(&mut self.keys_of(member, topics).into_iter());
                MemberDescription {
                    member: id.clone(),
                    instance: member.instance.clone(),
                    client: member.client.clone(),
                    epoch: self.number,
                    topics: self.topics_of(member).into_iter().collect(),
                    target: assigned.clone(),
                    assigned,
                    revoking: Vec::new(),
                    pattern: None,
                }
            })
            .collect()
    }

    /// Whether somebody reads the topic, or may.
    pub(in crate::groups) fn reads(&self, topic: &TopicName) -> bool {
        let mut members = self.members.values();
        if self.protocol_type == CONSUMER {
            members.any(|member| self.topics_of(member).contains(topic))
        } else {
            !self.members.is_empty()
        }
    }
}
