//! The sections that decide: verdict, scores, differences, cost; ready for the template.

use super::format::{duration, extra_duration, probability_sentence, shorten};
use super::html::cut;
use super::markup::{Markup, outcome_class};
use super::metric;
use super::results::{Certainty, Comparison, Outcome, Results};
use super::route::{RouteResult, ScoredBy, StageSeconds, Status};
use super::scatter;
use super::strips::{self, Axis, Layout, Strip};
use super::svg::{Marker, colour_class};
use super::winner;
use std::fmt::Write;

/// No table of the page has more rows; `results.json` has them all.
pub(super) const MOST_ROWS: usize = 250;

/// The same picture for two widths of screen.
pub(super) struct Picture {
    /// For desktop and print.
    pub(super) wide: Markup,
    /// For phones.
    pub(super) narrow: Markup,
}

impl Picture {
    pub(super) fn of(draw: impl Fn(Layout) -> Markup) -> Self {
        Self { wide: draw(Layout::Wide), narrow: draw(Layout::Narrow) }
    }
}

/// A route to look at first.
pub(super) struct Card {
    pub(super) role: String,
    pub(super) class: String,
    pub(super) is_recommended: bool,
    pub(super) name: Markup,
    pub(super) scored_by: &'static str,
    pub(super) score: String,
    pub(super) interval: String,
    pub(super) time: String,
}

/// The verdict.
pub(super) struct VerdictView {
    pub(super) headline: Markup,
    pub(super) cards: Vec<Card>,
    pub(super) metric: String,
    pub(super) sentences: Vec<Markup>,
    /// How the winner is run: the command, and what rows must have.
    pub(super) run: Option<(String, Markup)>,
}

impl VerdictView {
    /// The verdict of the results, and the routes it is about.
    pub(super) fn of(results: &Results) -> Self {
        let verdict = &results.verdict;
        let headline = if verdict.headline.is_empty() { "No verdict was drawn." } else { &verdict.headline };
        Self {
            headline: Markup::sentence(&cut(headline)),
            cards: cards(results),
            metric: metric::label(&results.metric),
            sentences: verdict
                .sentences
                .iter()
                .take(40)
                .map(|sentence| Markup::sentence(&cut(sentence)))
                .collect(),
            run: results.winner.as_ref().map(winner::run),
        }
    }
}

fn cards(results: &Results) -> Vec<Card> {
    let verdict = &results.verdict;
    let ranked = results.ranked();
    let by_id =
        |id: &Option<String>| id.as_ref().and_then(|id| ranked.iter().copied().find(|route| route.id == *id));
    let recommended = match verdict.certainty {
        Certainty::Settled => "Recommended",
        Certainty::Unsettled => "Recommended, not settled",
    };
    let frozen = ranked.iter().copied().find(|route| route.name == "frozen");
    let baseline = ranked.iter().copied().find(|route| route.scored_by == ScoredBy::Baseline);
    let highest = if metric::is_lower_better(&results.metric) { "Lowest" } else { "Highest" };
    let candidates = [
        (recommended, by_id(&verdict.recommended)),
        (highest, by_id(&verdict.best)),
        ("Encoder as it is", frozen),
        ("Best baseline", baseline),
    ];
    let mut cards: Vec<Card> = Vec::new();
    let mut shown: Vec<&str> = Vec::new();
    for (role, route) in candidates {
        let Some((route, score)) = route.and_then(|route| Some((route, route.measured(&results.metric)?)))
        else {
            continue;
        };
        if shown.contains(&route.id.as_str()) {
            continue;
        }
        shown.push(&route.id);
        cards.push(Card {
            role: role.to_owned(),
            class: colour_class(&route.name, &results.routes),
            is_recommended: role == recommended,
            name: Markup::label(route.label(), 40),
            scored_by: route.scored_by.words(),
            score: metric::value(&results.metric, score.mean),
            interval: metric::interval(&results.metric, score.low, score.high),
            time: duration(route.seconds.total()),
        });
    }
    cards
}

/// A row of the table of scores.
pub(super) struct ScoreRow {
    pub(super) class: String,
    pub(super) is_chosen: bool,
    pub(super) name: Markup,
    pub(super) description: Markup,
    pub(super) scored_by: &'static str,
    /// The main metric's interval, then every value; empty if `missing` tells why.
    pub(super) interval: String,
    pub(super) values: Vec<String>,
    /// What cross-validation chose: learner and its parameter.
    pub(super) learner: String,
    pub(super) time: String,
    pub(super) missing: Option<Markup>,
}

/// Every route's scores.
pub(super) struct Scores {
    pub(super) picture: Option<Picture>,
    pub(super) caption: String,
    /// All metrics; the first table shows some of them.
    pub(super) metrics: Vec<String>,
    pub(super) first: usize,
    pub(super) rows: Vec<ScoreRow>,
}

