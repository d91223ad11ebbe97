//! `ratatoskr check`: looks for what is wrong, changes nothing, and ends with 0 only if all is well.

mod config;

use std::io::Write;

use clap::Subcommand;
use serde::Serialize;

use super::{
    exit::{Exit, Failure, Outcome},
    node,
    output::{self, Row},
};

const EXAMPLES: &str = "\
Examples:
  $ ratatoskr check config
  $ RATATOSKR_NATIVE__LISTEN=127.0.0.1:7700 ratatoskr check config --output table";

/// What to check, and how to print the findings.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Options {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    output: output::Options,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Are file, environment and flags a configuration?
    Config(node::Options),
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    check: String,
    ok: bool,
    detail: String,
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
pub(crate) fn run(options: &Options, out: &mut impl Write) -> Outcome {
    let findings = match &options.what {
        What::Config(node) => config::check(node)?,
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
