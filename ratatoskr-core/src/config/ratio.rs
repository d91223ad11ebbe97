//! A part of a whole.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::InvalidConfig;

/// Thousandths of a whole, from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Ratio(u16);

impl Ratio {
    /// This many thousandths; `None` beyond 1,000.
    pub const fn from_thousandths(thousandths: u16) -> Option<Self> {
        if thousandths <= 1_000 {
            Some(Self(thousandths))
        } else {
            None
        }
    }

    /// Half of it.
    pub const HALF: Self = Self(500);

    /// Whether `part` is at least this part of `whole`.
    pub const fn is_reached_by(self, part: u64, whole: u64) -> bool {
        part as u128 * 1_000 >= whole as u128 * self.0 as u128
    }
}

impl fmt::Display for Ratio {
    /// As a decimal fraction: `0.5`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fraction = format!("{:03}", self.0 % 1_000);
        match fraction.trim_end_matches('0') {
            "" => write!(f, "{}", self.0 / 1_000),
            digits => write!(f, "{}.{digits}", self.0 / 1_000),
        }
    }
}

impl FromStr for Ratio {
    type Err = InvalidConfig;

    /// A decimal fraction from 0 to 1 with three digits at most.
    fn from_str(text: &str) -> Result<Self, InvalidConfig> {
        let parse = || {
            let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
            let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
            if whole.is_empty() || fraction.len() > 3 || !all_digits(whole) || !all_digits(fraction)
            {
                return None;
            }
            let thousandths: u16 = format!("{fraction:0<3}").parse().ok()?;
            let whole: u16 = whole.parse().ok()?;
            Self::from_thousandths(whole.checked_mul(1_000)?.checked_add(thousandths)?)
        };
        parse()
            .ok_or_else(|| InvalidConfig::new("ratio", text, "a fraction from 0 to 1 such as 0.5"))
    }
}

impl From<Ratio> for u16 {
    fn from(ratio: Ratio) -> Self {
        ratio.0
    }
}

impl TryFrom<u16> for Ratio {
    type Error = InvalidConfig;

    fn try_from(thousandths: u16) -> Result<Self, InvalidConfig> {
        Self::from_thousandths(thousandths)
            .ok_or_else(|| InvalidConfig::new("ratio", &thousandths.to_string(), "0 to 1000"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_printed_as_it_is_read() {
        for text in ["0", "0.5", "0.05", "0.001", "0.999", "1"] {
            assert_eq!(text.parse::<Ratio>().unwrap().to_string(), text);
        }
        assert_eq!("0.50".parse::<Ratio>().unwrap(), Ratio::HALF);
        assert_eq!("1.0".parse::<Ratio>().unwrap().to_string(), "1");
        for wrong in [
            "", ".5", "1.001", "2", "-0.5", "0.0005", "0,5", "half", "+0.5",
        ] {
            assert!(wrong.parse::<Ratio>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_ratio_is_reached_at_its_part() {
        assert!(Ratio::HALF.is_reached_by(1, 2));
        assert!(!Ratio::HALF.is_reached_by(1, 3));
        assert!(Ratio::from_thousandths(0).unwrap().is_reached_by(0, 9));
        let all = Ratio::from_thousandths(1_000).unwrap();
        assert!(all.is_reached_by(u64::MAX, u64::MAX));
        assert!(!all.is_reached_by(u64::MAX - 1, u64::MAX));
    }
}
