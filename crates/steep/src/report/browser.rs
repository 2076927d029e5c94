//! Lists of rows to look through: mistakes by class, what checks point at, parts of the test rows, all pairs.

use super::details::in_focus;
use super::findings::{CheckedRow, MistakenRow};
use super::format::{count, extra_duration, plural, probability};
use super::html::cut;
use super::markup::{Markup, outcome_class};
use super::metric;
use super::results::Results;
use super::sections::MOST_ROWS;

/// A mistaken row.
pub(super) struct ErrorRow {
    pub(super) place: String,
    pub(super) text: Markup,
    pub(super) predicted: Markup,
    pub(super) probability: String,
    pub(super) truth_probability: String,
}

/// The mistakes among the rows of one class.
pub(super) struct ErrorGroup {
    pub(super) truth: Markup,
    pub(super) count: String,
    pub(super) rows: Vec<ErrorRow>,
}

/// The error browser: without scripts, a class is opened like a drawer.
pub(super) struct Errors {
    pub(super) route: Markup,
    pub(super) total: String,
    pub(super) shown: String,
    pub(super) groups: Vec<ErrorGroup>,
}

impl Errors {
    /// The mistakes of the recommended route by true class, the class with most of them first.
    pub(super) fn of(results: &Results) -> Option<Self> {
        let found = results.mistakes.as_ref().filter(|found| !found.rows.is_empty())?;
        let mut classes: Vec<(&str, Vec<&MistakenRow>)> = Vec::new();
        for row in found.rows.iter().take(MOST_ROWS) {
            match classes.iter_mut().find(|(class, _)| *class == row.truth) {
                Some((_, rows)) => rows.push(row),
                None => classes.push((&row.truth, vec![row])),
            }
        }
        classes.sort_by(|a, b| b.1.len().cmp(&a.1.len()).then_with(|| a.0.cmp(b.0)));
        let groups = classes.into_iter().map(|(truth, rows)| ErrorGroup {
            truth: Markup::label(truth, 40),
            count: count(rows.len() as u64),
            rows: rows.into_iter().map(error_row).collect(),
        });
        Some(Self {
            route: Markup::label(&found.route, 60),
            total: plural(found.total, "test row"),
            shown: count(found.rows.len() as u64),
            groups: groups.collect(),
        })
    }
}

fn error_row(row: &MistakenRow) -> ErrorRow {
    ErrorRow {
        place: count(row.row),
        text: Markup::label(&row.text, 160),
        predicted: Markup::label(&row.predicted, 28),
        probability: metric::number(row.probability, 2),
        truth_probability: metric::number(row.truth_probability, 2),
    }
}

/// A check with its rows.
pub(super) struct CheckView {
    pub(super) sentence: Markup,
    pub(super) rows: Vec<(String, Markup, Markup)>,
    pub(super) has_places: bool,
    pub(super) more: Option<String>,
}

/// All checks that found something.
pub(super) fn checks(results: &Results) -> Vec<CheckView> {
    let view = |check: &super::findings::Check| CheckView {
        sentence: Markup::sentence(&cut(&check.sentence)),
        has_places: check.rows.iter().any(|row| row.row > 0),
        rows: check.rows.iter().take(25).map(checked_row).collect(),
        more: (check.count > check.rows.len() as u64)
            .then(|| format!("{} more.", count(check.count - check.rows.len() as u64))),
    };
    results.checks.iter().take(20).map(view).collect()
}

fn checked_row(row: &CheckedRow) -> (String, Markup, Markup) {
    let place = if row.row > 0 { count(row.row) } else { String::new() };
    (place, Markup::label(&row.text, 120), Markup::label(&row.note, 120))
}

/// A part of the test rows.
pub(super) struct SliceRow {
    pub(super) slice: Markup,
    pub(super) value: Markup,
    pub(super) rows: String,
    pub(super) score: String,
    pub(super) percent: String,
    pub(super) interval: String,
    pub(super) change: String,
    pub(super) change_class: &'static str,
    /// Whether it is the first part of its slice.
    pub(super) begins: bool,
}

/// Scores of parts.
pub(super) struct Slices {
    pub(super) route: Markup,
    pub(super) route_class: String,
    pub(super) metric: String,
    pub(super) rows: Vec<SliceRow>,
}

impl Slices {
    /// The parts of the recommended route; none if it has none.
    pub(super) fn of(results: &Results) -> Option<Self> {
        let route = in_focus(results).into_iter().find(|route| !route.slices.is_empty())?;
        let whole = route.measured(&results.metric)?.mean;
        let name = &results.metric;
        let best = route.slices.iter().map(|slice| slice.mean).filter(|mean| mean.is_finite());
        let most = best.fold(f64::MIN_POSITIVE, f64::max);
        let sign = if metric::is_lower_better(name) { -1.0 } else { 1.0 };
        let mut rows: Vec<SliceRow> = Vec::new();
        let mut last = "";
        for slice in route.slices.iter().take(MOST_ROWS) {
            let is_off = slice.low > whole || slice.high < whole;
            rows.push(SliceRow {
                slice: Markup::label(&slice.slice, 32),
                value: Markup::label(&slice.value, 32),
                rows: count(slice.rows),
                score: metric::value(name, slice.mean),
                percent: if slice.mean.is_finite() {
                    format!("{:.0}", (100.0 * slice.mean / most).clamp(0.0, 100.0))
                } else {
                    "0".to_owned()
                },
                interval: metric::interval(name, slice.low, slice.high),
                change: metric::difference(name, slice.mean - whole),
                change_class: match sign * (slice.mean - whole) {
                    change if is_off && change < 0.0 => "down",
                    change if is_off && change > 0.0 => "up",
                    _ => "muted",
                },
                begins: slice.slice != last,
            });
            last = &slice.slice;
        }
        Some(Self {
            route: Markup::label(&route.id, 40),
            route_class: super::svg::colour_class(&route.name, &results.routes),
            metric: metric::label(name),
            rows,
        })
    }
}

/// A pair of routes in figures.
pub(super) struct PairFigures {
    pub(super) route: Markup,
    pub(super) over: Markup,
    pub(super) difference: String,
    pub(super) interval: String,
    pub(super) probability: String,
    pub(super) discordant: String,
    pub(super) holm: String,
    pub(super) extra: String,
    pub(super) class: &'static str,
    pub(super) verdict: &'static str,
}

/// Every comparison.
pub(super) fn pairs(results: &Results) -> Vec<PairFigures> {
    let name = &results.metric;
    let p = |value: f64| {
        if value < 0.001 { "< .001".to_owned() } else { metric::number(value, 3).replacen("0.", ".", 1) }
    };
    results
        .comparisons
        .iter()
        .take(MOST_ROWS)
        .map(|found| PairFigures {
            route: Markup::label(&found.route, 36),
            over: Markup::label(&found.over, 36),
            difference: metric::difference(name, found.difference),
            interval: metric::difference_interval(name, found.low, found.high),
            probability: probability(found.probability_better),
            discordant: found.disagreement.map_or_else(
                || "–".to_owned(),
                |test| format!("{} : {}", count(test.only_route_right), count(test.only_over_right)),
            ),
            holm: found.disagreement.map_or_else(|| "–".to_owned(), |test| p(test.holm_p)),
            extra: extra_duration(found.extra_seconds),
            class: outcome_class(found.verdict),
            verdict: found.verdict.words(),
        })
        .collect()
}
