//! Curves over optimizer steps: losses, the forgetting meter, validation scores.

use super::format::{count, shorten};
use super::markup::Markup;
use super::metric;
use super::results::{Curve, CurveKind, Results};
use super::svg::{Anchor, Marker, Scale, Svg, colour_class, px, ticks};
use std::fmt::Write;

/// A picture of curves with its words.
#[derive(Debug, Clone)]
pub(super) struct Panel {
    /// What is shown.
    pub(super) title: String,
    /// The picture.
    pub(super) picture: Markup,
    /// The class and the meaning of each kind of line.
    pub(super) legend: Vec<(String, String)>,
    /// What the lines say, in figures.
    pub(super) caption: String,
}

/// More points than this on a line cannot be seen.
const MOST_POINTS: usize = 200;
const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 240.0;

/// One line of a panel.
pub(super) struct Line<'a> {
    pub(super) class: String,
    pub(super) meaning: String,
    pub(super) curve: &'a Curve,
    /// The interval at each point; none where it is not known.
    pub(super) intervals: Vec<(f64, f64)>,
}

impl<'a> Line<'a> {
    fn new(class: impl Into<String>, meaning: impl Into<String>, curve: &'a Curve) -> Self {
        Self { class: class.into(), meaning: meaning.into(), curve, intervals: Vec::new() }
    }
}

/// What a panel shows.
pub(super) struct Content<'a> {
    pub(super) title: String,
    /// What runs to the right.
    pub(super) across: &'static str,
    pub(super) lines: Vec<Line<'a>>,
    pub(super) caption: String,
}

const STEPS: &str = "optimizer step";

/// A panel of losses for each stage, and one of validation scores for all of them.
pub(super) fn panels(results: &Results) -> Vec<Panel> {
    let mut stages: Vec<&str> = Vec::new();
    for curve in &results.curves {
        if !stages.contains(&curve.stage.as_str()) {
            stages.push(&curve.stage);
        }
    }
    let mut panels: Vec<Panel> = probed(results).into_iter().collect();
    panels.extend(stages.iter().filter_map(|stage| losses(results, stage)));
    panels.extend(scores(results));
    panels
}

fn losses(results: &Results, stage: &str) -> Option<Panel> {
    let mut lines = Vec::new();
    for (kind, class, meaning) in [
        (CurveKind::TrainLoss, "train", "training batches"),
        (CurveKind::ValidationLoss, "held-out", "held-out texts"),
        (CurveKind::Forgetting, "forgetting", "general text (forgetting)"),
    ] {
        let curves = results.curves.iter().filter(|curve| curve.stage == stage && curve.kind == kind);
        lines.extend(curves.map(|curve| Line::new(class, meaning, curve)));
    }
    let changes =
        [(CurveKind::ValidationLoss, "Held-out loss"), (CurveKind::Forgetting, "General-text loss")];
    let told = changes.iter().filter_map(|(kind, words)| {
        let curve = lines.iter().map(|line| line.curve).find(|curve| curve.kind == *kind)?;
        change(curve, words)
    });
    let caption = told.collect::<Vec<_>>().join(" ");
    panel(&Content { title: format!("Loss: {}", shorten(stage, 40)), across: STEPS, lines, caption })
}

/// "Held-out loss 2.31 → 1.97, lowest 1.95 at step 2,100."
fn change(curve: &Curve, words: &str) -> Option<String> {
    let mut points = curve.points.iter().filter(|(_, value)| value.is_finite());
    let first = points.next()?;
    let last = points.next_back()?;
    let (from, to) = (metric::number(first.1, 3), metric::number(last.1, 3));
    let lowest = lowest(curve).filter(|(_, value)| *value < last.1 && *value < first.1);
    let turn = lowest.map_or_else(String::new, |(step, value)| {
        format!(", lowest {} at step {}", metric::number(value, 3), count(step))
    });
    Some(format!("{words} {from} → {to}{turn}."))
}

