//! What is measured, as data: each row is a file in `rows/`, and nothing in the code knows one.
//!
//! A row has series, a series has points (one for each value of its x). A point is a command line
//! that is run and the figures that are read from its answer, each with its floor and its goals.
//! In command lines `{x}` is the point's value, `{seconds}` how long to measure, `{longer}` some seconds
//! more, and `{half}` half, `{share}` x percent, of the rate that the command line `probe` reached.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::peer::Peer;

/// Every row, in the order in which they are run.
const FILES: [(&str, &str); 18] = [
    ("L1", include_str!("rows/L1.toml")),
    ("T1", include_str!("rows/T1.toml")),
    ("T2", include_str!("rows/T2.toml")),
    ("D1", include_str!("rows/D1.toml")),
    ("D2", include_str!("rows/D2.toml")),
    ("R1", include_str!("rows/R1.toml")),
    ("R2", include_str!("rows/R2.toml")),
    ("F1", include_str!("rows/F1.toml")),
    ("Q1", include_str!("rows/Q1.toml")),
    ("Q2", include_str!("rows/Q2.toml")),
    ("Q3", include_str!("rows/Q3.toml")),
    ("C1", include_str!("rows/C1.toml")),
    ("C2", include_str!("rows/C2.toml")),
    ("G1", include_str!("rows/G1.toml")),
    ("G2", include_str!("rows/G2.toml")),
    ("M1", include_str!("rows/M1.toml")),
    ("E1", include_str!("rows/E1.toml")),
    ("K1", include_str!("rows/K1.toml")),
];

/// A row of the goals.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Row {
    /// What it is called in the goals.
    pub(crate) id: String,
    /// What it is about.
    pub(crate) title: String,
    /// How it is drawn.
    pub(crate) chart: Chart,
    /// What is measured.
    pub(crate) series: Vec<Series>,
}

/// How a row is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Chart {
    /// A group of bars for each point: the broker, its floor, its peers.
    #[default]
    Bars,
    /// A curve over x for each series, and one for its floor.
    Curves,
}

/// How much longer a load is there than what is measured beside it, which may warm up first.
const LONGER_SECONDS: u32 = 5;

/// Points that differ in one number.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Series {
    /// What tells it from the other series of the row.
    pub(crate) name: String,
    /// How lasting an acknowledged record is.
    pub(crate) durability: String,
    /// What else a reader must know to judge the figures.
    pub(crate) conditions: String,
    /// What x counts; empty where the series has one point only.
    #[serde(default)]
    pub(crate) x_name: String,
    /// The values of x.
    #[serde(default = "one")]
    pub(crate) x: Vec<u32>,
    /// Those that `--quick` measures.
    #[serde(default)]
    pub(crate) quick: Vec<u32>,
    /// Whether two revisions are compared by it.
    #[serde(default)]
    pub(crate) headline: bool,
    /// Whether a server runs; without one the broker is in the process of the load.
    #[serde(default = "yes")]
    pub(crate) serve: bool,
    /// Words for `ratatoskr serve`, which is started for each repetition anew.
    #[serde(default)]
    pub(crate) settings: String,
    /// Command lines of `ratatoskr` that are run before anything is measured.
    #[serde(default)]
    pub(crate) prepare: Vec<String>,
    /// How the server is started again after `prepare`.
    pub(crate) restart: Option<Restart>,
    /// A command line whose rate makes `{half}` and `{share}`.
    pub(crate) probe: Option<String>,
    /// A command line that runs at the same time as the load, and before it alone.
    pub(crate) beside: Option<String>,
    /// The command line that is measured; without one only the server itself is.
    pub(crate) load: Option<String>,
    /// Whether the load's process has the processors only while nobody else wants them, as if it ran on
    /// another machine.
    #[serde(default)]
    pub(crate) load_elsewhere: bool,
    /// What is run against peers by the common client: its command line without the target.
    pub(crate) peer: Option<String>,
    /// What Kafka's own tools are to do, at this broker and at Kafka; then nothing else is run.
    pub(crate) kafka_tools: Option<String>,
    /// Peers whose durability is not that of the series.
    #[serde(default)]
    pub(crate) peer_durability: BTreeMap<Peer, String>,
    /// What is read from the answers.
    #[serde(rename = "figure")]
    pub(crate) figures: Vec<Figure>,
}

/// How a server is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Restart {
    /// After SIGTERM, the page cache dropped.
    Stop,
    /// After SIGKILL, the page cache dropped.
    Kill,
}

/// A figure of a point.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Figure {
    /// Its path in the answer, with dots.
    pub(crate) of: String,
    /// What it is counted in.
    pub(crate) unit: Unit,
    /// Floors that together are the least (or most) that the machine allows; their sum.
    #[serde(default)]
    pub(crate) floor: Vec<FloorTerm>,
    /// What it should be.
    #[serde(default)]
    pub(crate) goals: Vec<Goal>,
}

