//! What records in flight and delayed records cost, at the worst.

use std::time::Duration;

use super::bench::{Bench, Record};

const RECORDS: u64 = 1_000_000;

/// As many leases are enough to see what one costs: nothing grows faster than their number.
const LEASES: u64 = 250_000;

fn fill(bench: &mut Bench, records: u64) {
    for _ in 0..records {
        bench.produce(Record {
            key: None,
            due: None,
            gone: false,
        });
    }
}

#[test]
fn records_in_flight_cost_at_most_64_bytes_each_even_one_by_one() {
    let mut bench = Bench::new(&[
        ("in_flight_max", "1000000"),
        ("in_flight_per_consumer_max", "1000000"),
    ]);
    fill(&mut bench, LEASES);
    for _ in 0..LEASES {
        assert_eq!(bench.acquire("a", 1).ranges.len(), 1);
        bench.advance(Duration::from_micros(20));
    }
    let bytes = bench.queue().bytes();
    println!("{bytes} bytes in {LEASES} records in flight, one by one");
    assert_eq!(bench.counters().in_flight, LEASES);
    assert!(bytes as u64 <= 64 * LEASES, "{bytes} bytes");
}

#[test]
fn records_in_flight_by_the_thousand_cost_next_to_nothing() {
    let mut bench = Bench::new(&[
        ("in_flight_max", "1000000"),
        ("in_flight_per_consumer_max", "1000000"),
    ]);
    fill(&mut bench, RECORDS);
    for _ in 0..RECORDS / 1_000 {
        bench.acquire("a", 1_000);
    }
    let bytes = bench.queue().bytes();
    assert_eq!(bench.counters().in_flight, RECORDS);
    assert!(bytes < 200_000, "{bytes} bytes");
}

#[test]
fn a_million_delayed_records_cost_at_most_24_bytes_each_even_among_others() {
    for every in [1, 2] {
        let mut bench = Bench::new(&[("in_flight_per_consumer_max", "100000")]);
        let day = Duration::from_hours(24);
        let soon = bench.now.wall.plus(day);
        for offset in 0..RECORDS * every {
            // In no order of time.
            let after = Duration::from_millis(offset * 7_919 % 86_400_000);
            bench.produce(Record {
                key: None,
                due: (offset % every == 0).then(|| soon.plus(after)),
                gone: false,
            });
        }
        // Those between are delivered and done.
        loop {
            let granted = bench.acquire("a", 100_000);
            if granted.ranges.is_empty() {
                break;
            }
            let (first, last) = (granted.ranges[0].0, granted.ranges.last().unwrap().1);
            let action = crate::delivery::SettleAction::Acknowledge;
            bench
                .settle("a", (first, last), granted.token, action)
                .unwrap();
        }
        let bytes = bench.queue().bytes();
        println!("{bytes} bytes in {RECORDS} delayed records, one in {every}");
        assert_eq!(bench.counters().delayed, RECORDS);
        assert!(
            bytes as u64 <= 24 * RECORDS,
            "{bytes} bytes, one in {every}"
        );
    }
}
