//! Bodies of statistics: counters by name, so that a new counter changes no layout.

use serde::{Deserialize, Serialize};

use super::{Body, Kind, Request, topics::requests};
use crate::broker::{Broker, ProblemScope};

/// Asks for the broker's counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {}

/// The broker's counters and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatsBody {
    /// Each counter by name.
    pub counters: Vec<(String, u64)>,
    /// What is down, and why.
    pub problems: Vec<ProblemBody>,
}

/// Something that is down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProblemBody {
    /// What.
    pub subject: String,
    /// Why.
    pub reason: String,
}

impl From<&Broker> for StatsBody {
    fn from(broker: &Broker) -> Self {
        let stats = broker.stats();
        let counters = [
            ("topics", stats.topics),
            ("partitions", stats.partitions),
            ("partitions_offline", stats.partitions_offline),
            ("in_flight_bytes", stats.in_flight_bytes),
            ("batches_in", stats.total.batches_in),
            ("records_in", stats.total.records_in),
            ("bytes_in", stats.total.bytes_in),
            ("bytes_out", stats.total.bytes_out),
            ("duplicates", stats.total.duplicates),
            ("errors_in", stats.total.errors_in),
            ("offsets_clamped", stats.offsets_clamped),
            ("records_compacted", stats.total.records_compacted),
            ("bytes_compacted", stats.total.bytes_compacted),
        ];
        let problems = broker.problems().into_iter().map(|problem| ProblemBody {
            subject: match problem.scope {
                ProblemScope::Broker => "broker".into(),
                ProblemScope::Partition { topic, partition } => format!("{topic}/{partition}"),
                ProblemScope::Subscription {
                    id,
                    topic,
                    partition,
                } => format!("subscription {id} at {topic}/{partition}"),
            },
            reason: problem.reason,
        });
        Self {
            counters: counters.map(|(name, value)| (name.into(), value)).into(),
            problems: problems.collect(),
        }
    }
}

requests! {
    Stats -> StatsBody,
}
