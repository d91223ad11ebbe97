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
