//! What verbs print on stdout: tables for people, JSON for programs.
//!
//! A verb hands over rows. Each row is serialized for `json` and `ndjson` (its field names are a
//! stable schema, tested by snapshots) and has cells for `table` and `wide`.

use std::io::{self, IsTerminal as _, Write};

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde::Serialize;

use super::exit::Outcome;

/// How rows are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Style {
    /// Columns that fit a terminal.
    Table,
    /// All columns.
    Wide,
    /// One JSON document.
    Json,
    /// One JSON object a line.
    Ndjson,
}

/// The option that every verb with rows takes.
#[derive(Clone, Copy, Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Options {
    /// How to print [default: table on a terminal, ndjson otherwise]
    #[arg(long, value_enum, value_name = "STYLE", global = true)]
    output: Option<Style>,
}

impl Options {
    /// The style asked for, or the one that suits where stdout goes.
    pub(crate) fn style(self) -> Style {
        self.output.unwrap_or_else(|| {
            if io::stdout().is_terminal() {
                Style::Table
            } else {
                Style::Ndjson
            }
        })
    }
}

/// Something that can be printed in every style.
pub(crate) trait Row: Serialize {
    /// Titles of the columns; those from the first `None` on are shown in `wide` only.
    const COLUMNS: &'static [&'static str];
    /// How many of them `table` shows.
    const NARROW: usize;

    /// The texts, one a column.
    fn cells(&self) -> Vec<String>;
}

/// Prints a list.
///
/// # Errors
/// Stdout cannot be written to.
pub(crate) fn list<R: Row>(style: Style, rows: &[R], out: &mut impl Write) -> Outcome {
    match style {
        Style::Table => table(rows, R::NARROW, out)?,
        Style::Wide => table(rows, R::COLUMNS.len(), out)?,
        Style::Json => json(&rows, out)?,
        Style::Ndjson => {
            for row in rows {
                serde_json::to_writer(&mut *out, row).map_err(io::Error::from)?;
                out.write_all(b"\n")?;
            }
        }
    }
    out.flush()?;
    Ok(())
}

/// Prints one object; `people` writes it for `table` and `wide`.
///
/// # Errors
/// Stdout cannot be written to.
pub(crate) fn one<T: Serialize, W: Write>(
    style: Style,
    value: &T,
    out: &mut W,
    people: impl FnOnce(&mut W, bool) -> Outcome,
) -> Outcome {
    match style {
        Style::Table => people(out, false)?,
        Style::Wide => people(out, true)?,
        Style::Json => json(value, out)?,
        Style::Ndjson => {
            serde_json::to_writer(&mut *out, value).map_err(io::Error::from)?;
            out.write_all(b"\n")?;
        }
    }
    out.flush()?;
    Ok(())
}

fn json<T: Serialize + ?Sized>(value: &T, out: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    out.write_all(b"\n")
}

/// Columns separated by two blanks, numbers to the right.
pub(crate) fn table<R: Row>(rows: &[R], columns: usize, out: &mut impl Write) -> io::Result<()> {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(R::COLUMNS.iter().take(columns));
    for row in rows {
        table.add_row(row.cells().into_iter().take(columns));
    }
    for (at, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        let numeric = |row: &R| {
            let cells = row.cells();
            let text = cells.get(at).map_or("", String::as_str);
            text == "-" || text.starts_with(|c: char| c.is_ascii_digit())
        };
        if rows.iter().all(numeric) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for line in table.lines() {
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// Bytes for people: `1.5 MiB`.
pub(crate) fn bytes(count: u64) -> String {
    indicatif::BinaryBytes(count).to_string()
}

/// A duration for people, in the largest unit that shows it whole: `7d`, `90m`, `1500ms`.
pub(crate) fn duration_ms(ms: u64) -> String {
    let units = [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "m"),
        (1_000, "s"),
    ];
    let whole = units
        .iter()
        .find(|(unit, _)| ms > 0 && ms.is_multiple_of(*unit));
    match whole {
        Some((unit, letter)) => format!("{}{letter}", ms / unit),
        None => format!("{ms}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Sample {
        name: &'static str,
        records: u64,
        note: Option<&'static str>,
    }

    impl Row for Sample {
        const COLUMNS: &'static [&'static str] = &["NAME", "RECORDS", "NOTE"];
        const NARROW: usize = 2;

        fn cells(&self) -> Vec<String> {
            vec![
                self.name.to_owned(),
                self.records.to_string(),
                self.note.unwrap_or("-").to_owned(),
            ]
        }
    }

    #[test]
    fn the_same_rows_in_every_style() {
        let rows = [
            Sample {
                name: "orders",
                records: 12_000,
                note: None,
            },
            Sample {
                name: "a-longer-name",
                records: 7,
                note: Some("new"),
            },
        ];
        let mut out = Vec::new();
        for style in [Style::Table, Style::Wide, Style::Json, Style::Ndjson] {
            writeln!(out, "== {style:?}").unwrap();
            list(style, &rows, &mut out).unwrap();
        }
        insta::assert_snapshot!(String::from_utf8(out).unwrap());
    }
}