/// The point where a loss is least.
fn lowest(curve: &Curve) -> Option<(u64, f64)> {
    let finite = curve.points.iter().copied().filter(|(_, value)| value.is_finite());
    finite.min_by(|a, b| a.1.total_cmp(&b.1))
}

fn scores(results: &Results) -> Option<Panel> {
    let curves = results.curves.iter().filter(|curve| curve.kind == CurveKind::ValidationScore);
    let lines: Vec<_> = curves
        .map(|curve| {
            let class = format!("{} several", colour_class(&curve.stage, &results.routes));
            Line::new(class, shorten(&curve.stage, 32), curve)
        })
        .collect();
    let caption = if lines.len() > 1 { "One line a seed." } else { "" }.to_owned();
    let title = format!("Validation {}", metric::label(&results.metric));
    panel(&Content { title, across: STEPS, lines, caption })
}

/// The score while adapting, beside which the losses stand.
fn probed(results: &Results) -> Option<Panel> {
    let curves = results.curves.iter().filter(|curve| curve.kind == CurveKind::ProbeScore);
    let class = colour_class("adapted", &results.routes);
    let lines = curves.map(|curve| Line::new(class.clone(), shorten(&curve.stage, 32), curve)).collect();
    let caption = "Of labelled rows that are no test rows, each predicted out of fold by a learner on the vectors of that \
                   moment. What is forgotten meanwhile is the loss on general text in the next picture."
        .to_owned();
    let title = format!("While adapting: {}", metric::label(&results.metric));
    panel(&Content { title, across: STEPS, lines, caption })
}

/// A picture of the lines; none without any number.
pub(super) fn panel(content: &Content) -> Option<Panel> {
    let Content { title, across, lines, caption } = content;
    let values =
        || lines.iter().flat_map(|line| line.curve.points.iter()).filter(|(_, value)| value.is_finite());
    let last_step = values().map(|(step, _)| *step).max()?;
    let intervals = || lines.iter().flat_map(|line| &line.intervals);
    let low = values().map(|(_, value)| *value).chain(intervals().map(|ends| ends.0));
    let high = values().map(|(_, value)| *value).chain(intervals().map(|ends| ends.1));
    let (low, high) = (low.fold(f64::INFINITY, f64::min), high.fold(f64::NEG_INFINITY, f64::max));
    let padding = if high > low { (high - low) * 0.06 } else { low.abs().max(0.1) * 0.1 };
    let steps = Scale { domain: (0.0, last_step.max(1) as f64), range: (46.0, WIDTH - 14.0) };
    let scale = Scale { domain: (low - padding, high + padding), range: (HEIGHT - 44.0, 8.0) };
    let mut svg = Svg::new("panel", WIDTH, HEIGHT, title, caption);
    draw_axes(&mut svg, &steps, &scale, across);
    let mut legend: Vec<(String, String)> = Vec::new();
    for line in lines {
        let points = thinned(&line.curve.points);
        svg.open_group(&line.class, &line.meaning);
        svg.path("curve", &path(&points, &steps, &scale));
        draw_intervals(&mut svg, line, &steps, &scale);
        if let Some((step, value)) = points.last().filter(|(_, value)| value.is_finite()) {
            svg.element(
                "circle",
                &[
                    ("class", &"tip"),
                    ("cx", &px(steps.at(*step))),
                    ("cy", &px(scale.at(*value))),
                    ("r", &"2.5"),
                ],
            );
        }
        if let Some((step, value)) =
            lowest(line.curve).filter(|_| line.curve.kind == CurveKind::ValidationLoss)
        {
            svg.element(
                "circle",
                &[
                    ("class", &"least"),
                    ("cx", &px(steps.at(step as f64))),
                    ("cy", &px(scale.at(value))),
                    ("r", &"4"),
                ],
            );
        }
        svg.close_group();
        let entry = (line.class.clone(), line.meaning.clone());
        if !legend.contains(&entry) {
            legend.push(entry);
        }
    }
    Some(Panel { title: title.clone(), picture: svg.finish(), legend, caption: caption.clone() })
}

