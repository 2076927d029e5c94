//! Made-up choices before a comparison, for tests: encoders ranked, a pilot, a budget, adapting by parts.

use super::sample::large;
use super::*;

/// Three candidates, two of which the sample cannot tell apart.
pub(crate) fn ranking() -> Ranking {
    let model = |name: &str, score: f64, difference: f64, speed: f64, parameters: u64| RankedModel {
        name: name.to_owned(),
        score,
        low: score - 0.021,
        high: score + 0.02,
        difference,
        difference_low: if difference == 0.0 { 0.0 } else { difference - 0.015 },
        difference_high: if difference == 0.0 { 0.0 } else { difference + 0.014 },
        tokens_per_second: speed,
        tokens: 61_204,
        parameters,
        bytes: parameters * 4,
        hidden_size: 384,
        layers: 12,
        is_kept: difference == 0.0,
    };
    Ranking {
        metric: "accuracy".to_owned(),
        train_rows: 2000,
        validation_rows: 2000,
        models: vec![
            model("models/bge-small", 0.644, 0.0, 4_100.0, 33_360_000),
            model("models/minilm", 0.638, -0.006, 8_350.0, 22_713_216),
            model("models/distilbert-base-uncased", 0.571, -0.073, 2_120.0, 66_362_880),
        ],
    }
}

/// Two hours for what would have taken five.
pub(crate) fn plan() -> Plan {
    let stage = |stage: &str, times: f64, seconds: f64, tokens_per_second: Option<f64>| PlannedStage {
        stage: stage.to_owned(),
        times,
        seconds,
        tokens_per_second,
    };
    let left = |what: &str, why: &str, seconds: f64, route: Option<&str>| LeftOut {
        what: what.to_owned(),
        why: why.to_owned(),
        seconds,
        route: route.map(str::to_owned),
    };
    Plan {
        budget_seconds: 7200.0,
        spent_seconds: 95.0,
        asked_seconds: 18_000.0,
        planned_seconds: 6_300.0,
        stages: vec![
            stage("adapt", 1.0, 3_400.0, Some(1_870.0)),
            stage("finetune", 4.0, 690.0, Some(1_795.0)),
            stage("embed", 5.0, 61.0, Some(5_800.0)),
            stage("fit", 9.0, 19.0, None),
        ],
        left_out: vec![
            left(
                "the route `finetuned+adapted`",
                "adapting after fine-tuning undoes a part of it, and takes an adaptation for every seed",
                10_200.0,
                Some("finetuned+adapted"),
            ),
            left("the last of 3 seeds", "two seeds still tell a route from its luck", 1_380.0, None),
        ],
        taken_seconds: Some(6_520.0),
    }
}

/// A pilot that went on.
pub(crate) fn pilot() -> Pilot {
    Pilot {
        fraction: 0.1,
        texts: 91_771,
        steps: 2868,
        seconds: 352.0,
        rows: 5000,
        frozen: 0.622,
        adapted: 0.641,
        difference: 0.019,
        low: 0.008,
        high: 0.03,
        standard_error: 0.0056,
        outcome: PilotOutcome::GoOn,
        sentence: "Adapting to 10 % of the texts, tried first (91,771 texts, 5 min 52 s): on 5,000 labelled rows, each predicted \
                   by a learner that had not seen it, accuracy went from 0.622 to 0.641: +1.90 points [0.80, 3.00], more \
                   than one standard error (0.56). So adapting went on."
            .to_owned(),
    }
}

/// Scores with none, a tenth, a third and all of the texts.
pub(crate) fn text_curve() -> Vec<TextPoint> {
    let point = |texts: u64, score: f64, held_out: f64, general: f64| TextPoint {
        texts,
        steps: texts / 32,
        score,
        low: score - 0.011,
        high: score + 0.011,
        held_out_loss: Some(held_out),
        general_loss: Some(general),
    };
    vec![
        point(0, 0.630, 4.31, 3.02),
        point(91_771, 0.651, 2.71, 3.11),
        point(275_313, 0.660, 2.42, 3.22),
        point(917_710, 0.668, 2.17, 3.39),
    ]
}

/// The large comparison with everything that can be decided before one, measured out of fold.
pub(crate) fn planned() -> Results {
    let mut results = large();
    results.ranking = Some(ranking());
    results.plan = Some(plan());
    results.pilot = Some(pilot());
    results.text_curve = text_curve();
    for (at, route) in results.routes.iter_mut().enumerate() {
        if let Some(score) = route.scores.get("accuracy") {
            route.folds =
                (0..5).map(|fold| score.mean + f64::from((fold * 7 + at as i32) % 5 - 2) * 0.004).collect();
        }
    }
    let steps = (0..=8).map(|at| (at * 3585, 0.622 + 0.046 * (1.0 - (-(at as f64) / 2.5).exp())));
    results.curves.push(Curve {
        stage: "adapted".to_owned(),
        kind: CurveKind::ProbeScore,
        seed: Some(1),
        points: steps.collect(),
    });
    results
}
