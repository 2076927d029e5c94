//! Rows of values with intervals on one common axis: scores of routes, differences of pairs.

use super::format::shorten;
use super::markup::Markup;
use super::svg::{Anchor, Marker, Scale, Svg, px, text_width, ticks};

/// For which width of screen a picture is drawn. Both are in the page; a style rule shows one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// Desktop and print.
    Wide,
    /// Phone.
    Narrow,
}

impl Layout {
    /// The class that the style sheet shows or hides.
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Wide => "wide",
            Self::Narrow => "narrow",
        }
    }

    /// The width of the picture in pixels.
    pub(super) fn width(self) -> f64 {
        match self {
            Self::Wide => 880.0,
            Self::Narrow => 350.0,
        }
    }
}

/// One row.
#[derive(Debug, Clone)]
pub(super) struct Strip {
    /// What is measured.
    pub(super) name: String,
    /// A word or two after the name, in muted type.
    pub(super) aside: String,
    /// The class that sets the colour.
    pub(super) class: String,
    /// The shape of the mark.
    pub(super) marker: Marker,
    /// The interval's lower end.
    pub(super) low: f64,
    /// The value.
    pub(super) mid: f64,
    /// The interval's upper end.
    pub(super) high: f64,
    /// Single values behind it.
    pub(super) dots: Vec<f64>,
    /// The value in figures.
    pub(super) value: String,
    /// More figures, in muted type.
    pub(super) note: String,
    /// A word set in the row's own colour before the note.
    pub(super) tag: String,
    /// Whether the row is the one to look at.
    pub(super) is_chosen: bool,
}

/// The common axis.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    /// The values at both ends.
    pub(super) domain: (f64, f64),
    /// What the axis shows.
    pub(super) title: String,
    /// A range drawn behind everything.
    pub(super) band: Option<(f64, f64)>,
    /// A value with a line through all rows.
    pub(super) reference: Option<f64>,
    /// The factor from values to the labels of the axis (100 for points).
    pub(super) factor: f64,
}

const NAME: f64 = 14.0;
const ASIDE: f64 = 12.0;
/// Figures are narrower than letters.
const NARROW_VALUE: f64 = 10.7;

/// Pixels of one layout.
struct Geometry {
    layout: Layout,
    width: f64,
    plot: (f64, f64),
    row: f64,
    top: f64,
    /// Whether rows have a second line of words.
    is_double: bool,
}

impl Geometry {
    fn new(layout: Layout, strips: &[Strip]) -> Self {
        let is_double = strips.iter().any(|strip| !strip.note.is_empty() || !strip.tag.is_empty());
        match layout {
            Layout::Wide => {
                let names =
                    strips.iter().map(|strip| name_width(strip, is_double)).fold(120.0, f64::max).min(300.0);
                let values = strips.iter().map(value_width).fold(60.0, f64::max).min(240.0);
                let row = if is_double { 48.0 } else { 36.0 };
                let plot = (names + 34.0, layout.width() - values - 30.0);
                Self { layout, width: layout.width(), plot, row, top: 8.0, is_double }
            }
            Layout::Narrow => {
                let row = if is_double { 92.0 } else { 58.0 };
                Self {
                    layout,
                    width: layout.width(),
                    plot: (10.0, layout.width() - 10.0),
                    row,
                    top: 6.0,
                    is_double,
                }
            }
        }
    }

    /// The y of a row's upper edge.
    fn row_top(&self, row: usize) -> f64 {
        self.top + row as f64 * self.row
    }

    /// The heights between which the background is drawn: everywhere, or on a phone, where words stand over the
    /// marks, beside the marks only.
    fn bands(&self, rows: usize, bottom: f64) -> Vec<(f64, f64)> {
        match self.layout {
            Layout::Wide => vec![(self.top, bottom)],
            Layout::Narrow => {
                let below = if self.is_double { 10.0 } else { 14.0 };
                (0..rows).map(|row| (self.mark(row) - 11.0, self.mark(row) + below)).collect()
            }
        }
    }

