//! A consumer group that reads a topic through all of the broker's lives, with members that come and
//! go, and somebody who keeps asking what it has committed.

pub(crate) mod ledger;
mod member;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ratatoskr_client::{GroupId, Offset};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::load::{Topic, connect, is_down, stop, through_deaths};
use ledger::Ledger;
use member::Member;

/// Members at work.
const MEMBERS: u32 = 3;
/// Two questions are less far apart than this.
const PAUSE_MAX: Duration = Duration::from_millis(20);
/// How long the group may take to read to the end, once the broker is up for good.
const CATCH_UP_MAX: Duration = Duration::from_mins(1);
/// Wait between two looks at what is left.
const LOOK: Duration = Duration::from_millis(20);

/// A consumer group at work.
pub(crate) struct Group {
    url: String,
    topic: Topic,
    id: GroupId,
    ledger: Ledger,
    catching_up: watch::Sender<bool>,
    tasks: JoinSet<Result<()>>,
}

impl Group {
    /// Puts members to work on a broker that need not be up yet.
    ///
    /// # Errors
    /// None that a broker could cause.
    pub(crate) fn start(url: &str, topic: &Topic, random: &mut fastrand::Rng) -> Result<Self> {
        let (catching_up, told) = watch::channel(false);
        let mut group = Self {
            url: url.to_owned(),
            topic: topic.clone(),
            id: GroupId::parse("readers")?,
            ledger: Ledger::default(),
            catching_up,
            tasks: JoinSet::new(),
        };
        for number in 0..MEMBERS {
            let member = Member {
                number,
                topic: group.topic.name.clone(),
                group: group.id.clone(),
                ledger: group.ledger.clone(),
                catching_up: told.clone(),
                random: random.fork(),
            };
            group.tasks.spawn(member.run(url.to_owned()));
        }
        let (id, ledger) = (group.id.clone(), group.ledger.clone());
        group
            .tasks
            .spawn(ask(url.to_owned(), id, ledger, random.fork()));
        Ok(group)
    }

    /// Lets the group read to the end, on a broker that is up for good and takes no more records, and
    /// checks what it saw and committed.
    ///
    /// # Errors
    /// A promise was broken, the group does not come to the end, or a member was told what none
    /// should be.
    pub(crate) async fn finish(mut self) -> Result<()> {
        self.catching_up.send_replace(true);
        let client = connect(&self.url).await?;
        let ends = self.topic.ends(&client).await?;
        let by = Instant::now() + CATCH_UP_MAX;
        loop {
            let lag = through_deaths(|| client.group_lag(&self.id)).await?;
            let at_end = ends.iter().all(|&(partition, end)| {
                let mut committed = lag.iter().filter(|lag| lag.partition == partition);
                end == Offset::ZERO || committed.any(|lag| lag.committed == Some(end))
            });
            if at_end {
                break;
            }
            ensure!(
                Instant::now() < by,
                "the group is not at the end after {CATCH_UP_MAX:?}: {lag:?}"
            );
            tokio::select! {
                () = sleep(LOOK) => {}
                Some(ended) = self.tasks.join_next() => {
                    ended??;
                }
            }
        }
        stop(&mut self.tasks).await?;
        self.ledger.check(&ends)
    }
}

/// Asks for the committed offsets until it is aborted. A question without an answer is asked for
/// nothing.
async fn ask(url: String, group: GroupId, ledger: Ledger, mut random: fastrand::Rng) -> Result<()> {
    let client = connect(&url).await?;
    loop {
        let asked = ledger.ask();
        match client.fetch_offsets(&group, None).await {
            Ok(found) => {
                for found in found {
                    if let Some(committed) = found.committed {
                        ledger.answered(&asked, found.partition, committed.offset);
                    }
                }
            }
            Err(error) if is_down(&error) || ledger::is_unknown_group(&error) => {}
            Err(error) => return Err(error).context("what the group has committed"),
        }
        sleep(PAUSE_MAX.mul_f64(random.f64())).await;
    }
}