/// The interval of each point, and a dot on it.
fn draw_intervals(svg: &mut Svg, line: &Line, steps: &Scale, scale: &Scale) {
    for ((step, value), (low, high)) in line.curve.points.iter().zip(&line.intervals) {
        let x = steps.at(*step as f64);
        svg.line("whisker thin", (x, scale.at(*low)), (x, scale.at(*high)));
        svg.marker(Marker::Disc, (x, scale.at(*value)), 3.5);
    }
}

fn draw_axes(svg: &mut Svg, steps: &Scale, scale: &Scale, across: &str) {
    let (values, decimals) = ticks(scale.domain, 5);
    for value in values {
        let y = scale.at(value);
        svg.line("grid", (steps.range.0, y), (steps.range.1, y));
        svg.text("axis", (steps.range.0 - 7.0, y + 4.0), Anchor::End, &metric::number(value, decimals));
    }
    let (values, _) = ticks(steps.domain, 4);
    for value in values.into_iter().filter(|value| value.fract() == 0.0) {
        let x = steps.at(value);
        let anchor = if steps.range.1 - x < 16.0 { Anchor::End } else { Anchor::Middle };
        svg.text(
            "axis",
            (if anchor == Anchor::End { steps.range.1 } else { x }, scale.range.0 + 18.0),
            anchor,
            &count(value as u64),
        );
    }
    svg.line("base", (steps.range.0, scale.range.0), (steps.range.1, scale.range.0));
    svg.text(
        "axis-title",
        (f64::midpoint(steps.range.0, steps.range.1), scale.range.0 + 38.0),
        Anchor::Middle,
        across,
    );
}

/// The points, or the means of as many runs of neighbours as can be seen; the last point stays as it is.
fn thinned(points: &[(u64, f64)]) -> Vec<(f64, f64)> {
    let stride = points.len().div_ceil(MOST_POINTS).max(1);
    let mut thin: Vec<(f64, f64)> = points
        .chunks(stride)
        .map(|chunk| {
            let finite: Vec<f64> =
                chunk.iter().map(|(_, value)| *value).filter(|value| value.is_finite()).collect();
            let mean =
                if finite.is_empty() { f64::NAN } else { finite.iter().sum::<f64>() / finite.len() as f64 };
            (chunk.iter().map(|(step, _)| *step as f64).sum::<f64>() / chunk.len() as f64, mean)
        })
        .collect();
    if let (true, Some(last)) = (stride > 1, points.last()) {
        thin.push((last.0 as f64, last.1));
    }
    thin
}

/// A line through the points, broken where a value is no number.
fn path(points: &[(f64, f64)], steps: &Scale, scale: &Scale) -> String {
    let mut data = String::new();
    let mut is_drawing = false;
    for (step, value) in points {
        if value.is_finite() {
            let command = if is_drawing { 'L' } else { 'M' };
            let _ = write!(data, "{command}{} {}", px(steps.at(*step)), px(scale.at(*value)));
        }
        is_drawing = value.is_finite();
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_curves_are_thinned_and_keep_their_end() {
        let points: Vec<(u64, f64)> = (0..10_000).map(|step| (step, step as f64)).collect();
        let thin = thinned(&points);
        assert!(thin.len() <= MOST_POINTS + 1);
        assert_eq!(thin.last(), Some(&(9999.0, 9999.0)));
    }

    #[test]
    fn a_line_breaks_where_a_value_is_no_number() {
        let scale = Scale { domain: (0.0, 10.0), range: (0.0, 10.0) };
        let data = path(&[(0.0, 1.0), (1.0, f64::NAN), (2.0, 2.0), (3.0, 3.0)], &scale, &scale);
        assert_eq!(data, "M0 1M2 2L3 3");
    }

    #[test]
    fn curves_without_any_number_are_no_panel() {
        let curve = Curve {
            stage: "adapt".into(),
            kind: CurveKind::TrainLoss,
            seed: None,
            points: vec![(1, f64::NAN)],
        };
        let lines = vec![Line::new("train", "x", &curve)];
        let content = Content { title: "t".into(), across: STEPS, lines, caption: String::new() };
        assert!(panel(&content).is_none());
    }
}
