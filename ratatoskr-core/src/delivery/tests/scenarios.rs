//! What happens to the records of a queue, as scripts (see `script.rs`).

use std::time::Duration;

use super::{
    bench::{Bench, Record},
    script::{check, check_on},
};
use crate::delivery::{QueueError, SettleAction};

#[test]
fn records_go_to_one_consumer_each_until_they_are_done() {
    check(
        "
        > produce 10
        > acquire a 4
        0-3 delivery 1, token 1.1
        > acquire b 4
        4-7 delivery 1, token 1.2
        > acquire a 100
        8-9 delivery 1, token 1.3
        > acquire b 1
        nothing
        > ack a 0-3 1.1
        > ack b 4-7 1.2
        > show
        start 8, 2 in flight, 0 delayed, 0 blocked, 0 dying
        > ack a 8-9 1.3
        > produce 1
        > acquire b 5
        10 delivery 1, token 1.4
        > show
        start 10, 1 in flight, 0 delayed, 0 blocked, 0 dying
    ",
    );
}

#[test]
fn a_lease_ends_by_time_and_its_holder_is_fenced() {
    check(
        "
        > produce 3
        > acquire a 3
        0-2 delivery 1, token 1.1
        > ack a 1 1.1
        > advance 29s
        > acquire b 3
        nothing
        > advance 1s
        > acquire b 3
        0 delivery 2, 2 delivery 2, token 1.2
        > ack a 0 1.1
        LeaseExpired
        > ack a 1 1.1
        AlreadySettled
        > ack b 0-2 1.2
        > show
        start 3, 0 in flight, 0 delayed, 0 blocked, 0 dying
    ",
    );
}

#[test]
fn a_lease_is_over_at_its_deadline_even_if_nobody_has_looked() {
    let mut bench = Bench::new(&[]);
    bench.produce(Record {
        key: None,
        due: None,
        gone: false,
    });
    let token = bench.acquire("a", 1).token;
    bench.advance(Duration::from_secs(30));
    let settled = bench.settle("a", (0, 0), token, SettleAction::Acknowledge);
    assert_eq!(settled, Err(QueueError::LeaseExpired));
    assert_eq!(bench.acquire("b", 1).ranges, [(0, 0, 2)]);
}

#[test]
fn a_lease_that_is_extended_lasts_from_then_on() {
    check(
        "
        > produce 2
        > acquire a 2
        0-1 delivery 1, token 1.1
        > advance 20s
        > extend a 0-1 1.1 1m
        > advance 59s
        > ack a 0 1.1
        > extend a 1 1.1 50ms
        invalid: a lease lasts from 100 ms to 12 h
        > extend a 1 1.1 13h
        invalid: a lease lasts from 100 ms to 12 h
        > advance 1s
        > extend a 1 1.1 1m
        LeaseExpired
        > acquire b 1
        1 delivery 2, token 1.2
    ",
    );
}

#[test]
fn what_nobody_may_settle_is_refused_and_nothing_changes() {
    check(
        "
        > produce 4
        > acquire a 2
        0-1 delivery 1, token 1.1
        > acquire b 2
        2-3 delivery 1, token 1.2
        > ack b 0-1 1.1
        NotLeaseOwner
        > ack stranger 0 1.1
        NotLeaseOwner
        > ack a 0-1 1.2
        UnknownLease
        > ack a 0-1 1.3
        UnknownLease
        > ack a 0-1 0.0
        UnknownLease
        > ack a 1-0 1.1
        invalid: the last offset lies before the first
        > ack a 0-3 1.1
        LeaseExpired
        > ack a 4 1.1
        LeaseExpired
        > ack a 0 1.1
        > ack a 0 1.1
        AlreadySettled
        > reject a 0 1.1
        AlreadySettled
        > ack a 0-1 1.1
        > show
        start 2, 2 in flight, 0 delayed, 0 blocked, 0 dying
    ",
    );
}

#[test]
fn release_gives_back_at_once_and_counts_and_leaving_does_not_count() {
    check(
        "
        > produce 3
        > acquire a 3
        0-2 delivery 1, token 1.1
        > release a 1 1.1
        > acquire b 3
        1 delivery 2, token 1.2
        > leave a
        2 given back
        > leave b
        1 given back
        > leave b
        0 given back
        > acquire c 3
        0 delivery 1, 1 delivery 2, 2 delivery 1, token 1.3
        > ack a 0 1.1
        LeaseExpired
    ",
    );
}