/// What a figure is counted in, which also says whether more or less of it is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    /// Microseconds.
    Us,
    /// Milliseconds.
    Ms,
    /// Records a second.
    RecordsPerSecond,
    /// Bytes a second.
    BytesPerSecond,
    /// Bytes.
    Bytes,
    /// A ratio of which less is better.
    Ratio,
}

impl Unit {
    /// Whether more is better.
    pub(crate) const fn more_is_better(self) -> bool {
        matches!(self, Self::RecordsPerSecond | Self::BytesPerSecond)
    }
}

/// A floor program's figure.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FloorTerm {
    /// Its command line.
    pub(crate) run: String,
    /// The figure, of the last row that it prints.
    pub(crate) figure: String,
}

/// What a figure should be, for the points that it is meant for.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Goal {
    /// What the figure is divided by.
    pub(crate) to: To,
    /// The least or most that the quotient may be, as the unit has it.
    pub(crate) limit: f64,
    /// Only for points from this x.
    #[serde(default)]
    pub(crate) from: u32,
    /// Only for points up to this x.
    #[serde(default = "any")]
    pub(crate) until: u32,
    /// The x of the point that it is compared with.
    pub(crate) base: Option<u32>,
}

/// What a figure is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum To {
    /// A plain number.
    One,
    /// The machine's floor, in the same repetition.
    Floor,
    /// NATS, by the same client in the same repetition.
    Nats,
    /// Redis, likewise.
    Redis,
    /// Apache Kafka, by its own tools in the same repetition.
    Kafka,
    /// The same figure of another point of the series: the goal's `base`.
    Base,
}

fn one() -> Vec<u32> {
    vec![1]
}

const fn yes() -> bool {
    true
}

const fn any() -> u32 {
    u32::MAX
}

impl Row {
    /// Every row, or those whose names are given.
    ///
    /// # Errors
    /// There is no row of a name, or a file is wrong.
    pub(crate) fn select(names: &[String]) -> Result<Vec<Self>> {
        let known = |name: &String| FILES.iter().any(|(id, _)| *id == name.as_str());
        if let Some(name) = names.iter().find(|name| !known(name)) {
            let ids: Vec<_> = FILES.iter().map(|(id, _)| *id).collect();
            bail!("there is no row {name}; the rows are {}", ids.join(", "));
        }
        let wanted = |id: &str| names.is_empty() || names.iter().any(|name| name == id);
        let files = FILES.iter().filter(|(id, _)| wanted(id));
        files
            .map(|(id, text)| Self::parse(text).with_context(|| format!("row {id}")))
            .collect()
    }

    fn parse(text: &str) -> Result<Self> {
        let row: Self = toml::from_str(text)?;
        let mut names = BTreeSet::new();
        for series in &row.series {
            ensure!(names.insert(&series.name), "two series {}", series.name);
            series
                .check()
                .with_context(|| format!("series {}", series.name))?;
        }
        Ok(row)
    }
}

impl Series {
    /// The values of x that are measured.
    pub(crate) fn points(&self, quick: bool) -> &[u32] {
        if quick { &self.quick } else { &self.x }
    }

    /// The name of a point.
    pub(crate) fn label(&self, x: u32) -> String {
        if self.x_name.is_empty() {
            self.name.clone()
        } else {
            format!("{}, {x} {}", self.name, self.x_name)
        }
    }

    fn check(&self) -> Result<()> {
        ensure!(!self.figures.is_empty(), "nothing is read");
        ensure!(!self.x.is_empty(), "no points");
        ensure!(self.x.is_sorted(), "x is not in order");
        let stray = self.quick.iter().find(|x| !self.x.contains(x));
        ensure!(stray.is_none(), "quick has {stray:?}, which x has not");
        ensure!(
            self.x.len() == 1 || !self.x_name.is_empty(),
            "x has no name"
        );
        ensure!(
            self.serve || (self.restart.is_none() && self.settings.is_empty()),
            "what does not run cannot be set or started again"
        );
        for figure in &self.figures {
            for goal in &figure.goals {
                let means = match goal.to {
                    To::One => true,
                    To::Floor => !figure.floor.is_empty(),
                    To::Nats | To::Redis => self.peer.is_some(),
                    To::Kafka => self.kafka_tools.is_some(),
                    To::Base => goal.base.is_some_and(|base| self.x.contains(&base)),
                };
                ensure!(means, "{}: {:?} is not measured", figure.of, goal.to);
                ensure!(goal.limit > 0.0, "{}: a limit of nothing", figure.of);
                ensure!(
                    self.x.iter().any(|x| goal.is_for(*x)),
                    "{}: a goal for no point",
                    figure.of
                );
            }
        }
        Ok(())
    }
}

impl Goal {
    /// Whether it is meant for the point at `x`.
    pub(crate) const fn is_for(&self, x: u32) -> bool {
        self.from <= x && x <= self.until
    }
}

/// What the placeholders of a command line stand for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Values {
    /// The point's x.
    pub(crate) x: u32,
    /// How long to measure.
    pub(crate) seconds: u32,
    /// The highest rate, in records a second.
    pub(crate) highest: u32,
}

