//! A row of output: one floor with its parameters, measured several times.

use std::{
    io::{self, Write},
    time::{Duration, Instant},
};

use anyhow::Result;
use hdrhistogram::Histogram;
use serde::{Serialize, Serializer};
use serde_json::json;

/// The figures of one repetition by name; a name ends with its unit.
pub(crate) type Sample = Vec<(&'static str, f64)>;

/// Operations and payload bytes a second, from `start` until now.
pub(crate) fn rates(operations: u64, bytes_each: usize, start: Instant) -> Sample {
    let per_second = operations as f64 / start.elapsed().as_secs_f64();
    let bytes_per_second = per_second * bytes_each as f64;
    vec![("ops_per_s", per_second), ("bytes_per_s", bytes_per_second)]
}

/// Latencies to within 1 %.
pub(crate) struct Latencies(pub(crate) Histogram<u64>);

impl Latencies {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self(Histogram::new(2)?))
    }

    /// Records the time from `start` until now.
    pub(crate) fn record(&mut self, start: Instant) -> Result<()> {
        Ok(self.0.record(u64::try_from(start.elapsed().as_nanos())?)?)
    }

    pub(crate) fn figures(&self) -> Sample {
        [("p50_us", 0.5), ("p99_us", 0.99), ("p99.9_us", 0.999)]
            .map(|(name, quantile)| (name, self.0.value_at_quantile(quantile) as f64 / 1e3))
            .to_vec()
    }
}

/// How often a row is measured, and for how long each time.
pub(crate) struct Report {
    pub(crate) repetitions: usize,
    pub(crate) duration: Duration,
}

impl Report {
    /// Measures and prints one row, or returns the first error of `measure` and prints nothing.
    ///
    /// # Errors
    /// The first error of `measure`; stdout cannot be written to.
    pub(crate) fn row(
        &self,
        name: &str,
        parameters: &impl Serialize,
        mut measure: impl FnMut() -> Result<Sample>,
    ) -> Result<()> {
        let samples = (0..self.repetitions).map(|_| measure());
        let samples = samples.collect::<Result<Vec<_>>>()?;
        eprintln!("{name} {}", json!(parameters));
        let figures = samples.first().into_iter().flatten().enumerate();
        let figures = figures.map(|(index, (figure, _))| {
            let values = samples.iter().map(|sample| sample[index].1).collect();
            (*figure, Spread::print(figure, values))
        });
        let row = Row {
            name,
            parameters,
            duration_ms: self.duration.as_secs_f64() * 1e3,
            repetitions: self.repetitions,
            figures: Figures(figures.collect()),
        };
        let row = serde_json::to_string(&row)?;
        Ok(writeln!(io::stdout(), "{row}")?)
    }
}

/// A row as it is printed.
#[derive(Serialize)]
struct Row<'a, P> {
    name: &'a str,
    parameters: &'a P,
    duration_ms: f64,
    repetitions: usize,
    figures: Figures,
}

/// Figures by name, in the order in which they were measured.
struct Figures(Vec<(&'static str, Spread)>);

impl Serialize for Figures {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, spread)| (name, spread)))
    }
}

/// A figure over all repetitions, to a tenth.
#[derive(Serialize)]
struct Spread {
    median: f64,
    min: f64,
    max: f64,
}

impl Spread {
    /// Of at least one value; it is printed, too.
    fn print(figure: &str, mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let last = values.len() - 1;
        let median = f64::midpoint(values[last / 2], values[last.div_ceil(2)]);
        let spread = [median, values[0], values[last]];
        let [middle, low, high] = spread.map(scaled);
        eprintln!("    {figure:<12} {middle:>9}   ({low} to {high})");
        let [median, min, max] = spread.map(|value| (value * 10.0).round() / 10.0);
        Self { median, min, max }
    }
}

fn scaled(value: f64) -> String {
    match value {
        1e9.. => format!("{:.2} G", value / 1e9),
        1e6.. => format!("{:.2} M", value / 1e6),
        1e4.. => format!("{:.1} k", value / 1e3),
        _ => format!("{value:.1}"),
    }
}
