//! What a series' samples amount to: figures with their spread, ratios and verdicts.
//!
//! Every ratio is taken within a repetition, where both sides saw the same machine; the median of
//! those is told.

use std::collections::BTreeMap;

use anyhow::Result;
use clap::ValueEnum as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    format,
    measure::Sample,
    peer::Peer,
    program::number,
    row::{Figure, Goal, Series, To, Unit},
    statistics::Spread,
};

/// A figure of a point.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct PointResult {
    /// The series.
    pub(crate) series: String,
    /// The point within the row, in words.
    pub(crate) point: String,
    /// Its place on the axis.
    pub(crate) x: u32,
    /// What the axis counts; empty where there is none.
    pub(crate) x_name: String,
    /// What a reader must know to judge it.
    pub(crate) conditions: String,
    /// How lasting an acknowledged record is.
    pub(crate) durability: String,
    /// The figure's path in the answer.
    pub(crate) figure: String,
    /// What it is counted in.
    pub(crate) unit: Unit,
    /// How often it was measured.
    pub(crate) repetitions: usize,
    /// The figure; `None` where it could not be measured.
    pub(crate) result: Option<Spread>,
    /// Its floor.
    pub(crate) floor: Option<Spread>,
    /// The figure ÷ its floor.
    pub(crate) ratio_to_floor: Option<f64>,
    /// Each peer.
    pub(crate) peers: BTreeMap<Peer, PeerResult>,
    /// What it should be, and whether it is.
    pub(crate) goals: Vec<GoalResult>,
    /// What all goals together say.
    pub(crate) verdict: Verdict,
    /// Why nothing was measured.
    pub(crate) problem: Option<String>,
    /// The last answer as it came, with all other figures.
    pub(crate) answer: Value,
}

/// A figure of a peer beside ours, both by the common client or by the peer's own.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct PeerResult {
    /// The peer.
    pub(crate) peer: Spread,
    /// Ours.
    pub(crate) ours: Spread,
    /// Ours ÷ the peer's.
    pub(crate) ratio: f64,
}

/// A goal and whether it is met.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct GoalResult {
    /// The goal in words.
    pub(crate) goal: String,
    /// Whether it is met.
    pub(crate) verdict: Verdict,
}

/// Whether a goal is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// It is.
    Met,
    /// It is not.
    Missed,
    /// There is no goal, or what it is compared with was not measured.
    NotMeasured,
}

/// A longer list in an answer is not kept.
const LIST_MAX: usize = 100;

/// The samples of a point, by its x.
pub(crate) type Measured = (u32, Result<Vec<Sample>>);

/// A result for each figure of each point.
pub(crate) fn evaluate(series: &Series, points: &[Measured]) -> Vec<PointResult> {
    let mut results = Vec::new();
    for (x, measured) in points {
        for (index, figure) in series.figures.iter().enumerate() {
            results.push(summarize(series, figure, index, *x, measured));
        }
    }
    // A point may be compared with any other one, so verdicts come when all are there.
    let medians: Vec<_> = results
        .iter()
        .map(|result| (result.x, result.figure.clone(), result.result))
        .collect();
    for (at, result) in results.iter_mut().enumerate() {
        let base = |x: u32| {
            let same = medians
                .iter()
                .find(|(other, figure, _)| (*other, figure) == (x, &result.figure));
            same.and_then(|(_, _, spread)| spread.map(|spread| spread.median))
        };
        let figure = &series.figures[at % series.figures.len()];
        let goals = figure.goals.iter().filter(|goal| goal.is_for(result.x));
        result.goals = goals
            .map(|goal| judge(goal, result, series, base))
            .collect();
        result.verdict = together(&result.goals);
    }
    results
}

