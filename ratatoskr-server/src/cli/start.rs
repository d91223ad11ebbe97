//! Where reading begins: the argument of `consume -o`.

use std::str::FromStr;

use ratatoskr_core::offset::Offset;

use super::time::Moment;

/// A place in every partition that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// The first record that is kept.
    First,
    /// After the last one: only what is still to come.
    End,
    /// This many records before the end, in each partition.
    Back(u64),
    /// The first record at or after a moment.
    Time(Moment),
    /// This very offset.
    At(Offset),
}

impl FromStr for Start {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || {
            "expected start, end, -N (the last N of each partition), N (an offset), or @TIME \
             (@2026-01-31T12:00:00Z, @1769860800000, @-15m)"
                .to_owned()
        };
        match text {
            "start" => return Ok(Self::First),
            "end" => return Ok(Self::End),
            _ => {}
        }
        if let Some(time) = text.strip_prefix('@') {
            return time.parse().map(Self::Time).map_err(|_| wrong());
        }
        if let Some(back) = text.strip_prefix('-') {
            return back.parse().map(Self::Back).map_err(|_| wrong());
        }
        let offset: i64 = text.parse().map_err(|_| wrong())?;
        Offset::from_wire(offset).map(Self::At).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ratatoskr_core::time::Timestamp;

    use super::*;

    #[test]
    fn every_way_to_name_a_place() {
        let at = |ms| Start::Time(Moment::At(Timestamp::new(ms)));
        for (text, expected) in [
            ("start", Start::First),
            ("end", Start::End),
            ("-5", Start::Back(5)),
            ("0", Start::At(Offset::ZERO)),
            ("9223372036854775807", Start::At(Offset::MAX)),
            ("@1769860800000", at(1_769_860_800_000)),
            ("@2026-01-31T12:00:00Z", at(1_769_860_800_000)),
            ("@2026-01-31T13:00:00+01:00", at(1_769_860_800_000)),
            ("@-15m", Start::Time(Moment::Ago(Duration::from_mins(15)))),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "begin",
            "-",
            "-x",
            "@",
            "@noon",
            "@-5w",
            "9223372036854775808",
            "1.5",
        ] {
            assert!(text.parse::<Start>().is_err(), "{text}");
        }
    }
}
