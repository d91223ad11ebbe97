//! Reading as a member of a consumer group.
//!
//! ```text
//!  next() ── reading.rs    a reader for each partition that the member has
//!               │  hands out, processed        ▲ start, stop
//!            progress.rs   what the member has, how far it has come
//!               │                              │ revoked, committed
//!            session.rs    a task: heartbeats, commits, joining anew
//! ```

mod progress;
mod reading;
mod session;

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_core::Stream;
use ratatoskr_core::{
    Error as BrokerError,
    broker::StartAt,
    groups::{
        Assignor, GroupError, GroupHeartbeat, InstanceId, MemberEpoch, MemberId, TopicPattern,
    },
    name::{GroupId, TopicName},
    offset::{IsolationLevel, PartitionIndex},
    record::ConsumedRecord,
};
use tokio::sync::{mpsc, oneshot};

use super::ConsumerOptions;
use crate::{Client, Error, options::FOREVER};
use progress::Progress;
use reading::Reading;
use session::{Command, Session, Update};

/// How often what was processed is committed, unless told otherwise (Kafka's default).
const COMMIT_INTERVAL: Duration = Duration::from_secs(5);
/// How long a record may be in hand while its partition is wanted by others, unless told otherwise
/// (Kafka's default).
const REBALANCE_TIMEOUT: Duration = Duration::from_mins(5);
/// Commands that wait for the session.
const COMMANDS_MAX: usize = 16;

/// A member of a consumer group to be configured and opened.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is opened"]
pub struct GroupConsumerBuilder {
    client: Client,
    options: ConsumerOptions,
    group: GroupId,
    topics: Vec<TopicName>,
    pattern: Option<TopicPattern>,
    instance: Option<InstanceId>,
    assignor: Option<Assignor>,
    rebalance_timeout: Duration,
    commit_every: Option<Duration>,
}

impl GroupConsumerBuilder {
    pub(crate) const fn new(client: Client, group: GroupId, options: ConsumerOptions) -> Self {
        Self {
            client,
            options,
            group,
            topics: Vec::new(),
            pattern: None,
            instance: None,
            assignor: None,
            rebalance_timeout: REBALANCE_TIMEOUT,
            commit_every: Some(COMMIT_INTERVAL),
        }
    }

    /// Reads this topic, beside what was named before. A topic need not be there yet.
    pub fn topic(mut self, topic: &TopicName) -> Self {
        self.topics.push(topic.clone());
        self
    }

    /// Reads all topics that the pattern matches, beside those that are named. A topic that is created
    /// later is read from the next heartbeat on (5 s unless the server is configured otherwise). The last
    /// pattern counts.
    pub fn matching(mut self, pattern: TopicPattern) -> Self {
        self.pattern = Some(pattern);
        self
    }

    /// As [`ConsumerBuilder::start`](crate::ConsumerBuilder::start): it matters where the group has
    /// committed nothing.
    pub fn start(mut self, start: StartAt) -> Self {
        self.options.start = start;
        self
    }

    /// As [`ConsumerBuilder::isolation`](crate::ConsumerBuilder::isolation).
    pub const fn isolation(mut self, isolation: IsolationLevel) -> Self {
        self.options.isolation = isolation;
        self
    }

    /// As [`ConsumerBuilder::buffer`](crate::ConsumerBuilder::buffer), for each partition.
    pub fn buffer(mut self, records: u32, bytes: u32) -> Self {
        self.options.buffer(records, bytes);
        self
    }

    /// Makes the member static (KIP-345): when its next life joins under the same instance id before
    /// the session times out, it gets back what it had, and nobody else has to move.
    pub fn instance(mut self, instance: InstanceId) -> Self {
        self.instance = Some(instance);
        self
    }

    /// How the group should spread partitions. The one that most members want is taken, and
    /// [`Assignor::Sticky`] where none wants any.
    pub const fn assignor(mut self, assignor: Assignor) -> Self {
        self.assignor = Some(assignor);
        self
    }

    /// How long a record may be in hand while its partition is wanted by another member, 5 minutes
    /// unless told otherwise. After that the member is expelled.
    pub fn rebalance_timeout(mut self, timeout: Duration) -> Self {
        self.rebalance_timeout = timeout.min(FOREVER);
        self
    }

    /// How often what was processed is committed in the background; every 5 s unless told otherwise.
    pub fn commit_every(mut self, interval: Duration) -> Self {
        self.commit_every = Some(interval.min(FOREVER));
        self
    }

    /// Commits nothing in the background: only [`GroupConsumer::commit`], giving up a partition, and
    /// [`GroupConsumer::close`] do.
    pub const fn commit_manually(mut self) -> Self {
        self.commit_every = None;
        self
    }

