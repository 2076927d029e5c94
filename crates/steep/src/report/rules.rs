//! Rules of thumb drawn from this data's own numbers: each says what was measured and stops there.

use super::findings::{CheckKind, LabelCurve};
use super::format::{count, duration};
use super::metric;
use super::results::{Curve, CurveKind, Results};
use super::route::{RouteResult, ScoredBy};

/// The rules of thumb, in words. Routes are named in backticks.
pub fn rules(results: &Results) -> Vec<String> {
    let mut rules = Vec::new();
    rules.extend(results.label_curves.last().and_then(|curve| labels(results, curve)));
    rules.extend(price(results));
    rules.extend(adapting(results));
    rules.extend(seeds(results));
    rules.extend(in_focus(results).and_then(calibration));
    rules.extend(in_focus(results).and_then(threshold));
    rules.extend(in_focus(results).and_then(|route| weakest_slice(results, route)));
    rules.extend(noise(results));
    rules
}

fn in_focus(results: &Results) -> Option<&RouteResult> {
    results.verdict.recommended.as_deref().and_then(|id| results.route(id))
}

fn points(results: &Results, difference: f64) -> String {
    let (name, unit) = (&results.metric, metric::difference_unit(&results.metric));
    format!("{}{unit}", metric::difference(name, difference))
}

/// What the last labels brought, and with how few of them most of the score is there.
fn labels(results: &Results, curve: &LabelCurve) -> Option<String> {
    let (last, before) = (curve.points.last()?, curve.points.iter().rev().nth(1)?);
    let gain = points(results, last.mean() - before.mean());
    let first = curve.points.first()?;
    let step = format!(
        "Labels: from {} to {} of them the score of `{}` changed by {gain}",
        count(before.labels),
        count(last.labels),
        curve.route
    );
    let sign = if metric::is_lower_better(&results.metric) { -1.0 } else { 1.0 };
    let all = sign * (last.mean() - first.mean());
    let enough =
        curve.points.iter().find(|point| sign * (point.mean() - first.mean()) >= 0.9 * all && all > 0.0);
    Some(match enough.filter(|point| point.labels < last.labels) {
        Some(point) => format!(
            "{step}; nine tenths of what all of them brought over the first {} were there with {}.",
            count(first.labels),
            count(point.labels)
        ),
        None => format!("{step}; the curve had not flattened."),
    })
}

/// What the better of two steps costs a point.
fn price(results: &Results) -> Option<String> {
    let name = &results.metric;
    let frozen = results.routes.iter().find(|route| route.id == "frozen")?;
    let ranked = results.ranked();
    let trained = ranked.iter().find(|route| route.seconds.adapt + route.seconds.finetune > 0.0)?;
    let gain = trained.measured(name)?.mean - frozen.measured(name)?.mean;
    let extra = trained.seconds.total() - frozen.seconds.total();
    let better = if metric::is_lower_better(name) { gain < 0.0 } else { gain > 0.0 };
    if extra <= 0.0 {
        return None;
    }
    Some(if better {
        format!(
            "Price: training the encoder brought at most {} over `frozen`, for {} more on this machine (`{}`).",
            points(results, gain),
            duration(extra),
            trained.id
        )
    } else {
        format!(
            "Price: no training of the encoder scored above `frozen`; the best such route, `{}`, took {} more.",
            trained.id,
            duration(extra)
        )
    })
}

/// How far adapting moved the two losses: the person's texts, and general English.
fn adapting(results: &Results) -> Option<String> {
    let of = |kind: CurveKind| {
        results.curves.iter().find(|curve| curve.kind == kind && curve.stage.ends_with("adapted"))
    };
    let ends = |curve: &Curve| Some((curve.points.first()?.1.exp(), curve.points.last()?.1.exp()));
    // Of an objective that predicts no tokens, the loss has no perplexity.
    if ["simcse", "contrastive_tension", "electra"].contains(&results.adapt_objective.as_str()) {
        return None;
    }
    let (own, general) = (of(CurveKind::ValidationLoss)?, of(CurveKind::Forgetting));
    let (from, to) = ends(own)?;
    let number = |value: f64| metric::number(value, usize::from(value < 100.0));
    let forgetting = general.and_then(ends).map_or_else(String::new, |(from, to)| {
        format!(", that of general English from {} to {}", number(from), number(to))
    });
    Some(format!(
        "Adapting: the perplexity of your held-out texts went from {} to {}{forgetting}.",
        number(from),
        number(to)
    ))
}

