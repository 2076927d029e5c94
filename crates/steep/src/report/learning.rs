//! The score over the number of labels.

use super::charts::Panel;
use super::findings::LabelCurve;
use super::format::{count, shorten};
use super::metric;
use super::results::Results;
use super::svg::{Anchor, Marker, Scale, Svg, colour_class, px, text_width, ticks};
use std::fmt::Write;

const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 240.0;

/// The panel of label curves; none without any.
pub(super) fn panel(results: &Results) -> Option<Panel> {
    let curves: Vec<&LabelCurve> =
        results.label_curves.iter().filter(|curve| curve.points.len() > 1).take(6).collect();
    let all = || curves.iter().flat_map(|curve| &curve.points);
    let values = || all().flat_map(|point| point.scores.iter().copied()).filter(|score| score.is_finite());
    let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
    let labels = || all().map(|point| point.labels.max(1) as f64);
    let (fewest, most) = (labels().fold(f64::INFINITY, f64::min), labels().fold(1.0, f64::max));
    if !(low.is_finite() && fewest < most) {
        return None;
    }
    let padding = if high > low { (high - low) * 0.06 } else { 0.01 };
    let across = Scale { domain: (fewest.ln(), most.ln()), range: (46.0, WIDTH - 16.0) };
    let up = Scale { domain: (low - padding, high + padding), range: (HEIGHT - 44.0, 8.0) };
    let title = format!("Fewer labels: {}", metric::label(&results.metric));
    let mut svg = Svg::new("panel", WIDTH, HEIGHT, &title, &describe(results, &curves));
    draw_axes(&mut svg, &across, &up, &curves);
    let mut legend = Vec::new();
    for curve in curves {
        let name = curve.route.split(" (").next().unwrap_or_default();
        let class = colour_class(name, &results.routes);
        draw_curve(&mut svg, curve, &class, &across, &up);
        legend.push((class, shorten(&curve.route, 40)));
    }
    let caption = "Learner and parameter as chosen on all labels, fitted again on nested parts of the training rows; dots are \
                   different draws. Only encoders that no label changed can be shown so."
        .to_owned();
    Some(Panel { title, picture: svg.finish(), legend, caption })
}

fn describe(results: &Results, curves: &[&LabelCurve]) -> String {
    let told = curves.iter().filter_map(|curve| {
        let (first, last) = (curve.points.first()?, curve.points.last()?);
        Some(format!(
            "{}: {} with {} labels, {} with {}.",
            shorten(&curve.route, 60),
            metric::value(&results.metric, first.mean()),
            count(first.labels),
            metric::value(&results.metric, last.mean()),
            count(last.labels)
        ))
    });
    told.collect::<Vec<_>>().join(" ")
}

fn draw_axes(svg: &mut Svg, across: &Scale, up: &Scale, curves: &[&LabelCurve]) {
    let (values, decimals) = ticks(up.domain, 5);
    for value in values {
        let y = up.at(value);
        svg.line("grid", (across.range.0, y), (across.range.1, y));
        svg.text("axis", (across.range.0 - 7.0, y + 4.0), Anchor::End, &metric::number(value, decimals));
    }
    let mut free_from = f64::NEG_INFINITY;
    for point in curves.iter().flat_map(|curve| &curve.points) {
        let (x, text) = (across.at((point.labels.max(1) as f64).ln()), count(point.labels));
        let half = text_width(&text, 12.0) / 2.0;
        if x - half >= free_from && x + half <= WIDTH {
            svg.text("axis", (x, up.range.0 + 18.0), Anchor::Middle, &text);
            free_from = x + half + 8.0;
        }
    }
    svg.line("base", (across.range.0, up.range.0), (across.range.1, up.range.0));
    let middle = f64::midpoint(across.range.0, across.range.1);
    svg.text("axis-title", (middle, up.range.0 + 38.0), Anchor::Middle, "labels, logarithmic");
}

fn draw_curve(svg: &mut Svg, curve: &LabelCurve, class: &str, across: &Scale, up: &Scale) {
    svg.open_group(class, &curve.route);
    let mut data = String::new();
    for point in curve.points.iter().filter(|point| point.mean().is_finite()) {
        let command = if data.is_empty() { 'M' } else { 'L' };
        let x = across.at((point.labels.max(1) as f64).ln());
        let _ = write!(data, "{command}{} {}", px(x), px(up.at(point.mean())));
    }
    svg.path("curve", &data);
    for point in &curve.points {
        let x = across.at((point.labels.max(1) as f64).ln());
        for score in point.scores.iter().filter(|score| score.is_finite()) {
            svg.marker(Marker::Disc, (x, up.at(*score)), 2.6);
        }
    }
    svg.close_group();
}
