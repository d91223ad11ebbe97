//! What may not have happened to the records of a queue.

use std::collections::BTreeSet;

use ratatoskr_client::{Offset, PartitionIndex};

use super::{At, Fate, Fates};

/// What is wrong; empty where all is well. `ends` is one past the last record of each partition.
pub(crate) fn check(fates: &Fates, ends: &[(PartitionIndex, Offset)]) -> Vec<String> {
    let mut wrong = Vec::new();
    for &(partition, end) in ends {
        for offset in 0..end.get() {
            let at = (partition, Offset::new(offset));
            match fates.get(&at) {
                None => wrong.push(format!("{} was never delivered", name(at))),
                Some(fate) => wrong.extend(check_one(at, fate)),
            }
        }
    }
    for &at in fates.keys() {
        let end = ends.iter().find(|(partition, _)| *partition == at.0);
        if end.is_none_or(|&(_, end)| at.1 >= end) {
            wrong.push(format!("{} was delivered, and is not in the log", name(at)));
        }
    }
    wrong
}

fn check_one(at: At, fate: &Fate) -> Vec<String> {
    let mut wrong = Vec::new();
    let done = fate.acknowledged.is_some() || fate.unknown || fate.dead > 0;
    if !done {
        wrong.push(format!(
            "{} is lost: the queue is empty, but it was neither acknowledged nor is it a dead letter: {fate:?}",
            name(at)
        ));
    }
    if fate.rejected && fate.dead == 0 {
        wrong.push(format!("{} was rejected and is no dead letter", name(at)));
    }
    if let Some(acknowledged) = fate.acknowledged {
        let after = fate.deliveries.iter().find(|&&token| token > acknowledged);
        if let Some(token) = after {
            wrong.push(format!(
                "{} was acknowledged under token {acknowledged}, and delivered again under {token}",
                name(at)
            ));
        }
    }
    let tokens: BTreeSet<_> = fate.deliveries.iter().collect();
    if tokens.len() < fate.deliveries.len() {
        wrong.push(format!(
            "{} was delivered twice under one token: {fate:?}",
            name(at)
        ));
    }
    wrong
}

fn name((partition, offset): At) -> String {
    format!("record {partition}:{offset}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: At = (PartitionIndex::new(0), Offset::ZERO);
    const ENDS: [(PartitionIndex, Offset); 1] = [(AT.0, Offset::new(1))];

    fn check_fate(fate: Fate) -> Vec<String> {
        check(&Fates::from([(AT, fate)]), &ENDS)
    }

    fn acknowledged() -> Fate {
        Fate {
            deliveries: vec![1, 5],
            acknowledged: Some(5),
            ..Fate::default()
        }
    }

    #[test]
    fn a_record_that_was_acknowledged_or_is_dead_is_well() {
        assert!(check_fate(acknowledged()).is_empty());
        let dead = Fate {
            deliveries: vec![1],
            rejected: true,
            dead: 2,
            ..Fate::default()
        };
        assert!(check_fate(dead).is_empty());
        let unknown = Fate {
            deliveries: vec![1],
            unknown: true,
            ..Fate::default()
        };
        assert!(check_fate(unknown).is_empty());
    }

    #[test]
    fn a_delivery_that_was_late_to_be_seen_is_well() {
        let mut fate = acknowledged();
        fate.deliveries.push(3);
        assert!(check_fate(fate).is_empty());
    }

    #[track_caller]
    fn is_caught(fates: &Fates, what: &str) {
        let wrong = check(fates, &ENDS);
        assert!(wrong.iter().any(|wrong| wrong.contains(what)), "{wrong:?}");
    }

    #[test]
    fn what_is_wrong_is_caught() {
        is_caught(&Fates::new(), "never delivered");
        let lost = Fate {
            deliveries: vec![1],
            ..Fate::default()
        };
        is_caught(&Fates::from([(AT, lost)]), "is lost");
        let mut again = acknowledged();
        again.deliveries.push(6);
        is_caught(&Fates::from([(AT, again)]), "delivered again");
        let mut twice = acknowledged();
        twice.deliveries.push(5);
        is_caught(&Fates::from([(AT, twice)]), "twice under one token");
        let mut rejected = acknowledged();
        rejected.rejected = true;
        is_caught(&Fates::from([(AT, rejected)]), "no dead letter");
        let beyond = (AT.0, Offset::new(1));
        let fates = Fates::from([(AT, acknowledged()), (beyond, acknowledged())]);
        is_caught(&fates, "not in the log");
    }
}
