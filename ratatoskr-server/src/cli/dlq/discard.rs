//! `ratatoskr dlq discard`.

use std::io::Write;

use ratatoskr_core::{broker::DiscardReport, name::TopicName};
use serde::Serialize;

use super::{filter, steps};
use crate::cli::{
    confirm::confirm,
    connection,
    exit::{Exit, Outcome},
    output::{self, Style},
    progress::Progress,
    signals::unless_interrupted,
};

/// Letters that one step discards at most.
const STEP_LETTERS: u64 = 10_000;

const EXAMPLES: &str = "\
Examples:
  $ ratatoskr dlq discard orders.dlq --dry-run
  $ ratatoskr dlq discard orders.dlq --filter until=-7d --limit 1000 -y

What is discarded is neither shown nor redriven any more. Plain readers of the topic see it until its \
retention removes it.";

/// Which letters.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    /// The dead-letter topic
    topic: TopicName,
    #[command(flatten)]
    filter: filter::Options,
    /// Stop after this many letters [default: as many as there are when it begins]
    #[arg(long, value_name = "LETTERS")]
    limit: Option<u64>,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

#[derive(Debug, Serialize)]
struct Discarded<'a> {
    topic: &'a str,
    dry_run: bool,
    #[serde(flatten)]
    report: DiscardReport,
}

/// # Errors
/// What the broker answers, or stdout cannot be written to; [`Exit::Partial`] where it failed in the
/// middle.
pub(super) async fn run(
    options: &Options,
    at: &connection::Options,
    style: Style,
    out: &mut impl Write,
) -> Outcome {
    let topic = &options.topic;
    let filter = options.filter.filter()?;
    if !options.dry_run {
        let what = format!("Discarding letters of {topic}");
        confirm(options.yes, &what, topic.as_str())?;
    }
    let client = at.connect().await?;
    let letters = steps::letters(topic, &client, at).await?;
    let goal = options.limit.map_or(letters, |limit| limit.min(letters));
    let mut total = DiscardReport::default();
    let worked = if options.dry_run {
        let would = client.discard_dead_letters(topic, &filter, Some(goal), true);
        unless_interrupted(at.ask(would))
            .await
            .map(|report| total = report)
    } else {
        let progress = Progress::records(Some(goal));
        let step = async || {
            let limit = (goal - total.discarded).min(STEP_LETTERS);
            let asked = client.discard_dead_letters(topic, &filter, Some(limit), false);
            let step = at.ask(asked).await?;
            total.examined = total.discarded + step.examined;
            total.discarded += step.discarded;
            progress.advance(step.discarded);
            Ok(step.discarded == limit && total.discarded < goal)
        };
        steps::one_after_another(step).await
    };
    let interrupted = matches!(&worked, Err(failure) if failure.exit == Exit::Interrupted);
    if worked.is_ok() || total.discarded > 0 || interrupted {
        let discarded = Discarded {
            topic: topic.as_str(),
            dry_run: options.dry_run,
            report: total,
        };
        print(&discarded, style, out)?;
    }
    steps::ending(worked, total.discarded)
}

fn print(discarded: &Discarded<'_>, style: Style, out: &mut impl Write) -> Outcome {
    output::one(style, discarded, out, |out, _| {
        let DiscardReport {
            examined,
            discarded: letters,
        } = discarded.report;
        let verb = if discarded.dry_run {
            "would be"
        } else {
            "were"
        };
        writeln!(out, "{letters} of {examined} letters {verb} discarded")?;
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_discard_prints_does_not_change() {
        let mut out = Vec::new();
        for dry_run in [true, false] {
            let discarded = Discarded {
                topic: "orders.dlq",
                dry_run,
                report: DiscardReport {
                    examined: 9,
                    discarded: 7,
                },
            };
            for style in [Style::Table, Style::Ndjson] {
                print(&discarded, style, &mut out).unwrap();
            }
        }
        insta::assert_snapshot!(String::from_utf8(out).unwrap());
    }
}
