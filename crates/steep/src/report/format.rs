//! Numbers, durations and texts of unknown length as people read them.

use unicode_segmentation::UnicodeSegmentation;

/// The minus sign, as wide as a plus.
pub(super) const MINUS: char = '−';

/// `50,490`.
pub(super) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 row`, `2 rows`.
pub(super) fn plural(value: u64, one: &str) -> String {
    let ending = if value == 1 { "" } else { "s" };
    format!("{} {one}{ending}", count(value))
}

/// `22.7 M` for a number of weights.
pub(super) fn millions(value: u64) -> String {
    match value {
        0..1_000_000 => count(value),
        1_000_000..100_000_000 => format!("{:.1} M", value as f64 / 1e6),
        100_000_000..10_000_000_000 => format!("{:.0} M", value as f64 / 1e6),
        _ => format!("{:.1} B", value as f64 / 1e9),
    }
}

/// `1.4 GB`.
pub(super) fn bytes(value: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if value < 1000 {
        return format!("{value} B");
    }
    let mut scaled = value as f64 / 1000.0;
    let mut unit = 0;
    while scaled >= 999.5 && unit + 1 < UNITS.len() {
        scaled /= 1000.0;
        unit += 1;
    }
    let decimals = usize::from(scaled < 10.0);
    format!("{scaled:.decimals$} {}", UNITS[unit])
}

/// A duration in the unit that fits it: `0.4 s`, `45 s`, `11 min`, `2 h 05 min`, `1 d 3 h`.
pub(crate) fn duration(seconds: f64) -> String {
    if !seconds.is_finite() {
        return "–".to_owned();
    }
    let seconds = seconds.abs();
    if seconds == 0.0 {
        "0 s".to_owned()
    } else if seconds < 0.05 {
        "< 0.1 s".to_owned()
    } else if seconds < 9.95 {
        format!("{seconds:.1} s")
    } else if seconds < 89.5 {
        format!("{seconds:.0} s")
    } else if seconds < 89.5 * 60.0 {
        format!("{:.0} min", seconds / 60.0)
    } else {
        long_duration((seconds / 60.0).round() as u64)
    }
}

fn long_duration(minutes: u64) -> String {
    let hours = minutes / 60;
    if hours < 24 {
        format!("{hours} h {:02} min", minutes % 60)
    } else {
        format!("{} d {} h", hours / 24, hours % 24)
    }
}

/// A difference of durations: `+11 min`, `−45 s`.
pub(super) fn extra_duration(seconds: f64) -> String {
    match duration(seconds) {
        text if seconds > 0.0 => format!("+{text}"),
        text if seconds < 0.0 => format!("{MINUS}{text}"),
        text => text,
    }
}

/// A probability without the leading zero: `.93`; never a certainty.
pub(super) fn probability(value: f64) -> String {
    if !value.is_finite() {
        "–".to_owned()
    } else if value >= 0.995 {
        "> .99".to_owned()
    } else if value < 0.005 {
        "< .01".to_owned()
    } else {
        format!("{value:.2}").trim_start_matches('0').to_owned()
    }
}

/// `P = .93`, `P > .99`.
pub(super) fn probability_sentence(value: f64) -> String {
    let text = probability(value);
    if text.starts_with(['<', '>']) { format!("P {text}") } else { format!("P = {text}") }
}

/// The text on one line, without control characters and without the marks that reorder the text around them.
pub(super) fn one_line(text: &str) -> String {
    let visible = text.chars().filter(|character| !is_reordering(*character));
    let spaced: String =
        visible.map(|character| if character.is_control() { ' ' } else { character }).collect();
    spaced.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn is_reordering(character: char) -> bool {
    matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{061c}')
}

/// The text on one line, cut to `columns` of a terminal, with an ellipsis where it was cut.
pub(super) fn shorten(text: &str, columns: usize) -> String {
    // A hostile text may be megabytes long; what is beyond this is cut anyway.
    let head: String = text.chars().take(columns * 16 + 64).collect();
    let line = one_line(&head);
    if columns_of(&line) <= columns && head.len() == text.len() {
        return line;
    }
    let mut short = String::new();
    let mut width = 0;
    for grapheme in line.graphemes(true) {
        let grapheme_width = columns_of(grapheme);
        if width + grapheme_width + 1 > columns || short.len() + grapheme.len() > columns * 16 {
            break;
        }
        short.push_str(grapheme);
        width += grapheme_width;
    }
    short.truncate(short.trim_end().len());
    short.push('…');
    short
}

/// How many columns of a terminal the text takes: two for wide East Asian characters and emoji.
pub(super) fn columns_of(text: &str) -> usize {
    text.graphemes(true).map(|grapheme| grapheme.chars().map(character_columns).max().unwrap_or(0)).sum()
}

/// Blocks of Unicode's EastAsianWidth.txt (wide and fullwidth), coarsely.
fn character_columns(character: char) -> usize {
    match character as u32 {
        0x0000..=0x001f | 0x007f..=0x009f | 0x0300..=0x036f | 0x200b..=0x200f | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f
        | 0x2e80..=0x303e
        | 0x3041..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1faff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_change_their_unit() {
        let cases = [
            (0.0, "0 s"),
            (0.01, "< 0.1 s"),
            (0.44, "0.4 s"),
            (45.2, "45 s"),
            (660.0, "11 min"),
            (7500.0, "2 h 05 min"),
            (97_200.0, "1 d 3 h"),
            (f64::NAN, "–"),
        ];
        for (seconds, text) in cases {
            assert_eq!(duration(seconds), text);
        }
        assert_eq!(extra_duration(-45.0), "−45 s");
        assert_eq!(extra_duration(660.0), "+11 min");
    }

    #[test]
    fn counts_have_separators() {
        assert_eq!(
            (count(7).as_str(), count(50_490).as_str(), count(1_234_567).as_str()),
            ("7", "50,490", "1,234,567")
        );
        assert_eq!(plural(1, "row"), "1 row");
        assert_eq!(plural(2000, "row"), "2,000 rows");
        assert_eq!(millions(22_713_216), "22.7 M");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(999_700), "1.0 MB");
    }

    #[test]
    fn a_probability_is_never_certain() {
        assert_eq!(probability(0.934), ".93");
        assert_eq!(probability_sentence(1.0), "P > .99");
        assert_eq!(probability_sentence(0.0), "P < .01");
        assert_eq!(probability_sentence(0.5), "P = .50");
    }

    #[test]
    fn shortened_texts_fit_and_keep_characters_whole() {
        assert_eq!(shorten("short", 10), "short");
        assert_eq!(shorten("a long label indeed", 10), "a long la…");
        for text in ["日本語のとても長いラベル", "👩‍👩‍👧‍👦👩‍👩‍👧‍👦👩‍👩‍👧‍👦👩‍👩‍👧‍👦👩‍👩‍👧‍👦👩‍👩‍👧‍👦", &"e\u{301}".repeat(5000)]
        {
            assert!(columns_of(&shorten(text, 10)) <= 10, "{}", shorten(text, 10));
        }
        assert!(shorten(&format!("e{}", "\u{301}".repeat(100_000)), 10).len() < 500);
    }

    #[test]
    fn control_and_reordering_characters_are_dropped() {
        assert_eq!(one_line("a\u{1b}[31mred\u{202e}evil\r\nnext\0"), "a [31mredevil next");
    }
}
