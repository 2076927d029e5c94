//! The sentences of the verdict, case by case.

use super::conclude;
use crate::report::results::{Certainty, Outcome, Results};
use crate::report::route::{RouteResult, ScoredBy, Status};
use crate::report::sample::{comparison, empty, regression, route};

/// Results with these routes (name, accuracy, seconds) and comparisons (route, over, difference, half interval).
fn results(routes: &[(&str, f64, f64)], comparisons: &[(&str, &str, f64, f64)]) -> Results {
    let mut results = empty("test");
    results.seeds = vec![1, 2, 3];
    results.data.rows.test = 556;
    results.routes = routes
        .iter()
        .map(|(name, accuracy, seconds)| {
            let by =
                if matches!(*name, "majority" | "tfidf") { ScoredBy::Baseline } else { ScoredBy::Classifier };
            route(name, by, *accuracy, 0.02, *seconds)
        })
        .collect();
    let cost = |id: &str| routes.iter().find(|(name, ..)| *name == id).map_or(0.0, |(.., seconds)| *seconds);
    results.comparisons = comparisons
        .iter()
        .map(|(route, over, difference, reach)| {
            comparison(route, over, *difference, *reach, cost(route) - cost(over))
        })
        .collect();
    results
}

fn sentence(results: &Results, start: &str) -> String {
    let verdict = conclude(results);
    let found = verdict.sentences.iter().find(|sentence| sentence.starts_with(start));
    found.unwrap_or_else(|| panic!("no sentence starts with '{start}': {:#?}", verdict.sentences)).clone()
}

#[test]
fn a_better_route_is_recommended_with_its_price() {
    let results = results(
        &[("frozen", 0.921, 60.0), ("finetuned", 0.94, 600.0), ("adapted+finetuned", 0.946, 1260.0)],
        &[("adapted+finetuned", "finetuned", 0.0052, 0.0031), ("adapted+finetuned", "frozen", 0.025, 0.01)],
    );
    let verdict = conclude(&results);
    assert_eq!(verdict.recommended.as_deref(), Some("adapted+finetuned"));
    assert_eq!(verdict.certainty, Certainty::Settled);
    assert_eq!(
        verdict.headline,
        "Use `adapted+finetuned`: it has the highest accuracy and is better than both cheaper routes it was compared with."
    );
    assert_eq!(
        verdict.sentences[0],
        "On 556 test rows and 3 seeds, `adapted+finetuned` scored 0.946 accuracy [0.926, 0.966]; `frozen` 0.921 [0.901, 0.941]."
    );
    assert_eq!(
        sentence(&results, "Adapting before"),
        "Adapting before fine-tuning: +0.52 points [0.21, 0.83], P > .99, +11 min: better."
    );
}

#[test]
fn of_equals_the_cheaper_is_recommended() {
    let results = results(
        &[("frozen", 0.921, 60.0), ("finetuned", 0.9215, 600.0)],
        &[("finetuned", "frozen", 0.0005, 0.001)],
    );
    let verdict = conclude(&results);
    assert_eq!(
        (verdict.best.as_deref(), verdict.recommended.as_deref()),
        (Some("finetuned"), Some("frozen"))
    );
    assert_eq!(verdict.certainty, Certainty::Settled);
    assert_eq!(
        verdict.headline,
        "Use `frozen`: it is practically equal to `finetuned`, which has the highest accuracy, and takes 60 s instead of 10 min."
    );
    assert!(sentence(&results, "Fine-tuning, without").ends_with("practically equal."));
}

#[test]
fn an_undecided_lead_is_not_sold_as_a_win() {
    let mut results = results(
        &[("frozen", 0.921, 60.0), ("adapted", 0.925, 720.0)],
        &[("adapted", "frozen", 0.004, 0.012)],
    );
    results.detectable_difference = Some(0.0121);
    let verdict = conclude(&results);
    assert_eq!(verdict.certainty, Certainty::Unsettled);
    assert_eq!(
        verdict.headline,
        "`adapted` has the highest accuracy, but this data cannot tell it from `frozen`, which takes 11 min less."
    );
    assert_eq!(
        sentence(&results, "One comparison is undecided"),
        "One comparison is undecided: neither a difference nor its absence was shown. A test set of this size shows differences of \
         1.21 points or more four times out of five; smaller ones need more test rows."
    );
    assert!(!verdict.headline.contains("better"));
}

