//! `ratatoskr queue` and `ratatoskr dlq` from outside: what they change, print and answer.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use crate::{
    command::run,
    server::{Server, command, signal},
};

/// What does not come within this time does not come.
const HANG: Duration = Duration::from_secs(30);

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).expect("JSON")
}

fn objects(text: &str) -> Vec<serde_json::Value> {
    text.lines().map(json).collect()
}

/// A topic with these lines, one a record.
fn topic(server: &Server, lines: &str) {
    server.run("topic create orders --partitions 1").text();
    server.run_with("produce orders", lines.as_bytes()).bytes();
}

/// Runs a verb until its stdout is as it should be: dead letters are moved in the background.
#[track_caller]
pub(crate) fn until(
    server: &Server,
    words: &str,
    is_so: impl Fn(&[serde_json::Value]) -> bool,
) -> String {
    let begun = Instant::now();
    loop {
        let done = server.run(words);
        if done.code == 0 {
            let text = done.text();
            if is_so(&objects(&text)) {
                return text;
            }
            assert!(begun.elapsed() < HANG, "{words}: {text}");
        } else {
            assert!(begun.elapsed() < HANG, "{words}: {}", done.stderr);
        }
    }
}

#[test]
fn a_queue_group_lives_and_dies() {
    let server = Server::in_memory();
    let created = json(
        &server
            .run("queue create billing lease_ms=1m attempts_max=3")
            .text(),
    );
    assert_eq!(created["config"]["lease_ms"], "60000");
    assert_eq!(created["config"]["attempts_max"], "3");
    let altered = json(&server.run("queue alter billing ordered_by_key=true").text());
    assert_eq!(altered["config"]["ordered_by_key"], "true");
    assert_eq!(altered["config"]["lease_ms"], "60000");

    topic(&server, "a\nb\nc\n");
    server.run("queue take billing orders -n 1").text();
    let listed = json(&server.run("queue ls").text());
    assert_eq!(listed["group"], "billing");
    assert_eq!(listed["topics"][0], "orders");
    assert_eq!(listed["available"], 2);
    let described = json(&server.run("queue describe billing").text());
    let partition = &described["topics"][0]["partitions"][0];
    assert_eq!(described["topics"][0]["dead_letter_topic"], "orders.dlq");
    assert_eq!(
        (&partition["start"], &partition["acknowledged"]),
        (&1.into(), &1.into())
    );
    let people = server.run("queue describe billing --output table").text();
    assert!(
        people.contains("orders  dead letters: orders.dlq"),
        "{people}"
    );
    assert!(
        people.contains("ordered_by_key              true"),
        "{people}"
    );

    server.run("queue rm billing -y").text();
    assert_eq!(server.run("queue ls").text(), "");
}

#[test]
fn a_server_has_defaults_of_its_own_for_new_groups() {
    let mut serve = command(None);
    serve.args(["--memory", "--set", "queues.lease_ms=2m"]);
    let server = Server::start(serve.env("RATATOSKR_QUEUES__ATTEMPTS_MAX", "2"));
    let created = json(&server.run("queue create work attempts_max=9").text());
    assert_eq!(created["config"]["lease_ms"], "120000");
    assert_eq!(created["config"]["attempts_max"], "9");
    topic(&server, "a\n");
    server.run("queue take taking orders -n 1").text();
    let made = json(&server.run("queue describe taking").text());
    assert_eq!(made["config"]["attempts_max"], "2");

    let refused = run("check config --set queues.lease_ms=1ms").failure(2);
    assert!(
        refused.contains("a duration from 100ms to 12h"),
        "{refused}"
    );
    let refused = run("check config --set groups.heartbeat_interval=1m").failure(2);
    assert!(
        refused.contains("less than groups.session_timeout"),
        "{refused}"
    );
}

#[test]
fn what_is_printed_is_done_and_the_rest_is_not() {
    let server = Server::in_memory();
    topic(&server, "a\nb\nc\nd\n");
    assert_eq!(server.run("queue take work orders -n 2").text(), "a\nb\n");
    let peeked = objects(&server.run("queue peek work orders").text());
    let states: Vec<_> = peeked
        .iter()
        .map(|record| (record["value"].as_str(), record["state"].as_str()))
        .collect();
    let available = Some("available");
    assert_eq!(states, [(Some("c"), available), (Some("d"), available)]);
    let rest = server
        .run("queue take work orders --wait 500ms -f %o:%v,")
        .text();
    assert_eq!(rest, "2:c,3:d,");
    assert_eq!(server.run("queue take work orders --wait 100ms").text(), "");
    // Another group has all of it.
    let other = server.run("queue take other orders -n 4 -f %v").text();
    assert_eq!(other, "abcd");
}

