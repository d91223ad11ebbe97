//! What the clients say of their checks, and the table that the documentation has of it.

use std::{fmt, fs, path::Path};

use anyhow::{Context, Result};

/// The table is between these lines.
const BEGIN: &str = "<!-- written by `cargo xtask interop --write` from here -->";
const END: &str = "<!-- to here -->";

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

/// Reads `ok NAME`, `fail NAME: why` and `skip NAME: why`; what else a client prints is no check.
pub(crate) fn parse(text: &str) -> Vec<Line> {
    let line = |line: &str| {
        let (word, rest) = line.split_once(' ')?;
        let (name, why) = rest.split_once(": ").unwrap_or((rest, ""));
        let outcome = match word {
            "ok" => Outcome::Passed,
            "fail" => Outcome::Failed(why.to_owned()),
            "skip" => Outcome::Skipped(why.to_owned()),
            _ => return None,
        };
        Some((name.to_owned(), outcome))
    };
    text.lines().filter_map(line).collect()
}

/// The checks of one client.
#[derive(Debug)]
pub(crate) struct Row {
    title: &'static str,
    lines: Vec<Line>,
}

impl Row {
    pub(crate) const fn of(title: &'static str, lines: Vec<Line>) -> Self {
        Self { title, lines }
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

/// All clients.
#[derive(Debug, Default)]
pub(crate) struct Results {
    pub(crate) rows: Vec<Row>,
    /// Clients that could not run here.
    pub(crate) skipped: Vec<&'static str>,
}

impl Results {
    /// The table, a line for each check.
    fn table(&self) -> String {
        let mut checks: Vec<&str> = Vec::new();
        for (name, _) in self.rows.iter().flat_map(|row| &row.lines) {
            if !checks.contains(&name.as_str()) {
                checks.push(name);
            }
        }
        let line = |cells: &[&str]| format!("| {} |", cells.join(" | "));
        let mut titles = vec!["check"];
        titles.extend(self.rows.iter().map(|row| row.title));
        let mut lines = vec![line(&titles), format!("|{}", "---|".repeat(titles.len()))];
        for check in checks {
            let mut cells = vec![check];
            cells.extend(self.rows.iter().map(|row| match row.outcome(check) {
                Some(Outcome::Passed) => "yes",
                Some(Outcome::Failed(_)) => "**no**",
                Some(Outcome::Skipped(_)) | None => "–",
            }));
            lines.push(line(&cells));
        }
        if !self.skipped.is_empty() {
            lines.push(format!("\nNot run this time: {}.", self.skipped.join(", ")));
        }
        lines.join("\n") + "\n"
    }

    /// Puts the table where the page has its place for it.
    ///
    /// # Errors
    /// It has none, or cannot be written.
    pub(crate) fn write_into(&self, page: &Path) -> Result<()> {
        let text = fs::read_to_string(page).with_context(|| page.display().to_string())?;
        let new = with_table(&text, &self.table());
        let new = new.with_context(|| format!("{} has no place for it", page.display()))?;
        Ok(fs::write(page, new)?)
    }
}

fn with_table(page: &str, table: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{table}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results() -> Results {
        let lines = "noise\nok acks\nfail seek: it: broke\nskip keys: no keys\n";
        Results {
            rows: vec![Row::of("a", parse(lines)), Row::of("b", parse("ok acks\n"))],
            skipped: vec!["c"],
        }
    }

    #[test]
    fn a_line_is_a_check_and_noise_is_not() {
        let row = &results().rows[0];
        assert_eq!((row.succeeded(), row.failed()), (1, 1));
        assert_eq!(
            row.outcome("seek"),
            Some(&Outcome::Failed("it: broke".into()))
        );
    }

    #[test]
    fn the_table_takes_its_place_in_the_page() {
        let page = format!("before\n{BEGIN}\nold\n{END}\nafter\n");
        let table = "\
| check | a | b |
|---|---|---|
| acks | yes | yes |
| seek | **no** | – |
| keys | – | – |

Not run this time: c.
";
        assert_eq!(results().table(), table);
        let expected = format!("before\n{BEGIN}\n{table}{END}\nafter\n");
        assert_eq!(with_table(&page, table), Some(expected));
        assert_eq!(with_table("no place", table), None);
    }
}
