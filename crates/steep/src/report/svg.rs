//! A writer of small SVG pictures.

use super::format::{columns_of, one_line};
use super::markup::{Markup, escape};
use std::fmt::{Display, Write};

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
    /// Outputs of several routes put together.
    Triangle,
}

impl Marker {
    /// The shape for what scored a route.
    pub(super) fn of(scored_by: super::route::ScoredBy) -> Self {
        match scored_by {
            super::route::ScoredBy::Classifier => Self::Disc,
            super::route::ScoredBy::OwnHead => Self::Diamond,
            super::route::ScoredBy::Baseline => Self::Square,
            super::route::ScoredBy::Combined => Self::Triangle,
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
        self.element(
            "line",
            &[("class", &class), ("x1", &ends[0]), ("y1", &ends[1]), ("x2", &ends[2]), ("y2", &ends[3])],
        );
    }

    /// A rectangle from its upper left corner.
    pub(super) fn rectangle(&mut self, class: &str, corner: (f64, f64), size: (f64, f64)) {
        let (x, y, width, height) = (px(corner.0), px(corner.1), px(size.0.max(0.0)), px(size.1.max(0.0)));
        self.element(
            "rect",
            &[("class", &class), ("x", &x), ("y", &y), ("width", &width), ("height", &height)],
        );
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
        for (index, (class, text)) in
            [first, second].into_iter().enumerate().filter(|(_, (_, text))| !text.is_empty())
        {
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
                self.element(
                    "circle",
                    &[("class", &"mark"), ("cx", &px(x)), ("cy", &px(y)), ("r", &px(radius))],
                );
            }
            Marker::Square => {
                self.rectangle("mark", (x - radius * 0.9, y - radius * 0.9), (radius * 1.8, radius * 1.8));
            }
            Marker::Triangle => {
                let (half, r) = (radius * 1.15, radius * 1.2);
                let data = format!(
                    "M{} {}L{} {}L{} {}Z",
                    px(x),
                    px(y - r),
                    px(x + half),
                    px(y + r * 0.8),
                    px(x - half),
                    px(y + r * 0.8)
                );
                self.path("mark", &data);
            }
            Marker::Diamond => {
                let r = radius * 1.25;
                let data = format!(
                    "M{} {}L{} {}L{} {}L{} {}Z",
                    px(x),
                    px(y - r),
                    px(x + r),
                    px(y),
                    px(x),
                    px(y + r),
                    px(x - r),
                    px(y)
                );
                self.path("mark", &data);
            }
        }
    }

    /// The finished picture.
    pub(super) fn finish(mut self) -> Markup {
        self.0.push_str("</svg>");
        Markup::drawn(self.0)
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
    let step = [1.0, 2.0, 2.5, 5.0, 10.0]
        .map(|factor| factor * power)
        .into_iter()
        .find(|step| *step >= rough * 0.999);
    let step = step.unwrap_or(10.0 * power);
    let first = (domain.0 / step - 1e-9).ceil() as i64;
    let last = (domain.1 / step + 1e-9).floor() as i64;
    let values = (first..=last).map(|index| index as f64 * step).collect();
    (values, decimals_of(step))
}

fn decimals_of(step: f64) -> usize {
    (0..9)
        .find(|decimals| {
            let scaled = step * 10f64.powi(*decimals);
            (scaled - scaled.round()).abs() < 1e-6 * scaled
        })
        .unwrap_or(9) as usize
}

/// The class that gives a route its colour, the same in every picture: the known routes have their own, others take
/// the rest in the order of their first appearance.
pub(super) fn colour_class(name: &str, routes: &[super::route::RouteResult]) -> String {
    const KNOWN: [&str; 13] = [
        "majority",
        "tfidf",
        "frozen",
        "adapted",
        "finetuned",
        "adapted+finetuned",
        "finetuned+adapted",
        "table_only",
        "table_as_text",
        "late_average",
        "stacked",
        "joint",
        "adapted+joint",
    ];
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
    format!("c{}", 7 + position % 3)
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
        let routes: Vec<_> = ["mine", "frozen", "stacked", "yours"]
            .map(|name| RouteResult::new(name, ScoredBy::Classifier, ""))
            .into();
        assert_eq!(colour_class("frozen", &routes), "c2");
        assert_eq!(colour_class("stacked", &routes), "c10");
        assert_eq!(colour_class("mine", &routes), "c7");
        assert_eq!(colour_class("yours", &routes), "c8");
    }
}
