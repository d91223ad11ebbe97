//! The clients that Kafka's users have against the real broker: what `cargo xtask interop` runs.
//!
//! ```text
//! main      options, one client after another, verdict
//! ├ broker   the broker's process, and its command line as the other door
//! ├ clients  what each client needs, and how it is started (its checks are in xtask/interop)
//! └ results  what the clients say, and the table in docs/kafka.md
//! ```
//! A client's program gets the broker's address and a prefix for its topics, and prints a line for
//! each check. What it needs comes from its language's package registry; where that cannot be
//! reached, or the language is not installed, the client is skipped, loudly.

mod broker;
mod clients;
mod results;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Result, bail};
use clap::Parser;

use broker::Broker;
use clients::CLIENTS;
use results::{Results, Row};

/// Runs the clients that Kafka's users have against the broker.
#[derive(Parser)]
#[command(name = "cargo xtask interop")]
struct Options {
    /// Only the clients that are quick to install and to run.
    #[arg(long)]
    quick: bool,
    /// Only this client; may be repeated.
    #[arg(long, value_name = "CLIENT")]
    only: Vec<String>,
    /// Write the table into docs/kafka.md.
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
    let broker = Broker::start(&options.root.join("target/interop/data")).await?;
    broker.fill_native_topic().await?;
    let mut results = Results::default();
    let wanted = CLIENTS.iter().filter(|client| {
        let is_named = options.only.iter().any(|name| name == client.name);
        is_named || (options.only.is_empty() && (client.is_quick || !options.quick))
    });
    for client in wanted {
        println!("== {}", client.name);
        let mut row = match client.command(&options.root).await {
            Ok(command) => Row::of(client.title, client.run(command, &broker).await?),
            Err(why) => {
                println!("SKIPPED: {}: {why:#}", client.name);
                results.skipped.push(client.title);
                continue;
            }
        };
        if row.passed("keys") {
            let topic = format!("{}-keys", client.name);
            row.replace("keys", broker.check_keys(&topic).await);
        }
        print!("{row}");
        results.rows.push(row);
    }
    broker.stop().await?;
    if options.write {
        results.write_into(&options.root.join("docs/kafka.md"))?;
    }
    let failed = results.rows.iter().map(Row::failed).sum::<usize>();
    let passed = results.rows.iter().map(Row::succeeded).sum::<usize>();
    println!("{passed} passed, {failed} failed");
    if failed > 0 {
        bail!("{failed} checks failed");
    }
    Ok(())
}
