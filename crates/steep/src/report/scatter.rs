//! Cost beside score: one point a route, each with its name, no name over another.

use super::format::{duration, shorten};
use super::markup::Markup;
use super::metric;
use super::strips::Layout;
use super::svg::{Anchor, Marker, Scale, Svg, px, text_width, ticks};
use std::fmt::Write;

/// One route.
#[derive(Debug, Clone)]
pub(super) struct Point {
    /// Its name.
    pub(super) name: String,
    /// The class that sets the colour.
    pub(super) class: String,
    /// The shape of the mark.
    pub(super) marker: Marker,
    /// What it costs.
    pub(super) seconds: f64,
    /// The score's interval and mean: low, mean, high.
    pub(super) score: (f64, f64, f64),
    /// Whether it is the recommended one.
    pub(super) is_chosen: bool,
}

/// Costs below this are drawn here: nobody chooses between fractions of a second.
const LEAST_SECONDS: f64 = 1.0;
const LABEL: f64 = 12.5;

/// From seconds to pixels, by their logarithm where they span more than a factor of twenty.
struct CostScale {
    is_logarithmic: bool,
    scale: Scale,
}

impl CostScale {
    fn new(points: &[Point], range: (f64, f64)) -> Self {
        let seconds = || points.iter().map(|point| point.seconds.max(LEAST_SECONDS));
        let (low, high) = (seconds().fold(f64::INFINITY, f64::min), seconds().fold(LEAST_SECONDS, f64::max));
        let is_logarithmic = high / low > 20.0;
        let domain = if is_logarithmic {
            let padding = (high.ln() - low.ln()) * 0.06;
            (low.ln() - padding, high.ln() + padding)
        } else {
            (0.0, high * 1.08)
        };
        Self { is_logarithmic, scale: Scale { domain, range } }
    }

    fn at(&self, seconds: f64) -> f64 {
        let seconds = seconds.max(LEAST_SECONDS);
        self.scale.at(if self.is_logarithmic { seconds.ln() } else { seconds })
    }

    fn ticks(&self, count: usize) -> Vec<f64> {
        const ROUND: [f64; 20] = [
            1.0, 3.0, 10.0, 30.0, 60.0, 180.0, 600.0, 1800.0, 3600.0, 10_800.0, 36_000.0, 86_400.0,
            259_200.0, 864_000.0, 2.0, 5.0, 20.0, 120.0, 300.0, 7200.0,
        ];
        if self.is_logarithmic {
            let held = ROUND[..14].iter().copied().filter(|seconds| self.scale.holds(seconds.ln()));
            let held: Vec<f64> = held.collect();
            let stride = held.len().div_ceil(count.max(1)).max(1);
            return held.into_iter().step_by(stride).collect();
        }
        let unit = [1.0, 60.0, 3600.0, 86_400.0]
            .into_iter()
            .rev()
            .find(|unit| self.scale.domain.1 / unit >= 2.0)
            .unwrap_or(1.0);
        let (values, _) = ticks((0.0, self.scale.domain.1 / unit), count);
        // Costs below the least are drawn at the least, and so would be their ticks.
        values.into_iter().map(|value| value * unit).filter(|seconds| *seconds >= LEAST_SECONDS).collect()
    }
}

/// A rectangle: left, top, right, bottom.
#[derive(Debug, Clone, Copy)]
struct Area(f64, f64, f64, f64);

impl Area {
    fn overlap(self, other: Self) -> f64 {
        let width = self.2.min(other.2) - self.0.max(other.0);
        let height = self.3.min(other.3) - self.1.max(other.1);
        if width > 0.0 && height > 0.0 { width * height } else { 0.0 }
    }

    /// How much of it lies outside another.
    fn outside(self, other: Self) -> f64 {
        (self.2 - self.0) * (self.3 - self.1) - self.overlap(other)
    }
}

/// Where a name stands.
#[derive(Debug, Clone)]
struct Placed {
    text: String,
    area: Area,
    is_apart: bool,
}