impl Scores {
    /// All routes, the best first, those without a score last.
    pub(super) fn of(results: &Results) -> Self {
        let metrics = metric_names(results);
        let ranked = results.ranked();
        let missing = results.routes.iter().filter(|route| route.measured(&results.metric).is_none());
        let rows = ranked
            .iter()
            .copied()
            .chain(missing)
            .take(MOST_ROWS)
            .map(|route| score_row(results, route, &metrics));
        Self {
            picture: score_picture(results, &ranked),
            caption: score_caption(results),
            rows: rows.collect(),
            metrics: metrics.iter().map(|name| metric::label(name)).collect(),
            first: FIRST_METRICS.min(metrics.len()),
        }
    }
}

/// The main metric, then the others by name.
fn metric_names(results: &Results) -> Vec<String> {
    let mut names = vec![results.metric.clone()];
    for name in results.routes.iter().flat_map(|route| route.scores.keys()) {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names[1..].sort_by_key(|name| (order_of(name), name.clone()));
    names.truncate(12);
    names
}

/// The usual metrics in their usual order, others after them.
fn order_of(name: &str) -> usize {
    const USUAL: [&str; 9] = [
        "accuracy",
        "macro_f1",
        "micro_f1",
        "balanced_accuracy",
        "weighted_f1",
        "mcc",
        "roc_auc",
        "pr_auc",
        "log_loss",
    ];
    USUAL.iter().position(|usual| *usual == name).unwrap_or(USUAL.len())
}

/// Columns of the first table; all metrics stand in a second one, which is opened.
const FIRST_METRICS: usize = 2;

fn score_row(results: &Results, route: &RouteResult, metrics: &[String]) -> ScoreRow {
    let value = |name: &String| {
        route.measured(name).map_or("–".to_owned(), |score| metric::value(name, score.mean))
    };
    let main = route.measured(&results.metric);
    let missing = match &route.status {
        Status::Done => main.is_none().then(|| "no score".to_owned()),
        Status::Failed { reason } => Some(format!("failed: {reason}")),
        Status::Skipped { reason } => Some(format!("left out: {reason}")),
    };
    ScoreRow {
        class: colour_class(&route.name, &results.routes),
        is_chosen: results.verdict.recommended.as_ref() == Some(&route.id),
        name: Markup::label(route.label(), 40),
        description: Markup::sentence(&cut(&route.description)),
        scored_by: route.scored_by.words(),
        interval: main
            .map_or_else(String::new, |score| metric::interval(&results.metric, score.low, score.high)),
        values: metrics.iter().map(value).collect(),
        learner: learner(route),
        time: duration(route.seconds.total()),
        missing: missing.map(|reason| Markup::sentence(&cut(&reason))),
    }
}

/// The learner in words, with the distinct values of its parameter over seeds, smallest first.
fn learner(route: &RouteResult) -> String {
    let name = route.learner.as_deref().map(|name| match name {
        "logistic_regression" => "logistic".to_owned(),
        other => other.replace('_', " "),
    });
    let mut values = route.chosen_c.clone();
    values.sort_by(f64::total_cmp);
    values.dedup();
    let texts: Vec<String> = values.iter().map(|value| shorten(&format!("{value}"), 8)).collect();
    match (name, texts.is_empty()) {
        (None, true) => "–".to_owned(),
        (None, false) => format!("C\u{a0}{}", texts.join(", ")),
        (Some(name), true) => name,
        (Some(name), false) => format!("{name}, C\u{a0}{}", texts.join(", ")),
    }
}

fn score_caption(results: &Results) -> String {
    let seeds = match results.seeds.len() {
        0 | 1 => "Marks are single runs".to_owned(),
        several => format!("Marks are means over {several} seeds, small ticks single seeds"),
    };
    let has_combined = results.routes.iter().any(|route| route.scored_by == ScoredBy::Combined);
    let combined = if has_combined { "; triangles: several routes put together" } else { "" };
    format!(
        "{seeds}; lines are intervals. Discs: a classifier on the embeddings; diamonds: the encoder’s own head; squares: baselines{combined}."
    )
}

fn score_picture(results: &Results, ranked: &[&RouteResult]) -> Option<Picture> {
    let name = &results.metric;
    let strips: Vec<Strip> = ranked.iter().filter_map(|route| score_strip(results, route)).take(60).collect();
    let ends: Vec<_> = strips.iter().map(|strip| (strip.low, strip.mid, strip.high)).collect();
    let domain = strips::spread(&ends)?;
    let baseline = ranked.iter().find(|route| route.scored_by == ScoredBy::Baseline);
    let reference = baseline.and_then(|route| route.measured(name)).map(|score| score.mean);
    let better = if metric::is_lower_better(name) { "lower is better" } else { "higher is better" };
    let with_reference = reference.map_or("", |_| ", dashed: best baseline");
    let title = format!("{} on the test rows; {better}{with_reference}", metric::label(name));
    let axis = Axis { domain, title, band: None, reference, factor: 1.0 };
    Some(Picture::of(|layout| strips::draw(layout, "Scores of all routes", &strips, &axis)))
}

fn score_strip(results: &Results, route: &RouteResult) -> Option<Strip> {
    let name = &results.metric;
    let score = route.measured(name)?;
    let value =
        format!("{} {}", metric::value(name, score.mean), metric::interval(name, score.low, score.high));
    Some(Strip {
        name: route.label().to_owned(),
        aside: if route.scored_by == ScoredBy::OwnHead { "own head".to_owned() } else { String::new() },
        class: colour_class(&route.name, &results.routes),
        marker: Marker::of(route.scored_by),
        low: score.low,
        mid: score.mean,
        high: score.high,
        dots: if score.per_seed.len() > 1 {
            score.per_seed.iter().take(30).copied().collect()
        } else {
            Vec::new()
        },
        value: value.trim_end().to_owned(),
        note: String::new(),
        tag: String::new(),
        is_chosen: results.verdict.recommended.as_ref() == Some(&route.id),
    })
}

/// The paired differences.
pub(super) struct Differences {
    pub(super) picture: Picture,
    pub(super) caption: String,
}

impl Differences {
    /// The recommended route over each other one, then each route over `frozen` and variants over their like; none if
    /// nothing was compared.
    pub(super) fn of(results: &Results) -> Option<Self> {
        let name = &results.metric;
        let strips: Vec<Strip> =
            forest(results).iter().map(|found| difference_strip(results, found)).collect();
        let ends: Vec<_> =
            strips.iter().map(|strip| (strip.low, strip.mid, strip.high)).chain([(0.0, 0.0, 0.0)]).collect();
        let (low, high) = strips::spread(&ends)?;
        let margin = results.equivalence_margin.filter(|margin| margin.is_finite() && *margin > 0.0);
        let reach = margin.unwrap_or(0.0) * 1.2;
        let direction = if metric::is_lower_better(name) {
            "negative: the first is better"
        } else {
            "positive: the first is better"
        };
        let unit = if metric::is_share(name) { "points of " } else { "" };
        let axis = Axis {
            domain: (low.min(-reach), high.max(reach)),
            title: format!("{unit}{}; {direction}", metric::label(name)),
            band: margin.map(|margin| (-margin, margin)),
            reference: Some(0.0),
            factor: if metric::is_share(name) { 100.0 } else { 1.0 },
        };
        let picture =
            Picture::of(|layout| strips::draw(layout, "Differences between routes", &strips, &axis));
        (!strips.is_empty()).then(|| Self { picture, caption: difference_caption(results, margin) })
    }
}

/// Pairs that answer questions, those of the recommended route first; all pairs are in a table below.
fn forest(results: &Results) -> Vec<Comparison> {
    // Pairs with the majority are so far off that all others would shrink to dots.
    let is_trivial = |id: &str| id == "majority";
    let pairs: Vec<&Comparison> = results
        .comparisons
        .iter()
        .filter(|found| !is_trivial(&found.route) && !is_trivial(&found.over))
        .collect();
    let chosen = results.verdict.recommended.as_deref().unwrap_or_default();
    let mut shown: Vec<Comparison> = pairs
        .iter()
        .filter_map(|found| match (found.route == chosen, found.over == chosen) {
            (true, _) => Some((*found).clone()),
            (_, true) => Some(found.flipped()),
            _ => None,
        })
        .collect();
    let sign = if metric::is_lower_better(&results.metric) { -1.0 } else { 1.0 };
    shown.sort_by(|a, b| (sign * a.difference).total_cmp(&(sign * b.difference)));
    let label = |id: &str| results.route(id).map_or_else(String::new, |route| route.name.clone());
    let others = pairs.iter().filter(|found| found.route != chosen && found.over != chosen);
    let rest = others.filter(|found| {
        found.over == "frozen" || label(&found.route) == label(&found.over) || pairs.len() <= MOST_PAIRS
    });
    shown.extend(rest.map(|found| (*found).clone()));
    shown.truncate(MOST_PAIRS);
    shown
}

/// Rows of the forest at most.
const MOST_PAIRS: usize = 28;

fn difference_caption(results: &Results, margin: Option<f64>) -> String {
    let name = &results.metric;
    let unit = metric::difference_unit(name);
    let mut caption =
        "Each pair was measured on the same rows and seeds. P is the probability, over resampled rows and \
                       seeds, that the first route is better."
            .to_owned();
    if let Some(margin) = margin {
        let margin = metric::unsigned_difference(name, margin);
        let _ =
            write!(caption, " Shaded: differences under {margin}{unit}, which count as practically equal.");
    }
    if let Some(smallest) = results.detectable_difference.filter(|smallest| smallest.is_finite()) {
        let smallest = metric::unsigned_difference(name, smallest);
        let _ = write!(
            caption,
            " This test set shows true differences of {smallest}{unit} four times out of five."
        );
    }
    caption
}

fn difference_strip(results: &Results, found: &Comparison) -> Strip {
    let name = &results.metric;
    let sign = match found.verdict {
        Outcome::Better => "▲",
        Outcome::Worse => "▼",
        Outcome::PracticallyEqual => "=",
        Outcome::Undecided => "?",
    };
    let interval = metric::difference_interval(name, found.low, found.high);
    Strip {
        name: found.route.clone(),
        aside: format!("over {}", found.over),
        class: outcome_class(found.verdict).to_owned(),
        marker: Marker::Disc,
        low: found.low,
        mid: found.difference,
        high: found.high,
        dots: Vec::new(),
        value: format!("{} {interval}", metric::difference(name, found.difference)).trim_end().to_owned(),
        note: difference_note(found),
        tag: format!("{sign} {}", found.verdict.words()),
        is_chosen: false,
    }
}

/// The probability, and the cost where it is worth a word.
fn difference_note(found: &Comparison) -> String {
    let probability = probability_sentence(found.probability_better);
    if found.extra_seconds.is_finite() && found.extra_seconds.abs() < 0.5 {
        return probability;
    }
    format!("{probability}, {}", extra_duration(found.extra_seconds))
}

/// A row of the table of costs.
pub(super) struct CostRow {
    pub(super) class: String,
    pub(super) name: Markup,
    pub(super) scored_by: &'static str,
    pub(super) stages: Vec<String>,
    pub(super) total: String,
}

/// Cost beside score.
pub(super) struct Cost {
    pub(super) picture: Picture,
    pub(super) caption: String,
    pub(super) stages: Vec<&'static str>,
    pub(super) rows: Vec<CostRow>,
}

impl Cost {
    /// All measured routes, the cheapest first in the table; none if nothing was measured.
    pub(super) fn of(results: &Results) -> Option<Self> {
        let name = &results.metric;
        let ranked = results.ranked();
        let points: Vec<_> = ranked.iter().filter_map(|route| cost_point(results, route)).take(40).collect();
        let ends: Vec<_> = points.iter().map(|point| point.score).collect();
        let domain = strips::spread(&ends)?;
        let outside = points.iter().filter(|point| point.score.1 < domain.0 || point.score.1 > domain.1);
        let outside: Vec<String> = outside
            .map(|point| {
                format!(
                    "{} ({}, {})",
                    shorten(&point.name, 40),
                    metric::value(name, point.score.1),
                    duration(point.seconds)
                )
            })
            .collect();
        let mut by_cost = ranked;
        by_cost.sort_by(|a, b| a.seconds.total().total_cmp(&b.seconds.total()));
        Some(Self {
            picture: Picture::of(|layout| scatter::draw(layout, "Cost beside score", &points, name, domain)),
            caption: cost_caption(&metric::label(name), &outside),
            stages: StageSeconds::default().by_stage().map(|(stage, _)| stage).into(),
            rows: by_cost.into_iter().take(MOST_ROWS).map(|route| cost_row(results, route)).collect(),
        })
    }
}

fn cost_caption(metric: &str, outside: &[String]) -> String {
    let mut caption = format!(
        "{metric} against the time of all stages a route needs; stages that routes share count in each. Up and left \
         is better. The dotted steps join the routes that no cheaper route scores as well as."
    );
    caption[..1].make_ascii_uppercase();
    if !outside.is_empty() {
        let _ = write!(caption, " Beyond the picture: {}.", outside.join("; "));
    }
    caption
}

fn cost_point(results: &Results, route: &RouteResult) -> Option<scatter::Point> {
    let score = route.measured(&results.metric)?;
    let seconds = route.seconds.total();
    seconds.is_finite().then(|| scatter::Point {
        name: route.id.clone(),
        class: colour_class(&route.name, &results.routes),
        marker: Marker::of(route.scored_by),
        seconds,
        score: (score.low, score.mean, score.high),
        is_chosen: results.verdict.recommended.as_ref() == Some(&route.id),
    })
}

fn cost_row(results: &Results, route: &RouteResult) -> CostRow {
    let stage = |(_, seconds): (&str, f64)| if seconds == 0.0 { "–".to_owned() } else { duration(seconds) };
    CostRow {
        class: colour_class(&route.name, &results.routes),
        name: Markup::label(route.label(), 40),
        scored_by: route.scored_by.words(),
        stages: route.seconds.by_stage().map(stage).into(),
        total: duration(route.seconds.total()),
    }
}