#[test]
fn a_worse_route_is_called_worse() {
    let results =
        results(&[("frozen", 0.95, 60.0), ("adapted", 0.90, 720.0)], &[("adapted", "frozen", -0.05, 0.01)]);
    let verdict = conclude(&results);
    assert_eq!(verdict.recommended.as_deref(), Some("frozen"));
    assert_eq!(
        sentence(&results, "Adapting to the unlabelled"),
        "Adapting to the unlabelled texts, without fine-tuning: −5.00 points [−6.00, −4.00], P < .01, +11 min: worse."
    );
    assert_eq!(verdict.certainty, Certainty::Settled);
}

#[test]
fn a_baseline_ahead_of_every_encoder_is_said_plainly() {
    let results =
        results(&[("tfidf", 0.95, 3.0), ("frozen", 0.90, 60.0)], &[("frozen", "tfidf", -0.05, 0.01)]);
    let verdict = conclude(&results);
    assert_eq!(verdict.headline, "No encoder scored above `tfidf`, a baseline that costs 3.0 s.");
    assert!(sentence(&results, "The encoder as it is").ends_with("worse."));
}

#[test]
fn labels_matter_more_only_where_the_intervals_are_apart() {
    let apart = [("finetuned", "frozen", 0.05, 0.01), ("adapted", "frozen", 0.01, 0.01)];
    let overlapping = [("finetuned", "frozen", 0.02, 0.01), ("adapted", "frozen", 0.01, 0.01)];
    let neither = [("finetuned", "frozen", 0.001, 0.01), ("adapted", "frozen", -0.05, 0.01)];
    let routes = [("frozen", 0.9, 60.0), ("adapted", 0.91, 600.0), ("finetuned", 0.95, 600.0)];
    assert_eq!(
        sentence(&results(&routes, &apart), "The labels mattered more"),
        "The labels mattered more than the unlabelled texts: over `frozen`, fine-tuning changed the score by +5.00 points, adapting by +1.00 points."
    );
    assert!(sentence(&results(&routes, &overlapping), "Whether labels").contains("undecided"));
    assert!(sentence(&results(&routes, &neither), "Neither").contains("−5.00 points"));
}

#[test]
fn the_order_is_judged_in_all_four_ways() {
    let cases = [
        (0.02, 0.01, "The order mattered: adapting first"),
        (-0.02, 0.01, "The order mattered: fine-tuning first"),
        (0.0, 0.001, "The order of adapting and fine-tuning made no practical difference"),
        (0.0, 0.02, "Whether the order of adapting and fine-tuning matters is undecided"),
    ];
    for (difference, reach, start) in cases {
        let routes = [("adapted+finetuned", 0.95, 900.0), ("finetuned+adapted", 0.95, 900.0)];
        let forward = results(&routes, &[("adapted+finetuned", "finetuned+adapted", difference, reach)]);
        let backward = results(&routes, &[("finetuned+adapted", "adapted+finetuned", -difference, reach)]);
        assert_eq!(
            sentence(&forward, start),
            sentence(&backward, start),
            "whichever way round it was compared"
        );
    }
}

#[test]
fn of_a_loss_less_is_better() {
    let results = regression();
    assert_eq!(results.ranked()[0].id, "finetuned (own head)");
    let verdict = conclude(&results);
    assert!(
        verdict.headline.starts_with("Use `finetuned (own head)`: it has the lowest RMSE"),
        "{}",
        verdict.headline
    );
    assert!(sentence(&results, "`adapted` failed").ends_with("the disk is full."));
    assert!(sentence(&results, "Each route ran with one seed").contains("another seed"));
}