fn summarize(
    series: &Series,
    figure: &Figure,
    index: usize,
    x: u32,
    measured: &Result<Vec<Sample>>,
) -> PointResult {
    let (samples, problem) = match measured {
        Ok(samples) => (samples.as_slice(), None),
        Err(error) => (&[][..], Some(format!("{error:#}"))),
    };
    let ours: Vec<_> = samples
        .iter()
        .filter_map(|sample| number(&sample.ours, &figure.of))
        .collect();
    let floors: Vec<_> = samples
        .iter()
        .filter_map(|sample| sample.floors.get(index).copied().flatten())
        .collect();
    let problem = problem.or_else(|| {
        (ours.len() < samples.len()).then(|| format!("an answer has no {}", figure.of))
    });
    let mut peers = BTreeMap::new();
    for peer in Peer::value_variants() {
        if let Some(result) = beside(*peer, figure, samples) {
            peers.insert(*peer, result);
        }
    }
    PointResult {
        series: series.name.clone(),
        point: series.label(x),
        x,
        x_name: series.x_name.clone(),
        conditions: series.conditions.clone(),
        durability: series.durability.clone(),
        figure: figure.of.clone(),
        unit: figure.unit,
        repetitions: samples.len(),
        result: Spread::of(&ours),
        floor: Spread::of(&floors),
        ratio_to_floor: ratio(&ours, &floors),
        peers,
        goals: Vec::new(),
        verdict: Verdict::NotMeasured,
        problem,
        answer: samples
            .last()
            .map_or(Value::Null, |sample| without_long_lists(&sample.ours)),
    }
}

/// An answer without the lists that nobody looks through, as that of 10,000 partitions.
fn without_long_lists(answer: &Value) -> Value {
    match answer {
        Value::Object(fields) => {
            let short = fields.iter().filter(|(_, value)| {
                let list = value.as_array();
                list.is_none_or(|list| list.len() <= LIST_MAX)
            });
            let kept = short.map(|(name, value)| (name.clone(), without_long_lists(value)));
            Value::Object(kept.collect())
        }
        other => other.clone(),
    }
}

fn beside(peer: Peer, figure: &Figure, samples: &[Sample]) -> Option<PeerResult> {
    let pairs: Vec<(f64, f64)> = samples
        .iter()
        .filter_map(|sample| {
            let ours = number(sample.ours_by_peer_client.as_ref()?, &figure.of)?;
            Some((ours, number(sample.peers.get(&peer)?, &figure.of)?))
        })
        .collect();
    let (ours, theirs): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    Some(PeerResult {
        peer: Spread::of(&theirs)?,
        ours: Spread::of(&ours)?,
        ratio: ratio(&ours, &theirs)?,
    })
}

/// The median of the quotients of what was measured together.
fn ratio(ours: &[f64], others: &[f64]) -> Option<f64> {
    if ours.len() != others.len() {
        return None;
    }
    let ratios: Vec<_> = ours.iter().zip(others).map(|(a, b)| a / b).collect();
    Some(Spread::of(&ratios)?.median)
}

fn judge(
    goal: &Goal,
    result: &PointResult,
    series: &Series,
    base: impl Fn(u32) -> Option<f64>,
) -> GoalResult {
    let unit = result.unit;
    let median = result.result.map(|spread| spread.median);
    let peer = |peer| result.peers.get(&peer).map(|result| result.ratio);
    let (quotient, other) = match goal.to {
        To::One => (median, String::new()),
        To::Floor => (result.ratio_to_floor, "floor".to_owned()),
        To::Nats => (peer(Peer::Nats), "NATS".to_owned()),
        To::Redis => (peer(Peer::Redis), "Redis".to_owned()),
        To::Kafka => (peer(Peer::Kafka), "Kafka".to_owned()),
        To::Base => {
            let x = goal.base.unwrap_or_default();
            let quotient = median.zip(base(x)).map(|(ours, base)| ours / base);
            (quotient, format!("at {x} {}", series.x_name))
        }
    };
    let sign = if unit.more_is_better() { '≥' } else { '≤' };
    let words = if goal.to == To::One {
        format!("{sign} {}", format::value(goal.limit, unit))
    } else {
        format!("{sign} {} × {other}", goal.limit)
    };
    let verdict = match quotient {
        None => Verdict::NotMeasured,
        Some(quotient) if unit.more_is_better() && quotient >= goal.limit => Verdict::Met,
        Some(quotient) if !unit.more_is_better() && quotient <= goal.limit => Verdict::Met,
        Some(_) => Verdict::Missed,
    };
    GoalResult {
        goal: words,
        verdict,
    }
}

/// Missed where one is, met where some were measured.
fn together(goals: &[GoalResult]) -> Verdict {
    let any = |verdict| goals.iter().any(|goal| goal.verdict == verdict);
    if any(Verdict::Missed) {
        Verdict::Missed
    } else if any(Verdict::Met) {
        Verdict::Met
    } else {
        Verdict::NotMeasured
    }
}

#[cfg(test)]
#[path = "result_tests.rs"]
mod tests;
