//! A curve over x for each series, a dashed one for its floor, dotted and dash-dotted ones for peers; both axes are
//! logarithmic, so that equal factors are equally far apart.

use super::svg::{Anchor, Drawing};
use crate::{format, peer::Peer, result::PointResult, row::Unit};

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 340.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 44.0;
const LEGEND_LINE: f64 = 20.0;
/// Colours that there are for series.
const COLOURS: usize = 6;

/// A line of the chart.
struct Curve {
    class: String,
    label: String,
    /// x and value, in order of x.
    points: Vec<(u32, f64)>,
}

/// A chart of results that have one unit and one axis.
pub(super) fn chart(name: &str, results: &[&PointResult]) -> String {
    let curves = curves(results);
    let Some(first) = results.first().filter(|_| !curves.is_empty()) else {
        return String::new();
    };
    let axes = Axes::around(&curves);
    let mut drawing = Drawing::default();
    axes.draw(&mut drawing, &first.x_name, first.unit);
    for (index, curve) in curves.iter().enumerate() {
        let points: Vec<_> = curve.points.iter().map(|at| axes.place(*at)).collect();
        drawing.curve(&curve.class, &points);
        for ((x, value), place) in curve.points.iter().zip(&points) {
            let value = format::value(*value, first.unit);
            let says = format!("{}, {x} {}: {value}", curve.label, first.x_name);
            let class = curve.class.split(' ').next().unwrap_or_default();
            drawing.dot(class, *place, &says);
        }
        let y = HEIGHT + LEGEND_LINE * line_number(index);
        drawing.curve(&curve.class, &[(LEFT, y), (LEFT + 28.0, y)]);
        drawing.text("", (LEFT + 36.0, y + 4.0), Anchor::Start, &curve.label);
    }
    drawing.finish(
        name,
        WIDTH,
        HEIGHT + LEGEND_LINE * line_number(curves.len()),
    )
}

fn line_number(index: usize) -> f64 {
    // A chart has a handful of curves.
    u32::try_from(index).map_or(0.0, f64::from)
}

fn curves(results: &[&PointResult]) -> Vec<Curve> {
    let mut names: Vec<&str> = results
        .iter()
        .map(|result| result.series.as_str())
        .collect();
    names.dedup();
    let mut curves = Vec::new();
    for (index, name) in names.into_iter().enumerate() {
        let colour = format!("c{}", index % COLOURS);
        let mut add = |style: &str, label: String, value: &dyn Fn(&PointResult) -> Option<f64>| {
            let of_series = results.iter().filter(|result| result.series == name);
            let points: Vec<_> = of_series
                .filter_map(|result| Some((result.x, value(result).filter(|value| *value > 0.0)?)))
                .collect();
            if !points.is_empty() {
                let class = format!("{colour}{style}");
                curves.push(Curve {
                    class,
                    label,
                    points,
                });
            }
        };
        add("", name.to_owned(), &|result| Some(result.result?.median));
        add(" dashed", format!("{name}: floor"), &|result| {
            Some(result.floor?.median)
        });
        for (peer, style) in [(Peer::Nats, " dotted"), (Peer::Redis, " dashdot")] {
            let label = format!("{name}: {peer}, common client");
            add(style, label, &|result| {
                Some(result.peers.get(&peer)?.peer.median)
            });
        }
    }
    curves
}

/// The ends of both axes, as powers of ten.
struct Axes {
    x: (f64, f64),
    y: (f64, f64),
    /// Every x that there is a point at.
    ticks: Vec<u32>,
}

impl Axes {
    fn around(curves: &[Curve]) -> Self {
        let points = || curves.iter().flat_map(|curve| &curve.points);
        let mut ticks: Vec<u32> = points().map(|(x, _)| *x).collect();
        ticks.sort_unstable();
        ticks.dedup();
        let ends = |values: &mut dyn Iterator<Item = f64>| {
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
                (low.min(value), high.max(value))
            })
        };
        let (left, right) = ends(&mut points().map(|(x, _)| f64::from(*x).max(0.5).log10()));
        let (low, high) = ends(&mut points().map(|(_, value)| value.log10()));
        Self {
            x: (left, right.max(left + 0.1)),
            y: (low.floor(), high.ceil().max(low.floor() + 1.0)),
            ticks,
        }
    }

    fn place(&self, (x, value): (u32, f64)) -> (f64, f64) {
        let along = |(from, to): (f64, f64), value: f64| (value - from) / (to - from);
        let right = along(self.x, f64::from(x).max(0.5).log10()) * (WIDTH - LEFT - RIGHT - 30.0);
        let up = along(self.y, value.log10()) * (HEIGHT - TOP - BOTTOM - 20.0);
        (LEFT + 15.0 + right, HEIGHT - BOTTOM - 20.0 - up)
    }

    fn draw(&self, drawing: &mut Drawing, x_name: &str, unit: Unit) {
        let mut power = self.y.0;
        while power <= self.y.1 {
            let value = 10_f64.powf(power);
            let (_, y) = self.place((1, value));
            drawing.line("grid", (LEFT, y), (WIDTH - RIGHT, y));
            let value = format::value(value, unit);
            drawing.text("faint", (LEFT - 8.0, y + 4.0), Anchor::End, &value);
            power += 1.0;
        }
        let base = HEIGHT - BOTTOM;
        for x in &self.ticks {
            let (place, _) = self.place((*x, 1.0));
            drawing.text("faint", (place, base), Anchor::Middle, &x.to_string());
        }
        drawing.text("faint", (WIDTH / 2.0, base + 18.0), Anchor::Middle, x_name);
    }
}
