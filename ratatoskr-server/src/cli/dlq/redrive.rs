//! `ratatoskr dlq redrive`.
//!
//! The broker goes through the letters from the oldest on in each request, and passes over those that
//! went back before. Letters that it cannot send back stay in front, so each step asks for as many more.
//! Letters of records that fail again while this runs are not sent back once more.

use std::{io::Write, num::NonZeroU32};

use ratatoskr_core::{
    broker::{RedriveOptions, RedriveReport},
    name::TopicName,
};
use serde::Serialize;

use super::{filter, steps};
use crate::cli::{
    connection,
    exit::{Exit, Failure, Outcome},
    output::{self, Style},
    progress::Progress,
    signals::unless_interrupted,
};

/// Letters that one step sends back at most.
const STEP_LETTERS: u64 = 1_000;

const EXAMPLES: &str = "\
Examples:
  $ ratatoskr dlq redrive orders.dlq --dry-run
  $ ratatoskr dlq redrive orders.dlq --filter cause=grep --filter since=-1h --limit 1
  $ ratatoskr dlq redrive orders.dlq --rate 100

A letter goes back as a new record at the end of its topic, and every group that reads the topic gets \
it. It is sent first and crossed out here then: a crash between the two may send it twice.";

/// Which letters, and how.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    /// The dead-letter topic
    topic: TopicName,
    #[command(flatten)]
    filter: filter::Options,
    /// Send at most this many letters a second
    #[arg(long, value_name = "LETTERS")]
    rate: Option<NonZeroU32>,
    /// Stop after this many letters [default: as many as there are when it begins]
    #[arg(long, value_name = "LETTERS")]
    limit: Option<u64>,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Serialize)]
struct Redriven<'a> {
    topic: &'a str,
    dry_run: bool,
    #[serde(flatten)]
    report: RedriveReport,
}

/// # Errors
/// What the broker answers, or stdout cannot be written to; [`Exit::Partial`] where only some of the
/// letters went back.
pub(super) async fn run(
    options: &Options,
    at: &connection::Options,
    style: Style,
    out: &mut impl Write,
) -> Outcome {
    let filter = options.filter.filter()?;
    let pace = Pace::new(options.rate, at)?;
    let client = at.connect().await?;
    let letters = steps::letters(&options.topic, &client, at).await?;
    let goal = options.limit.map_or(letters, |limit| limit.min(letters));
    let mut request = RedriveOptions {
        filter,
        rate: options.rate.map(NonZeroU32::get),
        limit: Some(goal),
        dry_run: options.dry_run,
    };
    let mut total = RedriveReport::default();
    let worked = if options.dry_run {
        let would = client.redrive_dead_letters(&options.topic, &request);
        unless_interrupted(at.ask(would))
            .await
            .map(|report| total = report)
    } else {
        let progress = Progress::records(Some(goal));
        let step = async || {
            // None of these goes back twice, so no more than wanted do in all.
            let left = goal - total.redriven - total.failed;
            let wanted = pace.letters(total.failed).min(left);
            let limit = total.failed + wanted;
            request.limit = Some(limit);
            let asked = client.redrive_dead_letters(&options.topic, &request);
            let step = at.ask(asked).await?;
            total.examined = total.redriven + step.examined;
            total.redriven += step.redriven;
            total.failed = step.failed;
            total.matched = total.redriven + total.failed;
            progress.advance(step.redriven);
            Ok(step.matched == limit && total.matched < goal && pace.letters(total.failed) > 0)
        };
        steps::one_after_another(step).await
    };
    let interrupted = matches!(&worked, Err(failure) if failure.exit == Exit::Interrupted);
    if worked.is_ok() || total.redriven > 0 || interrupted {
        let redriven = Redriven {
            topic: options.topic.as_str(),
            dry_run: options.dry_run,
            report: total,
        };
        print(&redriven, style, out)?;
    }
    steps::ending(worked, total.redriven)?;
    if total.failed > 0 {
        return Err(Failure::new(
            Exit::Partial,
            format!("{} letters did not go back", total.failed),
        )
        .because("their topic is gone, or does not take them")
        .next(format!(
            "ratatoskr dlq show {0}, and for the others ratatoskr dlq redrive {0} --filter topic=NAME",
            options.topic
        )));
    }
    Ok(())
}

fn print(redriven: &Redriven<'_>, style: Style, out: &mut impl Write) -> Outcome {
    output::one(style, redriven, out, |out, _| {
        let report = &redriven.report;
        let examined = report.examined;
        if redriven.dry_run {
            writeln!(
                out,
                "{} of {examined} letters would go back",
                report.matched
            )?;
        } else {
            writeln!(out, "{} of {examined} letters went back", report.redriven)?;
        }
        Ok(())
    })
}

/// How many letters one step asks for.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// Most letters, failing ones included, where there is a rate to be kept.
    bounded: Option<u64>,
}

impl Pace {
    /// With a rate, a step must take less than the broker has to answer.
    ///
    /// # Errors
    /// [`Exit::Usage`] where that is less than a letter.
    fn new(rate: Option<NonZeroU32>, at: &connection::Options) -> Outcome<Self> {
        let bounded = rate.map(|rate| u64::from(rate.get()) * at.timeout().as_secs() / 2);
        if bounded == Some(0) {
            return Err(Failure::usage(
                "at this --rate no letter goes back within --timeout",
            ));
        }
        Ok(Self {
            bounded: bounded.map(|letters| letters.min(STEP_LETTERS)),
        })
    }

    /// Letters to ask for beside those that failed before and are still in front.
    fn letters(self, failed: u64) -> u64 {
        match self.bounded {
            Some(most) => most.saturating_sub(failed),
            // As many as they are, lest each step goes through them for nothing.
            None => STEP_LETTERS.max(failed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_redrive_prints_does_not_change() {
        let mut out = Vec::new();
        for dry_run in [true, false] {
            let redriven = Redriven {
                topic: "orders.dlq",
                dry_run,
                report: RedriveReport {
                    examined: 9,
                    matched: 7,
                    redriven: if dry_run { 0 } else { 6 },
                    failed: u64::from(!dry_run),
                },
            };
            for style in [Style::Table, Style::Ndjson] {
                print(&redriven, style, &mut out).unwrap();
            }
        }
        insta::assert_snapshot!(String::from_utf8(out).unwrap());
    }
}
