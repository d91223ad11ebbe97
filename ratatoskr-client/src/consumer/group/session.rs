//! A member's life with its broker, whatever its program is doing: heartbeats, commits, partitions
//! that come and go.
//!
//! Order that must hold: what a partition's records have come to is committed before the broker is
//! told that the partition is given up; a partition is read from what was committed before it was
//! told of.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use ratatoskr_core::{
    Error as BrokerError, Outcome,
    broker::StartAt,
    groups::{GroupError, GroupHeartbeat, GroupHeartbeatResponse, MemberEpoch, OffsetCommit},
    offset::Offset,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use super::progress::{Place, Processed, Progress, by_topic, places};
use crate::{Error, client::Client, consumer::start::start_of, options::FOREVER};

/// Wait before something that failed is tried again; it doubles with each attempt.
const RETRY_MIN: Duration = Duration::from_millis(50);
/// Longest such wait.
const RETRY_MAX: Duration = Duration::from_secs(5);

/// What the one who takes records is told.
#[derive(Debug)]
pub(super) enum Update {
    /// Read this partition.
    Start {
        place: Place,
        life: u64,
        from: Offset,
    },
    /// Read it no more.
    Stop(Place),
    /// Something is to be told; reading goes on.
    Error(Error),
    /// No record can follow.
    End(Error),
}

/// What the one who takes records wants.
#[derive(Debug)]
pub(super) enum Command {
    /// Commit all that is processed.
    Commit(oneshot::Sender<Result<(), Error>>),
    /// Commit it, and leave.
    Close(oneshot::Sender<Result<(), Error>>),
}

/// A member.
pub(super) struct Session {
    pub(super) client: Client,
    /// What a heartbeat says when the member joins.
    pub(super) join: GroupHeartbeat,
    /// Where a partition is read from that the group has committed nothing of.
    pub(super) start: StartAt,
    pub(super) commit_every: Option<Duration>,
    pub(super) progress: Arc<Progress>,
    pub(super) updates: mpsc::UnboundedSender<Update>,
    epoch: MemberEpoch,
    /// Partitions that the member has and does not read yet.
    waiting: BTreeSet<Place>,
    heartbeat_at: Instant,
    heartbeat_interval: Duration,
    expelled_after: Duration,
    commit_at: Instant,
    /// When the last heartbeat left that was answered.
    heard_at: Instant,
    failures: u32,
}

/// Nothing can follow.
struct Ended(Error);

impl Session {
    pub(super) fn new(
        client: Client,
        join: GroupHeartbeat,
        start: StartAt,
        commit_every: Option<Duration>,
        progress: Arc<Progress>,
        updates: mpsc::UnboundedSender<Update>,
    ) -> Self {
        let now = Instant::now();
        Self {
            client,
            join,
            start,
            commit_every,
            progress,
            updates,
            epoch: MemberEpoch::JOIN,
            waiting: BTreeSet::new(),
            heartbeat_at: now,
            heartbeat_interval: Duration::ZERO,
            expelled_after: FOREVER,
            commit_at: now + commit_every.unwrap_or(FOREVER),
            heard_at: now,
            failures: 0,
        }
    }

    /// Joins for the first time.
    ///
    /// # Errors
    /// What the broker answers.
    pub(super) async fn begin(&mut self) -> Result<(), Error> {
        let answer = self.client.group_heartbeat(self.request()).await?;
        self.take(answer, Instant::now());
        Ok(())
    }