#[test]
fn a_retry_waits_longer_each_time_and_the_last_attempt_is_a_dead_letter() {
    check(
        "
        > config attempts_max=3 backoff_jitter_percent=0 backoff_min_ms=1s
        > produce 1
        > acquire a 1
        0 delivery 1, token 1.1
        > retry a 0 1.1
        > acquire a 1
        nothing
        > show
        start 0, 0 in flight, 1 delayed, 0 blocked, 0 dying
        > advance 1s
        > acquire a 1
        0 delivery 2, token 1.2
        > retry a 0 1.2
        > advance 1s
        > acquire a 1
        nothing
        > advance 1s
        > acquire a 1
        0 delivery 3, token 1.3
        > retry a 0 1.3
        > show
        start 0, 0 in flight, 0 delayed, 0 blocked, 1 dying
        > bury
        0 to orders.dlq: busy, 3 attempts, failed at 0s and 3s
        > show
        start 1, 0 in flight, 0 delayed, 0 blocked, 0 dying
    ",
    );
}

#[test]
fn a_consumer_may_say_how_long_to_wait() {
    check(
        "
        > produce 1
        > acquire a 1
        0 delivery 1, token 1.1
        > retry a 0 1.1 366d
        invalid: the delay is longer than a year
        > retry a 0 1.1 90m
        > advance 89m
        > acquire a 1
        nothing
        > advance 1m
        > acquire a 1
        0 delivery 2, token 1.2
    ",
    );
}

#[test]
fn rejected_records_are_dead_letters_at_once() {
    check(
        "
        > produce 5
        > acquire a 5
        0-4 delivery 1, token 1.1
        > reject a 1-2 1.1
        > ack a 0-4 1.1
        > show
        start 0, 0 in flight, 0 delayed, 0 blocked, 2 dying
        > restart
        > show
        start 0, 0 in flight, 0 delayed, 0 blocked, 2 dying
        > bury
        1-2 to orders.dlq: bad, 1 attempts, failed at 0s and 0s
        > acquire b 1
        nothing
        > show
        start 5, 0 in flight, 0 delayed, 0 blocked, 0 dying
    ",
    );
}

#[test]
fn leases_that_end_count_as_attempts() {
    check(
        "
        > config attempts_max=2
        > produce 2
        > acquire a 2
        0-1 delivery 1, token 1.1
        > ack a 0 1.1
        > advance 30s
        > acquire a 2
        1 delivery 2, token 1.2
        > advance 30s
        > bury
        1 to orders.dlq: the lease expired, 2 attempts, failed at 30s and 60s
    ",
    );
}

#[test]
fn a_group_without_dead_letters_counts_and_forgets() {
    let mut bench = Bench::new(&[("dead_letters", "discard"), ("attempts_max", "1")]);
    for _ in 0..2 {
        bench.produce(Record {
            key: None,
            due: None,
            gone: false,
        });
    }
    check_on(
        bench,
        "
        > acquire a 2
        0-1 delivery 1, token 1.1
        > reject a 0 1.1
        > release a 1 1.1
        > bury
        > show
        start 2, 0 in flight, 0 delayed, 0 blocked, 0 dying
    ",
    );
}