#[test]
fn a_command_says_what_becomes_of_its_record() {
    let server = Server::in_memory();
    topic(&server, "good\nbad\nlater\n");
    server.run("queue create work backoff_min_ms=10ms").text();
    let line = "read -r word\n\
        echo \"$word $RECORD_TOPIC:$RECORD_PARTITION:$RECORD_OFFSET $RECORD_DELIVERY_COUNT\"\n\
        case $word$RECORD_DELIVERY_COUNT in bad*) exit 3 ;; later1) exit 75 ;; esac";
    let mut command = server.client();
    command.args(["queue", "take", "work", "orders", "-n", "4", "--exec", line]);
    let done = crate::command::finish(&mut command, b"");
    let printed = String::from_utf8_lossy(&done.stdout).into_owned();
    let error = done.failure(7);
    assert!(
        error.contains("2 records done, 1 to come again, 1 to the dead letters"),
        "{error}"
    );
    assert_eq!(
        printed,
        "good orders:0:0 1\nbad orders:0:1 1\nlater orders:0:2 1\nlater orders:0:2 2\n"
    );
    let letters = until(&server, "dlq show orders.dlq", |letters| {
        !letters.is_empty()
    });
    let letter = json(&letters);
    assert_eq!(letter["value"], "bad");
    assert!(
        letter["cause"]
            .as_str()
            .is_some_and(|cause| cause.contains("exit status: 3"))
    );
    assert_eq!(letter["origin_offset"], 1);
}

#[test]
fn a_command_that_cannot_be_run_costs_no_records() {
    let server = Server::in_memory();
    topic(&server, "a\nb\n");
    let error = server
        .run("queue take work orders --exec no-such-command")
        .failure(1);
    assert!(error.contains("cannot run \"no-such-command\""), "{error}");
    assert_eq!(server.run("queue take work orders -n 2 -f %v").text(), "ab");
}

#[cfg(unix)]
#[test]
fn a_worker_that_is_interrupted_ends_what_it_has_begun() {
    let server = Server::in_memory();
    topic(&server, "a\nb\nc\nd\n");
    let mut command = server.client();
    command.args(["queue", "take", "work", "orders", "--exec"]);
    let done = crate::command::finish(command.arg("kill -INT $PPID"), b"");
    let error = done.failure(130);
    let count = error.split_whitespace().next().and_then(|n| n.parse().ok());
    let count: usize = count.unwrap_or_else(|| panic!("{error}"));
    assert!((1..4).contains(&count), "{error}");
    let left = objects(&server.run("queue peek work orders").text());
    assert_eq!(left.len(), 4 - count);
    assert!(left.iter().all(|record| record["delivery_count"] == 0));
}

#[test]
fn dead_letters_are_shown_and_go_back_or_away() {
    let server = Server::in_memory();
    topic(&server, "a\nb\nc\nd\n");
    server
        .run("queue take work orders -n 4 --exec false")
        .failure(7);
    let listed = until(&server, "dlq ls", |topics| {
        topics.first().is_some_and(|topic| topic["letters"] == 4)
    });
    assert_eq!(json(&listed)["topic"], "orders.dlq");
    assert_eq!(json(&listed)["groups"][0], "work");
    let shown = objects(&server.run("dlq show orders.dlq -n 3").text());
    assert_eq!(shown.len(), 3);
    assert_eq!(shown[0]["attempts"], 1);
    assert_eq!(shown[0]["group"], "work");
    let table = server.run("dlq show orders.dlq --output table").text();
    assert!(table.contains("orders/0:3"), "{table}");

    let would = json(&server.run("dlq redrive orders.dlq --dry-run").text());
    assert_eq!(
        (&would["matched"], &would["redriven"]),
        (&4.into(), &0.into())
    );
    let none = json(
        &server
            .run("dlq redrive orders.dlq --filter cause=other")
            .text(),
    );
    assert_eq!(
        (&none["examined"], &none["matched"]),
        (&4.into(), &0.into())
    );
    let one = json(
        &server
            .run("dlq redrive orders.dlq --filter place=0:1 --rate 100")
            .text(),
    );
    assert_eq!(one["redriven"], 1);
    assert_eq!(server.run("queue take work orders -n 1").text(), "b\n");
    let two = json(&server.run("dlq redrive orders.dlq --limit 1").text());
    assert_eq!(two["redriven"], 1);
    assert_eq!(server.run("queue take work orders -n 1").text(), "a\n");

    let would = json(&server.run("dlq discard orders.dlq --dry-run").text());
    assert_eq!(
        (&would["discarded"], &would["dry_run"]),
        (&2.into(), &true.into())
    );
    let gone = json(&server.run("dlq discard orders.dlq --limit 1 -y").text());
    assert_eq!(
        (&gone["discarded"], &gone["dry_run"]),
        (&1.into(), &false.into())
    );
    server.run("dlq discard orders.dlq -y").text();
    assert_eq!(server.run("dlq show orders.dlq").text(), "");
}

