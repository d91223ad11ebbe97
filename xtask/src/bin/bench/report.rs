//! What is kept of a row: one JSON file. A run adds its rows to those that are kept already.

use std::{collections::BTreeMap, fs, io::ErrorKind, path::Path};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::{
    machine::Machine,
    peer::Peer,
    result::PointResult,
    row::{Chart, Row},
};

/// A row with its results.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct RowReport {
    /// What it is called in the goals.
    pub(crate) id: String,
    /// What it is about.
    pub(crate) title: String,
    /// How it is drawn; the row's own file knows it.
    #[serde(skip)]
    pub(crate) chart: Chart,
    /// Where it was measured.
    pub(crate) machine: Machine,
    /// How long each load ran.
    pub(crate) seconds: u32,
    /// The versions of the peers beside it.
    pub(crate) peers: BTreeMap<Peer, String>,
    /// A result for each figure of each point.
    pub(crate) results: Vec<PointResult>,
}

impl RowReport {
    /// A row about which nothing is known yet.
    pub(crate) fn new(
        row: &Row,
        machine: &Machine,
        seconds: u32,
        peers: BTreeMap<Peer, String>,
    ) -> Self {
        Self {
            id: row.id.clone(),
            title: row.title.clone(),
            chart: row.chart,
            machine: machine.clone(),
            seconds,
            peers,
            results: Vec::new(),
        }
    }

    /// What is kept of this row in the directory, if it was ever measured.
    ///
    /// # Errors
    /// It cannot be read, or is not what is kept of a row.
    pub(crate) fn read(directory: &Path, row: &Row) -> Result<Option<Self>> {
        let path = directory.join(format!("{}.json", row.id));
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        };
        let kept: Self = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
        Ok(Some(Self {
            chart: row.chart,
            ..kept
        }))
    }

    /// Writes the row's file into the directory.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn write(&self, directory: &Path) -> Result<()> {
        write(directory, &self.id, self)
    }
}

/// Writes something as a JSON file of this name.
///
/// # Errors
/// It cannot be written.
pub(crate) fn write(directory: &Path, name: &str, what: &impl Serialize) -> Result<()> {
    let path = directory.join(format!("{name}.json"));
    let text = serde_json::to_string_pretty(what)?;
    fs::write(&path, text + "\n").with_context(|| path.display().to_string())
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{measure::Sample, result::evaluate};

    const ROW: &str = r#"
        id = "X1"
        title = "Title & more"
        chart = "curves"

        [[series]]
        name = "os"
        durability = "os"
        conditions = "none"
        x_name = "topics"
        x = [1, 1000]

        [[series.figure]]
        of = "rate"
        unit = "records_per_second"
        goals = [{ to = "floor", limit = 0.4, until = 1 }]

        [[series.figure]]
        of = "latency_us.p50"
        unit = "us"
    "#;

    /// A row as it could have been measured.
    pub(crate) fn reports() -> Vec<RowReport> {
        let row: Row = toml::from_str(ROW).unwrap();
        let sample = |rate: f64| Sample {
            ours: json!({"rate": rate, "latency_us": {"p50": 70.5}}),
            floors: vec![Some(2.0 * rate), None],
            ..Sample::default()
        };
        let points = [
            (1, Ok(vec![sample(5e6), sample(6e6)])),
            (1000, Ok(vec![sample(4e6)])),
        ];
        let machine = Machine::this();
        let mut curves = RowReport::new(&row, &machine, 1, BTreeMap::new());
        curves.results = evaluate(&row.series[0], &points);
        let mut bars = curves.clone();
        bars.chart = Chart::Bars;
        bars.id = "X2".to_owned();
        bars.results.truncate(2);
        bars.results[0].goals.clear();
        bars.results[0].verdict = crate::result::Verdict::NotMeasured;
        vec![curves, bars]
    }

    #[test]
    fn a_row_is_kept_as_json() {
        let directory = tempfile::tempdir().unwrap();
        reports()[0].write(directory.path()).unwrap();
        let text = fs::read_to_string(directory.path().join("X1.json")).unwrap();
        let row: Value = serde_json::from_str(&text).unwrap();
        let first = &row["results"][0];
        assert_eq!(
            first["result"],
            json!({"median": 5.5e6, "min": 5e6, "max": 6e6})
        );
        assert_eq!(first["ratio_to_floor"], 0.5);
        assert_eq!(
            first["goals"][0],
            json!({"goal": "≥ 0.4 × floor", "verdict": "met"})
        );
        assert_eq!(first["verdict"], "met");
        assert_eq!(first["unit"], "records_per_second");
        assert_eq!(first["answer"]["latency_us"]["p50"], 70.5);
        assert_eq!(row["results"][1]["floor"], Value::Null);
    }

    #[test]
    fn what_is_kept_is_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let row: Row = toml::from_str(ROW).unwrap();
        assert!(RowReport::read(directory.path(), &row).unwrap().is_none());
        let written = &reports()[0];
        written.write(directory.path()).unwrap();
        let read = RowReport::read(directory.path(), &row).unwrap().unwrap();
        assert_eq!(format!("{read:?}"), format!("{written:?}"));
        fs::write(directory.path().join("X1.json"), "{}").unwrap();
        assert!(RowReport::read(directory.path(), &row).is_err());
    }
}
