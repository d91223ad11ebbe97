//! The tables that the documentation has of what came of the checks: a column for each client, a line
//! for each check.
//!
//! A run of some of the clients renews their columns and keeps the others.

use std::{fs, path::Path};

use anyhow::{Context, Result};

use super::results::{Outcome, Row};

/// The tables are between these lines.
const BEGIN: &str = "<!-- written by `cargo xtask interop --write` from here -->";
const END: &str = "<!-- to here -->";
/// A check that a client does not have.
const NONE: &str = "–";

/// What came of the checks of every client.
#[derive(Debug, Default)]
pub(crate) struct Columns(Vec<Column>);

#[derive(Debug)]
struct Column {
    title: String,
    /// Names of checks, and what came of them.
    cells: Vec<(String, String)>,
}

impl Columns {
    /// The columns of all tables in the text.
    fn read(text: &str) -> Self {
        let mut all = Self::default();
        // Where the columns of the table begin that is being read.
        let mut first = 0;
        for line in text.lines().filter(|line| line.starts_with("| ")) {
            let mut cells = line.trim_matches('|').split('|').map(str::trim);
            let check = cells.next().unwrap_or_default();
            if check == "check" {
                first = all.0.len();
                all.0.extend(cells.map(|title| Column {
                    title: title.to_owned(),
                    cells: Vec::new(),
                }));
                continue;
            }
            for (column, cell) in all.0[first..].iter_mut().zip(cells) {
                if cell != NONE {
                    column.cells.push((check.to_owned(), cell.to_owned()));
                }
            }
        }
        all
    }

    /// Puts what came of a client's checks in place of what was known of it; nothing if it did not run.
    fn renew(&mut self, title: &str, row: Option<&Row>) {
        self.0.retain(|column| column.title != title);
        if let Some(row) = row {
            let cells = row.lines().iter().map(|(check, outcome)| {
                let cell = match outcome {
                    Outcome::Passed => "yes",
                    Outcome::Failed(_) => "**no**",
                    Outcome::Skipped(_) => NONE,
                };
                (check.clone(), cell.to_owned())
            });
            let version = row
                .version()
                .map(|version| ("version".into(), version.into()));
            self.0.push(Column {
                title: title.to_owned(),
                cells: version.into_iter().chain(cells).collect(),
            });
        }
    }

    /// The table of the clients of these titles, and which of them it cannot have.
    fn table<'a>(&self, titles: &[&'a str]) -> (String, Vec<&'a str>) {
        let find = |title| self.0.iter().find(|column| column.title == title);
        let columns: Vec<_> = titles.iter().filter_map(|title| find(*title)).collect();
        let mut checks: Vec<&str> = Vec::new();
        for (check, _) in columns.iter().flat_map(|column| &column.cells) {
            if !checks.contains(&check.as_str()) {
                checks.push(check);
            }
        }
        let line = |cells: &[&str]| format!("| {} |\n", cells.join(" | "));
        let mut heads = vec!["check"];
        heads.extend(columns.iter().map(|column| column.title.as_str()));
        let mut table = line(&heads) + &format!("|{}\n", "---|".repeat(heads.len()));
        for check in checks {
            let cell = |column: &&Column| {
                let found = column.cells.iter().find(|(name, _)| name == check);
                found.map_or(NONE, |(_, cell)| cell.as_str()).to_owned()
            };
            let cells: Vec<_> = columns.iter().map(cell).collect();
            let mut words = vec![check];
            words.extend(cells.iter().map(String::as_str));
            table += &line(&words);
        }
        let missing = titles.iter().filter(|title| find(**title).is_none());
        (table, missing.copied().collect())
    }
}

/// Renews the page: `tables` are the titles of each table's clients, `ran` are the clients that were
/// asked for with what they said, if they could run.
///
/// # Errors
/// It has no place for tables, or cannot be written.
pub(crate) fn write_into(
    page: &Path,
    tables: &[Vec<&str>],
    ran: &[(&str, Option<Row>)],
) -> Result<()> {
    let text = fs::read_to_string(page).with_context(|| page.display().to_string())?;
    let new = renewed(&text, tables, ran)
        .with_context(|| format!("{} has no place for it", page.display()))?;
    Ok(fs::write(page, new)?)
}

fn renewed(page: &str, tables: &[Vec<&str>], ran: &[(&str, Option<Row>)]) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (old, after) = rest.split_once(END)?;
    let mut columns = Columns::read(old);
    for (title, row) in ran {
        columns.renew(title, row.as_ref());
    }
    let (mut parts, mut missing) = (Vec::new(), Vec::new());
    for titles in tables {
        let (table, without) = columns.table(titles);
        if without.len() < titles.len() {
            parts.push(table);
        }
        missing.extend(without);
    }
    if !missing.is_empty() {
        parts.push(format!("Not run this time: {}.\n", missing.join(", ")));
    }
    let parts = parts.join("\n");
    Some(format!("{before}{BEGIN}\n{parts}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::parse;

    fn row(text: &str) -> Row {
        Row::of(text.lines().filter_map(parse).collect())
    }

    fn page(inner: &str) -> String {
        format!("before\n{BEGIN}\n{inner}{END}\nafter\n")
    }

    #[test]
    fn tables_take_their_place_in_the_page() {
        let tables = [vec!["a", "b", "c"], vec!["d"]];
        let ran = [
            ("a", Some(row("ok acks\nfail seek: no\nskip keys: no keys"))),
            ("b", Some(row("ok acks"))),
            ("c", None),
            ("d", Some(row("ok restart").with_version("4.1.0".into()))),
        ];
        let expected = "\
| check | a | b |
|---|---|---|
| acks | yes | yes |
| seek | **no** | – |
| keys | – | – |

| check | d |
|---|---|
| version | 4.1.0 |
| restart | yes |

Not run this time: c.
";
        let found = renewed(&page("old\n"), &tables, &ran);
        assert_eq!(found, Some(page(expected)));
        assert_eq!(renewed("no place", &tables, &ran), None);
    }

    #[test]
    fn a_client_that_was_not_asked_for_keeps_its_column() {
        let tables = [vec!["a", "b"], vec!["c", "d"]];
        let first = [
            ("a", Some(row("ok acks\nok seek"))),
            ("b", Some(row("fail seek: it broke"))),
            ("d", Some(row("ok restart"))),
        ];
        let before = renewed(&page(""), &tables, &first).unwrap();
        let second = [
            ("b", Some(row("ok seek"))),
            ("c", Some(row("ok restart"))),
            ("d", None),
        ];
        let expected = "\
| check | a | b |
|---|---|---|
| acks | yes | – |
| seek | yes | yes |

| check | c |
|---|---|
| restart | yes |

Not run this time: d.
";
        let found = renewed(&before, &tables, &second);
        assert_eq!(found, Some(page(expected)));
    }
}
