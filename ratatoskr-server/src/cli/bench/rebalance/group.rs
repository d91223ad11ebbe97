//! The group whose members come and go, and what tells when it has come to rest.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use ratatoskr_client::{Client, GroupId, GroupState};
use ratatoskr_core::{name::TopicName, offset::PartitionIndex};
use tokio::runtime::{Builder, Handle, Runtime};

use super::{
    Options,
    member::{Member, Reads},
};
use crate::cli::{
    bench::{target, verdict},
    connection,
    exit::{Exit, Failure, Outcome},
};

/// How often it is looked whether the group has come to rest, which bounds what can be told apart.
const LOOKS_EVERY: Duration = Duration::from_millis(5);

/// See the module.
pub(super) struct Group<'a> {
    options: &'a Options,
    at: &'a connection::Options,
    /// A broker in this process.
    local: Option<Client>,
    client: Client,
    topic: TopicName,
    name: GroupId,
    /// Those that stay.
    members: Vec<Member>,
    /// The one that comes and goes.
    guest: Option<Member>,
    /// Where it lives if it is to die: what it was about to do ends with its runtime.
    life: Option<Life>,
}

impl<'a> Group<'a> {
    /// Makes the topic; there is no member yet.
    ///
    /// # Errors
    /// What the broker answers.
    pub(super) async fn create(
        options: &'a Options,
        local: Option<Client>,
        at: &'a connection::Options,
    ) -> Outcome<Self> {
        let client = match &local {
            Some(client) => client.clone(),
            None => at.connect().await?,
        };
        let new = target::new_topic(options.partitions.get(), None);
        at.ask(client.create_topic(&options.topic, new)).await?;
        let name = GroupId::parse(&format!("bench-{:016x}", fastrand::u64(..)))
            .map_err(|error| Failure::usage(error.to_string()))?;
        Ok(Self {
            options,
            at,
            local,
            client,
            topic: options.topic.clone(),
            name,
            members: Vec::new(),
            guest: None,
            life: None,
        })
    }

    /// All members join at once.
    ///
    /// # Errors
    /// What the broker answers, or the group does not come to rest.
    pub(super) async fn begin(&mut self) -> Outcome<Duration> {
        let mut clients = Vec::new();
        for _ in 0..self.options.members.get() {
            clients.push(self.connect().await?);
        }
        let start = Instant::now();
        for client in clients {
            let member = Member::start(client, self.topic.clone(), self.name.clone());
            self.members.push(member);
        }
        self.at_rest(start).await
    }

    /// One more joins.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    pub(super) async fn join(&mut self) -> Outcome<Duration> {
        let client = self.connect().await?;
        let start = Instant::now();
        let guest = Member::start(client, self.topic.clone(), self.name.clone());
        self.guest = Some(guest);
        self.at_rest(start).await
    }

    /// The one that joined leaves.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    pub(super) async fn leave(&mut self) -> Outcome<Duration> {
        let start = Instant::now();
        if let Some(guest) = self.guest.take() {
            self.at.ask(guest.leave()).await?;
        }
        self.at_rest(start).await
    }

    /// One more joins, which lives in a runtime of its own.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    pub(super) async fn join_to_die(&mut self) -> Outcome<Duration> {
        let life = Life::begin()?;
        let at = self.at.clone();
        let client = if let Some(client) = &self.local {
            client.clone()
        } else {
            let connecting = life.handle.spawn(async move { at.connect().await });
            connecting.await.map_err(verdict::ended_early)??
        };
        let start = Instant::now();
        let (topic, group) = (self.topic.clone(), self.name.clone());
        let guest = {
            let _inside = life.handle.enter();
            Member::start(client, topic, group)
        };
        self.guest = Some(guest);
        self.life = Some(life);
        self.at_rest(start).await
    }

    /// It ends where it is, and says nothing.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    pub(super) async fn die(&mut self) -> Outcome<Duration> {
        let start = Instant::now();
        self.life = None;
        self.guest = None;
        self.at_rest(start).await
    }

    /// Everybody leaves; group and topic are deleted.
    ///
    /// # Errors
    /// What the broker answers.
    pub(super) async fn delete(self) -> Outcome {
        for member in self.members {
            self.at.ask(member.leave()).await?;
        }
        self.at.ask(self.client.delete_group(&self.name)).await?;
        self.at.ask(self.client.delete_topic(&self.topic)).await?;
        Ok(())
    }

    async fn connect(&self) -> Outcome<Client> {
        match &self.local {
            Some(client) => Ok(client.clone()),
            None => self.at.connect().await,
        }
    }

    /// Waits until the group has come to rest; how long that took from `start` on.
    async fn at_rest(&self, start: Instant) -> Outcome<Duration> {
        loop {
            let rests = self.everything_is_read_once().map(|()| start.elapsed());
            if let Some(took) = rests
                && self.is_stable().await?
                && self.everything_is_read_once().is_some()
            {
                return Ok(took);
            }
            for member in self.everybody() {
                if let Some(error) = member.error() {
                    return Err(self.at.failed(&error));
                }
            }
            if start.elapsed() > self.options.patience {
                let what = "the members of the group do not come to rest";
                return Err(Failure::new(Exit::Failure, what)
                    .because(self.state())
                    .next("--patience SECONDS, if they need longer"));
            }
            tokio::time::sleep(LOOKS_EVERY).await;
        }
    }

    fn everybody(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().chain(&self.guest)
    }

    fn reads(&self) -> Vec<Arc<Reads>> {
        self.everybody().map(Member::reads).collect()
    }

    /// `Some` where members read every partition and none twice, each its even share.
    fn everything_is_read_once(&self) -> Option<()> {
        let reads = self.reads();
        let partitions = self.options.partitions.get() as usize;
        let least = partitions / reads.len();
        let most = partitions.div_ceil(reads.len());
        let even = reads
            .iter()
            .all(|reads| (least..=most).contains(&reads.len()));
        let all: BTreeSet<PartitionIndex> = reads
            .iter()
            .flat_map(|reads| reads.iter().copied())
            .collect();
        let sum: usize = reads.iter().map(|reads| reads.len()).sum();
        (even && sum == partitions && all.len() == partitions).then_some(())
    }

    async fn is_stable(&self) -> Outcome<bool> {
        let asked = self.client.describe_group(&self.name);
        let group = self.at.ask(asked).await?;
        let members = self.everybody().count();
        Ok(group.state == GroupState::Stable && group.members.len() == members)
    }

    /// Who reads how many, for people.
    fn state(&self) -> String {
        let reads = self.reads();
        let counts: Vec<_> = reads.iter().map(|reads| reads.len().to_string()).collect();
        format!("members read {} partitions", counts.join(", "))
    }
}

/// A runtime whose tasks end where they are when it is dropped.
struct Life {
    handle: Handle,
    runtime: Option<Runtime>,
}

impl Life {
    fn begin() -> Outcome<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        Ok(Self {
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
        })
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // To wait for its end is not allowed where tasks run, and nobody wants to.
            runtime.shutdown_background();
        }
    }
}
