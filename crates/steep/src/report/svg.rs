//! A writer of small SVG pictures, and the markup that is safe to put into the page.

use super::format::{columns_of, one_line};
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
    /// A user's string: escaped, isolated from the direction of the text around it, cut to `columns` with the whole
    /// in the tooltip.
    pub(super) fn label(text: &str, columns: usize) -> Self {
        let short = super::format::shorten(text, columns);
        let whole = super::format::shorten(text, 300);
        Self(if short == whole {
            format!("<bdi>{}</bdi>", escape(&short))
        } else {
            format!("<bdi title=\"{}\">{}</bdi>", escape(&whole), escape(&short))
        })
    }

    /// A moment: RFC 3339 in UTC is written for people, anything else stays as it is.
    pub(super) fn moment(text: &str) -> Self {
        let is_utc = text.len() == 20 && text.is_ascii() && text.ends_with('Z') && text.as_bytes()[10] == b'T';
        if is_utc { Self(escape(&format!("{}, {} UTC", &text[..10], &text[11..16]))) } else { Self::label(text, 40) }
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
            let _ = write!(html, "<code><bdi>{}</bdi></code>", escape(&super::format::shorten(part, 60)));
        } else {
            html.push_str(&escape(&with_figures_together(part)));
        }
    }
    html
}

/// Splits ": better." from a sentence's end.
fn split_outcome(text: &str) -> (&str, Option<(&'static str, &'static str)>) {
    use super::results::Outcome;
    for outcome in [Outcome::Better, Outcome::Worse, Outcome::PracticallyEqual, Outcome::Undecided] {
        let start = text.strip_suffix('.').and_then(|text| text.strip_suffix(outcome.words()));
        if let Some(start) = start.filter(|start| start.ends_with(": ")) {
            return (start, Some((outcome_class(outcome), outcome.words())));
        }
    }
    (text, None)
}

/// The class that gives an outcome its colour.
pub(super) fn outcome_class(outcome: super::results::Outcome) -> &'static str {
    use super::results::Outcome;
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
            '[' => characters.get(index + 1).is_some_and(|next| next.is_ascii_digit() || *next == super::format::MINUS),
            ']' => false,
            _ => is_in_interval,
        };
        let before = index.checked_sub(1).and_then(|before| characters.get(before));
        let after = characters.get(index + 1);
        let is_in_probability = matches!(before, Some('P')) && matches!(after, Some('=' | '<' | '>'))
            || matches!(before, Some('=' | '<' | '>')) && matches!(after, Some('.'));
        let is_in_quantity = before.is_some_and(char::is_ascii_digit) && after.is_some_and(char::is_ascii_lowercase);
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

/// The width in pixels that a text of this size needs in a system font, on the safe side.
pub(super) fn text_width(text: &str, size: f64) -> f64 {
    columns_of(text) as f64 * size * 0.58
}

/// A coordinate with at most one digit after the point.
pub(super) fn px(value: f64) -> String {
    let text = format!("{value:.1}");
    let text = text.strip_suffix(".0").unwrap_or(&text);
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// Which end of a text stands at its x.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    /// The text begins there.
    Start,
    /// The text is centred there.
    Middle,
    /// The text ends there.
    End,
}

impl Anchor {
    fn class(self) -> &'static str {
        match self {
            Self::Start => "",
            Self::Middle => " mid",
            Self::End => " end",
        }
    }
}

/// The shape that marks a measured value; it tells what scored it, so that colour is never alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marker {
    /// A classifier on embeddings.
    Disc,
    /// The encoder's own head.
    Diamond,
    /// A baseline.
    Square,
}

impl Marker {
    /// The shape for what scored a route.
    pub(super) fn of(scored_by: super::route::ScoredBy) -> Self {
        match scored_by {
            super::route::ScoredBy::Classifier => Self::Disc,
            super::route::ScoredBy::OwnHead => Self::Diamond,
            super::route::ScoredBy::Baseline => Self::Square,
        }
    }
}

/// A picture being drawn. Attributes and texts are escaped as they are written.
pub(super) struct Svg(String);

impl Svg {
    /// A picture of `width` × `height` pixels with a name and a description for those who do not see it.
    pub(super) fn new(class: &str, width: f64, height: f64, title: &str, description: &str) -> Self {
        let (width, height) = (px(width), px(height));
        Self(format!(
            "<svg class=\"{}\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\" \
             aria-label=\"{}\"><desc>{}</desc>",
            escape(class),
            escape(&one_line(title)),
            escape(&one_line(description))
        ))
    }