/// How much a seed matters, beside what the test rows leave open.
fn seeds(results: &Results) -> Option<String> {
    let name = &results.metric;
    let spread = |route: &RouteResult| -> Option<f64> {
        let scores = &route.measured(name)?.per_seed;
        let mean = scores.iter().sum::<f64>() / scores.len() as f64;
        let squares: f64 = scores.iter().map(|score| (score - mean).powi(2)).sum();
        (scores.len() > 1).then(|| (squares / (scores.len() - 1) as f64).sqrt())
    };
    let widest = results
        .routes
        .iter()
        .filter_map(|route| Some((route, spread(route)?)))
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .filter(|(_, spread)| *spread > 0.0)?;
    let unit = metric::difference_unit(name);
    Some(format!(
        "Seeds: another seed moves `{}` by {}{unit} (standard deviation), more than any other route.",
        widest.0.id,
        metric::unsigned_difference(name, widest.1)
    ))
}

/// Whether the probabilities may be taken at their word.
fn calibration(route: &RouteResult) -> Option<String> {
    let found = route.calibration.as_ref()?;
    let error = metric::number(100.0 * found.error, 1);
    let (Some(temperature), Some(scaled)) = (found.temperature, found.scaled_error) else {
        return Some(format!("Probabilities: those of `{}` are off by {error} points on average.", route.id));
    };
    let how = match temperature {
        value if value > 1.1 => "too sure",
        value if value < 0.9 => "not sure enough",
        _ => "about right",
    };
    Some(format!(
        "Probabilities: those of `{}` are {how}, off by {error} points on average; a temperature of {} makes that {}.",
        route.id,
        metric::number(temperature, 2),
        metric::number(100.0 * scaled, 1)
    ))
}

/// What another threshold than one half would change.
fn threshold(route: &RouteResult) -> Option<String> {
    let found = route.threshold.as_ref().filter(|found| (found.value - 0.5).abs() >= 0.005)?;
    let name = &found.metric;
    Some(format!(
        "Threshold: on the validation rows `{}` has its best {} where {} is given from a probability of {} on; on the test rows \
         that changes it by {}{} {}.",
        route.id,
        metric::label(name),
        found.class,
        metric::number(found.value, 2),
        metric::difference(name, found.score - found.plain_score),
        metric::difference_unit(name),
        metric::difference_interval(name, found.low, found.high)
    ))
}

/// The part of the test rows whose whole interval lies on the bad side of the score.
fn weakest_slice(results: &Results, route: &RouteResult) -> Option<String> {
    let (name, whole) = (&results.metric, route.measured(&results.metric)?.mean);
    let is_lower_better = metric::is_lower_better(name);
    let loss = |mean: f64| if is_lower_better { mean - whole } else { whole - mean };
    let is_worse = |low: f64, high: f64| if is_lower_better { low > whole } else { high < whole };
    let weakest = route
        .slices
        .iter()
        .filter(|slice| slice.rows >= 20 && is_worse(slice.low, slice.high))
        .max_by(|a, b| loss(a.mean).total_cmp(&loss(b.mean)))?;
    Some(format!(
        "Weak spot: where {} is {}, `{}` scores {} {} instead of {} ({} test rows).",
        weakest.slice,
        weakest.value,
        route.id,
        metric::value(name, weakest.mean),
        metric::interval(name, weakest.low, weakest.high),
        metric::value(name, whole),
        count(weakest.rows)
    ))
}

/// What doubtful labels put a limit to.
fn noise(results: &Results) -> Option<String> {
    let check = results.checks.iter().find(|check| check.kind == CheckKind::LabelNoise)?;
    let share = 100.0 * check.count as f64 / results.data.rows.train.max(1) as f64;
    let best = results.ranked().into_iter().find(|route| route.scored_by != ScoredBy::Baseline)?;
    let accuracy = best.measured("accuracy")?.mean;
    Some(format!(
        "Labels in doubt: {} % of the training labels; the best route misses {} % of the test rows. If as many test labels \
         are wrong, part of those are no mistakes.",
        metric::number(share, 1),
        metric::number(100.0 * (1.0 - accuracy), 1)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn rules_quote_the_numbers_of_the_results() {
        let rules = rules(&sample::small());
        let of = |start: &str| {
            rules.iter().find(|rule| rule.starts_with(start)).unwrap_or_else(|| panic!("{start}: {rules:#?}"))
        };
        assert_eq!(
            of("Price:"),
            "Price: training the encoder brought at most +1.90 points over `frozen`, for 8 min more on this machine \
             (`adapted+finetuned`)."
        );
        assert!(of("Labels:").contains("from 155 to 222 of them"));
        assert!(of("Weak spot:").contains("where length in tokens is 200 to 256"));
        assert!(of("Probabilities:").contains("too sure"));
    }

    #[test]
    fn without_numbers_there_are_no_rules() {
        assert!(rules(&sample::empty("nothing")).is_empty());
    }
}
