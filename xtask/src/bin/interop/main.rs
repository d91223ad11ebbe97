//! The clients that Kafka's users have against the real broker: what `cargo xtask interop` runs.
//!
//! ```text
//! main      options, one client after another, verdict
//! ├ broker   the broker's process, and its command line as the other door
//! ├ clients  the clients, and how each is run (its checks are in xtask/interop)
//! ├ install  what each language needs, and how its programs are started
//! ├ results  what the clients say
//! ├ version  which version of a client it is
//! └ table    the tables in docs/kafka.md
//! ```
//! A client's program gets the broker's address and a prefix for its topics, and prints a line for
//! each check. One that prints `restart` gets the broker killed and started again, and then a line on
//! its standard input. What it needs comes from its language's package registry; where that cannot be
//! reached, or the language is not installed, the client is skipped, loudly.

mod broker;
mod clients;
mod install;
mod results;
mod table;
mod version;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Result, bail};
use clap::{Parser, builder::PossibleValuesParser};

use broker::Broker;
use clients::CLIENTS;
use results::Row;

/// Runs the clients that Kafka's users have against the broker.
#[derive(Parser)]
#[command(name = "cargo xtask interop")]
struct Options {
    /// Only the clients that are quick to install and to run.
    #[arg(long)]
    quick: bool,
    /// Only this client; may be repeated.
    #[arg(long, value_name = "CLIENT", value_parser = PossibleValuesParser::new(CLIENTS.iter().map(|client| client.name)))]
    only: Vec<String>,
    /// Write what came of it into docs/kafka.md; clients that are not asked for keep what is there.
    #[arg(long)]
    write: bool,
    /// The root of the repository.
    #[arg(long, value_name = "DIRECTORY", hide = true)]
    root: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("interop: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> Result<()> {
    let mut broker = Broker::start(&options.root.join("target/interop/data")).await?;
    broker.fill_native_topic().await?;
    let mut ran = Vec::new();
    let wanted = CLIENTS.iter().filter(|client| {
        let is_named = options.only.iter().any(|name| name == client.name);
        is_named || (options.only.is_empty() && (client.is_quick || !options.quick))
    });
    for client in wanted {
        println!("== {}", client.name);
        let mut row = match client.command(&options.root).await {
            Ok(command) => {
                let lines = client.run(command, &mut broker).await?;
                Row::of(lines).with_version(client.version(&options.root)?)
            }
            Err(why) => {
                println!("SKIPPED: {}: {why:#}", client.name);
                ran.push((client.title, None));
                continue;
            }
        };
        if row.passed("keys") {
            let topic = format!("{}-keys", client.name);
            row.replace("keys", broker.check_keys(&topic).await);
        }
        print!("{row}");
        ran.push((client.title, Some(row)));
    }
    broker.stop().await?;
    if options.write {
        let titles = |is_application| {
            let some = CLIENTS.iter();
            let some = some.filter(|client| client.is_application == is_application);
            some.map(|client| client.title).collect()
        };
        let page = options.root.join("docs/kafka.md");
        table::write_into(&page, &[titles(false), titles(true)], &ran)?;
    }
    let rows = || ran.iter().filter_map(|(_, row)| row.as_ref());
    let failed = rows().map(Row::failed).sum::<usize>();
    let passed = rows().map(Row::succeeded).sum::<usize>();
    println!("{passed} passed, {failed} failed");
    if failed > 0 {
        bail!("{failed} checks failed");
    }
    Ok(())
}