    /// An element without content.
    pub(super) fn element(&mut self, name: &str, attributes: &[(&str, &dyn Display)]) {
        self.tag(name, attributes);
        self.0.push_str("/>");
    }

    /// Opens a group with a class and a tooltip.
    pub(super) fn open_group(&mut self, class: &str, tooltip: &str) {
        self.tag("g", &[("class", &class)]);
        self.0.push('>');
        if !tooltip.is_empty() {
            let _ = write!(self.0, "<title>{}</title>", escape(&one_line(tooltip)));
        }
    }

    /// Closes the group opened last.
    pub(super) fn close_group(&mut self) {
        self.0.push_str("</g>");
    }

    fn tag(&mut self, name: &str, attributes: &[(&str, &dyn Display)]) {
        let _ = write!(self.0, "<{name}");
        for (key, value) in attributes {
            let value = value.to_string();
            if !value.is_empty() {
                let _ = write!(self.0, " {key}=\"{}\"", escape(&value));
            }
        }
    }

    /// A straight line.
    pub(super) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let ends = [px(from.0), px(from.1), px(to.0), px(to.1)];
        self.element("line", &[("class", &class), ("x1", &ends[0]), ("y1", &ends[1]), ("x2", &ends[2]), ("y2", &ends[3])]);
    }

    /// A rectangle from its upper left corner.
    pub(super) fn rectangle(&mut self, class: &str, corner: (f64, f64), size: (f64, f64)) {
        let (x, y, width, height) = (px(corner.0), px(corner.1), px(size.0.max(0.0)), px(size.1.max(0.0)));
        self.element("rect", &[("class", &class), ("x", &x), ("y", &y), ("width", &width), ("height", &height)]);
    }

    /// A path, its data given.
    pub(super) fn path(&mut self, class: &str, data: &str) {
        self.element("path", &[("class", &class), ("d", &data)]);
    }

    /// A text; right-to-left names do not disturb their neighbours.
    pub(super) fn text(&mut self, class: &str, at: (f64, f64), anchor: Anchor, text: &str) {
        let class = format!("{class}{}", anchor.class());
        self.tag("text", &[("class", &class.trim()), ("x", &px(at.0)), ("y", &px(at.1))]);
        let _ = write!(self.0, ">{}</text>", escape(&one_line(text)));
    }

    /// Two texts on one line, each in its own type, the second a space after the first.
    pub(super) fn text_pair(&mut self, at: (f64, f64), first: (&str, &str), second: (&str, &str)) {
        self.tag("text", &[("x", &px(at.0)), ("y", &px(at.1))]);
        self.0.push('>');
        for (index, (class, text)) in [first, second].into_iter().enumerate().filter(|(_, (_, text))| !text.is_empty()) {
            let gap = if index == 1 && !first.1.is_empty() { "8" } else { "" };
            self.tag("tspan", &[("class", &class), ("dx", &gap)]);
            let _ = write!(self.0, ">{}</tspan>", escape(&one_line(text)));
        }
        self.0.push_str("</text>");
    }

    /// A text that runs upward from its point.
    pub(super) fn rotated_text(&mut self, class: &str, at: (f64, f64), text: &str) {
        let (x, y) = (px(at.0), px(at.1));
        self.tag("text", &[("class", &class), ("transform", &format!("translate({x} {y}) rotate(-90)"))]);
        let _ = write!(self.0, ">{}</text>", escape(&one_line(text)));
    }

    /// A marker of `radius` around a point.
    pub(super) fn marker(&mut self, marker: Marker, at: (f64, f64), radius: f64) {
        let (x, y) = at;
        match marker {
            Marker::Disc => {
                self.element("circle", &[("class", &"mark"), ("cx", &px(x)), ("cy", &px(y)), ("r", &px(radius))]);
            }
            Marker::Square => self.rectangle("mark", (x - radius * 0.9, y - radius * 0.9), (radius * 1.8, radius * 1.8)),
            Marker::Diamond => {
                let r = radius * 1.25;
                let data = format!("M{} {}L{} {}L{} {}L{} {}Z", px(x), px(y - r), px(x + r), px(y), px(x), px(y + r), px(x - r), px(y));
                self.path("mark", &data);
            }
        }
    }

    /// The finished picture.
    pub(super) fn finish(mut self) -> Markup {
        self.0.push_str("</svg>");
        Markup(self.0)
    }
}

/// Values to pixels, linearly.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    /// The values at both ends.
    pub(super) domain: (f64, f64),
    /// The pixels at both ends.
    pub(super) range: (f64, f64),
}

