//! Scenarios of classic groups as text: a line for each thing that happens, answered by what came of
//! it. What members have been waiting for is told by whatever line ends their wait.
//!
//! ```text
//! topic T N             a topic has N partitions
//! join M [with=old|id] [instance=I] [protocols=range:x,sticky:y] [type=T] [session=10s] [timeout=60s]
//!                       M joins; `old` is a client that is not asked to come back with its id, `id` one
//!                       that insists on its own
//! sync M [N=x ..]       M fetches what it was assigned; the leader says that N gets x
//! beat M[@G]            M is there (in generation G)        leave M|instance=I
//! commit M[@G] T/P=O    M commits (`-`: somebody who is no member)
//! native M topics=T     a member of the other protocol joins
//! wait 5s   expire   offsets   delete   show   restart
//! ```

use std::{collections::BTreeMap, fmt::Write, time::Duration};

use bytes::Bytes;

use super::{
    super::{
        Committer, Decision, Groups, InstanceId, JoinGroup, JoinedGroup, Joining, MemberEpoch,
        MemberId, SyncGroup, Syncing, classic::Ticket,
    },
    scenario::{Words, outcome, refused, seconds},
    world::{World, group},
};
use crate::{error::Error, groups::GroupHeartbeat, name::TopicName};

/// Runs a script; what it wrote, each line with what came of it.
pub(super) fn play(script: &str) -> String {
    let mut stage = Stage::new();
    stage.world.catalog.set("x", 2);
    let mut out = String::new();
    for line in script.lines().map(str::trim) {
        if line.is_empty() {
            continue;
        }
        writeln!(out, "{line}").unwrap();
        if line.starts_with('#') {
            continue;
        }
        let answer = stage.run(line);
        let later = stage.look();
        for line in answer.lines().chain(later.lines()) {
            writeln!(out, "    {line}").unwrap();
        }
    }
    out
}

/// A group and its members' programs.
pub(super) struct Stage {
    pub(super) world: World,
    pub(super) actors: BTreeMap<String, Actor>,
    ids: u32,
}

/// A member as its own program sees it.
#[derive(Default)]
pub(super) struct Actor {
    pub(super) id: Option<MemberId>,
    pub(super) instance: Option<InstanceId>,
    pub(super) generation: i32,
    /// Everybody, if it leads.
    pub(super) leads: Vec<MemberId>,
    pub(super) joining: Option<Ticket>,
    pub(super) syncing: Option<SyncGroup>,
    pub(super) assigned: Option<String>,
}

impl Stage {
    pub(super) fn new() -> Self {
        Self {
            world: World::new(),
            actors: BTreeMap::new(),
            ids: 0,
        }
    }

    fn run(&mut self, line: &str) -> String {
        let words = Words(line.split_whitespace().collect());
        match words.0[..] {
            ["topic", name, partitions] => {
                self.world.catalog.set(name, partitions.parse().unwrap());
                String::new()
            }
            ["join", member, ..] => self.join(member, &words),
            ["sync", member, ..] => {
                let assignments = words.0[2..].iter().map(|word| {
                    let (name, what) = word.split_once('=').unwrap();
                    (self.id_of(name), Bytes::copy_from_slice(what.as_bytes()))
                });
                let assignments = assignments.collect();
                self.sync(member, assignments)
            }
            ["beat", who] => {
                let (name, generation) = self.named(who);
                let (id, instance) = (self.id_of(name), self.actors[name].instance.clone());
                let now = self.world.now();
                let beat = self.world.machine.beat_classic(
                    &group(),
                    &id,
                    instance.as_ref(),
                    generation,
                    now,
                );
                outcome(beat.map_err(Error::from))
            }
            ["leave", who] => match who.strip_prefix("instance=") {
                Some(instance) => self.leave(None, Some(&InstanceId::parse(instance).unwrap())),
                None => self.leave(Some(&self.id_of(who)), None),
            },
            ["commit", who, place] => self.commit(who, place),
            ["native", member, ..] => self.native(member, &words),
            ["wait", time] => {
                self.world.wait(seconds(time));
                String::new()
            }
            ["expire"] => {
                self.world.expire();
                String::new()
            }
            ["offsets"] => {
                let known = self.world.group();
                known.map_or_else(
                    || "no group".to_owned(),
                    |known| {
                        let offsets = known.offsets.iter();
                        offsets.fold(String::new(), |out, (key, committed)| {
                            out + &format!("{} = {}\n", key.partition, committed.offset)
                        })
                    },
                )
            }
            ["delete"] => outcome(self.world.delete()),
            ["show"] => self.show(),
            ["restart"] => {
                self.restart();
                String::new()
            }
            _ => panic!("not a line of a scenario: {line}"),
        }
    }