    /// Until the member leaves, or nothing can follow.
    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let progress = Arc::clone(&self.progress);
        if let Err(Ended(error)) = self.catch_up().await {
            self.tell(Update::End(error));
            return;
        }
        loop {
            let step = tokio::select! {
                () = tokio::time::sleep_until(self.heartbeat_at) => self.heartbeat().await,
                () = tokio::time::sleep_until(self.commit_at) => {
                    self.commit_at = Instant::now() + self.commit_every.unwrap_or(FOREVER);
                    let committed = self.commit(self.progress.uncommitted()).await;
                    committed.or_else(|error| self.failed(error))
                }
                () = progress.released.notified() => self.catch_up().await,
                command = commands.recv() => match command {
                    Some(Command::Commit(answer)) => {
                        let committed = self.commit(self.progress.uncommitted()).await;
                        let step = match &committed {
                            Err(error) => self.failed(error.clone()),
                            Ok(()) => Ok(()),
                        };
                        // Whoever asked may have gone.
                        let _ = answer.send(committed);
                        step
                    }
                    Some(Command::Close(answer)) => {
                        let _ = answer.send(self.leave().await);
                        return;
                    }
                    None => {
                        if let Err(error) = self.leave().await {
                            tracing::debug!(%error, group = %self.join.group, "leaving a group failed");
                        }
                        return;
                    }
                },
            };
            if let Err(Ended(error)) = step {
                self.progress.end_all();
                self.tell(Update::End(error));
                return;
            }
        }
    }

    fn tell(&self, update: Update) {
        // Whoever takes records may have gone; then commands end as well.
        let _ = self.updates.send(update);
    }

    fn request(&self) -> GroupHeartbeat {
        if self.epoch == MemberEpoch::JOIN {
            return self.join.clone();
        }
        let owned = self.progress.places();
        GroupHeartbeat {
            epoch: self.epoch,
            topics: None,
            pattern: None,
            owned: Some(by_topic(
                owned.into_iter().chain(self.waiting.iter().cloned()),
            )),
            ..self.join.clone()
        }
    }

    async fn heartbeat(&mut self) -> Result<(), Ended> {
        let sent_at = Instant::now();
        match self.client.group_heartbeat(self.request()).await {
            Ok(answer) => {
                self.take(answer, sent_at);
                self.catch_up().await
            }
            Err(error) => self.failed(error),
        }
    }

    /// Takes in what the broker said.
    fn take(&mut self, answer: GroupHeartbeatResponse, sent_at: Instant) {
        self.epoch = answer.epoch;
        self.heartbeat_interval = answer.heartbeat_interval;
        self.expelled_after = answer.session_timeout;
        self.heartbeat_at = Instant::now() + self.heartbeat_interval;
        self.heard_at = sent_at;
        self.failures = 0;
        let Some(assignment) = answer.assignment else {
            return;
        };
        let assigned: BTreeSet<_> = places(assignment).collect();
        self.waiting.retain(|place| assigned.contains(place));
        self.progress
            .revoke_all_but(|place| assigned.contains(place));
        let known: BTreeSet<_> = self.progress.places().into_iter().collect();
        self.waiting.extend(assigned.difference(&known).cloned());
    }

    /// Gives up what is to be given up, and begins with what is new.
    async fn catch_up(&mut self) -> Result<(), Ended> {
        if let Err(error) = self.give_up().await {
            return self.failed(error);
        }
        match self.start_waiting().await {
            Ok(()) => Ok(()),
            Err(error) => self.failed(error),
        }
    }

    async fn give_up(&mut self) -> Result<(), Error> {
        let revoked = self.progress.revoked();
        if revoked.is_empty() {
            return Ok(());
        }
        let mut processed = self.progress.uncommitted();
        processed.retain(|processed| revoked.contains(&processed.place));
        self.commit(processed).await?;
        self.progress.end(&revoked);
        for place in revoked {
            self.tell(Update::Stop(place));
        }
        // Somebody waits for these.
        self.heartbeat_at = Instant::now();
        Ok(())
    }

    async fn start_waiting(&mut self) -> Result<(), Error> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let waiting: Vec<_> = self.waiting.iter().cloned().collect();
        let wanted = waiting
            .iter()
            .map(|place| (place.topic.clone(), place.partition));
        let offsets = self
            .client
            .fetch_offsets(&self.join.group, Some(wanted.collect()))
            .await?;
        for (place, offset) in waiting.into_iter().zip(offsets) {
            let committed = offset.committed.map(|committed| committed.offset);
            let from = match committed {
                Some(offset) => offset,
                None => {
                    match start_of(&self.client, &place.topic, place.partition, &self.start).await {
                        Ok(offset) => offset,
                        // It is about to be taken away.
                        Err(Error::Broker(BrokerError::UnknownTopic(_))) => continue,
                        Err(error) => return Err(error),
                    }
                }
            };
            let life = self.progress.begin(&place, from, committed);
            self.waiting.remove(&place);
            self.tell(Update::Start { place, life, from });
        }
        Ok(())
    }

    /// Commits together what was processed; where one partition is in the way, the others alone.
    async fn commit(&self, processed: Vec<Processed>) -> Result<(), Error> {
        if processed.is_empty() {
            return Ok(());
        }
        match self.commit_once(&processed).await {
            Err(error) if concerns_one(&error) => {}
            committed => return committed,
        }
        for one in processed {
            let one = std::slice::from_ref(&one);
            match self.commit_once(one).await {
                Err(error) if concerns_one(&error) => self.lose(&one[0].place, error),
                committed => committed?,
            }
        }
        Ok(())
    }

    async fn commit_once(&self, processed: &[Processed]) -> Result<(), Error> {
        let offsets = processed.iter().map(|processed| OffsetCommit {
            topic: processed.place.topic.clone(),
            partition: processed.place.partition,
            offset: processed.next,
            metadata: String::new(),
        });
        let member = Some((&self.join.member, self.epoch));
        self.client
            .commit_offsets(&self.join.group, member, offsets.collect())
            .await?;
        self.progress.committed(processed);
        Ok(())
    }

    /// A partition is not what it was: it is given up, and read on from its last commit if the
    /// broker gives it again.
    fn lose(&self, place: &Place, error: Error) {
        self.progress.end(std::slice::from_ref(place));
        self.tell(Update::Stop(place.clone()));
        self.tell(Update::Error(error));
    }

    /// Goes on later, or anew, unless nothing can follow.
    fn failed(&mut self, error: Error) -> Result<(), Ended> {
        if is_fenced(&error) {
            self.lose_all(error);
            return Ok(());
        }
        if !self.passes(&error) {
            return Err(Ended(error));
        }
        let silent = self.heard_at.elapsed() >= self.expelled_after;
        if silent && self.epoch != MemberEpoch::JOIN {
            // By now others may have been given what this member had.
            self.lose_all(error);
            return Ok(());
        }
        tracing::debug!(%error, group = %self.join.group, "a member of a group tries again");
        let wait = RETRY_MIN
            .saturating_mul(1 << self.failures.min(16))
            .min(RETRY_MAX);
        self.failures += 1;
        let (now, again) = (Instant::now(), Instant::now() + wait);
        if self.heartbeat_at <= now || again < self.heartbeat_at {
            self.heartbeat_at = again;
        }
        Ok(())
    }

    /// Whether an error passes by itself, or by asking again.
    fn passes(&self, error: &Error) -> bool {
        match error {
            Error::Broker(BrokerError::ShuttingDown) => self.client.broker_comes_back(),
            Error::Broker(BrokerError::OffsetOutOfRange { .. } | BrokerError::UnknownTopic(_)) => {
                true
            }
            Error::Closed | Error::Protocol(_) => false,
            error => error.is_retryable() || error.outcome() == Outcome::Unknown,
        }
    }

    /// The member is none any more: it joins anew.
    fn lose_all(&mut self, error: Error) {
        tracing::warn!(%error, group = %self.join.group, member = %self.join.member,
            "a member of a group joins anew");
        for place in self.progress.end_all() {
            self.tell(Update::Stop(place));
        }
        self.waiting.clear();
        self.epoch = MemberEpoch::JOIN;
        self.heartbeat_at = Instant::now();
        self.tell(Update::Error(error));
    }

    async fn leave(&mut self) -> Result<(), Error> {
        let processed = self.progress.uncommitted();
        self.progress.end_all();
        if self.epoch == MemberEpoch::JOIN {
            return Ok(());
        }
        let committed = self.commit(processed).await;
        let epoch = match self.join.instance {
            Some(_) => MemberEpoch::LEAVE_STATIC,
            None => MemberEpoch::LEAVE,
        };
        let leave = GroupHeartbeat {
            epoch,
            topics: None,
            pattern: None,
            ..self.join.clone()
        };
        match self.client.group_heartbeat(leave).await {
            Err(error) if !is_fenced(&error) => committed.and(Err(error)),
            _ => committed,
        }
    }
}

/// Whether the broker does not know the member as what it takes itself for.
fn is_fenced(error: &Error) -> bool {
    matches!(
        error,
        Error::Broker(BrokerError::Group(
            GroupError::UnknownMember { .. } | GroupError::FencedMember { .. }
        ))
    )
}

/// Whether a commit was refused for one of its partitions.
const fn concerns_one(error: &Error) -> bool {
    matches!(
        error,
        Error::Broker(
            BrokerError::Group(GroupError::NotAssigned { .. })
                | BrokerError::OffsetOutOfRange { .. }
                | BrokerError::UnknownTopic(_)
                | BrokerError::UnknownPartition { .. }
        )
    )
}