/// Draws the points; up is better. `metric` names the score, `domain` are the scores at both ends.
pub(super) fn draw(layout: Layout, title: &str, points: &[Point], name: &str, domain: (f64, f64)) -> Markup {
    let (width, height) = (layout.width(), if layout == Layout::Wide { 400.0 } else { 380.0 });
    // On a wide screen the dearest routes have their names to the right of the plot.
    let room = if layout == Layout::Wide { 170.0 } else { 14.0 };
    let plot = Area(54.0, 10.0, width - room, height - 52.0);
    let paper = Area(plot.0, plot.1, width - 2.0, plot.3);
    let range = if metric::is_lower_better(name) { (plot.1, plot.3) } else { (plot.3, plot.1) };
    let scores = Scale { domain, range };
    let shown: Vec<Point> = points.iter().filter(|point| scores.holds(point.score.1)).cloned().collect();
    let costs = CostScale::new(&shown, (plot.0, plot.2));
    let mut svg = Svg::new(layout.class(), width, height, title, &describe(points, name));
    draw_axes(&mut svg, layout, plot, &costs, &scores);
    let steps = frontier(&shown, &costs, &scores, name);
    draw_frontier(&mut svg, &steps, plot);
    let labels = place(&shown, &steps, &costs, &scores, paper);
    for (point, label) in shown.iter().zip(&labels) {
        draw_point(&mut svg, point, label, &costs, &scores, name);
    }
    svg.finish()
}

fn describe(points: &[Point], name: &str) -> String {
    let told = points.iter().map(|point| {
        format!(
            "{}: {} for {}.",
            shorten(&point.name, 60),
            metric::value(name, point.score.1),
            duration(point.seconds)
        )
    });
    told.collect::<Vec<_>>().join(" ")
}

fn draw_axes(svg: &mut Svg, layout: Layout, plot: Area, costs: &CostScale, scores: &Scale) {
    let (values, decimals) = ticks(scores.domain, 5);
    for value in values {
        let y = scores.at(value);
        svg.line("grid", (plot.0, y), (plot.2, y));
        svg.text("axis", (plot.0 - 8.0, y + 4.0), Anchor::End, &metric::number(value, decimals));
    }
    let count = if layout == Layout::Wide { 8 } else { 4 };
    for seconds in costs.ticks(count) {
        let x = costs.at(seconds);
        svg.line("grid", (x, plot.1), (x, plot.3));
        svg.text("axis", (x, plot.3 + 18.0), Anchor::Middle, &axis_duration(seconds));
    }
    let kind = if costs.is_logarithmic { "time, logarithmic" } else { "time" };
    svg.text("axis-title", (f64::midpoint(plot.0, plot.2), plot.3 + 42.0), Anchor::Middle, kind);
}

/// Whole units only, as ticks are round.
fn axis_duration(seconds: f64) -> String {
    const UNITS: [(f64, &str); 3] = [(86_400.0, "d"), (3600.0, "h"), (60.0, "min")];
    let unit = UNITS.into_iter().find(|(unit, _)| seconds >= *unit);
    let (unit, name) = unit.unwrap_or((1.0, "s"));
    let value = seconds / unit;
    let decimals = usize::from((value - value.round()).abs() > 1e-6);
    format!("{value:.decimals$} {name}")
}

/// The routes that no cheaper route scores as well as, in pixels, from the cheapest up.
fn frontier(points: &[Point], costs: &CostScale, scores: &Scale, name: &str) -> Vec<(f64, f64)> {
    let mut by_cost: Vec<&Point> = points.iter().collect();
    by_cost.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    let mut steps = Vec::new();
    let mut best: Option<f64> = None;
    for point in by_cost {
        let score = point.score.1;
        let is_better =
            best.is_none_or(|best| if metric::is_lower_better(name) { score < best } else { score > best });
        if is_better {
            steps.push((costs.at(point.seconds), scores.at(score)));
            best = Some(score);
        }
    }
    steps
}

