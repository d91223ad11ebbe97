//! What the clients say of their checks.

use std::fmt;

use anyhow::Result;

/// What came of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    Failed(String),
    /// The client cannot do this.
    Skipped(String),
}

/// A check and what came of it.
pub(crate) type Line = (String, Outcome);

/// Reads `ok NAME`, `fail NAME: why` or `skip NAME: why`; what else a client prints is no check.
pub(crate) fn parse(line: &str) -> Option<Line> {
    let (word, rest) = line.split_once(' ')?;
    let (name, why) = rest.split_once(": ").unwrap_or((rest, ""));
    let outcome = match word {
        "ok" => Outcome::Passed,
        "fail" => Outcome::Failed(why.to_owned()),
        "skip" => Outcome::Skipped(why.to_owned()),
        _ => return None,
    };
    Some((name.to_owned(), outcome))
}

/// The checks of one client.
#[derive(Debug)]
pub(crate) struct Row {
    /// The client's version, where it is known.
    version: Option<String>,
    lines: Vec<Line>,
}

impl Row {
    pub(crate) const fn of(lines: Vec<Line>) -> Self {
        Self {
            version: None,
            lines,
        }
    }

    pub(crate) fn with_version(self, version: String) -> Self {
        Self {
            version: Some(version),
            ..self
        }
    }

    pub(crate) fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    pub(crate) fn lines(&self) -> &[Line] {
        &self.lines
    }

    fn outcome(&self, check: &str) -> Option<&Outcome> {
        let line = self.lines.iter().find(|(name, _)| name == check);
        line.map(|(_, outcome)| outcome)
    }

    pub(crate) fn passed(&self, check: &str) -> bool {
        self.outcome(check) == Some(&Outcome::Passed)
    }

    /// A check passes only if this is well, too.
    pub(crate) fn replace(&mut self, check: &str, outcome: Result<()>) {
        let line = self.lines.iter_mut().find(|(name, _)| name == check);
        if let (Some((_, line)), Err(error)) = (line, outcome) {
            *line = Outcome::Failed(format!("{error:#}"));
        }
    }

    pub(crate) fn succeeded(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Passed))
    }

    pub(crate) fn failed(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Failed(_)))
    }

    fn count(&self, is_meant: impl Fn(&Outcome) -> bool) -> usize {
        self.lines
            .iter()
            .filter(|(_, outcome)| is_meant(outcome))
            .count()
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, outcome) in &self.lines {
            match outcome {
                Outcome::Passed => writeln!(f, "  ok       {name}")?,
                Outcome::Failed(why) => writeln!(f, "  FAILED   {name}: {why}")?,
                Outcome::Skipped(why) => writeln!(f, "  skipped  {name}: {why}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_check_and_noise_is_not() {
        let said = "noise\nok acks\nfail seek: it: broke\nskip keys: no keys";
        let row = Row::of(said.lines().filter_map(parse).collect());
        assert_eq!((row.succeeded(), row.failed()), (1, 1));
        assert_eq!(
            row.outcome("seek"),
            Some(&Outcome::Failed("it: broke".into()))
        );
    }
}
