//! Markup that is safe to put into the page: everything from outside is escaped on its way in.

use super::format::{MINUS, one_line, shorten};
use super::results::Outcome;
use std::fmt::{self, Display, Write};

/// Text that is already HTML: made only here, where everything from outside is escaped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Markup(String);

impl Display for Markup {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl askama::filters::HtmlSafe for Markup {}

impl Markup {
    /// A finished picture: only the SVG writer, which escapes what it is given, calls this.
    pub(super) fn drawn(svg: String) -> Self {
        Self(svg)
    }

    /// A user's string: escaped, isolated from the direction of the text around it, cut to `columns` with the whole
    /// in the tooltip.
    pub(super) fn label(text: &str, columns: usize) -> Self {
        let short = shorten(text, columns);
        let whole = shorten(text, 300);
        Self(if short == whole {
            format!("<bdi>{}</bdi>", escape(&short))
        } else {
            format!("<bdi title=\"{}\">{}</bdi>", escape(&whole), escape(&short))
        })
    }

    /// A moment: RFC 3339 in UTC is written for people, anything else stays as it is.
    pub(super) fn moment(text: &str) -> Self {
        let is_utc =
            text.len() == 20 && text.is_ascii() && text.ends_with('Z') && text.as_bytes()[10] == b'T';
        if is_utc {
            Self(escape(&format!("{}, {} UTC", &text[..10], &text[11..16])))
        } else {
            Self::label(text, 40)
        }
    }

    /// Whether there is nothing to read.
    pub(super) fn is_blank(&self) -> bool {
        self.0.is_empty() || self.0 == "<bdi></bdi>"
    }

    /// A sentence in which backticks set names in code type, figures stay on one line, and an outcome at the end is
    /// set in its colour.
    pub(super) fn sentence(text: &str) -> Self {
        let text = one_line(text);
        let (body, outcome) = split_outcome(&text);
        let Some((class, words)) = outcome else { return Self(with_names(body)) };
        let (asked, found) = body.split_once(": ").unwrap_or(("", body));
        let (asked, found) = (with_names(asked), with_names(found));
        let outcome = format!("<strong class=\"outcome {class}\">{words}</strong>.");
        Self(format!("<span class=\"asked\">{asked}:</span> <span class=\"found\">{found}{outcome}</span>"))
    }
}

/// The text as HTML, names between backticks in code type.
fn with_names(text: &str) -> String {
    let mut html = String::with_capacity(text.len() + 64);
    for (position, part) in text.split('`').enumerate() {
        if position % 2 == 1 {
            let _ = write!(html, "<code><bdi>{}</bdi></code>", escape(&shorten(part, 60)));
        } else {
            html.push_str(&escape(&with_figures_together(part)));
        }
    }
    html
}

/// Splits ": better." from a sentence's end.
fn split_outcome(text: &str) -> (&str, Option<(&'static str, &'static str)>) {
    for outcome in [Outcome::Better, Outcome::Worse, Outcome::PracticallyEqual, Outcome::Undecided] {
        let start = text.strip_suffix('.').and_then(|text| text.strip_suffix(outcome.words()));
        if let Some(start) = start.filter(|start| start.ends_with(": ")) {
            return (start, Some((outcome_class(outcome), outcome.words())));
        }
    }
    (text, None)
}

/// The class that gives an outcome its colour.
pub(super) fn outcome_class(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Better => "o-better",
        Outcome::Worse => "o-worse",
        Outcome::PracticallyEqual => "o-equal",
        Outcome::Undecided => "o-open",
    }
}

/// Spaces within intervals, probabilities and quantities become unbreakable.
fn with_figures_together(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let mut joined = String::with_capacity(text.len());
    let mut is_in_interval = false;
    for (index, character) in characters.iter().enumerate() {
        is_in_interval = match character {
            '[' => characters.get(index + 1).is_some_and(|next| next.is_ascii_digit() || *next == MINUS),
            ']' => false,
            _ => is_in_interval,
        };
        let before = index.checked_sub(1).and_then(|before| characters.get(before));
        let after = characters.get(index + 1);
        let is_in_probability = matches!(before, Some('P')) && matches!(after, Some('=' | '<' | '>'))
            || matches!(before, Some('=' | '<' | '>')) && matches!(after, Some('.'));
        let is_in_quantity =
            before.is_some_and(char::is_ascii_digit) && after.is_some_and(char::is_ascii_lowercase);
        let stays = *character == ' ' && (is_in_interval || is_in_probability || is_in_quantity);
        joined.push(if stays { '\u{a0}' } else { *character });
    }
    joined
}

/// The text with everything that HTML gives a meaning replaced by entities.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\0' => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_strings_become_text() {
        let hostile = "<script>alert(1)</script>\"'&";
        for markup in [
            Markup::label(hostile, 8),
            Markup::sentence(&format!("`{hostile}` {hostile}")),
            Markup::moment(hostile),
        ] {
            assert!(!markup.to_string().contains("<script"), "{markup}");
        }
        assert_eq!(Markup::moment("2025-06-12T14:03:00Z").to_string(), "2025-06-12, 14:03 UTC");
    }

    #[test]
    fn figures_stay_together_and_outcomes_stand_out() {
        let html =
            Markup::sentence("It is: +0.52 points [0.21, 0.83], P = .93, +11 min: better.").to_string();
        assert_eq!(
            html,
            "<span class=\"asked\">It is:</span> <span class=\"found\">+0.52\u{a0}points [0.21,\u{a0}0.83], P\u{a0}=\u{a0}.93, \
             +11\u{a0}min: <strong class=\"outcome o-better\">better</strong>.</span>"
        );
    }
}
