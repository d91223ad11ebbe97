//! What repeated figures say, and what they do not.

use serde::{Deserialize, Serialize};

/// How sure an interval is, at least.
const CONFIDENCE: f64 = 0.95;
/// Ratios nearer to 1 than this are not called a difference, however narrow their interval: the
/// machines that these benchmarks run on are noisier than that over a day.
const DIFFERENCE_MIN: f64 = 0.10;

/// A figure over all repetitions.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
pub(crate) struct Spread {
    /// The middle value, or the mean of the two in the middle.
    pub(crate) median: f64,
    /// The least value.
    pub(crate) min: f64,
    /// The greatest value.
    pub(crate) max: f64,
}

impl Spread {
    /// Of any number of values; `None` where there are none, or one is not a number.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let sorted = sorted(values)?;
        let last = sorted.len() - 1;
        Some(Self {
            median: f64::midpoint(sorted[last / 2], sorted[last.div_ceil(2)]),
            min: sorted[0],
            max: sorted[last],
        })
    }
}

/// What the ratios of interleaved pairs of runs say.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Comparison {
    /// How many pairs there were.
    pub(crate) pairs: usize,
    /// The median of the pairwise ratios, new to old.
    pub(crate) ratio: f64,
    /// Where the true median lies with at least 95 %; `None` where there were too few pairs.
    pub(crate) interval: Option<(f64, f64)>,
    /// Whether this is called a difference.
    pub(crate) differs: bool,
}

impl Comparison {
    /// Of pairwise ratios; `None` where there are none, or one is not a number.
    pub(crate) fn of(ratios: &[f64]) -> Option<Self> {
        let ratio = Spread::of(ratios)?.median;
        let interval = median_interval(ratios);
        let beyond_noise = (ratio - 1.0).abs() >= DIFFERENCE_MIN;
        let beside_one = interval.is_some_and(|(low, high)| low > 1.0 || high < 1.0);
        Some(Self {
            pairs: ratios.len(),
            ratio,
            interval,
            differs: beyond_noise && beside_one,
        })
    }
}

/// An interval that holds the median of what the values are drawn from with at least 95 %, whatever
/// that looks like: the k-th least and the k-th greatest value, for the greatest k at which a fair
/// coin, thrown once a value, shows fewer than k heads in at most 2.5 % of all cases.
fn median_interval(values: &[f64]) -> Option<(f64, f64)> {
    let sorted = sorted(values)?;
    let count = sorted.len();
    let tail_max = (1.0 - CONFIDENCE) / 2.0;
    // The probability of exactly `heads` heads, from 0 upwards.
    let mut exactly = 0.5_f64.powi(i32::try_from(count).ok()?);
    let mut at_most = exactly;
    let mut rank = 0;
    while at_most <= tail_max {
        rank += 1;
        let (left, heads) = (
            u32::try_from(count - rank + 1).ok()?,
            u32::try_from(rank).ok()?,
        );
        exactly *= f64::from(left) / f64::from(heads);
        at_most += exactly;
    }
    let low = rank.checked_sub(1)?;
    Some((sorted[low], sorted[count - 1 - low]))
}

fn sorted(values: &[f64]) -> Option<Vec<f64>> {
    if values.is_empty() || values.iter().any(|value| value.is_nan()) {
        return None;
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    Some(sorted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_to(last: u32) -> Vec<f64> {
        (1..=last).rev().map(f64::from).collect()
    }

    fn spread(values: &[f64]) -> Option<(f64, f64, f64)> {
        Spread::of(values).map(|spread| (spread.median, spread.min, spread.max))
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(spread(&[3.0, 1.0, 2.0]), Some((2.0, 1.0, 3.0)));
        assert_eq!(spread(&[4.0, 1.0, 2.0, 3.0]), Some((2.5, 1.0, 4.0)));
        assert_eq!(spread(&[7.0]), Some((7.0, 7.0, 7.0)));
        assert_eq!(spread(&[]), None);
        assert_eq!(spread(&[1.0, f64::NAN]), None);
    }

    #[test]
    fn the_interval_has_the_ranks_of_the_tables() {
        // Ranks of the sign test's 95 % interval, as statistical tables list them.
        for (count, low, high) in [
            (6, 1.0, 6.0),
            (8, 1.0, 8.0),
            (9, 2.0, 8.0),
            (10, 2.0, 9.0),
            (12, 3.0, 10.0),
            (20, 6.0, 15.0),
            (100, 40.0, 61.0),
        ] {
            assert_eq!(
                median_interval(&one_to(count)),
                Some((low, high)),
                "{count}"
            );
        }
    }

    #[test]
    fn too_few_values_have_no_interval() {
        for count in 0..=5 {
            assert_eq!(median_interval(&one_to(count)), None, "{count}");
        }
        let few = Comparison::of(&[2.0; 5]).unwrap();
        assert!(!few.differs && few.interval.is_none() && few.pairs == 5);
    }

    #[test]
    fn a_difference_is_beyond_noise_and_beyond_doubt() {
        let differs = |ratios: &[f64]| Comparison::of(ratios).unwrap().differs;
        assert!(differs(&[1.2; 10]));
        assert!(differs(&[0.8; 10]));
        assert!(!differs(&[1.09; 10]), "under 10 %");
        let mut spread_out = [1.3; 10];
        spread_out[..2].fill(0.9);
        assert!(!differs(&spread_out), "the interval holds 1");
        assert!(Comparison::of(&[]).is_none());
    }
}