#[test]
fn a_redrive_goes_on_in_steps_until_nothing_is_left() {
    let server = Server::in_memory();
    let lines: Vec<String> = (0..2_500).map(|number| number.to_string()).collect();
    topic(&server, &lines.join("\n"));
    server.run("topic create gone --partitions 1").text();
    server.run_with("produce gone", b"x\n").bytes();
    for topic in ["gone", "orders"] {
        // Past their time at once, since a command for each would take its own.
        let settings = "dead_letters=topic:lost dead_letter_expired=true";
        server
            .run(&format!("queue create {topic} {settings}"))
            .text();
        server.run(&format!("topic alter {topic} ttl_ms=1")).text();
        let taken = server.run(&format!("queue take {topic} {topic} --wait 500ms"));
        assert_eq!(taken.text(), "");
    }
    until(&server, "dlq ls", |topics| {
        topics
            .first()
            .is_some_and(|topic| topic["letters"] == 2_501)
    });
    server.run("topic alter orders ttl_ms=none").text();
    server.run("topic rm gone -y").text();

    let done = server.run("dlq redrive lost");
    let report = json(&String::from_utf8_lossy(&done.stdout));
    assert_eq!(
        (&report["redriven"], &report["failed"], &report["matched"]),
        (&2_500.into(), &1.into(), &2_501.into())
    );
    let error = done.failure(7);
    assert!(error.contains("1 letters did not go back"), "{error}");
    let back = server.run("queue take orders orders -n 2500").text();
    // A queue has no order.
    let mut numbers: Vec<u32> = back.lines().filter_map(|line| line.parse().ok()).collect();
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..2_500), "{} bytes", back.len());
}

#[cfg(unix)]
#[test]
fn a_redrive_that_is_interrupted_says_what_it_has_done() {
    let server = Server::in_memory();
    topic(&server, "a\nb\nc\nd\ne\nf\n");
    server
        .run("queue take work orders -n 6 --exec false")
        .failure(7);
    until(&server, "dlq show orders.dlq", |letters| letters.len() == 6);
    // Steps of two letters, of two seconds each.
    let words = "dlq redrive orders.dlq --rate 1 --timeout 4";
    let redriving = server
        .client()
        .args(words.split_whitespace())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    until(&server, "dlq show orders.dlq", |letters| letters.len() < 6);
    signal(&redriving, "INT");
    let output = redriving.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(130));
    let report = json(&String::from_utf8_lossy(&output.stdout));
    let left = objects(&server.run("dlq show orders.dlq").text()).len();
    assert!(left > 0, "{report}");
    assert_eq!(report["redriven"], 6 - left);
}

#[test]
fn a_record_comes_when_it_is_due_and_not_when_it_is_past_its_time() {
    let server = Server::in_memory();
    topic(&server, "now\n");
    let produce = |options: &str, text: &[u8]| {
        let words = format!("produce orders {options}");
        server.run_with(&words, text).bytes();
    };
    produce("--ttl 1ms", b"expired\n");
    produce("--delay 1h", b"later\n");
    produce("--deliver-at 2020-01-31T12:00:00Z", b"due\n");
    // Longer than the time to live of the second.
    assert_eq!(
        server.run("queue take work orders --wait 200ms").text(),
        "now\ndue\n"
    );
    let peeked = json(&server.run("queue peek work orders").text());
    assert_eq!(
        (&peeked["value"], &peeked["state"]),
        (&"later".into(), &"delayed".into())
    );
    // Readers of the stream see everything.
    let read = server.run("consume orders --until-end").text();
    assert_eq!(read, "now\nexpired\nlater\ndue\n");
    let error = server
        .run("produce orders --delay 1s --deliver-at 1")
        .failure(2);
    assert!(error.contains("--deliver-at"), "{error}");
}

#[test]
fn each_failure_has_its_code() {
    let server = Server::in_memory();
    topic(&server, "a\n");
    server.run("queue create work").text();
    server.run("topic create empty.dlq").text();
    for (words, code, expected) in [
        ("queue create work", 4, "queue_group_exists"),
        ("queue create new lease=1s", 2, "did you mean `lease_ms`"),
        ("queue create new lease_ms=1ms", 2, "100ms to 12h"),
        ("queue alter work", 2, "SETTING=VALUE"),
        ("queue alter nowhere lease_ms=1s", 3, "unknown_queue_group"),
        (
            "queue describe nowhere",
            3,
            "try: ratatoskr queue create nowhere",
        ),
        ("queue rm nowhere -y", 3, "unknown_queue_group"),
        ("queue rm work", 2, "nobody is there to ask"),
        ("queue peek work nowhere", 3, "unknown_topic"),
        ("queue take work orders -n 0", 2, "--count"),
        ("queue take work orders -f %x", 2, "%x"),
        ("dlq show orders", 3, "try: ratatoskr dlq ls"),
        ("dlq redrive orders", 3, "not_dead_letters"),
        (
            "dlq redrive empty.dlq --filter colour=red",
            2,
            "expected group=",
        ),
        ("dlq redrive empty.dlq --rate 1 --timeout 1", 2, "--timeout"),
        ("dlq discard empty.dlq", 2, "nobody is there to ask"),
    ] {
        let error = server.run(words).failure(code);
        assert!(error.contains(expected), "{words}: {error}");
    }
}