    /// The y of a row's mark.
    fn mark(&self, row: usize) -> f64 {
        match self.layout {
            Layout::Wide => self.row_top(row) + self.row / 2.0,
            Layout::Narrow => self.row_top(row) + if self.is_double { 55.0 } else { 38.0 },
        }
    }
}

fn name_width(strip: &Strip, is_double: bool) -> f64 {
    let (name, aside) = (text_width(&strip.name, NAME), text_width(&strip.aside, ASIDE));
    if is_double { name.max(aside) } else { name + aside + 8.0 }
}

fn value_width(strip: &Strip) -> f64 {
    let tag = if strip.tag.is_empty() { 0.0 } else { text_width(&strip.tag, 12.0) + 8.0 };
    text_width(&strip.value, 13.5).max(text_width(&strip.note, 12.0) + tag)
}

/// Draws the rows from top to bottom over their axis.
pub(super) fn draw(layout: Layout, title: &str, strips: &[Strip], axis: &Axis) -> Markup {
    let geometry = Geometry::new(layout, strips);
    let bottom = geometry.row_top(strips.len());
    let scale = Scale { domain: axis.domain, range: geometry.plot };
    let titles = title_lines(layout, &axis.title);
    let height = bottom + 30.0 + 17.0 * titles.len() as f64;
    let mut svg = Svg::new(layout.class(), geometry.width, height, title, &describe(strips));
    for (row, strip) in strips.iter().enumerate().filter(|(_, strip)| strip.is_chosen) {
        svg.open_group(&strip.class, "");
        svg.rectangle("chosen", (0.0, geometry.row_top(row) + 1.0), (geometry.width, geometry.row - 2.0));
        svg.close_group();
    }
    for (from, to) in geometry.bands(strips.len(), bottom) {
        draw_background(&mut svg, layout, axis, &scale, (from, to));
    }
    draw_axis(&mut svg, layout, axis, &scale, bottom);
    let middle = f64::midpoint(geometry.plot.0, geometry.plot.1);
    for (line, words) in titles.iter().enumerate() {
        svg.text("axis-title", (middle, bottom + 38.0 + 17.0 * line as f64), Anchor::Middle, words);
    }
    for (row, strip) in strips.iter().enumerate() {
        draw_strip(&mut svg, &geometry, &scale, row, strip);
    }
    svg.finish()
}

/// The rows as one sentence each, for those who do not see the picture.
fn describe(strips: &[Strip]) -> String {
    let told = strips.iter().map(|strip| {
        let aside = if strip.aside.is_empty() { String::new() } else { format!(" ({})", strip.aside) };
        let tag = if strip.tag.is_empty() { String::new() } else { format!(", {}", strip.tag) };
        format!("{}{aside}: {}{tag}.", shorten(&strip.name, 60), strip.value)
    });
    told.collect::<Vec<_>>().join(" ")
}

/// The axis' title: on a phone one line for each of its parts.
fn title_lines(layout: Layout, title: &str) -> Vec<&str> {
    match layout {
        Layout::Wide => vec![title],
        Layout::Narrow => title.split("; ").collect(),
    }
}

/// The values with labels, before the factor is taken back, and their digits after the point.
fn axis_ticks(layout: Layout, axis: &Axis) -> (Vec<f64>, usize) {
    let wanted = if layout == Layout::Wide { 6 } else { 4 };
    ticks((axis.domain.0 * axis.factor, axis.domain.1 * axis.factor), wanted)
}