    /// As after a restart: connections are gone, so nobody waits any more.
    pub(super) fn restart(&mut self) {
        self.world.restart();
        for actor in self.actors.values_mut() {
            actor.joining = None;
            actor.syncing = None;
        }
    }

    fn id_of(&self, name: &str) -> MemberId {
        let actor = self.actors.get(name);
        let id = actor.and_then(|actor| actor.id.clone());
        id.unwrap_or_else(|| MemberId::parse(name).unwrap())
    }

    /// A member and the generation that it thinks it is in, or says it is.
    fn named<'a>(&self, who: &'a str) -> (&'a str, MemberEpoch) {
        match who.split_once('@') {
            Some((name, generation)) => (name, MemberEpoch::new(generation.parse().unwrap())),
            None => (who, MemberEpoch::new(self.actors[who].generation)),
        }
    }

    fn join(&mut self, name: &str, words: &Words<'_>) -> String {
        let protocols = words.named("protocols").unwrap_or("range:");
        let protocols = protocols.split(',').map(|protocol| {
            let (name, metadata) = protocol.split_once(':').unwrap();
            (name.to_owned(), Bytes::copy_from_slice(metadata.as_bytes()))
        });
        let actor = self.actors.entry(name.to_owned()).or_default();
        let instance = words.named("instance");
        actor.instance = instance.map(|id| InstanceId::parse(id).unwrap());
        let request = JoinGroup {
            group: group(),
            member: match words.named("with") {
                Some("old") => None,
                Some("id") => Some(MemberId::parse(name).unwrap()),
                _ => actor.id.clone(),
            },
            instance: actor.instance.clone(),
            client: name.to_owned(),
            host: "/host".to_owned(),
            session_timeout: words
                .named("session")
                .map_or(Duration::from_secs(10), seconds),
            rebalance_timeout: words
                .named("timeout")
                .map_or(Duration::from_mins(1), seconds),
            protocol_type: words.named("type").unwrap_or("test").to_owned(),
            protocols: protocols.collect(),
            needs_id: words.named("with") != Some("old"),
            may_skip_assignment: words.named("with") != Some("old"),
        };
        self.send_join(name, &request)
    }

    pub(super) fn send_join(&mut self, name: &str, request: &JoinGroup) -> String {
        self.ids += 1;
        let new_id = MemberId::parse(&format!("{name}-{}", self.ids)).unwrap();
        let now = self.world.now();
        let World {
            machine, limits, ..
        } = &mut self.world;
        let decision = machine.join_classic(request, &new_id, now, limits);
        let answer = match self.world.settle(decision) {
            Ok(answer) => answer,
            Err(error) => return refused(&error),
        };
        let actor = self.actors.entry(name.to_owned()).or_default();
        actor.syncing = None;
        match answer {
            Joining::MemberIdRequired(id) => {
                actor.id = Some(id.clone());
                format!("is to join as {id}")
            }
            Joining::Joined(joined) => actor.joined(&joined),
            Joining::Waiting(ticket) => {
                actor.joining = Some(ticket);
                String::new()
            }
        }
    }

    pub(super) fn sync(&mut self, name: &str, assignments: Vec<(MemberId, Bytes)>) -> String {
        let actor = &self.actors[name];
        let request = SyncGroup {
            group: group(),
            member: self.id_of(name),
            instance: actor.instance.clone(),
            generation: MemberEpoch::new(actor.generation),
            protocol_type: None,
            protocol: None,
            assignments,
        };
        let now = self.world.now();
        let World {
            machine, limits, ..
        } = &mut self.world;
        let decision = machine.sync_classic(&request, now, limits);
        let answer = self.world.settle(decision);
        let actor = self.actors.get_mut(name).unwrap();
        match answer {
            Ok(Syncing::Synced(synced)) => actor.synced(&synced.assignment),
            Ok(Syncing::Waiting) => {
                actor.syncing = Some(request);
                String::new()
            }
            Err(error) => refused(&error),
        }
    }

    pub(super) fn leave(&mut self, id: Option<&MemberId>, instance: Option<&InstanceId>) -> String {
        let now = self.world.now();
        let World {
            machine, limits, ..
        } = &mut self.world;
        let decision = machine.leave_classic(&group(), id, instance, now, limits);
        let left: Result<Decision<()>, Error> = decision.map_err(Error::from);
        outcome(self.world.settle(left))
    }

    fn commit(&mut self, who: &str, place: &str) -> String {
        let (place, offset) = place.split_once('=').unwrap();
        let (topic, partition) = place.split_once('/').unwrap();
        let offset = offset.parse().unwrap();
        let offsets = [(topic.to_owned(), partition.parse().unwrap(), offset)];
        if who == "-" {
            return outcome(self.world.commit(None, &offsets, ""));
        }
        let (name, generation) = self.named(who);
        let committer = Committer {
            member: Some(self.id_of(name)),
            instance: self.actors[name].instance.clone(),
            generation,
        };
        outcome(self.world.commit_as(&committer, &offsets))
    }

    fn native(&mut self, member: &str, words: &Words<'_>) -> String {
        let topics = words.named("topics").unwrap().split(',');
        let request = GroupHeartbeat {
            group: group(),
            member: MemberId::parse(member).unwrap(),
            epoch: MemberEpoch::JOIN,
            instance: None,
            client: "test".to_owned(),
            topics: Some(topics.map(|name| TopicName::parse(name).unwrap()).collect()),
            assignor: None,
            rebalance_timeout: Duration::from_mins(1),
            owned: None,
            pattern: None,
        };
        match self.world.heartbeat(&request) {
            Ok(answer) => format!("epoch {}", answer.epoch),
            Err(error) => refused(&error),
        }
    }

    /// Lets those who wait look again; what they are told.
    pub(super) fn look(&mut self) -> String {
        let machine: &Groups = &self.world.machine;
        let mut out = String::new();
        for (name, actor) in &mut self.actors {
            if let Some(ticket) = actor.joining.take() {
                match machine.look_join(&group(), &ticket) {
                    Ok(None) => actor.joining = Some(ticket),
                    Ok(Some(joined)) => {
                        writeln!(out, "{name}: {}", actor.joined(&joined)).unwrap();
                    }
                    Err(error) => writeln!(out, "{name}: {}", refused(&error.into())).unwrap(),
                }
            }
            if let Some(request) = actor.syncing.take() {
                match machine.look_sync(&request) {
                    Ok(None) => actor.syncing = Some(request),
                    Ok(Some(synced)) => {
                        writeln!(out, "{name}: {}", actor.synced(&synced.assignment)).unwrap();
                    }
                    Err(error) => writeln!(out, "{name}: {}", refused(&error.into())).unwrap(),
                }
            }
        }
        out
    }

    fn show(&self) -> String {
        let Some(known) = self.world.group() else {
            return "no group".to_owned();
        };
        let Some(described) = self.world.machine.classic_description(&group()) else {
            return format!("{:?}", known.kind);
        };
        let mut out = format!("{:?} {:?}", known.kind, described.state);
        if !described.protocol.is_empty() {
            write!(out, ", {}", described.protocol).unwrap();
        }
        out += "\n";
        for member in described.members {
            let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
            let (wants, has) = (text(&member.metadata), text(&member.assignment));
            write!(out, "{}: wants {wants:?}, has {has:?}", member.member).unwrap();
            if let Some(instance) = member.instance {
                write!(out, ", instance {instance}").unwrap();
            }
            out += "\n";
        }
        out
    }
}

impl Actor {
    fn joined(&mut self, joined: &JoinedGroup) -> String {
        self.joining = None;
        self.id = Some(joined.member.clone());
        self.generation = joined.generation.get();
        self.assigned = None;
        self.leads = (joined.members.iter())
            .map(|member| member.member.clone())
            .collect();
        let mut out = format!("{} of {}", joined.member, joined.generation);
        if joined.members.is_empty() {
            write!(out, ", led by {}", joined.leader).unwrap();
        } else {
            let members: Vec<_> = (joined.members.iter())
                .map(|member| {
                    let metadata = String::from_utf8_lossy(&member.metadata);
                    format!("{}({metadata})", member.member)
                })
                .collect();
            write!(out, ", leads {}: {}", joined.protocol, members.join(" ")).unwrap();
        }
        if joined.skip_assignment {
            out += ", need not assign";
        }
        out
    }

    fn synced(&mut self, assignment: &Bytes) -> String {
        self.syncing = None;
        let has = String::from_utf8_lossy(assignment).into_owned();
        let out = format!("has {has:?}");
        self.assigned = Some(has);
        out
    }
}
