//! Scripts for scenarios: commands begin with `>`, what they answer follows. Each is run, and must read as
//! it is written here.
//!
//! | command | does |
//! |---|---|
//! | `produce N [key=K] [in=T] [gone]` | appends records; `in`: delayed by so much; `gone`: compacted away |
//! | `acquire WHO N` | answers ranges with the delivery they are on, and the token |
//! | `ack\|release\|reject\|retry\|extend WHO FIRST-LAST TOKEN [TIME]` | settles; TIME for `retry`, `extend` |
//! | `leave WHO`, `advance T`, `bury` | gives all back; lets time pass; moves dead letters |
//! | `restart`, `restart snapshot` | builds the state from its log, or from a snapshot |
//! | `config KEY=VALUE …`, `show` | configures; shows how many records are in which state |

use std::{fmt::Write, time::Duration};

use super::bench::{Bench, Record};
use crate::{
    config::parse_duration,
    delivery::{FencingToken, QueueError, SettleAction},
};

/// The epoch in the high bits, the counter in the low ones: `1.7`.
fn show_token(token: FencingToken) -> String {
    format!("{}.{}", token.get() >> 40, token.get() & ((1 << 40) - 1))
}

fn parse_token(text: &str) -> FencingToken {
    let (epoch, counter) = text.split_once('.').unwrap();
    FencingToken::new((epoch.parse::<u64>().unwrap() << 40) + counter.parse::<u64>().unwrap())
}

fn show_range(first: u64, last: u64) -> String {
    if first == last {
        first.to_string()
    } else {
        format!("{first}-{last}")
    }
}

fn run(bench: &mut Bench, command: &str) -> String {
    let mut words = command.split_whitespace();
    let mut out = String::new();
    let verb = words.next().unwrap();
    let rest: Vec<_> = words.collect();
    match verb {
        "config" => {
            let config: Vec<_> = rest.iter().map(|kv| kv.split_once('=').unwrap()).collect();
            bench.configure(&config);
        }
        "produce" => {
            let value = |name: &str| {
                let mut words = rest.iter();
                words.find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
            };
            let key = value("key").map(|key| u64::from(key.as_bytes()[0]));
            let due = value("in").map(|after| bench.now.wall.plus(parse_duration(after).unwrap()));
            for _ in 0..rest[0].parse().unwrap() {
                bench.produce(Record {
                    key,
                    due,
                    gone: rest.contains(&"gone"),
                });
            }
        }
        "acquire" => {
            let granted = bench.acquire(rest[0], rest[1].parse().unwrap());
            for &(first, last, count) in &granted.ranges {
                write!(out, "{} delivery {count}, ", show_range(first, last)).unwrap();
            }
            if granted.ranges.is_empty() {
                writeln!(out, "nothing").unwrap();
            } else {
                writeln!(out, "token {}", show_token(granted.token)).unwrap();
            }
            if let Some(limited) = granted.limited.filter(|_| granted.room == 0) {
                writeln!(out, "limited by {limited:?}").unwrap();
            }
        }
        "leave" => writeln!(out, "{} given back", bench.leave(rest[0])).unwrap(),
        "advance" => {
            bench.advance(parse_duration(rest[0]).unwrap());
            bench.tick();
        }
        "bury" => {
            for work in bench.bury() {
                let to = work.to.map_or("nowhere".to_owned(), |to| to.to_string());
                let dead = work.dead;
                let failed = [dead.first_failure, dead.last_failure]
                    .map(|at| (at.get() - 1_000_000) / 1_000);
                writeln!(
                    out,
                    "{} to {to}: {}, {} attempts, failed at {}s and {}s",
                    show_range(work.first, work.last),
                    dead.cause,
                    dead.count,
                    failed[0],
                    failed[1]
                )
                .unwrap();
            }
        }
        "restart" if rest.is_empty() => bench.restart(),
        "restart" => bench.restart_from_snapshot(),
        "show" => {
            let counters = bench.counters();
            writeln!(
                out,
                "start {}, {} in flight, {} delayed, {} blocked, {} dying",
                bench.start(),
                counters.in_flight,
                counters.delayed,
                counters.blocked,
                counters.dying
            )
            .unwrap();
        }
        _ => out = settle(bench, verb, &rest),
    }
    out
}

fn settle(bench: &mut Bench, verb: &str, rest: &[&str]) -> String {
    let (first, last) = rest[1].split_once('-').unwrap_or((rest[1], rest[1]));
    let range = (first.parse().unwrap(), last.parse().unwrap());
    let time = rest.get(3).and_then(|time| parse_duration(time));
    let action = match verb {
        "ack" => SettleAction::Acknowledge,
        "release" => SettleAction::Release,
        "reject" => SettleAction::Reject {
            cause: "bad".into(),
        },
        "retry" => SettleAction::Retry {
            after: time,
            cause: Some("busy".into()),
        },
        "extend" => SettleAction::Extend(time.unwrap_or(Duration::ZERO)),
        _ => panic!("{verb}?"),
    };
    match bench.settle(rest[0], range, parse_token(rest[2]), action) {
        Ok(()) => String::new(),
        Err(QueueError::InvalidSettlement(why)) => format!("invalid: {why}\n"),
        Err(error) => format!("{error:?}\n"),
    }
}

pub(super) fn check_on(mut bench: Bench, scenario: &str) {
    let lines: Vec<_> = scenario
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let expected = lines.join("\n") + "\n";
    let mut found = String::new();
    for command in lines.iter().filter_map(|line| line.strip_prefix("> ")) {
        writeln!(found, "> {command}").unwrap();
        found += &run(&mut bench, command);
    }
    assert_eq!(
        found, expected,
        "\n-- found:\n{found}\n-- expected:\n{expected}"
    );
}

pub(super) fn check(scenario: &str) {
    check_on(Bench::new(&[]), scenario);
}
