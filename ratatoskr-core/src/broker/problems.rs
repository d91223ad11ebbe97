//! What is down just now, and why: for the dashboard, readiness probes and the log.

use crate::{
    broker::{Broker, context::Phase, partition::PartitionCell},
    name::TopicName,
    offset::PartitionIndex,
};

/// Something that is down.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Problem {
    /// What is concerned; everything else runs.
    pub scope: ProblemScope,
    /// What happened.
    pub reason: String,
    /// How often it has failed since it last ran for a while.
    pub failures: u32,
}

/// What a problem is confined to.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum ProblemScope {
    /// The whole broker: it is fenced and must be restarted.
    Broker,
    /// One partition, which the broker is bringing back.
    Partition {
        /// Its topic.
        topic: TopicName,
        /// Its number.
        partition: PartitionIndex,
    },
    /// The callback of one subscription, which is given the same record again.
    Subscription {
        /// Which one, among all since the broker was opened.
        id: u64,
        /// The topic it reads.
        topic: TopicName,
        /// The partition whose record it did not acknowledge.
        partition: PartitionIndex,
    },
}

impl Broker {
    /// Everything that is down; empty when all is well.
    pub fn problems(&self) -> Vec<Problem> {
        let fenced = match &*self.shared.context.phase().borrow() {
            Phase::Fenced { reason } => Some(Problem {
                scope: ProblemScope::Broker,
                reason: reason.clone(),
                failures: 1,
            }),
            Phase::Running | Phase::ShuttingDown => None,
        };
        let cells = self.cells();
        let offline = cells.iter().filter_map(|cell| problem_of(cell));
        let subscriptions = self.shared.subscriptions.problems();
        fenced
            .into_iter()
            .chain(offline)
            .chain(subscriptions)
            .collect()
    }
}

fn problem_of(cell: &PartitionCell) -> Option<Problem> {
    let (reason, failures) = cell.offline_reason()?;
    Some(Problem {
        scope: ProblemScope::Partition {
            topic: cell.topic_name().clone(),
            partition: cell.index(),
        },
        reason,
        failures,
    })
}
