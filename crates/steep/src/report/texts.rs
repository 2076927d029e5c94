//! The score over the number of unlabelled texts, and what was forgotten beside it.

use super::charts::{Content, Line, Panel, panel};
use super::metric;
use super::planning::TextPoint;
use super::results::{Curve, CurveKind, Results};
use super::svg::colour_class;

const TEXTS: &str = "unlabelled texts adapted to";

/// A panel of scores and one of losses; none where only the whole was measured.
pub(super) fn panels(results: &Results) -> Vec<Panel> {
    let points = &results.text_curve;
    if points.len() < 2 {
        return Vec::new();
    }
    [scores(results, points), losses(points)].into_iter().flatten().collect()
}

fn curve(kind: CurveKind, points: &[TextPoint], value: impl Fn(&TextPoint) -> Option<f64>) -> Curve {
    let points = points.iter().filter_map(|point| Some((point.texts, value(point)?))).collect();
    Curve { stage: "adapted".to_owned(), kind, seed: None, points }
}

fn scores(results: &Results, points: &[TextPoint]) -> Option<Panel> {
    let curve = curve(CurveKind::ProbeScore, points, |point| Some(point.score));
    let line = Line {
        class: colour_class("adapted", &results.routes),
        meaning: "classifier on the vectors, test rows".to_owned(),
        curve: &curve,
        intervals: points.iter().map(|point| (point.low, point.high)).collect(),
    };
    panel(&Content {
        title: format!("More texts: {}", metric::label(&results.metric)),
        across: TEXTS,
        lines: vec![line],
        caption: "0 is the encoder as it is. Each further point is an adaptation of its own, to a part of the texts that holds \
                  the smaller ones, with as many passes over them."
            .to_owned(),
    })
}

fn losses(points: &[TextPoint]) -> Option<Panel> {
    let held_out = curve(CurveKind::ValidationLoss, points, |point| point.held_out_loss);
    let general = curve(CurveKind::Forgetting, points, |point| point.general_loss);
    let line = |class: &str, meaning: &str, curve| Line {
        class: class.to_owned(),
        meaning: meaning.to_owned(),
        curve,
        intervals: Vec::new(),
    };
    panel(&Content {
        title: "More texts: what is learned and forgotten".to_owned(),
        across: TEXTS,
        lines: vec![
            line("held-out", "held-out texts", &held_out),
            line("forgetting", "general text (forgetting)", &general),
        ],
        caption: "Loss of predicting masked tokens, at the end of each adaptation.".to_owned(),
    })
}
