//! Scenarios as text: a line for each thing that happens, answered by what came of it.
//!
//! ```text
//! topic T N              a topic has N partitions (from now on)         drop T       is deleted
//! join M [topics=T,..] [pattern=P] [instance=I] [assignor=A] [timeout=30s]   M joins
//! beat M [topics=T,..] [pattern=P]  M does what it was told last, then says so (and wants something else)
//! busy M                 the same without doing so
//! lost M                 like beat, and the answer never comes
//! leave M                for good                                       away M       for a while
//! commit M T/P=O ..      M commits (`-`: somebody who is no member)     commit M@E   under epoch E
//! wait 30s               time passes                                    expire       housekeeping
//! offsets   forget T/P   delete   show   restart
//! ```

use std::{collections::BTreeMap, fmt::Write, time::Duration};

use super::{
    super::{MemberEpoch, MemberId, PartitionKey, event::Held},
    world::{World, group},
};
use crate::{
    error::Error,
    groups::{Assignor, GroupHeartbeat, InstanceId, TopicPartitions, TopicPattern},
    name::TopicName,
};

/// Runs a script; what it wrote, each line with what came of it.
pub(super) fn play(script: &str) -> String {
    let mut stage = Stage {
        world: World::new(),
        members: BTreeMap::new(),
    };
    let mut out = String::new();
    for line in script
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        writeln!(out, "{line}").unwrap();
        if line.starts_with('#') {
            continue;
        }
        for answer in stage.run(line).lines() {
            writeln!(out, "    {answer}").unwrap();
        }
    }
    out
}

struct Stage {
    world: World,
    members: BTreeMap<String, Actor>,
}

/// A member as its own program sees it.
#[derive(Default)]
struct Actor {
    epoch: i32,
    told: Vec<TopicPartitions>,
    reads: Vec<TopicPartitions>,
}

pub(super) struct Words<'a>(pub(super) Vec<&'a str>);

impl Words<'_> {
    pub(super) fn named(&self, name: &str) -> Option<&str> {
        let mut values = self.0.iter().filter_map(|word| word.split_once('='));
        values.find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    fn topics(&self) -> Option<Vec<TopicName>> {
        let names = self.named("topics")?.split(',');
        let names = names.filter(|name| !name.is_empty());
        Some(names.map(|name| TopicName::parse(name).unwrap()).collect())
    }

    fn pattern(&self) -> Option<TopicPattern> {
        self.named("pattern")
            .map(|text| TopicPattern::parse(text).unwrap())
    }
}

impl Stage {
    fn run(&mut self, line: &str) -> String {
        let words = Words(line.split_whitespace().collect());
        match words.0[..] {
            ["topic", name, partitions] => {
                self.world.catalog.set(name, partitions.parse().unwrap());
                String::new()
            }
            ["drop", name] => {
                self.world.catalog.drop(name);
                String::new()
            }
            ["join", member, ..] => self.join(member, &words),
            ["beat", member, ..] => {
                self.obey(member);
                self.beat(member, words.topics(), words.pattern())
            }
            ["busy", member] => self.beat(member, None, None),
            ["lost", member] => {
                self.obey(member);
                let request = self.request(member, self.members[member].epoch);
                self.world.heartbeat(&request).unwrap();
                String::new()
            }
            ["leave", member] => self.leave(member, MemberEpoch::LEAVE),
            ["away", member] => self.leave(member, MemberEpoch::LEAVE_STATIC),
            ["commit", who, ..] => self.commit(who, &words),
            ["wait", time] => {
                let before = self.ids();
                self.world.wait(seconds(time));
                let gone = before.iter().filter(|id| !self.ids().contains(id));
                gone.fold(String::new(), |out, id| {
                    out + &format!("{id} is expelled\n")
                })
            }
            ["expire"] => {
                self.world.expire();
                String::new()
            }
            ["offsets"] => self.offsets(),
            ["forget", place] => {
                let (topic, partition) = place.split_once('/').unwrap();
                outcome(self.world.forget(topic, partition.parse().unwrap()))
            }
            ["delete"] => outcome(self.world.delete()),
            ["show"] => self.show(),
            ["restart"] => {
                self.world.restart();
                String::new()
            }
            _ => panic!("not a line of a scenario: {line}"),
        }
    }

    fn request(&self, member: &str, epoch: i32) -> GroupHeartbeat {
        let reads = self.members.get(member).map(|actor| actor.reads.clone());
        GroupHeartbeat {
            group: group(),
            member: MemberId::parse(member).unwrap(),
            epoch: MemberEpoch::new(epoch),
            instance: None,
            client: "test".to_owned(),
            topics: None,
            pattern: None,
            assignor: None,
            rebalance_timeout: Duration::from_mins(1),
            owned: reads,
        }
    }

    fn join(&mut self, member: &str, words: &Words<'_>) -> String {
        let request = GroupHeartbeat {
            instance: words
                .named("instance")
                .map(|id| InstanceId::parse(id).unwrap()),
            topics: words.topics(),
            pattern: words.pattern(),
            assignor: words.named("assignor").map(|name| match name {
                "uniform" => Assignor::Uniform,
                _ => Assignor::Sticky,
            }),
            rebalance_timeout: words
                .named("timeout")
                .map_or(Duration::from_mins(1), seconds),
            owned: None,
            ..self.request(member, 0)
        };
        self.send(member, &request)
    }

