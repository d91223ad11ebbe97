//! `ratatoskr explain CODE`: what an error name or an exit code means, and what to do about it.

mod errors;

use std::io::Write;

use ratatoskr_core::wire::ErrorCode;
use serde::Serialize;

use super::{
    exit::{Exit, Failure, Outcome},
    output::{self, Row},
};

const EXAMPLES: &str = "\
Examples:
  $ ratatoskr explain unknown_topic
  $ ratatoskr explain 6
  $ ratatoskr explain --output wide";

/// What to explain.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Options {
    #[arg(help = "\
An exit code (6), the name of an error (unknown_topic) or its number on the wire (#20); all there \
is when left out")]
    code: Option<String>,
    #[command(flatten)]
    output: output::Options,
}

/// One explanation.
#[derive(Debug, Serialize)]
struct Explanation {
    kind: &'static str,
    code: u16,
    name: &'static str,
    retryable: bool,
    meaning: &'static str,
    advice: &'static str,
}

impl Row for Explanation {
    const COLUMNS: &'static [&'static str] = &["KIND", "CODE", "NAME", "MEANING", "ADVICE"];
    const NARROW: usize = 4;

    fn cells(&self) -> Vec<String> {
        vec![
            self.kind.to_owned(),
            self.code.to_string(),
            self.name.to_owned(),
            self.meaning.to_owned(),
            self.advice.to_owned(),
        ]
    }
}

/// # Errors
/// The code is not known, or stdout cannot be written to.
pub(crate) fn run(options: &Options, out: &mut impl Write) -> Outcome {
    let style = options.output.style();
    let Some(code) = &options.code else {
        return output::list(style, &everything(), out);
    };
    let found = everything().into_iter().find(|explanation| {
        let number = match explanation.kind {
            "exit" => explanation.code.to_string(),
            _ => format!("#{}", explanation.code),
        };
        number == *code || (explanation.kind == "error" && explanation.name == code)
    });
    let Some(found) = found else {
        let nearest = ErrorCode::ALL
            .iter()
            .map(|known| (strsim::jaro_winkler(known.name(), code), known.name()))
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .map_or("", |(_, name)| name);
        return Err(
            Failure::new(Exit::NotFound, format!("no code is named {code:?}"))
                .because(format!("the nearest name is {nearest}"))
                .next("ratatoskr explain"),
        );
    };
    output::one(style, &found, out, |out, _| {
        writeln!(out, "{} {} ({})", found.kind, found.name, found.code)?;
        writeln!(out, "\n{}.", found.meaning)?;
        if found.retryable {
            writeln!(out, "The same request may succeed later, unchanged.")?;
        }
        if !found.advice.is_empty() {
            writeln!(out, "\n{}", found.advice)?;
        }
        Ok(())
    })
}

fn everything() -> Vec<Explanation> {
    let exits = Exit::ALL.map(|(exit, name, meaning)| Explanation {
        kind: "exit",
        code: exit.number().into(),
        name,
        retryable: matches!(exit, Exit::Unreachable),
        meaning,
        advice: match exit {
            Exit::Unreachable => "Is the broker running, and is --server its address?",
            Exit::Conflict => "The error names what is taken and by whom.",
            Exit::Partial => "stderr says what was done and what was not.",
            _ => "",
        },
    });
    let errors = ErrorCode::ALL.iter().map(|code| {
        let (meaning, advice) = errors::meaning(*code).unwrap_or_default();
        Explanation {
            kind: "error",
            code: *code as u16,
            name: code.name(),
            retryable: code.is_retryable(),
            meaning,
            advice,
        }
    });
    exits.into_iter().chain(errors).collect()
}

#[cfg(test)]
mod tests {
    use super::{super::output::Style, *};

    #[test]
    fn every_code_is_explained() {
        let mut out = Vec::new();
        assert!(everything().iter().all(|code| !code.meaning.is_empty()));
        output::list(Style::Wide, &everything(), &mut out).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap());
    }
}
