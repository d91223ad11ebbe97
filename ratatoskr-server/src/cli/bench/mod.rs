//! `ratatoskr bench`: how fast a broker takes records and gives them back, and whether it gives back
//! what it was given.

mod compact;
mod consume;
mod e2e;
mod embedded;
mod fan_out;
mod groups;
mod in_process;
mod memory;
mod pacing;
mod poisoned_key;
mod produce;
mod queue;
mod queue_memory;
mod rebalance;
mod restart;
mod seek;
mod sinks;
mod stall;
mod tail;
mod target;
mod verdict;

use std::io::Write;

use clap::Subcommand;

use super::{connection, exit::Outcome, output};

const EXAMPLES: &str = "\
Examples:
  $ ratatoskr bench produce --records 20000
  $ ratatoskr bench produce --records 5000 --rate 10000
  $ ratatoskr bench produce --records 2000 && ratatoskr bench consume";

/// Which benchmark, at which broker.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES, subcommand_help_heading = "Verbs", subcommand_value_name = "VERB")]
pub(crate) struct Options {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    connection: connection::Options,
    #[command(flatten)]
    output: output::Options,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Send records, and measure until they are acknowledged
    Produce(produce::Options),
    /// Read a topic that `bench produce` filled, and verify every record
    Consume(consume::Options),
    /// Send records at a fixed rate, and measure until a consumer has them
    E2e(e2e::Options),
    /// Send records, and measure until many subscribers have each of them
    FanOut(fan_out::Options),
    /// Work off a topic that `bench produce` filled: take records under leases, acknowledge them
    Queue(queue::Options),
    /// Order records by key, one of which always fails, and measure what the others wait for it
    PoisonedKey(poisoned_key::Options),
    /// Hold records in flight or delayed in this process, and tell what memory each costs
    QueueMemory(queue_memory::Options),
    /// Let members of a consumer group come and go, and measure until partitions are spread anew
    Rebalance(rebalance::Options),
    /// Let many consumer groups read and commit a topic that `bench produce` filled
    Groups(groups::Options),
    /// Compact a log in this process, and tell how fast that is and what memory it takes
    Compact(compact::Options),
    /// Measure a broker in this process, without a network
    InProcess(in_process::Options),
    /// Fill a broker of its own, kill it, and measure until it is back
    Restart(restart::Options),
    /// Fetch from anywhere in a topic, by offset and by time
    Seek(seek::Options),
    /// Subscribe and take nothing, beside those who are measured
    Stall(stall::Options),
}

/// # Errors
/// What the broker answers; records that were not acknowledged, or not what was sent.
pub(crate) async fn run(options: &Options, out: &mut impl Write) -> Outcome {
    let at = &options.connection;
    let style = options.output.style();
    match &options.verb {
        Verb::Produce(options) => produce::run(options, at, style, out).await,
        Verb::Consume(options) => consume::run(options, at, style, out).await,
        Verb::E2e(options) => e2e::run(options, at, style, out).await,
        Verb::FanOut(options) => fan_out::run(options, at, style, out).await,
        Verb::Queue(options) => queue::run(options, at, style, out).await,
        Verb::PoisonedKey(options) => poisoned_key::run(options, at, style, out).await,
        Verb::QueueMemory(options) => queue_memory::run(options, at, style, out).await,
        Verb::Rebalance(options) => rebalance::run(options, at, style, out).await,
        Verb::Groups(options) => groups::run(options, at, style, out).await,
        Verb::Compact(options) => compact::run(options, at, style, out).await,
        Verb::InProcess(options) => in_process::run(options, at, style, out).await,
        Verb::Restart(options) => restart::run(options, at, style, out).await,
        Verb::Seek(options) => seek::run(options, at, style, out).await,
        Verb::Stall(options) => stall::run(options, at, style, out).await,
    }
}
