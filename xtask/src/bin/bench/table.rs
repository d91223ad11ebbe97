//! Results as tables on a terminal.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets::NOTHING};

use crate::{
    against::Difference,
    format,
    result::{GoalResult, PointResult, Verdict},
    statistics::Spread,
};

/// A row of the goals.
pub(crate) fn row(results: &[PointResult]) -> String {
    let mut table = Table::new();
    table
        .load_preset(NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(HEAD);
    for result in results {
        table.add_row(cells(result));
    }
    for column in table.column_iter_mut().skip(3).take(4) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

/// What was compared with another revision.
pub(crate) fn differences(differences: &[Difference]) -> String {
    let mut table = Table::new();
    table.load_preset(NOTHING).set_header(Difference::HEAD);
    for difference in differences {
        table.add_row(difference.cells());
    }
    table.to_string()
}

/// The columns of a table of results.
pub(crate) const HEAD: [&str; 8] = [
    "point",
    "durability",
    "figure",
    "median (least – most)",
    "floor",
    "÷ floor",
    "÷ peers",
    "goal",
];

/// A result in these columns.
pub(crate) fn cells(result: &PointResult) -> [String; 8] {
    let unit = result.unit;
    let spread = |spread: Spread| {
        let [median, min, max] =
            [spread.median, spread.min, spread.max].map(|value| format::value(value, unit));
        format!("{median} ({min} – {max})")
    };
    let peers = result.peers.iter().map(|(peer, beside)| {
        let theirs = format::value(beside.peer.median, unit);
        format!("{} {peer} ({theirs})", format::ratio(beside.ratio))
    });
    let missing = || match result.problem {
        Some(_) => "FAILED".to_owned(),
        None => "–".to_owned(),
    };
    [
        result.point.clone(),
        result.durability.clone(),
        result.figure.clone(),
        result.result.map_or_else(missing, spread),
        result
            .floor
            .map_or_else(String::new, |floor| format::value(floor.median, unit)),
        result
            .ratio_to_floor
            .map_or_else(String::new, format::ratio),
        peers.collect::<Vec<_>>().join("\n"),
        goals(result),
    ]
}

fn goals(result: &PointResult) -> String {
    let goals = result.goals.iter().map(goal);
    goals.collect::<Vec<_>>().join("\n")
}

/// A goal in words, behind a mark that says whether it is met.
pub(crate) fn goal(goal: &GoalResult) -> String {
    let mark = match goal.verdict {
        Verdict::Met => "✓",
        Verdict::Missed => "✗",
        Verdict::NotMeasured => "?",
    };
    format!("{mark} {}", goal.goal)
}
