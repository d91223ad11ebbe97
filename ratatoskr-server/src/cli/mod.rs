//! The command line: one file a verb, and what they share.
//!
//! Stdout carries data, stderr everything else. A verb returns an [`exit::Outcome`]; only
//! [`main`] turns it into text and an exit code.

mod bench;
mod broker_error;
mod check;
mod confirm;
mod connection;
mod consume;
mod dlq;
mod exit;
mod explain;
mod filter;
mod format;
mod group;
mod logs;
mod node;
mod output;
mod produce;
mod progress;
mod queue;
mod serve;
mod settings;
mod signals;
mod start;
mod time;
mod topic;

use std::io::{self, BufWriter};

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use exit::{Exit, Outcome};
use signals::unless_interrupted;

const EXAMPLES: &str = "\
Examples:
  $ ratatoskr
  $ ratatoskr --memory
  $ ratatoskr check config";

/// A message broker: streams and queues on one log. Without a verb, it serves.
#[derive(Debug, Parser)]
#[command(
    name = "ratatoskr",
    version,
    args_conflicts_with_subcommands = true,
    subcommand_value_name = "VERB",
    subcommand_help_heading = "Verbs",
    max_term_width = 100
)]
struct Arguments {
    #[command(flatten)]
    serve: serve::Options,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the broker
    Serve(serve::Options),
    /// Send records from stdin or files
    Produce(produce::Options),
    /// Print the records of topics
    Consume(consume::Options),
    /// List, create, show, change and delete topics
    Topic(topic::Options),
    /// List, show, set back and delete consumer groups
    Group(group::Options),
    /// Work records off as a queue, and see to queue groups
    Queue(queue::Options),
    /// See to the records that queue groups have given up
    Dlq(dlq::Options),
    /// Measure how fast a broker takes and gives records
    Bench(bench::Options),
    /// Look for what is wrong with a configuration, a data directory or a server
    Check(check::Options),
    /// Say what an error name or an exit code means
    Explain(explain::Options),
}

/// Runs the program and returns the code that it ends with.
pub(crate) fn main() -> Exit {
    let arguments = match parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are data that was asked for; the rest is a wrong command line.
            let exit = if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Ok
            };
            return match error.print() {
                Ok(()) => exit,
                Err(error) => exit::Failure::from(error).report(),
            };
        }
    };
    match run(arguments) {
        Ok(()) => Exit::Ok,
        Err(failure) => failure.report(),
    }
}

fn parse() -> Result<Arguments, clap::Error> {
    // The options of `serve` bring their own examples along; these are those of the program.
    let matches = Arguments::command()
        .after_help(EXAMPLES)
        .try_get_matches()?;
    Arguments::from_arg_matches(&matches)
}

fn run(arguments: Arguments) -> Outcome {
    let runtime = tokio::runtime::Runtime::new().map_err(|error| {
        exit::Failure::new(Exit::Failure, "cannot start the threads of this program").because(error)
    })?;
    let mut out = BufWriter::new(io::stdout().lock());
    let verb = arguments.verb.unwrap_or(Verb::Serve(arguments.serve));
    runtime.block_on(async {
        match &verb {
            // It drains when a signal comes.
            Verb::Serve(options) => serve::run(options, &mut out).await,
            Verb::Produce(options) => unless_interrupted(produce::run(options)).await,
            // As a member of a group it commits and leaves when a signal comes.
            Verb::Consume(options) => consume::run(options, &mut out).await,
            Verb::Topic(options) => unless_interrupted(topic::run(options, &mut out)).await,
            Verb::Group(options) => unless_interrupted(group::run(options, &mut out)).await,
            // They end in their own time when they are interrupted, and say what they have done.
            Verb::Queue(options) => queue::run(options, &mut out).await,
            Verb::Dlq(options) => dlq::run(options, &mut out).await,
            Verb::Bench(options) => {
                // Its loads keep much between two waits.
                unless_interrupted(Box::pin(bench::run(options, &mut out))).await
            }
            Verb::Check(options) => unless_interrupted(check::run(options, &mut out)).await,
            Verb::Explain(options) => explain::run(options, &mut out),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The help of a verb and of every verb below it.
    fn helps(command: &mut clap::Command, path: &str, out: &mut Vec<String>) {
        out.push(format!("=== {path} ===\n{}", command.render_long_help()));
        let below: Vec<String> = command
            .get_subcommands()
            .map(|verb| verb.get_name().to_owned())
            .filter(|name| name != "help")
            .collect();
        for name in below {
            if let Some(verb) = command.find_subcommand_mut(&name) {
                helps(verb, &format!("{path} {name}"), out);
            }
        }
    }

    #[test]
    fn the_help_of_every_verb() {
        let mut command = Arguments::command().after_help(EXAMPLES).term_width(100);
        command.build();
        let mut texts = Vec::new();
        helps(&mut command, "ratatoskr", &mut texts);
        insta::assert_snapshot!(texts.join("\n"));
    }
}