    /// Joins the group.
    ///
    /// # Errors
    /// As [`Broker::group_heartbeat`](ratatoskr_core::Broker::group_heartbeat), and those of the
    /// connection. [`GroupError::InvalidRequest`] where partitions are named, which the group assigns, or
    /// neither a topic nor a pattern is.
    ///
    /// # Cancel safety
    /// Dropping the future may leave a member that is expelled when its session times out.
    pub async fn open(self) -> Result<GroupConsumer, Error> {
        let (client, options) = (self.client, self.options);
        if options.partitions.is_some() {
            let text = "a member of a group reads the partitions that it is assigned".to_owned();
            return Err(BrokerError::from(GroupError::InvalidRequest(text)).into());
        }
        let join = GroupHeartbeat {
            group: self.group,
            member: MemberId::random(),
            epoch: MemberEpoch::JOIN,
            instance: self.instance,
            client: client.name(),
            topics: Some(self.topics),
            pattern: self.pattern,
            assignor: self.assignor,
            rebalance_timeout: self.rebalance_timeout,
            owned: None,
        };
        let member = join.member.clone();
        let progress = Arc::new(Progress::default());
        let (updates, told) = mpsc::unbounded_channel();
        let (commands, asked) = mpsc::channel(COMMANDS_MAX);
        let start = options.start.clone();
        let mut session = Session::new(
            client.clone(),
            join,
            start,
            self.commit_every,
            Arc::clone(&progress),
            updates,
        );
        session.begin().await?;
        tokio::spawn(session.run(asked));
        Ok(GroupConsumer {
            member,
            reading: Reading::new(client, options, Arc::clone(&progress)),
            progress,
            updates: told,
            commands,
            ended: false,
        })
    }
}

/// The records of those partitions that a member of a consumer group has, those of each partition in
/// the order of their offsets. It waits for records yet to come.
///
/// A record counts as processed when the next one is asked for. What is processed is committed in
/// the background, before a partition goes to another member, and when the consumer is closed or
/// dropped; so every record is processed at least once, and again by the next one where a member
/// dies between processing and committing.
///
/// The member is kept alive by a task of its own, whatever is done between two records. Partitions
/// come and go while those that stay are read on. Where the broker takes the member for gone, it says
/// so with an error item ([`GroupError::UnknownMember`], [`GroupError::FencedMember`]) and joins anew.
/// After an error that no record can follow, the stream ends: the client or the broker in this
/// process is closed, or the group does not take the member.
#[must_use = "a consumer reads nothing until it is polled"]
pub struct GroupConsumer {
    member: MemberId,
    reading: Reading,
    progress: Arc<Progress>,
    updates: mpsc::UnboundedReceiver<Update>,
    commands: mpsc::Sender<Command>,
    ended: bool,
}

impl GroupConsumer {
    /// The next item; `None` after the last. The record before it counts as processed.
    ///
    /// # Errors
    /// See [`GroupConsumer`], and what a [`Consumer`](crate::Consumer) yields.
    ///
    /// # Cancel safety
    /// Dropping the future loses no record.
    pub async fn next(&mut self) -> Option<Result<ConsumedRecord, Error>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// Commits everything that was handed out, the last record as well. It lasts when this returns.
    ///
    /// # Errors
    /// As [`Client::commit_offsets`](crate::Client::commit_offsets); [`Error::Closed`] where the
    /// stream has ended. After [`GroupError::UnknownMember`] and its like the records that were not
    /// committed are handed out again, here or elsewhere.
    ///
    /// # Cancel safety
    /// Dropping the future may leave it committed.
    pub fn commit(&self) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        self.progress.processed();
        ask(self.commands.clone(), Command::Commit)
    }

    /// Commits what was processed, and leaves the group. The last record handed out counts as
    /// processed only after [`commit`](Self::commit).
    ///
    /// # Errors
    /// As [`commit`](Self::commit). The member has left, or is expelled in time, in any case.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the group all the same.
    pub async fn close(self) -> Result<(), Error> {
        if self.ended {
            return Ok(());
        }
        ask(self.commands.clone(), Command::Close).await
    }

    /// The member's id, which it chose itself.
    pub const fn member(&self) -> &MemberId {
        &self.member
    }

    /// The partitions that it reads now.
    pub fn assignment(&self) -> Vec<(TopicName, PartitionIndex)> {
        let places = self.progress.places().into_iter();
        places.map(|place| (place.topic, place.partition)).collect()
    }
}

/// Tells the session, and waits for its answer. It borrows nothing of the consumer, which is not to
/// be shared between threads.
async fn ask(
    commands: mpsc::Sender<Command>,
    command: impl FnOnce(oneshot::Sender<Result<(), Error>>) -> Command + Send,
) -> Result<(), Error> {
    let (answer, answered) = oneshot::channel();
    let sent = commands.send(command(answer)).await;
    sent.map_err(|_| Error::Closed)?;
    answered.await.map_err(|_| Error::Closed)?
}

impl Stream for GroupConsumer {
    type Item = Result<ConsumedRecord, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        this.progress.processed();
        while let Poll::Ready(update) = this.updates.poll_recv(cx) {
            match update {
                Some(Update::Start { place, life, from }) => this.reading.start(place, life, from),
                Some(Update::Stop(place)) => this.reading.stop(&place),
                Some(Update::Error(error)) => return Poll::Ready(Some(Err(error))),
                Some(Update::End(error)) => {
                    this.ended = true;
                    return Poll::Ready(Some(Err(error)));
                }
                None => {
                    this.ended = true;
                    return Poll::Ready(None);
                }
            }
        }
        let item = ready!(this.reading.poll_next(cx));
        Poll::Ready(Some(item))
    }
}

impl fmt::Debug for GroupConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupConsumer")
            .field("member", &self.member)
            .finish_non_exhaustive()
    }
}
