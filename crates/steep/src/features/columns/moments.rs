//! Dates and times in the forms that people write, and their parts.

use arrow::compute::kernels::cast_utils::string_to_timestamp_nanos;
use regex::{Captures, Regex};
use std::f64::consts::TAU;
use std::sync::LazyLock;

const DAY: f64 = 86_400.0;

/// `12:30`, `12:30:59.5`, `12:30 pm`, with or without a zone.
static TIME: LazyLock<Regex> = LazyLock::new(|| {
    let pattern =
        r"(?i)[\sT,]+(\d{1,2}):(\d{2})(?::(\d{2}(?:\.\d+)?))?\s*(am|pm)?\s*(z|utc|gmt|[+-]\d{2}:?\d{2})?$";
    Regex::new(pattern).expect("the pattern is a constant and valid")
});

/// A point in time as seconds since 1970-01-01 UTC, or `None`.
///
/// ISO 8601 (`2024-01-31`, `2024-01-31T12:00:00Z`), `2024/01/31`, `31.01.2024`, `31/01/2024`, `01/31/2024`,
/// `31 Jan 2024`, `January 31, 2024`, `Wed, 31 Jan 2024 12:00:00 +0100`. Where day and month could be either,
/// `day_first` decides. A time without a zone is UTC.
pub fn parse_moment(text: &str, day_first: bool) -> Option<f64> {
    let text = text.trim();
    if !text.starts_with(|first: char| first.is_alphanumeric()) || text.len() > 64 {
        return None;
    }
    if text.as_bytes().get(4) == Some(&b'-')
        && let Ok(nanoseconds) = string_to_timestamp_nanos(text)
    {
        return Some(nanoseconds as f64 / 1e9);
    }
    let (date, seconds) = match TIME.captures(text) {
        Some(captures) => (&text[..captures.get(0)?.start()], seconds_of_day(&captures)?),
        None => (text, 0.0),
    };
    Some(days_of(date, day_first)? as f64 * DAY + seconds)
}

/// Seconds since midnight UTC, which a zone may make negative or larger than a day.
fn seconds_of_day(captures: &Captures<'_>) -> Option<f64> {
    let group = |at: usize| captures.get(at).map(|group| group.as_str().to_ascii_lowercase());
    let number = |at: usize| group(at).and_then(|text| text.parse::<f64>().ok());
    let (mut hour, minute, second) = (number(1)?, number(2)?, number(3).unwrap_or(0.0));
    match group(4).as_deref() {
        Some(half) if (1.0..=12.0).contains(&hour) => {
            hour = hour % 12.0 + if half == "pm" { 12.0 } else { 0.0 }
        }
        Some(_) => return None,
        None => {}
    }
    let zone = match group(5) {
        Some(zone) if zone.starts_with(['+', '-']) => {
            let digits: String = zone.chars().filter(char::is_ascii_digit).collect();
            let minutes = digits[..2].parse::<f64>().ok()? * 60.0 + digits[2..].parse::<f64>().ok()?;
            if zone.starts_with('-') { -minutes } else { minutes }
        }
        _ => 0.0,
    };
    let is_possible = hour < 24.0 && minute < 60.0 && second < 61.0;
    is_possible.then_some(hour * 3600.0 + (minute - zone) * 60.0 + second)
}

/// Days since 1970-01-01 of a date of three parts.
fn days_of(date: &str, day_first: bool) -> Option<i64> {
    let parts = date.split([' ', ',', '/', '.', '-']).filter(|part| !part.is_empty());
    let parts: Vec<&str> = parts.filter(|part| !is_weekday(part)).collect();
    let [first, second, third] = parts[..] else { return None };
    let number = |part: &str| part.trim_end_matches(|last: char| last.is_alphabetic()).parse::<u32>().ok();
    let digits = |part: &str| part.len() <= 4 && part.bytes().all(|byte| byte.is_ascii_digit());
    let (year, month, day) = match (month_of(first), month_of(second)) {
        (Some(month), None) => (third, month, number(second)?),
        (None, Some(month)) if first.len() == 4 => (first, month, number(third)?),
        (None, Some(month)) => (third, month, number(first)?),
        (None, None) if parts.iter().all(|part| digits(part)) => {
            let (one, two, three) = (number(first)?, number(second)?, number(third)?);
            if first.len() == 4 {
                (first, two, three)
            } else if one > 12 || (day_first && two <= 12) {
                (third, two, one)
            } else {
                (third, one, two)
            }
        }
        _ => return None,
    };
    // Years of two digits are not guessed at.
    if year.len() != 4 || !digits(year) {
        return None;
    }
    days_from_date(year.parse().ok()?, month, day)
}

fn is_weekday(part: &str) -> bool {
    ["mon", "tue", "wed", "thu", "fri", "sat", "sun"].iter().any(|day| {
        part.len() >= 3 && part.get(..3).is_some_and(|start| start.eq_ignore_ascii_case(day)) && {
            !part.bytes().any(|byte| byte.is_ascii_digit())
        }
    })
}