    /// Reads what it was told to read, and nothing else.
    fn obey(&mut self, member: &str) {
        let actor = self.members.entry(member.to_owned()).or_default();
        actor.reads = actor.told.clone();
    }

    fn beat(
        &mut self,
        member: &str,
        topics: Option<Vec<TopicName>>,
        pattern: Option<TopicPattern>,
    ) -> String {
        let epoch = self.members.get(member).map_or(1, |actor| actor.epoch);
        let request = GroupHeartbeat {
            topics,
            pattern,
            ..self.request(member, epoch)
        };
        self.send(member, &request)
    }

    fn send(&mut self, member: &str, request: &GroupHeartbeat) -> String {
        let answer = match self.world.heartbeat(request) {
            Ok(answer) => answer,
            Err(error) => return refused(&error),
        };
        let actor = self.members.entry(member.to_owned()).or_default();
        actor.epoch = answer.epoch.get();
        let Some(told) = answer.assignment else {
            actor.told.clone_from(&actor.reads);
            return format!("epoch {}", answer.epoch);
        };
        actor.told = told;
        let reads = actor.told.iter().map(|topic| {
            let partitions: Vec<_> = topic.partitions.iter().map(ToString::to_string).collect();
            format!("{}[{}]", topic.topic, partitions.join(" "))
        });
        let reads: Vec<_> = reads.collect();
        let reads = if reads.is_empty() {
            "nothing".to_owned()
        } else {
            reads.join(" ")
        };
        format!("epoch {}, reads {reads}", answer.epoch)
    }

    fn leave(&mut self, member: &str, epoch: MemberEpoch) -> String {
        let request = self.request(member, epoch.get());
        outcome(self.world.heartbeat(&request).map(|_| ()))
    }

    fn commit(&mut self, who: &str, words: &Words<'_>) -> String {
        let (name, epoch) = match who.split_once('@') {
            Some((name, epoch)) => (name, epoch.parse().unwrap()),
            None => (who, self.members.get(who).map_or(1, |actor| actor.epoch)),
        };
        let member = (name != "-").then(|| {
            let id = MemberId::parse(name).unwrap();
            (id, MemberEpoch::new(epoch))
        });
        let places = words.0.iter().filter_map(|word| {
            let (place, offset) = word.split_once('=')?;
            let (topic, partition) = place.split_once('/')?;
            Some((
                topic.to_owned(),
                partition.parse().unwrap(),
                offset.parse().unwrap(),
            ))
        });
        let offsets: Vec<_> = places.collect();
        let metadata = words.named("metadata").unwrap_or_default().to_owned();
        outcome(self.world.commit(member.as_ref(), &offsets, &metadata))
    }

    fn ids(&self) -> Vec<MemberId> {
        let group = self.world.group();
        group.map_or_else(Vec::new, |group| {
            group.membership.members.keys().cloned().collect()
        })
    }

    fn offsets(&self) -> String {
        let Some(group) = self.world.group() else {
            return "no group".to_owned();
        };
        group
            .offsets
            .iter()
            .fold(String::new(), |mut out, (key, committed)| {
                let topic = self.world.catalog.name_of(key.topic);
                write!(out, "{topic}/{} = {}", key.partition, committed.offset).unwrap();
                if !committed.metadata.is_empty() {
                    write!(out, " {:?}", committed.metadata).unwrap();
                }
                out + "\n"
            })
    }

    fn show(&self) -> String {
        let Some(group) = self.world.group() else {
            return "no group".to_owned();
        };
        let membership = &group.membership;
        let mut out = format!(
            "{:?} {:?}, epoch {}, {}\n",
            group.kind,
            group.membership.state(),
            membership.epoch,
            membership.assignor.name()
        );
        for (id, member) in &membership.members {
            let target = membership.target_of(id).into_iter().collect::<Vec<_>>();
            writeln!(
                out,
                "{id}: epoch {}, reads {}, gives up {}, target {}",
                member.epoch,
                self.named(&keys(&member.assigned)),
                self.named(&keys(&member.revoking)),
                self.named(&target),
            )
            .unwrap();
        }
        out
    }

    fn named(&self, keys: &[PartitionKey]) -> String {
        if keys.is_empty() {
            return "-".to_owned();
        }
        let name = |key: &PartitionKey| {
            format!(
                "{}/{}",
                self.world.catalog.name_of(key.topic),
                key.partition
            )
        };
        keys.iter().map(name).collect::<Vec<_>>().join(" ")
    }
}

fn keys(held: &Held) -> Vec<PartitionKey> {
    held.keys().copied().collect()
}

pub(super) fn outcome(result: Result<(), Error>) -> String {
    result.map_or_else(|error| refused(&error), |()| "ok".to_owned())
}

pub(super) fn refused(error: &Error) -> String {
    format!("refused: {error}")
}

pub(super) fn seconds(text: &str) -> Duration {
    let number = |unit| {
        text.strip_suffix(unit)
            .map(|number: &str| number.parse().unwrap())
    };
    match (number("s"), number("h")) {
        (Some(seconds), _) => Duration::from_secs(seconds),
        (_, Some(hours)) => Duration::from_hours(hours),
        _ => panic!("not a time: {text}"),
    }
}