#[test]
fn what_its_own_head_says_is_told_where_it_differs() {
    let mut results = results(
        &[("frozen", 0.92, 60.0), ("finetuned", 0.95, 600.0)],
        &[("finetuned", "frozen", 0.03, 0.01)],
    );
    let mut adapted = route("adapted+finetuned", ScoredBy::Classifier, 0.96, 0.02, 900.0);
    let heads = [("finetuned", 0.945), ("adapted+finetuned", 0.955)];
    results
        .routes
        .extend(heads.map(|(name, accuracy)| route(name, ScoredBy::OwnHead, accuracy, 0.02, 590.0)));
    adapted.status = Status::Done;
    results.routes.push(adapted);
    results.comparisons.push(comparison("adapted+finetuned", "finetuned", 0.01, 0.005, 300.0));
    results.comparisons.push(comparison(
        "adapted+finetuned (own head)",
        "finetuned (own head)",
        0.01,
        0.02,
        300.0,
    ));
    assert_eq!(
        sentence(&results, "Adapting before"),
        "Adapting before fine-tuning: +1.00 points [0.50, 1.50], P > .99, +5 min: better by the classifier, undecided by their own heads."
    );
}

#[test]
fn what_columns_add_in_one_network_and_whether_that_beats_stacking_is_told() {
    let mut results = results(
        &[("finetuned", 0.92, 600.0), ("stacked", 0.93, 90.0), ("joint", 0.95, 660.0)],
        &[("joint", "finetuned", 0.03, 0.01), ("stacked", "joint", -0.02, 0.03)],
    );
    for route in &mut results.routes {
        if route.name == "joint" {
            (route.scored_by, route.features) = (ScoredBy::OwnHead, "text+columns".to_owned());
        }
    }
    assert_eq!(
        sentence(&results, "One network over text and columns, instead of fine-tuning"),
        "One network over text and columns, instead of fine-tuning on the text alone: +3.00 points [2.00, 4.00], \
         P > .99, +60 s: better."
    );
    assert_eq!(
        sentence(&results, "One network over text and columns, instead of stacking"),
        "One network over text and columns, instead of stacking models of each: +2.00 points [−1.00, 5.00], \
         P = .90, +10 min: undecided."
    );
}

#[test]
fn nothing_measured_recommends_nothing() {
    let mut results = empty("nothing");
    let mut skipped = RouteResult::new("adapted", ScoredBy::Classifier, "");
    skipped.status = Status::Skipped { reason: "there are no unlabelled texts".into() };
    results.routes.push(skipped);
    let verdict = conclude(&results);
    assert_eq!((verdict.best, verdict.recommended, verdict.certainty), (None, None, Certainty::Unsettled));
    assert_eq!(verdict.sentences, ["`adapted` was left out: there are no unlabelled texts."]);
}

#[test]
fn one_route_alone_is_compared_with_nothing() {
    let verdict = conclude(&results(&[("frozen", 0.9, 60.0)], &[]));
    assert!(verdict.headline.contains("only route"), "{}", verdict.headline);
    assert_eq!(verdict.certainty, Certainty::Unsettled);
    let uncompared = conclude(&results(&[("frozen", 0.9, 60.0), ("finetuned", 0.95, 600.0)], &[]));
    assert_eq!(uncompared.certainty, Certainty::Unsettled);
    assert_eq!(
        uncompared.headline,
        "`finetuned` has the highest accuracy, but it was not compared with a cheaper route."
    );
}

#[test]
fn a_flipped_comparison_says_the_same() {
    let found = comparison("a", "b", 0.01, 0.005, 60.0);
    let flipped = found.flipped();
    assert_eq!((flipped.difference, flipped.verdict), (-0.01, Outcome::Worse));
    assert!((flipped.low + 0.015).abs() < 1e-12 && (flipped.high + 0.005).abs() < 1e-12);
    assert_eq!(flipped.flipped().route, "a");
}
