//! Times as people write them: `2h`, `30m`, `90s`, `1h30m`.

use crate::error::{Error, Result};

/// The seconds of a key's time.
pub(super) fn seconds(key: &str, text: &str) -> Result<f64> {
    parse(text).ok_or_else(|| {
        let hint = "write it as 2h, 30m, 90s, 1h30m or 1d";
        Error::config(key, format!("'{text}' is not a time"), hint)
    })
}

/// Numbers with their units, one after the other; above 0 in all.
fn parse(text: &str) -> Option<f64> {
    let mut rest = text.trim();
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|letter: char| !(letter.is_ascii_digit() || letter == '.'))?;
        let number: f64 = rest[..end].parse().ok()?;
        rest = rest[end..].trim_start();
        let end = rest.find(|letter: char| !letter.is_alphabetic()).unwrap_or(rest.len());
        seconds += number * unit(&rest[..end])?;
        rest = rest[end..].trim_start();
    }
    (seconds > 0.0 && seconds.is_finite()).then_some(seconds)
}

fn unit(name: &str) -> Option<f64> {
    match name.to_lowercase().as_str() {
        "s" | "sec" | "second" | "seconds" => Some(1.0),
        "m" | "min" | "minute" | "minutes" => Some(60.0),
        "h" | "hour" | "hours" => Some(3_600.0),
        "d" | "day" | "days" => Some(86_400.0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        for (text, expected) in [
            ("2h", 7_200.0),
            ("30m", 1_800.0),
            ("90s", 90.0),
            ("1h30m", 5_400.0),
            ("1 h 30 min", 5_400.0),
            ("1.5h", 5_400.0),
            ("1d", 86_400.0),
        ] {
            assert_eq!(seconds("budget", text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused_with_an_example() {
        for text in ["", "2", "h", "2 weeks", "-2h", "0s", "1e999d", "2h3"] {
            let error = seconds("budget", text).unwrap_err();
            assert!(error.hint().unwrap().contains("2h"), "{text}");
        }
    }
}
