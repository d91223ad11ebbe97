//! The charts of a row: one for each figure and axis.

use super::{bars, curves};
use crate::{report::RowReport, result::PointResult, row::Chart as Drawn};

/// Colours and lines of all charts, for light and dark.
pub(super) const STYLE: &str = include_str!("chart.css");

/// A drawing of one figure.
pub(super) struct Chart {
    /// What it is called as a file.
    pub(super) file: String,
    /// The figure.
    pub(super) figure: String,
    /// An element `svg`, which [`STYLE`] makes visible.
    pub(super) svg: String,
}

/// The charts of everything that was measured of a row.
pub(super) fn charts(row: &RowReport) -> Vec<Chart> {
    let groups = groups(&row.results).into_iter();
    let measured = groups.filter(|group| group.iter().any(|result| result.result.is_some()));
    let draw = |group: Vec<&PointResult>| {
        let (figure, axis) = (&group[0].figure, &group[0].x_name);
        let curves =
            row.chart == Drawn::Curves && group.iter().any(|result| result.x != group[0].x);
        let name = format!("{}: {figure}", row.title);
        Chart {
            file: file_name(&[&row.id, figure, axis]),
            figure: figure.clone(),
            svg: if curves {
                curves::chart(&name, &group)
            } else {
                bars::chart(&name, &group)
            },
        }
    };
    measured.map(draw).collect()
}

impl Chart {
    /// The chart as a file that needs nothing else.
    pub(super) fn alone(&self) -> String {
        let head = "<svg xmlns=\"http://www.w3.org/2000/svg\" ";
        let paper = "<rect width=\"100%\" height=\"100%\" style=\"fill:var(--card)\"/>";
        let style = format!("><style>{STYLE}</style>{paper}\n");
        self.svg.replacen("<svg ", head, 1).replacen('>', &style, 1)
    }
}

/// Results that can share a chart: of one figure and one axis.
fn groups(results: &[PointResult]) -> Vec<Vec<&PointResult>> {
    let mut groups: Vec<Vec<&PointResult>> = Vec::new();
    for result in results {
        let same = |group: &&mut Vec<&PointResult>| {
            group[0].figure == result.figure && group[0].x_name == result.x_name
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.push(result),
            None => groups.push(vec![result]),
        }
    }
    groups
}

/// `g1-records_per_second-topics.svg`, say.
fn file_name(words: &[&str]) -> String {
    let letters = |word: &&&str| word.chars().any(char::is_alphanumeric);
    let plain = |word: &&str| {
        let word = word.to_lowercase();
        let parts = word.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
        let parts: Vec<_> = parts.filter(|part| !part.is_empty()).collect();
        parts.join("-")
    };
    let words: Vec<_> = words.iter().filter(letters).map(plain).collect();
    format!("{}.svg", words.join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::reports;

    #[test]
    fn a_chart_is_named_by_what_it_shows() {
        for (words, name) in [
            (
                ["G1", "records_per_second", "topics"],
                "g1-records_per_second-topics.svg",
            ),
            (
                ["T1", "latency_us.p50", "% of the highest rate"],
                "t1-latency_us-p50-of-the-highest-rate.svg",
            ),
            (["M1", "server.ready_ms", ""], "m1-server-ready_ms.svg"),
        ] {
            assert_eq!(file_name(&words), name);
        }
    }

    #[test]
    fn a_chart_alone_brings_its_colours() {
        let reports = reports();
        let chart = &charts(&reports[0])[0];
        let alone = chart.alone();
        assert!(alone.starts_with("<svg xmlns="), "{alone}");
        assert_eq!(alone.matches("<style>").count(), 1);
        assert_eq!(alone.matches("<svg").count(), 1);
        assert!(alone.contains("prefers-color-scheme: dark"));
        assert!(alone.trim_end().ends_with("</svg>"));
    }
}
