//! stats: the broker's counters, by name, and what is down.

use ratatoskr_core::{
    broker::ProblemScope,
    wire::{Frame, ProblemBody, Stats, StatsBody},
};

use super::{Handled, Session, answer_now};

pub(super) fn handle(session: &Session, frame: &Frame) -> Handled {
    answer_now::<Stats>(session, frame, |_| {
        let stats = session.broker.stats();
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
        ];
        let problems = session.broker.problems().into_iter();
        Ok(StatsBody {
            counters: counters.map(|(name, value)| (name.into(), value)).into(),
            problems: problems
                .map(|problem| ProblemBody {
                    subject: match problem.scope {
                        ProblemScope::Broker => "broker".into(),
                        ProblemScope::Partition { topic, partition } => {
                            format!("{topic}/{partition}")
                        }
                        ProblemScope::Subscription {
                            id,
                            topic,
                            partition,
                        } => format!("subscription {id} at {topic}/{partition}"),
                    },
                    reason: problem.reason,
                })
                .collect(),
        })
    })
}
