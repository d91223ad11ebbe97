//! The page of results: one file that needs nothing else, for light and dark.

use std::fmt::Write as _;

use super::{Pages, chart, svg::escape};
use crate::{
    against::Difference,
    machine::Machine,
    report::RowReport,
    result::{PointResult, Verdict},
    table,
};

/// The page of all that there is to tell.
pub(super) fn page(pages: &Pages) -> String {
    let mut body = String::new();
    head(&mut body, &pages.rows, &pages.skipped);
    for row in &pages.rows {
        section(&mut body, row);
    }
    if !pages.differences.is_empty() {
        compared(&mut body, &pages.differences);
    }
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Ratatoskr: benchmarks</title>\n<style>\n{}{}</style>\n</head>\n<body>\n{body}</body>\n</html>\n",
        chart::STYLE,
        include_str!("style.css")
    )
}

fn head(body: &mut String, rows: &[RowReport], skipped: &[String]) {
    let results = || rows.iter().flat_map(|row| &row.results);
    let count = |verdict| results().filter(|result| result.verdict == verdict).count();
    let (met, missed) = (count(Verdict::Met), count(Verdict::Missed));
    let open = count(Verdict::NotMeasured);
    put(body, "<h1>Ratatoskr: benchmarks</h1>");
    put(
        body,
        &format!(
            "<p><b class=\"met\">{met} met</b> · <b class=\"missed\">{missed} missed</b> · {open} \
             without a goal or not measured</p>"
        ),
    );
    put(
        body,
        "<p class=\"faint\">A figure is the median of its repetitions. Floors are measured right \
         beside each repetition, and ratios are taken within one. Peers are measured by one common \
         client, which also measures Ratatoskr; Kafka by its own tools, which do so as well.</p>",
    );
    for reason in skipped {
        put(
            body,
            &format!("<p class=\"missed\">Skipped: {}</p>", escape(reason)),
        );
    }
    let links = rows.iter().map(|row| {
        let id = escape(&row.id);
        format!("<a href=\"#{id}\">{id}</a>")
    });
    put(body, &format!("<nav>{}</nav>", links.collect::<String>()));
}

fn section(body: &mut String, row: &RowReport) {
    let (id, title) = (escape(&row.id), escape(&row.title));
    put(body, &format!("<h2 id=\"{id}\">{id} · {title}</h2>"));
    put(body, &measured_on(&row.machine));
    for chart in chart::charts(row) {
        let (svg, caption) = (&chart.svg, escape(&chart.figure));
        put(
            body,
            &format!("<figure>{svg}<figcaption>{caption}</figcaption></figure>"),
        );
    }
    results(body, &row.results);
    for result in &row.results {
        if let Some(problem) = &result.problem {
            let (point, problem) = (escape(&result.point), escape(problem));
            put(body, &format!("<p class=\"missed\">{point}: {problem}</p>"));
        }
    }
    let mut conditions: Vec<_> = row
        .results
        .iter()
        .map(|result| (&result.series, &result.conditions))
        .collect();
    conditions.dedup();
    put(body, "<ul class=\"faint\">");
    for (series, conditions) in conditions {
        let (series, conditions) = (escape(series), escape(conditions));
        put(body, &format!("<li>{series}: {conditions}</li>"));
    }
    put(body, "</ul>");
}

fn measured_on(machine: &Machine) -> String {
    let gib = machine.memory_bytes / f64::from(1 << 30);
    format!(
        "<p class=\"faint\">Revision {}, {}. {} × {}, {gib:.0} GiB, {}.</p>",
        escape(&machine.revision),
        escape(&machine.date),
        machine.processors,
        escape(&machine.processor),
        escape(&machine.kernel),
    )
}

fn results(body: &mut String, results: &[PointResult]) {
    put(body, "<div class=\"scroll\"><table><thead><tr>");
    for name in table::HEAD {
        put(body, &format!("<th>{}</th>", escape(name)));
    }
    put(body, "</tr></thead><tbody>");
    for result in results {
        let [cells @ .., _] = table::cells(result);
        let cells = cells
            .iter()
            .map(|cell| format!("<td>{}</td>", escape(cell)));
        let cells = cells.collect::<String>();
        let goals = goals(result);
        put(body, &format!("<tr>{cells}<td>{goals}</td></tr>"));
    }
    put(body, "</tbody></table></div>");
}

fn goals(result: &PointResult) -> String {
    let goals = result.goals.iter().map(|goal| {
        let class = match goal.verdict {
            Verdict::Met => "met",
            Verdict::Missed => "missed",
            Verdict::NotMeasured => "faint",
        };
        format!(
            "<div class=\"{class}\">{}</div>",
            escape(&table::goal(goal))
        )
    });
    goals.collect()
}

fn compared(body: &mut String, differences: &[Difference]) {
    let against = escape(&differences[0].against);
    put(body, &format!("<h2 id=\"against\">Against {against}</h2>"));
    put(
        body,
        "<p class=\"faint\">Interleaved, old new new old; the median of the pairwise ratios, new to \
         old, with its 95 % interval. Under 10 % nothing is called a difference.</p>",
    );
    put(body, "<div class=\"scroll\"><table><thead><tr>");
    for name in Difference::HEAD {
        put(body, &format!("<th>{name}</th>"));
    }
    put(body, "</tr></thead><tbody>");
    for difference in differences {
        let cells = difference.cells();
        let cells = cells
            .iter()
            .map(|cell| format!("<td>{}</td>", escape(cell)));
        put(body, &format!("<tr>{}</tr>", cells.collect::<String>()));
    }
    put(body, "</tbody></table></div>");
}

fn put(body: &mut String, line: &str) {
    // Writing into a string cannot fail.
    let _ = writeln!(body, "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::reports;

    #[test]
    fn the_page_needs_nothing_else_and_shows_everything() {
        let differences = [Difference::example()];
        let skipped = ["Redis: no <program>".to_owned()];
        let page = page(&Pages {
            rows: reports(),
            differences: differences.into(),
            skipped: skipped.into(),
        });
        for expected in [
            "<h2 id=\"X1\">X1 · Title &amp; more</h2>",
            "Skipped: Redis: no &lt;program&gt;",
            "Against main",
            "1 met",
            "<polyline",
            "<rect",
            "prefers-color-scheme: dark",
        ] {
            assert!(page.contains(expected), "{expected}");
        }
        for outside in ["<script", "src=", "http", "@import", "NaN", "inf,"] {
            assert!(!page.contains(outside), "{outside}");
        }
    }
}