#[test]
fn dead_letters_of_dead_letters_are_refused_and_stay() {
    check_on(
        Bench::on(
            "orders.dlq",
            &[("attempts_max", "1"), ("backoff_max_ms", "10m")],
        ),
        "
        > produce 1
        > acquire a 1
        0 delivery 1, token 1.1
        > reject a 0 1.1
        DeadLetterLoop(\"orders.dlq\")
        > release a 0 1.1
        > bury
        > advance 9m
        > acquire a 1
        nothing
        > advance 1m
        > acquire a 1
        0 delivery 2, token 1.2
        > ack a 0 1.2
    ",
    );
    check_on(
        Bench::on("lost", &[("dead_letters", "topic:lost")]),
        "
        > produce 1
        > acquire a 1
        0 delivery 1, token 1.1
        > reject a 0 1.1
        DeadLetterLoop(\"lost\")
        > ack a 0 1.1
    ",
    );
}

#[test]
fn delayed_records_wait_for_their_time_also_over_a_restart() {
    check(
        "
        > produce 1 in=10s
        > produce 1
        > produce 1 in=5s
        > acquire a 9
        1 delivery 1, token 1.1
        > ack a 1 1.1
        > show
        start 0, 0 in flight, 2 delayed, 0 blocked, 0 dying
        > restart
        > advance 4s
        > acquire a 9
        nothing
        > show
        start 0, 0 in flight, 2 delayed, 0 blocked, 0 dying
        > advance 1s
        > acquire a 9
        2 delivery 1, token 2.1
        > restart snapshot
        > advance 5s
        > acquire a 9
        0 delivery 1, 2 delivery 1, token 3.1
    ",
    );
}

#[test]
fn a_restart_ends_leases_and_keeps_what_was_said() {
    check(
        "
        > config backoff_jitter_percent=0
        > produce 6
        > acquire a 6
        0-5 delivery 1, token 1.1
        > ack a 2-3 1.1
        > retry a 4 1.1 10s
        > release a 5 1.1
        > restart
        > ack a 0 1.1
        LeaseExpired
        > acquire b 9
        0-1 delivery 1, 5 delivery 2, token 2.1
        > ack b 0-1 2.1
        > restart snapshot
        > acquire c 9
        5 delivery 2, token 3.1
        > advance 10s
        > acquire c 9
        4 delivery 2, token 3.2
        > show
        start 4, 2 in flight, 0 delayed, 0 blocked, 0 dying
    ",
    );
}

#[test]
fn no_more_is_in_flight_than_may_be() {
    check(
        "
        > config in_flight_max=5 in_flight_per_consumer_max=3
        > produce 10
        > acquire a 9
        0-2 delivery 1, token 1.1
        limited by Consumer
        > acquire a 1
        nothing
        limited by Consumer
        > acquire b 9
        3-4 delivery 1, token 1.2
        limited by Group
        > acquire c 9
        nothing
        limited by Group
        > ack a 0 1.1
        > acquire c 9
        5 delivery 1, token 1.3
        limited by Group
        > reject b 3-4 1.2
        > acquire c 9
        nothing
        limited by Group
        > bury
        3-4 to orders.dlq: bad, 1 attempts, failed at 0s and 0s
        > acquire c 1
        6 delivery 1, token 1.4
    ",
    );
}

#[test]
fn records_of_one_key_come_in_order_and_one_at_a_time() {
    check(
        "
        > config ordered_by_key=true backoff_jitter_percent=0
        > produce 1 key=x
        > produce 1 key=y
        > produce 1 key=x
        > produce 1
        > produce 1 key=y
        > produce 1 key=x
        > acquire a 9
        0-1 delivery 1, 3 delivery 1, token 1.1
        > show
        start 0, 3 in flight, 0 delayed, 3 blocked, 0 dying
        > retry a 0 1.1 10s
        > ack a 1 1.1
        > acquire b 9
        4 delivery 1, token 1.2
        > advance 10s
        > acquire b 9
        0 delivery 2, token 1.3
        > acquire b 9
        nothing
        > ack b 0 1.3
        > acquire b 9
        2 delivery 1, token 1.4
        > restart snapshot
        > acquire c 9
        2-4 delivery 1, token 2.1
        > reject c 2 2.1
        > acquire c 9
        5 delivery 1, token 2.2
    ",
    );
}

#[test]
fn a_delayed_record_holds_its_key() {
    check(
        "
        > config ordered_by_key=true
        > produce 1 key=x in=10s
        > produce 1 key=x
        > produce 1 key=y
        > acquire a 9
        2 delivery 1, token 1.1
        > advance 10s
        > acquire a 9
        0 delivery 1, token 1.2
        > ack a 0 1.2
        > acquire a 9
        1 delivery 1, token 1.3
    ",
    );
}

#[test]
fn changing_the_order_ends_leases_and_looks_again() {
    check(
        "
        > produce 2 key=x
        > produce 1 key=y
        > acquire a 1
        0 delivery 1, token 1.1
        > config ordered_by_key=true
        > ack a 0 1.1
        LeaseExpired
        > acquire a 9
        0 delivery 1, 2 delivery 1, token 1.2
        > config ordered_by_key=false
        > acquire b 9
        0-2 delivery 1, token 1.3
    ",
    );
}

#[test]
fn offsets_that_compaction_took_are_no_records() {
    check(
        "
        > produce 2
        > produce 3 gone
        > produce 1
        > produce 1 gone
        > acquire a 9
        0-1 delivery 1, 5 delivery 1, token 1.1
        > ack a 0-5 1.1
        > show
        start 7, 0 in flight, 0 delayed, 0 blocked, 0 dying
    ",
    );
}
