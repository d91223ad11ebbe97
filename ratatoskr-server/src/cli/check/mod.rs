//! `ratatoskr check`: looks for what is wrong, changes nothing, and ends with 0 only if all is well.

mod config;
mod data;
mod server;

use std::io::Write;

use clap::Subcommand;
use serde::Serialize;

use super::{
    connection,
    exit::{Exit, Failure, Outcome},
    node,
    output::{self, Row},
};

const EXAMPLES: &str = "\
Examples:
  $ ratatoskr check config
  $ RATATOSKR_NATIVE__LISTEN=127.0.0.1:7700 ratatoskr check config --output table
  $ ratatoskr check server";

const CONFIG_EXAMPLES: &str = "\
Examples:
  $ ratatoskr check config --config ratatoskr.toml";

const DATA_EXAMPLES: &str = "\
Examples:
  $ ratatoskr check data --data-dir ./data

The directory is opened as a start of the broker would open it: what a crash left is put in order,
and a broker that has it open must be stopped before.";

const SERVER_EXAMPLES: &str = "\
Examples:
  $ ratatoskr check server
  $ ratatoskr check server --timeout 2 --output table";

/// What to check, and how to print the findings.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES, subcommand_help_heading = "Verbs", subcommand_value_name = "VERB")]
pub(crate) struct Options {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    output: output::Options,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Are file, environment and flags a configuration?
    #[command(after_help = CONFIG_EXAMPLES)]
    Config(node::Options),
    /// Can everything in a data directory be read, and is it what was written?
    #[command(after_help = DATA_EXAMPLES)]
    Data(node::Options),
    /// Does a broker answer, and is anything of it down?
    #[command(after_help = SERVER_EXAMPLES)]
    Server(connection::Options),
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    check: String,
    ok: bool,
    detail: String,
}

impl Finding {
    fn good(check: String, detail: String) -> Self {
        Self {
            check,
            ok: true,
            detail,
        }
    }

    fn bad(check: String, detail: String) -> Self {
        Self {
            check,
            ok: false,
            detail,
        }
    }
}

impl Row for Finding {
    const COLUMNS: &'static [&'static str] = &["CHECK", "OK", "DETAIL"];
    const NARROW: usize = 3;

    fn cells(&self) -> Vec<String> {
        let ok = if self.ok { "yes" } else { "NO" };
        vec![self.check.clone(), ok.to_owned(), self.detail.clone()]
    }
}

/// # Errors
/// Something is wrong; everything that was looked at has been printed.
pub(crate) async fn run(options: &Options, out: &mut impl Write) -> Outcome {
    let findings = match &options.what {
        What::Config(node) => config::check(node)?,
        What::Data(node) => data::check(node).await?,
        What::Server(connection) => server::check(connection).await?,
    };
    output::list(options.output.style(), &findings, out)?;
    let wrong = findings.iter().filter(|finding| !finding.ok).count();
    if wrong > 0 {
        return Err(Failure::new(
            Exit::Failure,
            format!("{wrong} of {} checks failed", findings.len()),
        ));
    }
    Ok(())
}
