//! What the members of a group processed, and what they were seen to have committed.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use anyhow::{Result, bail};
use ratatoskr_client::{Error, GroupError, Offset, PartitionIndex};
use ratatoskr_core::sync::Mutex;

/// Shared by all who see something.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger(Arc<Mutex<Seen>>);

/// What was known to be committed when somebody asked.
pub(crate) type Asked = BTreeMap<PartitionIndex, Offset>;

#[derive(Debug, Default)]
struct Seen {
    processed: BTreeMap<PartitionIndex, BTreeSet<Offset>>,
    /// The furthest that a commit was acknowledged or seen.
    committed: BTreeMap<PartitionIndex, Offset>,
    wrong: Vec<String>,
}

impl Ledger {
    /// A member has a record; it commits it later at the earliest.
    pub(crate) fn processed(&self, partition: PartitionIndex, offset: Offset) {
        let mut seen = self.0.lock();
        seen.processed.entry(partition).or_default().insert(offset);
    }

    /// A member is told that its commit is kept.
    pub(crate) fn acknowledged(&self, partition: PartitionIndex, offset: Offset) {
        self.0.lock().reaches(partition, offset);
    }

    /// Somebody is about to ask what the group has committed.
    pub(crate) fn ask(&self) -> Asked {
        self.0.lock().committed.clone()
    }

    /// The group has committed this offset, says the answer; 0 where it says that it is none.
    pub(crate) fn answered(&self, asked: &Asked, partition: PartitionIndex, offset: Offset) {
        let mut seen = self.0.lock();
        let before = asked.get(&partition).copied().unwrap_or_default();
        if offset < before {
            seen.wrong.push(format!(
                "the committed offset of partition {partition} went back from {before} to {offset}"
            ));
        }
        let missing = seen.first_missing(partition, before, offset);
        if let Some(missing) = missing {
            seen.wrong.push(format!(
                "{offset} was committed for partition {partition}, and no member had {missing} yet"
            ));
        }
        seen.reaches(partition, offset);
    }

    /// # Errors
    /// A promise was broken. `ends` is one past the last record of each partition.
    pub(crate) fn check(&self, ends: &[(PartitionIndex, Offset)]) -> Result<()> {
        let mut seen = self.0.lock();
        for &(partition, end) in ends {
            if let Some(missing) = seen.first_missing(partition, Offset::ZERO, end) {
                let wrong = format!("no member was given record {partition}:{missing}");
                seen.wrong.push(wrong);
            }
        }
        match seen.wrong.first() {
            None => Ok(()),
            Some(first) => {
                bail!(
                    "{} broken promises of the group, the first: {first}",
                    seen.wrong.len()
                )
            }
        }
    }
}

impl Seen {
    fn reaches(&mut self, partition: PartitionIndex, offset: Offset) {
        let committed = self.committed.entry(partition).or_default();
        *committed = offset.max(*committed);
    }

    /// The first offset from `from` on and before `until` that no member has processed.
    fn first_missing(
        &self,
        partition: PartitionIndex,
        from: Offset,
        until: Offset,
    ) -> Option<Offset> {
        let processed = self.processed.get(&partition);
        (from.get()..until.get())
            .map(Offset::new)
            .find(|offset| processed.is_none_or(|processed| !processed.contains(offset)))
    }
}

/// Whether nobody has joined or committed yet.
pub(super) fn is_unknown_group(error: &Error) -> bool {
    let Error::Broker(ratatoskr_core::Error::Group(error)) = error else {
        return false;
    };
    matches!(error, GroupError::UnknownGroup(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: PartitionIndex = PartitionIndex::new(0);

    fn ledger(processed: impl IntoIterator<Item = u64>) -> Ledger {
        let ledger = Ledger::default();
        for offset in processed {
            ledger.processed(P, Offset::new(offset));
        }
        ledger
    }

    fn problem(ledger: &Ledger, end: u64) -> Option<String> {
        let checked = ledger.check(&[(P, Offset::new(end))]);
        checked.err().map(|error| error.to_string())
    }

    fn asked(ledger: &Ledger, answer: u64) {
        ledger.answered(&ledger.ask(), P, Offset::new(answer));
    }

    #[test]
    fn a_group_that_reads_all_and_commits_it_is_well() {
        let ledger = ledger([0, 1, 1, 2]);
        asked(&ledger, 2);
        asked(&ledger, 2);
        ledger.acknowledged(P, Offset::new(3));
        asked(&ledger, 3);
        assert_eq!(problem(&ledger, 3), None);
    }

    #[test]
    fn an_answer_may_be_older_than_what_happened_since_its_question() {
        let ledger = ledger([0, 1, 2]);
        let before = ledger.ask();
        asked(&ledger, 2);
        ledger.acknowledged(P, Offset::new(3));
        ledger.answered(&before, P, Offset::new(1));
        assert_eq!(problem(&ledger, 3), None);
    }

    #[test]
    fn what_is_wrong_is_caught() {
        let back = ledger([0, 1]);
        asked(&back, 2);
        asked(&back, 1);
        assert!(problem(&back, 2).unwrap().contains("went back"));
        let forgotten = ledger([0, 1]);
        asked(&forgotten, 1);
        forgotten.acknowledged(P, Offset::new(2));
        asked(&forgotten, 1);
        assert!(problem(&forgotten, 2).unwrap().contains("from 2 to 1"));
        let gone = ledger([0]);
        asked(&gone, 1);
        asked(&gone, 0);
        assert!(problem(&gone, 1).unwrap().contains("went back"));
        let early = ledger([0]);
        asked(&early, 2);
        assert!(problem(&early, 1).unwrap().contains("no member had 1"));
        let lost = ledger([0, 2]);
        assert!(problem(&lost, 3).unwrap().contains("record 0:1"));
    }
}
