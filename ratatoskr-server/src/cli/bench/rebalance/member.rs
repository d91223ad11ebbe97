//! A member of the group, which reads its partitions and shows which they are.

use std::{sync::Arc, time::Duration};

use ratatoskr_client::{Client, Error, GroupConsumer, GroupId};
use ratatoskr_core::{name::TopicName, offset::PartitionIndex, sync::Mutex};
use tokio::{sync::oneshot, task::JoinHandle};

/// How often a member looks which partitions it reads.
const LOOKS_EVERY: Duration = Duration::from_millis(5);

/// Partitions that a member reads.
pub(super) type Reads = Vec<PartitionIndex>;

/// See the module.
pub(super) struct Member {
    shown: Arc<Shown>,
    leave: oneshot::Sender<()>,
    task: JoinHandle<Result<(), Error>>,
}

/// What a member shows of itself.
#[derive(Default)]
struct Shown {
    reads: Mutex<Arc<Reads>>,
    error: Mutex<Option<Error>>,
}

impl Member {
    /// Joins, in a task of the runtime that is entered.
    pub(super) fn start(client: Client, topic: TopicName, group: GroupId) -> Self {
        let shown = Arc::new(Shown::default());
        let (leave, leaving) = oneshot::channel();
        let task = tokio::spawn(live(client, topic, group, Arc::clone(&shown), leaving));
        Self { shown, leave, task }
    }

    /// The partitions that it reads.
    pub(super) fn reads(&self) -> Arc<Reads> {
        Arc::clone(&self.shown.reads.lock())
    }

    /// What went wrong with it.
    pub(super) fn error(&self) -> Option<Error> {
        self.shown.error.lock().clone()
    }

    /// Commits and leaves the group.
    ///
    /// # Errors
    /// What the broker answers.
    pub(super) async fn leave(self) -> Result<(), Error> {
        // It may have ended by itself, which it tells.
        let _ = self.leave.send(());
        self.task.await.unwrap_or(Err(Error::Closed))
    }
}

async fn live(
    client: Client,
    topic: TopicName,
    group: GroupId,
    shown: Arc<Shown>,
    mut leaving: oneshot::Receiver<()>,
) -> Result<(), Error> {
    let lived = async {
        let consumer = client.consumer(&topic).group(group);
        let mut consumer = consumer.open().await?;
        loop {
            tokio::select! {
                _ = &mut leaving => break,
                item = consumer.next() => match item {
                    Some(record) => drop(record?),
                    None => return Err(Error::Closed),
                },
                () = tokio::time::sleep(LOOKS_EVERY) => {}
            }
            show(&consumer, &shown);
        }
        consumer.close().await
    };
    let lived = lived.await;
    if let Err(error) = &lived {
        *shown.error.lock() = Some(error.clone());
    }
    lived
}

fn show(consumer: &GroupConsumer, shown: &Shown) {
    let assignment = consumer.assignment().into_iter();
    let reads: Reads = assignment.map(|(_, partition)| partition).collect();
    let mut shown = shown.reads.lock();
    if **shown != reads {
        *shown = Arc::new(reads);
    }
}
