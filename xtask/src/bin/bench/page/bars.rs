//! A group of bars for each point: the broker, its floor, its peers.

use super::svg::{Anchor, Drawing};
use crate::{format, result::PointResult};

const WIDTH: f64 = 860.0;
const LEFT: f64 = 190.0;
/// Room for the value behind the longest bar.
const RIGHT: f64 = 90.0;
const BAR: f64 = 16.0;
const GAP: f64 = 4.0;
const HEADING: f64 = 24.0;
const GROUP_GAP: f64 = 12.0;

/// A chart of results that have one unit.
pub(super) fn chart(name: &str, results: &[&PointResult]) -> String {
    let longest = results.iter().flat_map(|result| bars(result));
    let longest = longest.map(|bar| bar.2).fold(f64::MIN_POSITIVE, f64::max);
    let mut drawing = Drawing::default();
    let mut y = 0.0;
    for result in results {
        let bars = bars(result);
        if bars.is_empty() {
            continue;
        }
        drawing.text("", (0.0, y + 16.0), Anchor::Start, &result.point);
        y += HEADING;
        for (class, label, value) in bars {
            let length = (WIDTH - LEFT - RIGHT) * value / longest;
            let middle = y + BAR - 4.0;
            drawing.text("faint", (LEFT - 8.0, middle), Anchor::End, label);
            drawing.bar(class, (LEFT, y), (length, BAR));
            let value = format::value(value, result.unit);
            drawing.text("", (LEFT + length + 6.0, middle), Anchor::Start, &value);
            y += BAR + GAP;
        }
        y += GROUP_GAP;
    }
    drawing.finish(name, WIDTH, y)
}

/// Class, label and value of each bar of a point.
fn bars(result: &PointResult) -> Vec<(&'static str, &'static str, f64)> {
    let mut bars = Vec::new();
    if let Some(result) = result.result {
        bars.push(("ours", "Ratatoskr", result.median));
    }
    if let Some(floor) = result.floor {
        bars.push(("floor", "floor", floor.median));
    }
    // Kafka's tools measure both sides, so there is no other figure of this broker.
    let mut common = result
        .peers
        .iter()
        .filter(|(peer, _)| peer.has_common_client());
    if let Some((_, beside)) = common.next() {
        bars.push(("common", "Ratatoskr, common client", beside.ours.median));
    }
    for (peer, beside) in &result.peers {
        let label = match peer {
            crate::peer::Peer::Nats => "NATS, common client",
            crate::peer::Peer::Redis => "Redis, common client",
            crate::peer::Peer::Kafka => "Apache Kafka",
        };
        bars.push((peer.word(), label, beside.peer.median));
    }
    bars
}
