//! Benchmarks as programs use them: one JSON object with a stable schema, an exit code that says
//! whether to believe it, and records that are verified.

use serde_json::Value;

use crate::{
    command::{run, skipped},
    server::Server,
};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[track_caller]
fn conditions(report: &Value, expected: &[(&str, &str)]) {
    for (name, value) in expected {
        assert_eq!(report["conditions"][name], *value, "{name}: {report}");
    }
}

#[test]
fn what_is_produced_is_consumed_in_every_way() {
    let server = Server::in_memory();
    let spread = "--topics 2 --partitions 2 --producers 2 --output json";
    for (how, records) in [("", 500), ("--single", 500), ("--batch 50", 500)] {
        let words = format!("bench produce --records 500 {spread} {how}");
        let report = json(&server.run(&words).text());
        assert_eq!(report["records"], records, "{how}");
        assert_eq!(report["bytes"], records * 100, "{how}");
        assert_eq!(report["failed"], 0, "{how}");
        assert!(report["latency_us"]["p9999"].is_f64(), "{report}");
        let expected = [
            ("topics", "2"),
            ("partitions", "2"),
            ("durability", "memory"),
        ];
        conditions(&report, &expected);
    }
    for topic in ["bench-0", "bench-1"] {
        for how in ["", "--batches", "--consumers 2"] {
            let words = format!("bench consume --topic {topic} --output json {how}");
            let report = json(&server.run(&words).text());
            let consumers = if how == "--consumers 2" { 2 } else { 1 };
            assert_eq!(report["records"], 750 * consumers, "{how}");
            assert_eq!(report["verified"], true, "{how}");
        }
    }
}

#[test]
fn an_open_loop_ends_with_the_time_and_leaves_the_warm_up_out() {
    let server = Server::in_memory();
    let words = "bench produce --rate 2000 --seconds 0.2 --warm-up 0.1 --output json";
    let report = json(&server.run(words).text());
    assert_eq!(report["records"], 400);
    conditions(&report, &[("rate", "2000")]);
    let consumed = json(&server.run("bench consume --output json").text());
    assert_eq!(consumed["records"], 600);
}

#[test]
fn foreign_records_are_told() {
    let server = Server::in_memory();
    server.run("bench produce --records 10").text();
    server
        .run_with("produce bench", b"not of a benchmark\n")
        .bytes();
    let error = server.run("bench consume").failure(1);
    assert!(
        error.contains("10 records are as they were sent"),
        "{error}"
    );
    assert!(error.contains("try: "), "{error}");
}

#[test]
fn a_topic_that_is_not_as_asked_for_is_a_conflict() {
    let server = Server::in_memory();
    server.run("topic create bench --partitions 2").text();
    let error = server.run("bench produce --partitions 3").failure(4);
    assert!(error.contains("it has 2 partitions"), "{error}");
    assert!(error.contains("topic rm bench"), "{error}");
}

#[test]
fn what_cannot_be_measured_is_a_usage_error() {
    for words in [
        "bench produce --rate 10 --in-flight 1",
        "bench produce --batch 0",
        "bench produce --batch 2 --single",
        "bench produce --single --acks one",
        "bench produce --seconds -1",
        "bench fan-out --subscribers 0",
        "bench restart --bytes many",
        "bench queue --rate 10 --depth 1",
        "bench queue --seconds 1",
        "bench produce --keys 10 --batch 10",
        "bench poisoned-key --keys 1",
        "bench poisoned-key --backoff-ms 1",
        "bench rebalance --heartbeat-ms 50",
        "bench compact --records 10 --keys 6",
    ] {
        run(words).failure(2);
    }
}

#[test]
fn from_end_to_end_every_record_is_delivered_in_order() {
    let server = Server::in_memory();
    let words = "bench e2e --rate 5000 --records 500 --producers 2 --partitions 2 --output json";
    let report = json(&server.run(words).text());
    assert_eq!(report["records"], 500);
    assert_eq!(report["verified"], true);
    assert!(report["latency_us"]["p50"].is_f64(), "{report}");
    assert!(
        report["figures"]["acknowledged_p50_us"].is_f64(),
        "{report}"
    );
}

#[test]
fn every_subscriber_gets_every_record() {
    let server = Server::in_memory();
    let paced = "bench fan-out --subscribers 20 --records 50 --rate 1000 --output json";
    let report = json(&server.run(paced).text());
    assert_eq!(report["records"], 20 * 50);
    assert_eq!(report["verified"], true);
    assert!(
        report["figures"]["last_subscriber_p50_us"].is_f64(),
        "{report}"
    );
    let unpaced = "bench fan-out --in-process --subscribers 300 --records 50 --output json";
    let report = json(&run(unpaced).text());
    assert_eq!(report["records"], 300 * 50);
    assert_eq!(report["verified"], true);
    assert_eq!(report["latency_us"], Value::Null);
}

#[test]
fn a_broker_in_process_gives_back_what_it_took() {
    for durability in ["memory", "os", "fsync"] {
        let words = format!(
            "bench in-process --records 640 --topics 3 --tasks 2 --batch 16 --consume \
             --durability {durability} --output json"
        );
        let report = json(&run(&words).text());
        assert_eq!(report["records"], 640, "{durability}");
        assert_eq!(report["verified"], true, "{durability}");
        conditions(&report, &[("topics", "3"), ("durability", durability)]);
    }
}

