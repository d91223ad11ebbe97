//! How a command ends: an exit code that scripts can rely on, and an error that says what, why,
//! and what to try next.

use std::{fmt, io, process::ExitCode};

/// Exit codes. They are part of what scripts rely on: a code never changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// All was done.
    Ok = 0,
    /// It failed for a reason that has no code of its own.
    Failure = 1,
    /// The command line, the configuration or a value in them is wrong.
    Usage = 2,
    /// A topic, partition, offset or file is not there.
    NotFound = 3,
    /// Something is there already, or taken by somebody else.
    Conflict = 4,
    /// Not logged in, or not allowed.
    Denied = 5,
    /// The broker cannot be reached, or did not answer in time.
    Unreachable = 6,
    /// Some of it was done, and some failed.
    Partial = 7,
    /// The broker stopped because it can no longer vouch for what is on its disk.
    Fenced = 8,
    /// Ctrl-C.
    Interrupted = 130,
}

impl Exit {
    /// Every code, ascending, with its name and what it means.
    pub(crate) const ALL: [(Self, &'static str, &'static str); 10] = [
        (Self::Ok, "ok", "all was done"),
        (
            Self::Failure,
            "failure",
            "it failed for a reason that has no code of its own",
        ),
        (
            Self::Usage,
            "usage",
            "the command line, the configuration or a value in them is wrong",
        ),
        (
            Self::NotFound,
            "not_found",
            "a topic, partition, offset or file is not there",
        ),
        (
            Self::Conflict,
            "conflict",
            "something is there already, or taken by somebody else",
        ),
        (Self::Denied, "denied", "not logged in, or not allowed"),
        (
            Self::Unreachable,
            "unreachable",
            "the broker cannot be reached, or did not answer in time",
        ),
        (
            Self::Partial,
            "partial",
            "some of it was done, and some failed",
        ),
        (
            Self::Fenced,
            "fenced",
            "the broker stopped because it can no longer vouch for what is on its disk; it \
             recovers when it is started again",
        ),
        (Self::Interrupted, "interrupted", "Ctrl-C"),
    ];

    /// The number.
    pub(crate) const fn number(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.number().into()
    }
}

/// What every verb answers with.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

/// Why a command did not do what it was asked for.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The code it ends with.
    pub(crate) exit: Exit,
    what: String,
    code: Option<&'static str>,
    why: Option<String>,
    next: Option<String>,
}

impl Failure {
    /// A failure that ends with this code and says this.
    pub(crate) fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self {
            exit,
            what: what.into(),
            code: None,
            why: None,
            next: None,
        }
    }

    /// An end that is not worth a word, such as a reader of our output that has seen enough.
    pub(crate) fn silent(exit: Exit) -> Self {
        Self::new(exit, "")
    }

    /// The command line asks for what cannot be.
    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Self::new(Exit::Usage, what)
    }

    /// The same with the name by which `ratatoskr explain` knows it.
    pub(crate) fn coded(mut self, code: Option<&'static str>) -> Self {
        self.code = code;
        self
    }

    /// The same with its cause.
    pub(crate) fn because(mut self, why: impl fmt::Display) -> Self {
        self.why = Some(why.to_string());
        self
    }

    /// The same with what to try next.
    pub(crate) fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    /// The same, ending with another code.
    pub(crate) fn ending(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// Tells the user on stderr and gives the code to end with.
    pub(crate) fn report(&self) -> Exit {
        if self.what.is_empty() {
            return self.exit;
        }
        let red = clap::builder::styling::AnsiColor::Red.on_default().bold();
        let bold = clap::builder::styling::Style::new().bold();
        let code = self
            .code
            .map(|code| format!("[{code}]"))
            .unwrap_or_default();
        anstream::eprintln!("{red}error{code}{red:#}: {}", self.what);
        if let Some(why) = &self.why {
            anstream::eprintln!("  {bold}why{bold:#}: {why}");
        }
        if let Some(next) = &self.next {
            anstream::eprintln!("  {bold}try{bold:#}: {next}");
        }
        self.exit
    }
}

impl From<io::Error> for Failure {
    /// Of writing to stdout: who reads it may stop at any time, which is no failure of ours.
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::silent(Exit::Ok);
        }
        Self::new(Exit::Failure, "cannot write to stdout").because(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_codes_do_not_change() {
        let lines: Vec<String> = Exit::ALL
            .iter()
            .map(|(exit, name, meaning)| format!("{:>3} {name}: {meaning}", exit.number()))
            .collect();
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn a_reader_that_goes_away_is_no_failure() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(failure.report(), Exit::Ok);
    }
}