impl Values {
    /// x percent of the highest rate, and at least one record a second.
    fn share(&self) -> u64 {
        (u64::from(self.highest) * u64::from(self.x) / 100).max(1)
    }

    /// The words of a command line.
    pub(crate) fn words(&self, line: &str) -> Vec<String> {
        let filled = |word: &str| {
            word.replace("{x}", &self.x.to_string())
                .replace("{seconds}", &self.seconds.to_string())
                .replace("{longer}", &(self.seconds + LONGER_SECONDS).to_string())
                .replace("{half}", &(self.highest / 2).to_string())
                .replace("{share}", &self.share().to_string())
        };
        line.split_whitespace().map(filled).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::Load;

    const SERIES: &str = r#"
        id = "X1"
        title = "Title"
        chart = "bars"
        [[series]]
        name = "os"
        durability = "os"
        conditions = "none"
        x_name = "B"
        x = [1, 2]
        [[series.figure]]
        of = "rate"
        unit = "records_per_second"
    "#;

    fn refusal(text: &str) -> String {
        format!("{:#}", Row::parse(text).unwrap_err())
    }

    #[test]
    fn every_row_is_well_formed_and_has_its_goals() {
        let rows = Row::select(&[]).unwrap();
        assert_eq!(rows.len(), FILES.len());
        for (row, (id, _)) in rows.iter().zip(FILES) {
            assert_eq!(row.id, id);
            let mut figures = row.series.iter().flat_map(|series| &series.figures);
            assert!(figures.any(|figure| !figure.goals.is_empty()), "{id}");
            let quick = row.series.iter().map(|series| series.quick.len());
            assert!((1..=3).contains(&quick.sum::<usize>()), "{id}");
        }
    }

    #[test]
    fn the_headline_rows_are_compared() {
        let rows = Row::select(&[]).unwrap();
        let headline = |row: &&Row| row.series.iter().any(|series| series.headline);
        let ids: Vec<_> = rows.iter().filter(headline).map(|row| &row.id).collect();
        assert_eq!(ids, ["T1", "T2", "D1", "D2"]);
    }

    #[test]
    fn every_placeholder_is_known() {
        let values = Values {
            x: 16,
            seconds: 2,
            highest: 1_000,
        };
        for series in Row::select(&[]).unwrap().iter().flat_map(|row| &row.series) {
            let floors = series.figures.iter().flat_map(|figure| &figure.floor);
            if let Some(tools) = &series.kafka_tools {
                Load::parse(&values.words(tools)).unwrap();
            }
            let lines = [&series.load, &series.peer, &series.beside, &series.probe];
            let lines = lines.into_iter().flatten().chain(&series.prepare);
            for line in lines.chain(floors.map(|floor| &floor.run)) {
                let words = values.words(line).join(" ");
                assert!(!words.contains(['{', '}']), "{words}");
            }
        }
        let line = "produce --in-flight {x} --seconds {seconds} --rate {half} {share}";
        assert_eq!(
            values.words(line).join(" "),
            "produce --in-flight 16 --seconds 2 --rate 500 160"
        );
    }

    #[test]
    fn rows_are_chosen_by_name() {
        let ids = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
            Row::select(&names).map(|rows| rows.into_iter().map(|row| row.id).collect::<Vec<_>>())
        };
        assert_eq!(ids(&["D1", "L1"]).unwrap(), ["L1", "D1"]);
        let unknown = ids(&["Z9"]).unwrap_err().to_string();
        assert!(unknown.starts_with("there is no row Z9; the rows are L1, T1"));
    }

    #[test]
    fn what_cannot_be_measured_is_refused() {
        assert!(Row::parse(SERIES).is_ok());
        let goal = |goal: &str| format!("{SERIES}\ngoals = [{goal}]");
        for (goal_text, expected) in [
            ("{ to = \"floor\", limit = 1.0 }", "Floor is not measured"),
            ("{ to = \"redis\", limit = 1.0 }", "Redis is not measured"),
            ("{ to = \"base\", limit = 1.0 }", "Base is not measured"),
            ("{ to = \"one\", limit = 0.0 }", "a limit of nothing"),
            (
                "{ to = \"one\", limit = 1.0, from = 3 }",
                "a goal for no point",
            ),
            ("{ to = \"one\", limit = 1.0, form = 3 }", "unknown field"),
        ] {
            let refused = refusal(&goal(goal_text));
            assert!(refused.contains(expected), "{goal_text}: {refused}");
        }
        for (old, new, expected) in [
            ("x = [1, 2]", "x = [2, 1]", "not in order"),
            ("x = [1, 2]", "x = []", "no points"),
            ("x = [1, 2]", "x = [1, 2]\nquick = [3]", "which x has not"),
            ("x_name = \"B\"", "", "x has no name"),
            (
                "x_name",
                "serve = false\nsettings = \"--memory\"\nx_name",
                "does not run",
            ),
        ] {
            let refused = refusal(&SERIES.replace(old, new));
            assert!(refused.contains(expected), "{new}: {refused}");
        }
    }
}
