//! Settings of queue groups as `NAME=VALUE` on the command line.

use ratatoskr_core::delivery::QueueConfigChange;

use crate::cli::{exit::Outcome, settings};

/// Names and values for the help of the verbs that take them.
pub(super) const HELP: &str = "\
Settings:
  lease_ms                    how long a consumer may hold records: 100ms to 12h
  attempts_max                deliveries after which a record is a dead letter: 1 to 1000
  backoff_min_ms              wait before the second attempt: 1s
  backoff_max_ms              longest wait between attempts: 5m
  backoff_multiplier          how many times as long as the one before each wait is: 1 to 100
  backoff_jitter_percent      by how much waits are shortened at random: 0 to 100
  dead_letters                topic (its name with .dlq behind it), topic:NAME or discard
  dead_letter_expired         whether records past their time to live are dead letters: true, false
  ordered_by_key              whether records of one key go out one at a time, in order: true, false
  in_flight_max               records that all consumers may hold at once
  in_flight_per_consumer_max  records that one consumer may hold at once
  start                       where a topic is begun: start, end or milliseconds since 1970";

/// One change out of all of them; the last word counts where a name stands twice.
///
/// # Errors
/// [`Exit::Usage`](crate::cli::exit::Exit::Usage) for an unknown name or a value that cannot be.
pub(super) fn change(settings: &[String]) -> Outcome<QueueConfigChange> {
    let mut change = QueueConfigChange::default();
    settings::each(settings, &QueueConfigChange::KEYS, |name, value| {
        change.set(name, value)
    })?;
    Ok(change)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_names_every_setting() {
        let named: Vec<_> = HELP
            .lines()
            .skip(1)
            .filter_map(|line| line.split_whitespace().next())
            .collect();
        assert_eq!(named, QueueConfigChange::KEYS);
    }
}
