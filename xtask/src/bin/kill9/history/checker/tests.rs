//! Hand-made histories: good ones pass, and each rule, once broken, is named.

use super::check;
use crate::history::text::parse;

/// Two idempotent producers and a plain one; producer 1 has sent four records to topic 0, of which
/// three are there and one is of unknown outcome. Each test writes what follows.
const SENT: &str = "
    producer 1 idempotent
    producer 2 idempotent
    producer 3 plain
    invoke 1:0 topic 0
    invoke 1:1 topic 0
    ok 1:0 0@0
    ok 1:1 0@1
    invoke 1:2 topic 0
    ok 1:2 1@0
    invoke 1:3 topic 0
    unknown 1:3
";

/// What [`SENT`] leaves in the logs.
const KEPT: &str = "
    log 0/0@0 1:0
    log 0/0@1 1:1
    log 0/1@0 1:2
";

#[track_caller]
fn passes(text: &str) {
    finds(text, &[]);
}

/// The violations, in order, as text.
#[track_caller]
fn finds(text: &str, expected: &[&str]) {
    let found: Vec<String> = check(&parse::history(text))
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn an_empty_history_is_good() {
    passes("");
}

#[test]
fn what_was_acknowledged_and_is_there_is_good() {
    passes(&format!("{SENT}{KEPT}"));
}

#[test]
fn what_is_unknown_may_be_there_or_not() {
    passes(&format!("{SENT}{KEPT}log 0/1@1 1:3"));
    let never_answered = SENT.replace("unknown 1:3", "");
    passes(&format!("{never_answered}{KEPT}"));
    passes(&format!("{never_answered}{KEPT}log 0/1@1 1:3"));
}

#[test]
fn what_failed_and_is_not_there_is_good() {
    passes(&format!("{SENT}invoke 2:0 topic 0\nfailed 2:0\n{KEPT}"));
}

#[test]
fn readers_that_go_on_where_they_were_are_good() {
    passes(&format!(
        "{SENT}
        start 7 0/0@0
        read 7 0/0@0 1:0
        read 7 0/0@1 1:1
        start 8 0/0@1
        read 8 0/0@1 1:1
        start 7 0/1@0
        read 7 0/1@0 1:2
        {KEPT}"
    ));
}

#[test]
fn a_reader_may_be_sent_back_when_it_is_asked_to() {
    passes(&format!(
        "{SENT}
        start 7 0/0@0
        read 7 0/0@0 1:0
        read 7 0/0@1 1:1
        start 7 0/0@1
        read 7 0/0@1 1:1
        {KEPT}"
    ));
}

#[test]
fn a_reader_may_see_a_record_before_its_producer_is_told() {
    passes(
        "producer 1 idempotent
        invoke 1:0 topic 0
        start 7 0/0@0
        read 7 0/0@0 1:0
        ok 1:0 0@0
        log 0/0@0 1:0",
    );
}

#[test]
fn an_end_may_be_answered_that_was_outrun_meanwhile() {
    passes(
        "producer 1 idempotent
        invoke 1:0 topic 0
        ask 1 0/0
        ok 1:0 0@0
        end 1 @0
        ask 2 0/0
        end 2 @1
        log 0/0@0 1:0",
    );
}

#[test]
fn a_plain_producer_may_be_duplicated() {
    passes(
        "producer 3 plain
        invoke 3:0 topic 0
        invoke 3:1 topic 0
        unknown 3:0
        unknown 3:1
        log 0/0@0 3:0
        log 0/0@1 3:1
        log 0/0@2 3:0",
    );
}

#[test]
fn an_acknowledged_record_lost_at_the_end_of_the_log() {
    finds(
        &format!("{SENT}{}", KEPT.replace("log 0/0@1 1:1", "")),
        &[
            "end went back: 0/0 ends at @1, but @2 was known before",
            "acknowledged record lost: 1:1 at 0/0@1",
        ],
    );
}

#[test]
fn an_acknowledged_record_lost_from_the_middle() {
    finds(
        &format!("{SENT}{}", KEPT.replace("log 0/0@0 1:0", "")),
        &[
            "reader skipped: the reading back got 0/0@1, expected @0",
            "acknowledged record lost: 1:0 at 0/0@0",
        ],
    );
}

#[test]
fn a_whole_partition_lost() {
    let expected = ["acknowledged record lost: 1:2 at 0/1@0"];
    finds(
        &format!("{SENT}{}", KEPT.replace("log 0/1@0 1:2", "")),
        &expected,
    );
    finds(
        &format!("{SENT}{}", KEPT.replace("log 0/1@0 1:2", "log 0/1")),
        &[
            "end went back: 0/1 ends at @0, but @1 was known before",
            expected[0],
        ],
    );
}

#[test]
fn a_record_lost_after_it_was_read() {
    finds(
        &format!("{SENT}\nstart 7 0/2@0\nread 7 0/2@0 1:3\n{KEPT}"),
        &["record lost after it was read: 1:3 at 0/2@0"],
    );
}

#[test]
fn one_offset_read_with_two_values() {
    finds(
        &format!(
            "{SENT}
            start 7 0/1@0
            read 7 0/1@0 1:3
            {KEPT}"
        ),
        &["one offset with two values: 0/1@0 is 1:2, then 1:3"],
    );
}

#[test]
fn one_offset_acknowledged_to_two_producers() {
    finds(
        &format!("{SENT}\ninvoke 2:0 topic 0\nok 2:0 0@1\n{KEPT}"),
        &["one offset with two values: 0/0@1 is 1:1, then 2:0"],
    );
}

#[test]
fn another_record_in_the_place_of_an_acknowledged_one() {
    finds(
        &format!("{SENT}{}", KEPT.replace("0/1@0 1:2", "0/1@0 1:3")),
        &["one offset with two values: 0/1@0 is 1:2, then 1:3"],
    );
}

#[test]
fn a_failed_send_read() {
    finds(
        &format!("{SENT}\ninvoke 2:0 topic 0\nfailed 2:0\n{KEPT}log 0/2@0 2:0"),
        &["failed send read: 2:0 at 0/2@0"],
    );
}

#[test]
fn a_send_that_is_read_and_then_said_to_have_failed() {
    finds(
        "producer 1 idempotent
        invoke 1:0 topic 0
        start 7 0/0@0
        read 7 0/0@0 1:0
        failed 1:0
        log 0/0",
        &[
            "failed send read: 1:0 at 0/0@0",
            "end went back: 0/0 ends at @0, but @1 was known before",
            "record lost after it was read: 1:0 at 0/0@0",
        ],
    );
}

#[test]
fn a_record_nobody_sent() {
    finds(
        &format!("{SENT}{KEPT}log 0/2@0 2:5"),
        &["record nobody sent: 2:5 at 0/2@0"],
    );
}

#[test]
fn a_record_in_a_topic_it_was_not_sent_to() {
    finds(
        &format!("{SENT}{KEPT}log 1/0@0 1:3"),
        &["record nobody sent: 1:3 at 1/0@0"],
    );
}

#[test]
fn a_record_read_before_it_was_sent() {
    finds(
        "producer 1 idempotent
        start 7 0/0@0
        read 7 0/0@0 1:0
        invoke 1:0 topic 0
        log 0/0@0 1:0",
        &["record nobody sent: 1:0 at 0/0@0"],
    );
}

#[test]
fn a_changed_record() {
    finds(
        &format!("{SENT}{KEPT}log 0/2@0 changed"),
        &["changed record: 0/2@0"],
    );
    finds(
        &format!(
            "{SENT}{}",
            KEPT.replace("log 0/0@1 1:1", "log 0/0@1 changed")
        ),
        &[
            "changed record: 0/0@1",
            "one offset with two values: 0/0@1 is 1:1, then changed",
        ],
    );
}

#[test]
fn records_of_one_producer_reordered() {
    for producer in [1, 3] {
        finds(
            &format!(
                "producer 1 idempotent
                producer 3 plain
                invoke {producer}:0 topic 0
                invoke {producer}:1 topic 0
                invoke {producer}:2 topic 0
                log 0/0@0 {producer}:1
                log 0/0@1 {producer}:0
                log 0/0@2 {producer}:2"
            ),
            &[&format!(
                "reordered: {producer}:0 comes after {producer}:1 in 0/0"
            )],
        );
    }
}

#[test]
fn partitions_are_not_ordered_among_each_other() {
    passes(
        "producer 1 idempotent
        invoke 1:0 topic 0
        invoke 1:1 topic 0
        log 0/0@0 1:1
        log 0/1@0 1:0",
    );
}

#[test]
fn a_duplicate_from_an_idempotent_producer() {
    finds(
        &format!("{SENT}{KEPT}log 0/1@1 1:2"),
        &["duplicate of an idempotent producer: 1:2 at 0/1@0 and 0/1@1"],
    );
    finds(
        &format!("{SENT}{KEPT}log 0/2@0 1:2"),
        &["duplicate of an idempotent producer: 1:2 at 0/1@0 and 0/2@0"],
    );
}

#[test]
fn a_reader_that_skips() {
    finds(
        &format!("{SENT}\nstart 7 0/0@0\nread 7 0/0@1 1:1\n{KEPT}"),
        &["reader skipped: reader 7 got 0/0@1, expected @0"],
    );
}

#[test]
fn a_reader_that_goes_back() {
    finds(
        &format!(
            "{SENT}
            start 7 0/0@0
            read 7 0/0@0 1:0
            read 7 0/0@1 1:1
            read 7 0/0@1 1:1
            {KEPT}"
        ),
        &["reader went back: reader 7 got 0/0@1, expected @2"],
    );
}

#[test]
fn an_end_that_goes_back() {
    for known in [
        "start 7 0/2@0\nread 7 0/2@0 1:3\n",
        "invoke 2:0 topic 0\nok 2:0 2@0\n",
        "ask 1 0/2\nend 1 @1\n",
    ] {
        let kept = if known.contains("2:0") { "2:0" } else { "1:3" };
        finds(
            &format!("{SENT}\n{known}ask 2 0/2\nend 2 @0\n{KEPT}log 0/2@0 {kept}"),
            &["end went back: 0/2 ends at @0, but @1 was known before"],
        );
    }
}

#[test]
fn an_end_that_is_not_reached_at_the_end() {
    finds(
        &format!("{SENT}\nask 1 0/0\nend 1 @3\n{KEPT}"),
        &["end went back: 0/0 ends at @2, but @3 was known before"],
    );
}

#[test]
#[should_panic(expected = "1:0 was never invoked")]
fn an_outcome_of_nothing_is_the_harness_own_mistake() {
    check(&parse::history("ok 1:0 0@0"));
}
