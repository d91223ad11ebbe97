//! How a benchmark ends: the report on stdout, and an exit code that tells whether to believe it.

use std::io::Write;

use ratatoskr_server::load::{Report, Tally, Verifier};

use crate::cli::{
    exit::{Exit, Failure, Outcome},
    output::{self, Style},
};

/// Prints a report.
///
/// # Errors
/// Stdout cannot be written to.
pub(super) fn print(report: &Report, style: Style, out: &mut impl Write) -> Outcome {
    output::one(style, report, out, |out, _| Ok(write!(out, "{report}")?))
}

/// # Errors
/// [`Exit::Partial`] where some records were not acknowledged, [`Exit::Failure`] where none was.
pub(super) fn all_acknowledged(tally: &Tally) -> Outcome {
    let Some(error) = &tally.first_error else {
        return Ok(());
    };
    let exit = if tally.records == 0 {
        Exit::Failure
    } else {
        Exit::Partial
    };
    let what = format!("{} records were not acknowledged", tally.failed);
    Err(Failure::new(exit, what)
        .because(error)
        .next("ratatoskr check server"))
}

/// # Errors
/// [`Exit::Failure`] where something else came out than went in; `missing` records never came.
pub(super) fn all_as_sent(seen: &Verifier, missing: u64) -> Outcome {
    if seen.is_satisfied() && missing == 0 {
        return Ok(());
    }
    let why = format!(
        "{} records are as they were sent, {} are not, {} are out of order, {missing} are missing",
        seen.good, seen.foreign, seen.out_of_order
    );
    Err(
        Failure::new(Exit::Failure, "what was read is not what was sent")
            .because(why)
            .next("--topic NAME, if others write to this topic; else ratatoskr check server"),
    )
}

/// A task of the benchmark that ended early is a bug of it, or an interrupted runtime.
pub(super) fn ended_early(error: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Failure, "a part of the benchmark ended early").because(error)
}
