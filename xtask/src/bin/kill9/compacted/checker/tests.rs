//! Bad histories must be caught, and good ones must not.

use super::*;

const P: PartitionIndex = PartitionIndex::new(0);
const RETENTION: Duration = Duration::from_secs(1);

/// A tag of this key, a tombstone or not; `number` tells those apart that are alike otherwise.
fn tag(key: u64, tombstone: bool, number: usize) -> Tag {
    let tags = (0..).map(|sequence| Tag {
        producer: 0,
        sequence,
    });
    let mut alike = tags.filter(|&tag| key_of(tag) == key && is_tombstone(tag) == tombstone);
    alike.nth(number).expect("there are more than enough")
}

/// A value of key 3.
fn value(number: usize) -> Tag {
    tag(3, false, number)
}

/// A tombstone of key 3.
fn tombstone(number: usize) -> Tag {
    tag(3, true, number)
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A history in the making.
#[derive(Default)]
struct Story(Seen);

impl Story {
    /// Sent at this time, and acknowledged a millisecond later.
    fn wrote(mut self, at: u64, tag: Tag, offset: u64) -> Self {
        let outcome = Outcome::Acknowledged {
            at: ms(at + 1),
            place: (P, Offset::new(offset)),
        };
        let invoked = ms(at);
        self.0.sends.insert(tag, Sent { invoked, outcome });
        self
    }

    fn told(mut self, at: u64, tag: Tag, outcome: Outcome) -> Self {
        let invoked = ms(at);
        self.0.sends.insert(tag, Sent { invoked, outcome });
        self
    }

    /// A reader passed within these times.
    fn read(mut self, (began, ended): (u64, u64), found: &[(u64, Tag)]) -> Self {
        let found = found
            .iter()
            .map(|&(offset, tag)| ((P, Offset::new(offset)), Found::Record(tag)));
        self.0.passes.push(Pass {
            began: ms(began),
            ended: ms(ended),
            found: found.collect(),
        });
        self
    }

    #[track_caller]
    fn must_be_well(self) -> Report {
        let verdict = check(&self.0, RETENTION);
        assert_eq!(verdict.wrong, Vec::<String>::new());
        verdict.report
    }

    #[track_caller]
    fn must_be_caught(self, what: &str) {
        let verdict = check(&self.0, RETENTION);
        let mut wrong = verdict.wrong.iter();
        assert!(wrong.any(|wrong| wrong.contains(what)), "{verdict:#?}");
    }
}

/// Another key's record behind, so that a reader reaches that far.
fn other(number: usize) -> Tag {
    tag(5, false, number)
}

#[test]
fn the_latest_value_is_enough_and_so_is_a_later_one() {
    let written = || {
        Story::default()
            .wrote(0, value(0), 0)
            .wrote(10, value(1), 1)
    };
    let report = written().read((20, 30), &[(1, value(1))]).must_be_well();
    assert_eq!((report.proved, report.removed), (1, 1));
    written()
        .read((20, 30), &[(0, value(0)), (1, value(1))])
        .must_be_well();
    // It was not acknowledged yet.
    written()
        .told(15, value(2), Outcome::Unknown)
        .read((20, 30), &[(2, value(2))])
        .must_be_well();
}

#[test]
fn a_lost_latest_value_is_caught() {
    let written = || {
        Story::default()
            .wrote(0, value(0), 0)
            .wrote(10, value(1), 1)
            .wrote(10, other(0), 2)
    };
    written()
        .read((20, 30), &[(0, value(0)), (2, other(0))])
        .must_be_caught("was acknowledged at record 0:1");
    written()
        .read((20, 30), &[(2, other(0))])
        .must_be_caught("nothing of it found");
    written()
        .read((20, 30), &[])
        .must_be_caught("nothing of it");
}

#[test]
fn what_is_written_while_a_reader_is_on_its_way_excuses_only_where_it_may_lie_behind_the_end() {
    let written = || Story::default().wrote(0, value(0), 0).wrote(0, other(0), 1);
    written()
        .wrote(25, value(1), 2)
        .read((20, 30), &[(1, other(0))])
        .must_be_well();
    written()
        .told(25, value(1), Outcome::Unknown)
        .read((20, 30), &[(1, other(0))])
        .must_be_well();
    // Too late, failed, or in front of the end.
    written()
        .wrote(31, value(1), 2)
        .read((20, 30), &[(1, other(0))])
        .must_be_caught("nothing of it");
    written()
        .told(25, value(1), Outcome::Failed)
        .read((20, 30), &[(1, other(0))])
        .must_be_caught("nothing of it");
    written()
        .wrote(25, value(1), 2)
        .wrote(25, other(1), 3)
        .read((20, 30), &[(3, other(1))])
        .must_be_caught("nothing of it");
}

#[test]
fn a_tombstone_may_go_once_its_time_is_up_and_takes_all_before_it_along() {
    let written = || {
        Story::default()
            .wrote(0, value(0), 0)
            .wrote(10, tombstone(0), 1)
            .wrote(10, other(0), 2)
    };
    let there = [(1, tombstone(0)), (2, other(0))];
    assert_eq!(
        written().read((1_100, 1_110), &there).must_be_well().proved,
        2
    );
    let gone = written()
        .read((1_100, 1_110), &[(2, other(0))])
        .must_be_well();
    assert_eq!(gone.gone, 1);
    written()
        .read((900, 910), &[(2, other(0))])
        .must_be_caught("nothing of it");
    let back = [(0, value(0)), (2, other(0))];
    written()
        .read((1_100, 1_110), &back)
        .must_be_caught("is found");
    written().read((20, 30), &back).must_be_caught("is found");
    // One that is slow may have seen the value before it was removed.
    written().read((1_100, 2_200), &back).must_be_well();
}

#[test]
fn a_tombstone_of_unknown_outcome_may_have_taken_a_value_along() {
    let written = |at| {
        Story::default()
            .wrote(0, value(0), 0)
            .told(at, tombstone(0), Outcome::Unknown)
            .wrote(0, other(0), 2)
            .read((1_500, 1_510), &[(2, other(0))])
    };
    written(100).must_be_well();
}

#[test]
fn a_tombstone_before_the_value_excuses_nothing() {
    Story::default()
        .wrote(0, tombstone(0), 0)
        .wrote(10, value(0), 1)
        .wrote(10, other(0), 2)
        .read((2_000, 2_010), &[(2, other(0))])
        .must_be_caught("nothing of it");
}

#[test]
fn an_offset_that_shows_another_record_is_caught() {
    let written = || Story::default().wrote(0, value(0), 0).wrote(0, value(1), 1);
    written()
        .read((10, 20), &[(0, value(1))])
        .must_be_caught("and was");
    written()
        .read((10, 20), &[(2, value(1))])
        .must_be_caught("is at record 0:1 and at record 0:2");
    Story::default()
        .told(0, value(0), Outcome::Unknown)
        .told(0, value(1), Outcome::Unknown)
        .read((10, 20), &[(0, value(0))])
        .read((30, 40), &[(0, value(1))])
        .must_be_caught("and was");
    Story::default()
        .wrote(0, value(0), 0)
        .wrote(0, value(1), 0)
        .must_be_caught("was acknowledged for");
}

#[test]
fn records_that_nobody_sent_or_that_failed_or_go_back_are_caught() {
    Story::default()
        .read((10, 20), &[(0, value(0))])
        .must_be_caught("which nobody sent");
    Story::default()
        .told(0, value(0), Outcome::Failed)
        .read((10, 20), &[(0, value(0))])
        .must_be_caught("which failed");
    Story::default()
        .wrote(0, value(0), 0)
        .wrote(0, value(1), 1)
        .read((10, 20), &[(1, value(1)), (0, value(0))])
        .must_be_caught("came after a later one");
    let mut changed = Story::default().wrote(0, value(0), 0);
    changed.0.passes.push(Pass {
        began: ms(10),
        ended: ms(20),
        found: vec![((P, Offset::ZERO), Found::Changed)],
    });
    changed.must_be_caught("is what nobody sent");
}