fn draw_frontier(svg: &mut Svg, steps: &[(f64, f64)], plot: Area) {
    let Some((first, others)) = steps.split_first() else { return };
    let mut data = format!("M{} {}", px(first.0), px(first.1));
    for (x, y) in others {
        let _ = write!(data, "H{}V{}", px(*x), px(*y));
    }
    svg.path("frontier", &format!("{data}H{}", px(plot.2)));
}

fn draw_point(svg: &mut Svg, point: &Point, label: &Placed, costs: &CostScale, scores: &Scale, name: &str) {
    let (x, y) = (costs.at(point.seconds), scores.at(point.score.1));
    let class = if point.is_chosen { format!("{} strong", point.class) } else { point.class.clone() };
    let value = metric::value(name, point.score.1);
    svg.open_group(&class, &format!("{}: {value}, {}", shorten(&point.name, 200), duration(point.seconds)));
    let (low, high) = whisker(point, scores);
    svg.line("whisker thin", (x, low), (x, high));
    if label.is_apart {
        svg.line("leader", (x, y), leader_end((x, y), label.area));
    }
    svg.marker(point.marker, (x, y), 6.5);
    svg.text("label", (label.area.0 + 2.0, label.area.3 - 4.5), Anchor::Start, &label.text);
    svg.close_group();
}

fn whisker(point: &Point, scores: &Scale) -> (f64, f64) {
    let (low, mid, high) = point.score;
    let at = |value: f64| {
        scores.at(if value.is_finite() { value } else { mid }.clamp(scores.domain.0, scores.domain.1))
    };
    (at(low), at(high))
}

/// Tries, for each name in turn, places ever further from its point, and takes the first that covers nothing; or
/// the one that covers least.
fn place(
    points: &[Point],
    steps: &[(f64, f64)],
    costs: &CostScale,
    scores: &Scale,
    plot: Area,
) -> Vec<Placed> {
    let mut taken = Vec::new();
    for (index, (x, y)) in steps.iter().enumerate() {
        let (right, above) = steps.get(index + 1).copied().unwrap_or((plot.2, *y));
        taken.push(Area(*x, y - 1.5, right, y + 1.5));
        taken.push(Area(right - 1.5, above.min(*y), right + 1.5, above.max(*y)));
    }
    for point in points {
        let (x, y) = (costs.at(point.seconds), scores.at(point.score.1));
        let (low, high) = whisker(point, scores);
        taken.push(Area(x - 9.0, y - 9.0, x + 9.0, y + 9.0));
        taken.push(Area(x - 3.0, low.min(high), x + 3.0, low.max(high)));
    }
    let mut placed = Vec::with_capacity(points.len());
    for point in points {
        let names: Vec<Area> = placed.iter().map(|label: &Placed| label.area).collect();
        let label =
            place_one(point, (costs.at(point.seconds), scores.at(point.score.1)), &taken, &names, plot);
        taken.push(label.area);
        placed.push(label);
    }
    placed
}

/// Where the line from a point to its name ends.
fn leader_end(at: (f64, f64), label: Area) -> (f64, f64) {
    (at.0.clamp(label.0, label.2), at.1.clamp(label.1 + 2.0, label.3 - 2.0))
}

/// How much of other names the line from a point to its name would cross, in pixels, weighted like covered area.
fn crossed_by_leader(at: (f64, f64), label: Area, names: &[Area]) -> f64 {
    let end = leader_end(at, label);
    let on_name = |step: &i32| {
        let share = f64::from(*step) / 20.0;
        let (x, y) = (at.0 + share * (end.0 - at.0), at.1 + share * (end.1 - at.1));
        names.iter().any(|name| x > name.0 - 2.0 && x < name.2 + 2.0 && y > name.1 && y < name.3)
    };
    20.0 * (1..20).filter(on_name).count() as f64
}

