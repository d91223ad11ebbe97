//! The tables of results as Markdown, to be put into a document.

use std::fmt::Write as _;

use crate::{report::RowReport, result::PointResult, table};

/// A table for each row.
pub(super) fn tables(rows: &[RowReport]) -> String {
    let mut text = String::new();
    for row in rows {
        // Writing into a string cannot fail.
        let _ = writeln!(
            text,
            "### {} · {}\n\nRevision {}, {}.\n",
            row.id, row.title, row.machine.revision, row.machine.date
        );
        let _ = writeln!(text, "{}", line(&table::HEAD));
        let _ = writeln!(text, "{}", line(&table::HEAD.map(|_| "---")));
        for result in &row.results {
            let _ = writeln!(text, "{}", of_result(result));
        }
        text.push('\n');
    }
    text
}

fn of_result(result: &PointResult) -> String {
    let cells = table::cells(result);
    let cells = cells.map(|cell| cell.replace('|', "\\|").replace('\n', "<br>"));
    line(&cells)
}

fn line(cells: &[impl AsRef<str>]) -> String {
    let cells: Vec<&str> = cells.iter().map(AsRef::as_ref).collect();
    format!("| {} |", cells.join(" | "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::reports;

    #[test]
    fn a_table_has_a_line_for_each_figure_of_each_point() {
        let reports = reports();
        let text = tables(&reports[..1]);
        let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("| ")).collect();
        assert_eq!(lines.len(), 2 + reports[0].results.len());
        assert!(
            lines.iter().all(|line| line.matches(" | ").count() == 7),
            "{text}"
        );
        assert!(text.contains("✓ ≥ 0.4 × floor"), "{text}");
    }
}
