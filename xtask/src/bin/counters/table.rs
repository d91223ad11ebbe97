//! The committed table: what each workload may cost, and how that compares with what it does cost.

use std::{collections::BTreeMap, fmt::Write as _};

use anyhow::{Context, Result};
use serde::Deserialize;

/// What a record costs, each a mean over a round.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Costs {
    /// System calls; `None` where they could not be counted.
    pub(crate) system_calls: Option<f64>,
    /// Calls that allocate or grow an allocation.
    pub(crate) allocations: f64,
    /// Bytes copied by calls of `memcpy` and its like.
    pub(crate) bytes_copied: f64,
    /// Lock takes.
    pub(crate) lock_takes: f64,
}

impl Costs {
    /// The larger of each counter.
    pub(crate) fn max(self, other: Self) -> Self {
        let calls = self.system_calls.into_iter().chain(other.system_calls);
        Self {
            system_calls: calls.reduce(f64::max),
            allocations: self.allocations.max(other.allocations),
            bytes_copied: self.bytes_copied.max(other.bytes_copied),
            lock_takes: self.lock_takes.max(other.lock_takes),
        }
    }
}

/// Workload → the most that a record may cost.
pub(crate) type Table = BTreeMap<String, Costs>;

/// A counter of the table.
struct Counter {
    name: &'static str,
    of: fn(&Costs) -> Option<f64>,
    /// What a bound may exceed the measurement by at most: less than what one more call, lock or
    /// copied record costs.
    slack_max: f64,
    /// What it exceeds it by at least.
    slack_min: f64,
    /// Digits after the point in the table.
    digits: usize,
}

const COUNTERS: [Counter; 4] = [
    Counter {
        name: "system_calls",
        of: |costs| costs.system_calls,
        slack_max: 0.9,
        slack_min: 0.02,
        digits: 2,
    },
    Counter {
        name: "allocations",
        of: |costs| Some(costs.allocations),
        slack_max: 0.9,
        slack_min: 0.02,
        digits: 2,
    },
    Counter {
        name: "bytes_copied",
        of: |costs| Some(costs.bytes_copied),
        slack_max: 95.0,
        slack_min: 2.0,
        digits: 0,
    },
    Counter {
        name: "lock_takes",
        of: |costs| Some(costs.lock_takes),
        slack_max: 0.9,
        slack_min: 0.02,
        digits: 2,
    },
];

/// The part of a measurement by which its bound exceeds it, within the counter's limits.
const SLACK: f64 = 0.15;
/// What is below this part of its bound shows that the bound can be tightened; what differs from run to
/// run is not.
const LOOSE: f64 = 0.8;

/// What comparing found, in sentences.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    /// Counters above their bounds, and workloads without a row or the other way round.
    pub(crate) wrong: Vec<String>,
    /// Bounds that can be tightened.
    pub(crate) loose: Vec<String>,
}

/// # Errors
/// The text is not such a table.
pub(crate) fn parse(text: &str) -> Result<Table> {
    toml::from_str(text).context("the table of counters")
}

/// Compares each workload that was measured with its row; both must have the same workloads.
pub(crate) fn compare(bounds: &Table, measured: &Table) -> Findings {
    let mut findings = Findings::default();
    for (workload, costs) in measured {
        let Some(row) = bounds.get(workload) else {
            findings.wrong.push(format!("{workload}: has no row"));
            continue;
        };
        for counter in &COUNTERS {
            let (Some(found), Some(bound)) = ((counter.of)(costs), (counter.of)(row)) else {
                continue;
            };
            let said = |word: &str| {
                format!(
                    "{workload}: {found:.digits$} {} a record {word} {bound:.digits$}",
                    counter.name,
                    digits = counter.digits
                )
            };
            if found > bound {
                let percent = (found / bound - 1.0) * 100.0;
                let said = said("exceed the bound of");
                findings.wrong.push(format!("{said} by {percent:.0} %"));
            } else if found < LOOSE * bound - counter.slack_min {
                findings.loose.push(said("are well below the bound of"));
            }
        }
    }
    for workload in bounds.keys().filter(|name| !measured.contains_key(*name)) {
        findings
            .wrong
            .push(format!("{workload}: has a row and is not a workload"));
    }
    findings
}