impl Scale {
    /// The pixel of a value.
    pub(super) fn at(&self, value: f64) -> f64 {
        let (low, high) = self.domain;
        let share = if high > low { (value - low) / (high - low) } else { 0.5 };
        self.range.0 + share * (self.range.1 - self.range.0)
    }

    /// Whether the value lies within the ends.
    pub(super) fn holds(&self, value: f64) -> bool {
        value >= self.domain.0 && value <= self.domain.1
    }
}

/// At most `count` + 1 round values within the domain, and the digits after the point that they need.
pub(super) fn ticks(domain: (f64, f64), count: usize) -> (Vec<f64>, usize) {
    let span = domain.1 - domain.0;
    if !(span > 0.0 && span.is_finite()) {
        return (vec![domain.0], 2);
    }
    let rough = span / count.max(1) as f64;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= rough * 0.999);
    let step = step.unwrap_or(10.0 * power);
    let first = (domain.0 / step - 1e-9).ceil() as i64;
    let last = (domain.1 / step + 1e-9).floor() as i64;
    let values = (first..=last).map(|index| index as f64 * step).collect();
    (values, decimals_of(step))
}

fn decimals_of(step: f64) -> usize {
    (0..9).find(|decimals| { let scaled = step * 10f64.powi(*decimals); (scaled - scaled.round()).abs() < 1e-6 * scaled }).unwrap_or(9) as usize
}

/// The class that gives a route its colour, the same in every picture: the known routes have their own, others take
/// the rest in the order of their first appearance.
pub(super) fn colour_class(name: &str, routes: &[super::route::RouteResult]) -> String {
    const KNOWN: [&str; 7] =
        ["majority", "tfidf", "frozen", "adapted", "finetuned", "adapted+finetuned", "finetuned+adapted"];
    if let Some(position) = KNOWN.iter().position(|known| *known == name) {
        return format!("c{position}");
    }
    let mut others: Vec<&str> = Vec::new();
    for route in routes.iter().map(|route| route.name.as_str()) {
        if !KNOWN.contains(&route) && !others.contains(&route) {
            others.push(route);
        }
    }
    let position = others.iter().position(|other| *other == name).unwrap_or(0);
    format!("c{}", KNOWN.len() + position % 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_becomes_markup() {
        let hostile = "<script>alert(1)</script>\"'&\0";
        let mut svg = Svg::new("a\"b", 10.0, 10.0, hostile, hostile);
        svg.open_group("c", hostile);
        svg.text("t", (1.0, 2.0), Anchor::End, hostile);
        svg.close_group();
        let markup = svg.finish().to_string();
        assert!(!markup.contains("<script"), "{markup}");
        assert!(!markup.contains("\"'"), "{markup}");
        assert!(!Markup::label(hostile, 8).to_string().contains("<script"));
        assert!(!Markup::sentence(&format!("`{hostile}` x {hostile}")).to_string().contains("<script"));
    }

    #[test]
    fn figures_stay_together_and_outcomes_stand_out() {
        let html = Markup::sentence("It is: +0.52 points [0.21, 0.83], P = .93, +11 min: better.").to_string();
        assert_eq!(
            html,
            "<span class=\"asked\">It is:</span> <span class=\"found\">+0.52\u{a0}points [0.21,\u{a0}0.83], P\u{a0}=\u{a0}.93, \
             +11\u{a0}min: <strong class=\"outcome o-better\">better</strong>.</span>"
        );
    }

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(ticks((0.61, 0.74), 4).0, [0.65, 0.7000000000000001]);
        let (values, decimals) = ticks((0.0, 1.0), 5);
        assert_eq!((values.len(), decimals), (6, 1));
        let (values, decimals) = ticks((-0.3, 0.95), 5);
        assert!(values.iter().all(|value| (-0.3..=0.95).contains(value)), "{values:?}");
        assert_eq!(decimals, 2);
        assert_eq!(ticks((2.0, 2.0), 5).0, [2.0]);
    }

    #[test]
    fn known_routes_keep_their_colour_and_others_get_one() {
        use crate::report::{RouteResult, ScoredBy};
        let routes: Vec<_> = ["joint", "frozen", "stacked"].map(|name| RouteResult::new(name, ScoredBy::Classifier, "")).into();
        assert_eq!(colour_class("frozen", &routes), "c2");
        assert_eq!(colour_class("joint", &routes), "c7");
        assert_eq!(colour_class("stacked", &routes), "c8");
    }
}
