//! Figures as a person reads them.

use crate::row::Unit;

/// A figure with its unit, to three digits.
pub(crate) fn value(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Us if value >= 1e6 => format!("{} s", digits(value / 1e6)),
        Unit::Us if value >= 1e3 => format!("{} ms", digits(value / 1e3)),
        Unit::Us => format!("{} µs", digits(value)),
        Unit::Ms if value >= 1e3 => format!("{} s", digits(value / 1e3)),
        Unit::Ms => format!("{} ms", digits(value)),
        Unit::RecordsPerSecond => format!("{}/s", scaled(value, "")),
        Unit::BytesPerSecond => format!("{}/s", scaled(value, "B")),
        Unit::Bytes => scaled(value, "B"),
        Unit::Ratio => format!("× {value:.2}"),
    }
}

/// A ratio to two digits after the point, or three in all where it is small.
pub(crate) fn ratio(ratio: f64) -> String {
    if ratio < 0.1 {
        format!("{ratio:.3}")
    } else {
        format!("{ratio:.2}")
    }
}

fn scaled(value: f64, unit: &str) -> String {
    let (value, prefix) = match value {
        1e9.. => (value / 1e9, " G"),
        1e6.. => (value / 1e6, " M"),
        1e3.. => (value / 1e3, " k"),
        _ if unit.is_empty() => (value, ""),
        _ => (value, " "),
    };
    format!("{}{prefix}{unit}", digits(value))
}

fn digits(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits_and_a_unit() {
        for (number, unit, expected) in [
            (71.34, Unit::Us, "71.3 µs"),
            (9_568.0, Unit::Us, "9.57 ms"),
            (2e6, Unit::Us, "2.00 s"),
            (1_234.0, Unit::Ms, "1.23 s"),
            (2_512_345.0, Unit::RecordsPerSecond, "2.51 M/s"),
            (950.0, Unit::RecordsPerSecond, "950/s"),
            (2.4e9, Unit::BytesPerSecond, "2.40 GB/s"),
            (512.0, Unit::Bytes, "512 B"),
            (15_000_000.0, Unit::Bytes, "15.0 MB"),
            (1.2, Unit::Ratio, "× 1.20"),
        ] {
            assert_eq!(value(number, unit), expected);
        }
        assert_eq!(ratio(0.4123), "0.41");
        assert_eq!(ratio(0.0123), "0.012");
    }
}