#[test]
fn a_broker_that_was_killed_has_what_it_acknowledged() {
    for scan in ["", "--full-scan"] {
        let words = format!("bench restart --bytes 2MB --partitions 3 --output json {scan}");
        let done = run(words.trim());
        if done.stderr.contains("SKIPPED") {
            skipped("a restart with an empty page cache, which this user may not empty");
        }
        let report = json(&done.text());
        assert_eq!(report["verified"], true);
        assert!(report["bytes"].as_u64() >= Some(2_000_000), "{report}");
        for figure in [
            "first_acknowledgement_ms",
            "resident_bytes",
            "open_descriptors",
        ] {
            assert!(report["figures"][figure].is_f64(), "{figure}: {report}");
        }
        let rate = &report["figures"]["verified_bytes_per_second"];
        assert_eq!(rate.is_f64(), !scan.is_empty(), "{report}");
    }
}

#[test]
fn a_queue_is_worked_off_in_either_loop() {
    let server = Server::in_memory();
    let filled = "bench produce --records 2000 --partitions 2";
    server.run(filled).text();
    let closed = "bench queue --consumers 3 --batch 7 --output json";
    let report = json(&server.run(closed).text());
    assert_eq!(report["records"], 2_000);
    assert_eq!(report["verified"], true);
    conditions(&report, &[("consumers", "3"), ("partitions", "2")]);
    // The group of the first run is gone, so all is there again.
    let open = "bench queue --consumers 3 --batch 7 --rate 2000 --seconds 0.2 --output json";
    let report = json(&server.run(open).text());
    assert_eq!(report["records"], 400);
    assert_eq!(report["verified"], true);
    assert!(report["latency_us"]["p99"].is_f64(), "{report}");
    assert_eq!(server.run("queue ls").text(), "");
}

#[test]
fn a_queue_that_would_run_dry_is_told_beforehand() {
    let server = Server::in_memory();
    server.run("bench produce --records 100").text();
    let open = "bench queue --batch 10 --rate 1000 --seconds 1";
    let error = server.run(open).failure(1);
    assert!(error.contains("1030 records are needed"), "{error}");
    assert!(error.contains("bench produce --records 1030"), "{error}");
}

#[test]
fn records_in_flight_and_delayed_have_a_price() {
    for (state, told) in [
        ("in-flight", "in flight"),
        ("delayed", "delayed"),
        ("retried", "retried"),
    ] {
        let words =
            format!("bench queue-memory --records 5000 --batch 100 --state {state} --output json");
        let report = json(&run(&words).text());
        assert_eq!(report["records"], 5_000, "{state}");
        assert_eq!(report["verified"], true, "{state}");
        conditions(&report, &[("state", told)]);
        let counted = &report["figures"]["counted_bytes_per_record"];
        assert!(counted.as_f64() > Some(0.0), "{report}");
    }
}

#[test]
fn a_poisoned_key_holds_nothing_else_up() {
    let server = Server::in_memory();
    let words = "bench poisoned-key --rate 500 --keys 20 --poisoned 2 --seconds 0.5 --warm-up 0.1 \
                 --backoff-ms 20 --rounds 2 --output json";
    let report = json(&server.run(words).text());
    // Four phases of 250 records behind the warm-up, of which 24 are poisoned in two.
    assert_eq!(report["records"], 4 * 250 - 2 * 24);
    assert_eq!(report["verified"], true);
    let figures = &report["figures"];
    assert!(figures["failed_attempts"].as_f64() > Some(4.0), "{report}");
    for figure in ["p99_ratio", "with_p99_us", "without_p99_us"] {
        assert!(figures[figure].as_f64() > Some(0.0), "{figure}: {report}");
    }
    let topics = server.run("topic ls").text();
    assert!(!topics.contains("bench-poisoned"), "{topics}");
    assert_eq!(server.run("queue ls").text(), "");
}

#[test]
fn members_that_come_go_and_die_leave_every_partition_to_somebody() {
    let words = "bench rebalance --in-process --heartbeat-ms 20 --session-timeout-ms 300 --members 5 \
                 --partitions 12 --rounds 2 --deaths 1 --output json";
    let report = json(&run(words).text());
    let figures = &report["figures"];
    for figure in ["from_nothing_ms", "join_p50_ms", "leave_p50_ms"] {
        assert!(figures[figure].as_f64() > Some(0.0), "{figure}: {report}");
    }
    // It is missed once its session has timed out, and not before.
    assert!(figures["death_p50_ms"].as_f64() > Some(200.0), "{report}");
}

#[test]
fn every_group_reads_and_commits_everything() {
    let server = Server::in_memory();
    let filled = "bench produce --records 300 --partitions 3";
    server.run(filled).text();
    let words = "bench groups --groups 7 --commit-every 40 --output json";
    let report = json(&server.run(words).text());
    assert_eq!(report["records"], 7 * 300);
    assert_eq!(report["verified"], true);
    assert!(report["latency_us"]["p99"].is_f64(), "{report}");
}

#[test]
fn a_compacted_log_has_the_latest_of_each_key() {
    for beside in ["", "--rate 500"] {
        let words = format!(
            "bench compact --records 20000 --keys 700 --segment-bytes 64KiB --output json {beside}"
        );
        let report = json(&run(words.trim()).text());
        assert_eq!(report["verified"], true, "{beside}");
        assert!(report["records"].as_u64() > Some(10_000), "{report}");
        assert!(report["bytes_per_second"].as_f64() > Some(0.0), "{report}");
        let ratio = &report["figures"]["p99_ratio"];
        assert_eq!(ratio.is_f64(), !beside.is_empty(), "{report}");
    }
}