fn place_one(point: &Point, at: (f64, f64), taken: &[Area], names: &[Area], plot: Area) -> Placed {
    const DISTANCES: [f64; 9] = [11.0, 16.0, 22.0, 30.0, 40.0, 52.0, 66.0, 84.0, 104.0];
    const DIRECTIONS: [(f64, f64); 8] = [
        (1.0, 0.0),
        (-1.0, 0.0),
        (0.7, -0.7),
        (0.7, 0.7),
        (-0.7, -0.7),
        (-0.7, 0.7),
        (0.0, -1.0),
        (0.0, 1.0),
    ];
    let columns = ((plot.2 - plot.0) * 0.75 / (LABEL * 0.58)) as usize;
    let text = shorten(&point.name, columns.clamp(8, 40));
    let (width, height) = (text_width(&text, LABEL) + 4.0, 17.0);
    let mut best: Option<(f64, Placed)> = None;
    for distance in DISTANCES {
        for (dx, dy) in DIRECTIONS {
            let (x, y) = (at.0 + dx * distance, at.1 + dy * distance);
            let left = match dx {
                dx if dx > 0.0 => x,
                dx if dx < 0.0 => x - width,
                _ => x - width / 2.0,
            };
            let top = y - height * (0.5 - 0.5 * dy);
            let area = Area(left, top, left + width, top + height);
            let is_apart = distance > 17.0;
            let covered = taken.iter().map(|other| area.overlap(*other)).sum::<f64>();
            let crossed = if is_apart { crossed_by_leader(at, area, names) } else { 0.0 };
            let cost = covered + crossed + 4.0 * area.outside(plot);
            let label = Placed { text: text.clone(), area, is_apart };
            if cost <= 0.0 {
                return label;
            }
            if best.as_ref().is_none_or(|(least, _)| cost < *least) {
                best = Some((cost, label));
            }
        }
    }
    best.map(|(_, label)| label).expect("there are places to try")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(count: usize) -> Vec<Point> {
        let point = |index: usize| Point {
            name: format!("adapted+finetuned {index}"),
            class: "c1".to_owned(),
            marker: Marker::Disc,
            seconds: 100.0 + index as f64,
            score: (0.70, 0.71 + index as f64 * 1e-4, 0.72),
            is_chosen: false,
        };
        (0..count).map(point).collect()
    }

    #[test]
    fn crowded_names_do_not_cover_each_other() {
        let points = points(7);
        let plot = Area(54.0, 10.0, 860.0, 350.0);
        let costs = CostScale::new(&points, (plot.0, plot.2));
        let scores = Scale { domain: (0.6, 0.8), range: (plot.3, plot.1) };
        let labels = place(&points, &[], &costs, &scores, plot);
        for (index, first) in labels.iter().enumerate() {
            assert!(first.area.outside(plot) <= 1e-9, "{first:?}");
            for second in &labels[index + 1..] {
                assert!(first.area.overlap(second.area) <= 0.0, "{first:?} {second:?}");
            }
        }
    }

    #[test]
    fn ticks_below_the_least_cost_are_left_out() {
        let mut points = points(2);
        points.iter_mut().for_each(|point| point.seconds = 2.0);
        let ticks = CostScale::new(&points, (0.0, 100.0)).ticks(8);
        assert!(ticks.len() > 1 && ticks[0] == LEAST_SECONDS, "{ticks:?}");
    }

    #[test]
    fn wide_costs_get_a_logarithmic_axis() {
        let mut points = points(2);
        assert!(!CostScale::new(&points, (0.0, 100.0)).is_logarithmic);
        points[0].seconds = 0.0;
        let costs = CostScale::new(&points, (0.0, 100.0));
        assert!(costs.is_logarithmic);
        assert_eq!(costs.at(0.0), costs.at(1.0));
        let ticks = costs.ticks(8);
        assert!(ticks.contains(&10.0) && ticks.contains(&60.0), "{ticks:?}");
        assert_eq!(axis_duration(5400.0), "1.5 h");
    }
}
