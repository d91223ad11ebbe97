//! A member that works well, and is gone now and then, as if it had been killed.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use ratatoskr_client::{Error, GroupId, InstanceId, TopicName};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::Ledger;
use crate::load::{connect, is_down, through_deaths};

/// A member lives shorter than this before it is gone.
const LIFE_MAX: Duration = Duration::from_millis(900);
/// How often a member commits.
const COMMIT_EVERY: Duration = Duration::from_millis(15);

/// One member.
pub(super) struct Member {
    pub(super) number: u32,
    pub(super) topic: TopicName,
    pub(super) group: GroupId,
    pub(super) ledger: Ledger,
    /// Whether the group is to read to the end.
    pub(super) catching_up: watch::Receiver<bool>,
    pub(super) random: fastrand::Rng,
}

impl Member {
    /// Reads until it is aborted. Each life has the same instance, so that whoever is gone without a
    /// word keeps nothing from the group until a session times out.
    ///
    /// # Errors
    /// It is told what no member should be.
    pub(super) async fn run(mut self, url: String) -> Result<()> {
        let instance = InstanceId::parse(&format!("member-{}", self.number))?;
        loop {
            let client = connect(&url).await?;
            let builder = client
                .consumer(&self.topic)
                .group(self.group.clone())
                .instance(instance.clone())
                .commit_every(COMMIT_EVERY);
            let consumer = through_deaths(|| builder.clone().open()).await;
            let mut consumer = consumer.context("a member cannot join")?;
            let life = sleep(LIFE_MAX.mul_f64(self.random.f64()));
            tokio::pin!(life);
            loop {
                let catching_up = *self.catching_up.borrow();
                tokio::select! {
                    item = consumer.next() => match item {
                        Some(Ok(record)) => self.ledger.processed(record.partition, record.offset),
                        Some(Err(error)) if goes_on(&error) => {}
                        Some(Err(error)) => {
                            return Err(error).context("a member of the group was told");
                        }
                        None => bail!("a member of the group was told that there is no more"),
                    },
                    () = &mut life, if !catching_up => break,
                    _ = self.catching_up.changed() => {}
                }
            }
            if self.random.bool() {
                // In good order, as far as the broker is there.
                let _ = timeout(LIFE_MAX, consumer.close()).await;
            }
        }
    }
}

/// Whether the member goes on after it was told this.
fn goes_on(error: &Error) -> bool {
    is_down(error) || matches!(error, Error::Broker(ratatoskr_core::Error::Group(_)))
}