/// The rows as they are committed: what was measured, and a slack on top. Where system calls could
/// not be counted, the bound of `before` stays.
pub(crate) fn blessed(measured: &Table, before: &Table) -> String {
    let mut text = String::from(
        "# The most that a record may cost in each workload of `cargo xtask counters`, which checks it.\n\
         # `cargo xtask counters --bless` writes this file; docs/counters.md explains it.\n\n",
    );
    let width = measured.keys().map(String::len).max().unwrap_or(0);
    for (workload, costs) in measured {
        let mut cells = Vec::new();
        for counter in &COUNTERS {
            let bound = match (counter.of)(costs) {
                Some(found) => Some(found + counter.slack(found)),
                None => before.get(workload).and_then(counter.of),
            };
            if let Some(bound) = bound {
                // Rounding must not take the slack away again.
                let unit = 10_f64.powi(i32::try_from(counter.digits).unwrap_or(0));
                let bound = (bound * unit).ceil() / unit;
                let (name, digits) = (counter.name, counter.digits.max(1));
                cells.push(format!("{name} = {bound:.digits$}"));
            }
        }
        let _ = writeln!(text, "{workload:width$} = {{ {} }}", cells.join(", "));
    }
    text
}

/// What was measured, for people.
pub(crate) fn shown(measured: &Table) -> String {
    let mut text = format!("{:>24}", "a record costs");
    for counter in &COUNTERS {
        let _ = write!(text, " {:>13}", counter.name);
    }
    for (workload, costs) in measured {
        let _ = write!(text, "\n{workload:>24}");
        for counter in &COUNTERS {
            let cell = (counter.of)(costs).map_or_else(
                || "-".to_owned(),
                |found| format!("{found:.digits$}", digits = counter.digits),
            );
            let _ = write!(text, " {cell:>13}");
        }
    }
    text
}

impl Counter {
    fn slack(&self, found: f64) -> f64 {
        (found * SLACK).clamp(self.slack_min, self.slack_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COSTS: Costs = Costs {
        system_calls: Some(0.1),
        allocations: 20.0,
        bytes_copied: 1_000.0,
        lock_takes: 5.0,
    };

    fn table(costs: Costs) -> Table {
        Table::from([("publish".to_owned(), costs)])
    }

    /// The bounds that [`COSTS`] were blessed with.
    fn bounds() -> Table {
        parse(&blessed(&table(COSTS), &Table::new())).unwrap()
    }

    fn found(costs: Costs) -> Findings {
        compare(&bounds(), &table(costs))
    }

    #[test]
    fn what_was_blessed_passes() {
        assert_eq!(found(COSTS), Findings::default());
    }

    #[test]
    fn each_counter_fails_when_it_grows_by_one() {
        let grown = [
            (
                "system_calls",
                Costs {
                    system_calls: Some(0.2),
                    ..COSTS
                },
            ),
            (
                "allocations",
                Costs {
                    allocations: 21.0,
                    ..COSTS
                },
            ),
            (
                "bytes_copied",
                Costs {
                    bytes_copied: 1_100.0,
                    ..COSTS
                },
            ),
            (
                "lock_takes",
                Costs {
                    lock_takes: 6.0,
                    ..COSTS
                },
            ),
        ];
        for (name, costs) in grown {
            let wrong = found(costs).wrong;
            assert_eq!(wrong.len(), 1, "{name}: {wrong:?}");
            assert!(wrong[0].starts_with("publish: ") && wrong[0].contains(name));
        }
    }

    #[test]
    fn the_message_says_which_and_by_how_much() {
        let costs = Costs {
            allocations: 41.0,
            ..COSTS
        };
        assert_eq!(
            found(costs).wrong,
            ["publish: 41.00 allocations a record exceed the bound of 20.90 by 96 %"]
        );
    }

    #[test]
    fn a_bound_far_above_is_reported_and_passes() {
        let findings = found(Costs {
            lock_takes: 2.0,
            ..COSTS
        });
        assert_eq!(
            findings.loose,
            ["publish: 2.00 lock_takes a record are well below the bound of 5.75"]
        );
        assert!(findings.wrong.is_empty());
    }

    #[test]
    fn a_workload_without_a_row_fails_and_so_does_a_row_without_a_workload() {
        let wrong = compare(&Table::new(), &table(COSTS)).wrong;
        assert_eq!(wrong, ["publish: has no row"]);
        let wrong = compare(&bounds(), &Table::new()).wrong;
        assert_eq!(wrong, ["publish: has a row and is not a workload"]);
    }

    #[test]
    fn uncounted_system_calls_neither_fail_nor_lose_their_bound() {
        let uncounted = Costs {
            system_calls: None,
            ..COSTS
        };
        assert_eq!(found(uncounted), Findings::default());
        let again = parse(&blessed(&table(uncounted), &bounds())).unwrap();
        assert_eq!(again, bounds());
    }

    #[test]
    fn a_row_with_a_counter_that_is_not_known_is_refused() {
        let text =
            "publish = { allocations = 1.0, bytes_copied = 1.0, lock_takes = 1.0, wishes = 1.0 }";
        assert!(parse(text).is_err());
    }
}