fn month_of(part: &str) -> Option<u32> {
    const MONTHS: [&str; 12] = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    let part = part.to_ascii_lowercase();
    let place =
        MONTHS.iter().position(|month| part.len() >= 3 && (month.starts_with(&part) || part == "sept"));
    match place {
        Some(_) if part == "sept" => Some(9),
        place => place.map(|place| place as u32 + 1),
    }
}

/// Days since 1970-01-01 in the Gregorian calendar; `None` where there is no such date.
fn days_from_date(year: i64, month: u32, day: u32) -> Option<i64> {
    const BEFORE: [u32; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 => 28 + u32::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=length).contains(&day) {
        return None;
    }
    let past = year - 1;
    let before_year = past * 365 + past.div_euclid(4) - past.div_euclid(100) + past.div_euclid(400);
    let in_year = BEFORE[month as usize - 1] + u32::from(is_leap && month > 2) + day - 1;
    Some(before_year + i64::from(in_year) - 719_162)
}

/// Year, month (0 to 11) of a day since 1970-01-01.
fn year_and_month(days: i64) -> (i64, u32) {
    // A year too early or late by rounding is mended by a step or two.
    let mut year = 1970 + (days as f64 / 365.2425).floor() as i64;
    let starts = |year: i64| days_from_date(year, 1, 1).unwrap_or(0);
    while starts(year) > days {
        year -= 1;
    }
    while starts(year + 1) <= days {
        year += 1;
    }
    let starts = |month: u32| days_from_date(year, month + 1, 1).unwrap_or(i64::MAX);
    let month = (0..12).rev().find(|&month| starts(month) <= days).unwrap_or(0);
    (year, month)
}

/// What a moment's parts are called.
pub const DATE_PARTS: [&str; 8] =
    ["year", "trend", "month_sin", "month_cos", "weekday_sin", "weekday_cos", "hour_sin", "hour_cos"];

/// A moment as numbers: the year, the days since 1970-01-01 as its trend, and month, weekday and hour as points on a
/// circle, so that December is near January.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DateParts(pub [f64; 8]);

impl DateParts {
    /// The parts of a moment, all NaN where it is missing (NaN).
    pub fn of(seconds: f64) -> Self {
        if seconds.is_nan() {
            return Self([f64::NAN; 8]);
        }
        let days = (seconds / DAY).floor();
        let (year, month) = year_and_month(days as i64);
        // 1970-01-01 was a Thursday; Monday is 0.
        let weekday = (days as i64 + 3).rem_euclid(7) as f64;
        let hour = (seconds - days * DAY) / 3600.0;
        let [month, weekday, hour] =
            [f64::from(month) / 12.0, weekday / 7.0, hour / 24.0].map(|turn| turn * TAU);
        Self([
            year as f64,
            seconds / DAY,
            month.sin(),
            month.cos(),
            weekday.sin(),
            weekday.cos(),
            hour.sin(),
            hour.cos(),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_forms_are_one_moment() {
        let noon = parse_moment("2024-01-31T12:00:00Z", false).unwrap();
        assert_eq!(noon, 1_706_702_400.0);
        for form in [
            "2024-01-31 12:00:00",
            "2024/01/31 12:00",
            "31.01.2024 12:00",
            "01/31/2024 12:00 PM",
            "31/01/2024 12:00",
            "31 Jan 2024, 12:00",
            "January 31st, 2024 12:00:00.0",
            "Wed, 31 Jan 2024 13:00:00 +0100",
            "31-Jan-2024 07:00 -05:00",
        ] {
            assert_eq!(parse_moment(form, false), Some(noon), "{form}");
        }
        assert_eq!(parse_moment("02/03/2024", true), parse_moment("2024-03-02", false));
        assert_eq!(parse_moment("02/03/2024", false), parse_moment("2024-02-03", false));
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "",
            "hello",
            "2024",
            "1.2",
            "1.2.3",
            "30/02/2024",
            "31 Foo 2024",
            "12:00",
            "-1",
            "1.10.0",
            "31/01/24",
        ] {
            assert_eq!(parse_moment(text, true), None, "{text}");
        }
    }

    #[test]
    fn days_and_dates_go_back_and_forth() {
        let mut days = days_from_date(1599, 12, 31).unwrap();
        for year in 1600..2400 {
            for month in 1..=12 {
                for day in 1..=31 {
                    if let Some(found) = days_from_date(year, month, day) {
                        assert_eq!(found, days + 1, "{year}-{month}-{day}");
                        assert_eq!(year_and_month(found), (year, month - 1));
                        days = found;
                    }
                }
            }
        }
        assert_eq!(days_from_date(1970, 1, 1), Some(0));
    }

    #[test]
    fn parts_lie_on_their_circles() {
        let DateParts(parts) = DateParts::of(parse_moment("2024-01-29T06:00:00Z", false).unwrap());
        let expected = [2024.0, 19751.25, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0];
        assert!(
            parts.iter().zip(expected).all(|(part, expected)| (part - expected).abs() < 1e-12),
            "{parts:?}"
        );
        assert!(DateParts::of(f64::NAN).0.iter().all(|part| part.is_nan()));
    }
}