/// What lies behind the marks between two heights.
fn draw_background(svg: &mut Svg, layout: Layout, axis: &Axis, scale: &Scale, (from, to): (f64, f64)) {
    if let Some((low, high)) = axis.band {
        let (low, high) = (scale.at(low.max(scale.domain.0)), scale.at(high.min(scale.domain.1)));
        svg.rectangle("margin", (low, from), (high - low, to - from));
    }
    for value in axis_ticks(layout, axis).0 {
        let x = scale.at(value / axis.factor);
        svg.line("grid", (x, from), (x, to));
    }
    if let Some(reference) = axis.reference.filter(|reference| scale.holds(*reference)) {
        let x = scale.at(reference);
        svg.line("reference", (x, from), (x, to));
    }
}

fn draw_axis(svg: &mut Svg, layout: Layout, axis: &Axis, scale: &Scale, bottom: f64) {
    let (values, decimals) = axis_ticks(layout, axis);
    for value in values {
        let label = super::metric::number(value, decimals);
        svg.text("axis", (scale.at(value / axis.factor), bottom + 17.0), Anchor::Middle, &label);
    }
}

fn draw_strip(svg: &mut Svg, geometry: &Geometry, scale: &Scale, row: usize, strip: &Strip) {
    let class = if strip.is_chosen { format!("{} strong", strip.class) } else { strip.class.clone() };
    svg.open_group(
        &class,
        &format!("{} {}: {} {} {}", strip.name, strip.aside, strip.value, strip.tag, strip.note),
    );
    draw_words(svg, geometry, row, strip);
    let y = geometry.mark(row);
    if strip.mid < scale.domain.0 || strip.mid > scale.domain.1 {
        draw_beyond(svg, scale, y, strip.mid > scale.domain.1);
    } else if strip.mid.is_finite() {
        if strip.low.is_finite() && strip.high.is_finite() {
            let clamp = |value: f64| scale.at(value.clamp(scale.domain.0, scale.domain.1));
            svg.line("whisker", (clamp(strip.low), y), (clamp(strip.high), y));
        }
        for dot in strip.dots.iter().filter(|dot| scale.holds(**dot)) {
            let x = scale.at(*dot);
            svg.line("seed", (x, y + 9.0), (x, y + 14.0));
        }
        svg.marker(strip.marker, (scale.at(strip.mid), y), 6.0);
    }
    svg.close_group();
}

/// An arrow at the edge for a value that lies beyond the axis.
fn draw_beyond(svg: &mut Svg, scale: &Scale, y: f64, is_above: bool) {
    let (edge, toward) = if is_above { (scale.range.1, -1.0) } else { (scale.range.0, 1.0) };
    let (base, top, low) = (px(edge + toward * 9.0), px(y - 6.0), px(y + 6.0));
    svg.path("mark", &format!("M{} {}L{base} {top}L{base} {low}Z", px(edge), px(y)));
    svg.line("beyond", (edge + toward * 11.0, y), (edge + toward * 34.0, y));
}

fn draw_words(svg: &mut Svg, geometry: &Geometry, row: usize, strip: &Strip) {
    let (top, middle) = (geometry.row_top(row), geometry.mark(row));
    let (right, after) = (geometry.width - 10.0, geometry.plot.1 + 22.0);
    let room = geometry.plot.0 - 30.0;
    match (geometry.layout, geometry.is_double) {
        (Layout::Wide, false) => {
            draw_name_and_aside(svg, (10.0, middle + 4.5), room, strip);
            svg.text("value", (after, middle + 4.5), Anchor::Start, &strip.value);
        }
        (Layout::Wide, true) => {
            svg.text("name", (10.0, middle - 2.5), Anchor::Start, &cut(&strip.name, room, NAME));
            svg.text("aside", (10.0, middle + 15.0), Anchor::Start, &cut(&strip.aside, room, ASIDE));
            svg.text("value", (after, middle - 2.5), Anchor::Start, &strip.value);
            draw_note(svg, (after, middle + 15.0), strip);
        }
        (Layout::Narrow, false) => {
            let room = right - text_width(&strip.value, NARROW_VALUE) - 12.0;
            draw_name_and_aside(svg, (10.0, top + 19.0), room, strip);
            svg.text("value", (right, top + 19.0), Anchor::End, &strip.value);
        }
        (Layout::Narrow, true) => {
            let room = right - text_width(&strip.value, NARROW_VALUE) - 12.0;
            svg.text("name", (10.0, top + 19.0), Anchor::Start, &cut(&strip.name, right - 10.0, NAME));
            svg.text("aside", (10.0, top + 36.0), Anchor::Start, &cut(&strip.aside, room, ASIDE));
            svg.text("value", (right, top + 36.0), Anchor::End, &strip.value);
            draw_note(svg, (10.0, top + 81.0), strip);
        }
    }
}

/// The name, and the words after it where there is room for both.
fn draw_name_and_aside(svg: &mut Svg, at: (f64, f64), room: f64, strip: &Strip) {
    let aside = text_width(&strip.aside, ASIDE) + 8.0;
    let fits = !strip.aside.is_empty() && text_width(&strip.name, NAME) + aside <= room;
    let name = cut(&strip.name, room, NAME);
    svg.text_pair(at, ("name", &name), ("aside", if fits { &strip.aside } else { "" }));
}

fn cut(text: &str, room: f64, size: f64) -> String {
    shorten(text, (room / (size * 0.58)).max(6.0) as usize)
}

fn draw_note(svg: &mut Svg, at: (f64, f64), strip: &Strip) {
    svg.text_pair(at, ("tag", &strip.tag), ("note", &strip.note));
}

/// The ends of an axis that shows the rows well: a value far off all others (a majority baseline, as a rule) is left
/// outside, so that the others are told apart. At least three rows remain.
pub(super) fn spread(intervals: &[(f64, f64, f64)]) -> Option<(f64, f64)> {
    let mut kept: Vec<_> = intervals.iter().copied().filter(|(_, mid, _)| mid.is_finite()).collect();
    kept.sort_by(|a, b| a.1.total_cmp(&b.1));
    let ends = |kept: &[(f64, f64, f64)]| {
        let low = kept
            .iter()
            .map(|(low, mid, _)| if low.is_finite() { *low } else { *mid })
            .fold(f64::INFINITY, f64::min);
        let high = kept
            .iter()
            .map(|(.., mid, high)| if high.is_finite() { *high } else { *mid })
            .fold(f64::NEG_INFINITY, f64::max);
        (low, high)
    };
    while kept.len() > 3 {
        let whole = ends(&kept);
        let (without_first, without_last) = (ends(&kept[1..]), ends(&kept[..kept.len() - 1]));
        let span = |(low, high): (f64, f64)| high - low;
        if span(without_first) < 0.45 * span(whole) {
            kept.remove(0);
        } else if span(without_last) < 0.45 * span(whole) {
            kept.pop();
        } else {
            break;
        }
    }
    let (low, high) = if kept.is_empty() { return None } else { ends(&kept) };
    let padding = if high > low { (high - low) * 0.06 } else { low.abs().max(1.0) * 0.05 };
    Some((low - padding, high + padding))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_far_off_baseline_does_not_squeeze_the_others() {
        let rows = [(0.12, 0.13, 0.14), (0.70, 0.71, 0.72), (0.62, 0.63, 0.64), (0.71, 0.72, 0.73)];
        let (low, high) = spread(&rows).unwrap();
        assert!(low > 0.6 && high < 0.75, "{low} {high}");
    }

    #[test]
    fn evenly_spread_rows_all_stay() {
        let rows = [(0.1, 0.1, 0.1), (0.3, 0.3, 0.3), (0.5, 0.5, 0.5), (0.7, 0.7, 0.7)];
        let (low, high) = spread(&rows).unwrap();
        assert!(low < 0.1 && high > 0.7);
        assert!(spread(&[]).is_none());
        assert!(spread(&[(f64::NAN, f64::NAN, f64::NAN)]).is_none());
        let (low, high) = spread(&[(0.5, 0.5, 0.5)]).unwrap();
        assert!(low < high);
    }
}
