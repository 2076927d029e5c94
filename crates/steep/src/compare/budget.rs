//! What a comparison costs, and what gives way where that is more than was allowed.
//!
//! A pure function of the settings and of measured times: the same of both gives the same plan.

use super::routes::variants;
use super::settings::{CompareSettings, Route};
use super::times::StageTimes;
use crate::error::{Error, Result};
use crate::report::{LeftOut, Plan, PlannedStage};
use std::time::Duration;

/// Share of the budget that is not planned for: reading, tokenising, scoring, the report, and estimates that are a little off.
const RESERVE: f64 = 0.1;

/// Embedding and fitting a probe while adapting takes about this share of adapting.
const PROBE_SHARE: f64 = 0.1;

/// One thing that can give way.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Step {
    /// Adapting to parts of the texts, for the curve over their number.
    TextCurve,
    /// A route, and what cannot be without it.
    Route(Route),
    /// All seeds after so many.
    Seeds(usize),
    /// Encoders beside the first, the last one first.
    Encoders,
    /// Adapting stops after this share of its steps.
    Adapt(f64),
    /// Fine-tuning stops after this share of its steps.
    Finetune(f64),
    /// All routes over an encoder.
    Everything,
}

/// What gives way, the first first, and why in this order.
const LADDER: [(Step, &str); 20] = [
    (Step::TextCurve, "it shows how much text is enough, and decides nothing"),
    (
        Step::Route(Route::FinetunedAdapted),
        "adapting after fine-tuning undoes a part of it, and takes an adaptation for every seed",
    ),
    (Step::Route(Route::AdaptedContrastive), "adapting before it is the smaller step"),
    (Step::Route(Route::VocabAdaptedFinetuned), "new tokens bring speed more than scores"),
    (Step::Route(Route::VocabAdapted), "new tokens bring speed more than scores"),
    (Step::Seeds(2), "two seeds still tell a route from its luck"),
    (Step::Encoders, "the first of the ranking is the likeliest to be the best"),
    (Step::Adapt(0.5), "most of what adapting brings comes early"),
    (Step::Adapt(0.25), "most of what adapting brings comes early"),
    (Step::Adapt(0.1), "most of what adapting brings comes early"),
    (Step::Seeds(1), "a route measured once says more than a route that is not measured"),
    (Step::Route(Route::Zeroshot), "with labels at hand, what does without them is seldom the best"),
    (
        Step::Route(Route::AdaptedJoint),
        "one network over text and columns is the larger step, and adapting the smaller one",
    ),
    (
        Step::Route(Route::AdaptedFinetuned),
        "fine-tuning alone is the larger step, and adapting before it the smaller one",
    ),
    (Step::Route(Route::Adapted), "fine-tuning uses what labels tell, which adapting does not"),
    (Step::Route(Route::Contrastive), "plain fine-tuning is the usual step"),
    (Step::Finetune(0.5), "half of the steps is most of the way"),
    (Step::Route(Route::Joint), "stacking models of text and columns needs no training of its own"),
    (Step::Route(Route::Finetuned), "the encoder as it is needs no training"),
    (Step::Everything, "counting words needs no encoder"),
];

/// How often each kind of stage runs, in runs of everything that was asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Runs {
    zeroshot: f64,
    vocabulary: f64,
    adapt: f64,
    finetune: f64,
    contrastive: f64,
    joint: f64,
    embed: f64,
    fit: f64,
    tfidf: f64,
}

impl Runs {
    /// Of one encoder on one split.
    fn of(settings: &CompareSettings, times: &StageTimes) -> Self {
        let has = |route: Route| f64::from(u8::from(settings.routes.contains(&route)));
        let seeds = settings.seeds.len() as f64;
        let share = |steps: Option<u64>, asked: Option<u64>| match (steps, asked) {
            (Some(steps), Some(asked)) => (steps as f64 / asked.max(1) as f64).min(1.0),
            _ => 1.0,
        };
        let adapt_share = share(settings.adapt.max_steps, times.adapt.map(|estimate| estimate.steps));
        let finetune_share =
            share(settings.finetune.max_steps, times.finetune.map(|estimate| estimate.steps));
        let adapted_once =
            [Route::Adapted, Route::AdaptedFinetuned, Route::AdaptedContrastive, Route::AdaptedJoint];
        let shared = adapted_once.into_iter().map(has).fold(0.0, f64::max);
        let extended = has(Route::VocabAdapted).max(has(Route::VocabAdaptedFinetuned));
        let networks = settings.routes.iter().filter(|route| route.is_joint()).count() as f64;
        let probed = if settings.adaptation_curve { 1.0 + PROBE_SHARE } else { 1.0 };
        let mut runs = Self {
            zeroshot: has(Route::Zeroshot),
            vocabulary: extended,
            adapt: adapt_share * (shared * probed + extended + has(Route::FinetunedAdapted) * seeds),
            finetune: finetune_share
                * seeds
                * (has(Route::Finetuned).max(has(Route::FinetunedAdapted))
                    + has(Route::AdaptedFinetuned)
                    + has(Route::VocabAdaptedFinetuned)),
            contrastive: finetune_share * seeds * (has(Route::Contrastive) + has(Route::AdaptedContrastive)),
            joint: finetune_share * seeds * networks,
            tfidf: has(Route::Tfidf),
            ..Self::default()
        };
        for route in &settings.routes {
            let repeated = if route.finetunes() { seeds } else { 1.0 };
            if route.has_encoder() || *route == Route::TableAsText {
                runs.embed += repeated;
                runs.fit += repeated * variants(*route, settings).len() as f64;
            }
        }
        let adapts = settings.routes.iter().any(|route| route.adapts());
        if let Some(fraction) = settings.pilot.filter(|_| adapts) {
            runs = runs.with(fraction * adapt_share, 1.0);
        }
        if settings.routes.contains(&Route::Adapted) {
            for part in &settings.text_curve {
                runs = runs.with(part * adapt_share, 1.0);
            }
        }
        runs
    }

    /// And an encoder adapted to a part, with its vectors and a learner.
    fn with(self, adapted: f64, embedded: f64) -> Self {
        Self { adapt: self.adapt + adapted, embed: self.embed + embedded, fit: self.fit + embedded, ..self }
    }

    fn times(self, count: f64) -> Self {
        Self {
            zeroshot: self.zeroshot * count,
            vocabulary: self.vocabulary * count,
            adapt: self.adapt * count,
            finetune: self.finetune * count,
            contrastive: self.contrastive * count,
            joint: self.joint * count,
            embed: self.embed * count,
            fit: self.fit * count,
            tfidf: self.tfidf * count,
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            zeroshot: self.zeroshot + other.zeroshot,
            vocabulary: self.vocabulary + other.vocabulary,
            adapt: self.adapt + other.adapt,
            finetune: self.finetune + other.finetune,
            contrastive: self.contrastive + other.contrastive,
            joint: self.joint + other.joint,
            embed: self.embed + other.embed,
            fit: self.fit + other.fit,
            tfidf: self.tfidf + other.tfidf,
        }
    }

    /// Of all encoders and folds. An encoder that was half as quick in the ranking counts twice.
    fn of_all(settings: &CompareSettings, times: &StageTimes) -> Self {
        let folds = f64::from(settings.out_of_fold.unwrap_or(1));
        let own = Self::of(settings, times).times(folds);
        settings.further.iter().fold(own, |runs, further| {
            runs.plus(Self::of(further, times).times(folds * slowness(settings, &further.model_name)))
        })
    }

    fn seconds(&self, times: &StageTimes) -> f64 {
        let of = |estimate: Option<crate::config::Estimate>| estimate.map_or(0.0, |found| found.seconds);
        self.zeroshot * times.zeroshot
            + self.vocabulary * times.vocabulary
            + self.adapt * of(times.adapt)
            + self.finetune * of(times.finetune)
            + self.contrastive * of(times.contrastive)
            + self.joint * of(times.joint)
            + self.embed * of(times.embed)
            + self.fit * times.fit
            + self.tfidf * times.tfidf
    }

    fn stages(&self, times: &StageTimes) -> Vec<PlannedStage> {
        let speed = |estimate: Option<crate::config::Estimate>| estimate.map(|found| found.tokens_per_second);
        let seconds = |estimate: Option<crate::config::Estimate>| estimate.map_or(0.0, |found| found.seconds);
        let rows = [
            ("zeroshot", self.zeroshot, times.zeroshot, None),
            ("vocab", self.vocabulary, times.vocabulary, None),
            ("adapt", self.adapt, seconds(times.adapt), speed(times.adapt)),
            ("finetune", self.finetune, seconds(times.finetune), speed(times.finetune)),
            ("contrastive", self.contrastive, seconds(times.contrastive), speed(times.contrastive)),
            ("joint", self.joint, seconds(times.joint), speed(times.joint)),
            ("embed", self.embed, seconds(times.embed), speed(times.embed)),
            ("fit", self.fit, times.fit, None),
            ("tfidf", self.tfidf, times.tfidf, None),
        ];
        let stage = |(stage, times, seconds, tokens_per_second): (&str, f64, f64, Option<f64>)| {
            PlannedStage { stage: stage.to_owned(), times, seconds, tokens_per_second }
        };
        rows.into_iter().filter(|row| row.1 > 0.0).map(stage).collect()
    }
}

/// How much longer an encoder takes than the first, by the ranking.
fn slowness(settings: &CompareSettings, name: &str) -> f64 {
    let speed = |name: &str| {
        let models = settings.ranking.iter().flat_map(|ranking| &ranking.models);
        models.into_iter().find(|model| model.name == name).map(|model| model.tokens_per_second)
    };
    match (speed(&settings.model_name), speed(name)) {
        (Some(first), Some(other)) if other > 0.0 => first / other,
        _ => 1.0,
    }
}

/// What everything that was asked for would cost: the seconds, and what they are made of.
pub(super) fn cost(settings: &CompareSettings, times: &StageTimes) -> (f64, Vec<PlannedStage>) {
    let runs = Runs::of_all(settings, times);
    (runs.seconds(times), runs.stages(times))
}

/// The settings that fit into `budget` seconds, of which `spent` are gone already; what gave way is in their plan.
///
/// # Errors
/// Not even counting words fits.
pub(super) fn within(
    settings: &CompareSettings,
    times: &StageTimes,
    budget: f64,
    spent: f64,
) -> Result<CompareSettings> {
    let allowed = (budget - spent) * (1.0 - RESERVE);
    let (asked_seconds, _) = cost(settings, times);
    let mut planned = settings.clone();
    let mut left_out: Vec<LeftOut> = Vec::new();
    for (step, why) in LADDER {
        while cost(&planned, times).0 > allowed {
            let before = cost(&planned, times).0;
            let Some((what, routes)) = give_way(&mut planned, step, times) else { break };
            let seconds = before - cost(&planned, times).0;
            left_out.push(LeftOut { what, why: why.to_owned(), seconds, route: routes.first().cloned() });
            // What a route takes with it saves nothing more.
            left_out.extend(routes.iter().skip(1).map(|route| LeftOut {
                what: format!("the route `{route}`"),
                why: "it builds on what is left out".to_owned(),
                seconds: 0.0,
                route: Some(route.clone()),
            }));
        }
    }
    let (planned_seconds, stages) = cost(&planned, times);
    if planned_seconds > allowed || planned.routes.is_empty() {
        return Err(too_little(planned_seconds, spent));
    }
    planned.plan = Some(Plan {
        budget_seconds: budget,
        spent_seconds: spent,
        asked_seconds,
        planned_seconds,
        stages,
        left_out,
        taken_seconds: None,
    });
    Ok(planned)
}

fn too_little(least: f64, spent: f64) -> Error {
    let needed = Duration::from_secs_f64((least / (1.0 - RESERVE) + spent).clamp(1.0, 1e9));
    let minutes = needed.as_secs().div_ceil(60);
    let problem = format!("the least that can be done takes about {minutes} min");
    Error::config("budget", problem, format!("give {minutes}m or more, fewer rows, or a smaller encoder"))
}

/// Takes a step; what gave way in words, and the routes that are gone. None where there is nothing to give.
fn give_way(settings: &mut CompareSettings, step: Step, times: &StageTimes) -> Option<(String, Vec<String>)> {
    match step {
        Step::TextCurve => {
            let has_one = !settings.text_curve.is_empty() && settings.routes.contains(&Route::Adapted);
            has_one.then(|| each(settings, |one| one.text_curve.clear()))?;
            Some(("the curve over the number of unlabelled texts".to_owned(), Vec::new()))
        }
        Step::Route(route) => remove(settings, &[route]),
        Step::Seeds(least) => {
            let repeats = settings.routes.iter().any(|route| route.varies_with_seed());
            let count = settings.seeds.len();
            (repeats && count > least).then(|| each(settings, |one| one.seeds.truncate(count - 1)))?;
            Some((format!("the last of {count} seeds"), Vec::new()))
        }
        Step::Encoders => {
            let last = settings.further.pop()?;
            Some((format!("the encoder `{}`", last.model_name), Vec::new()))
        }
        Step::Adapt(share) => {
            let steps = times.adapt?.steps;
            let adapts = settings.routes.iter().any(|route| route.adapts());
            let fewer = shortened(settings.adapt.max_steps, steps, share).filter(|_| adapts)?;
            each(settings, |one| one.adapt.max_steps = Some(fewer));
            let what = format!(
                "adapting after {fewer} of {steps} optimizer steps, and so a part of the unlabelled texts"
            );
            Some((what, Vec::new()))
        }
        Step::Finetune(share) => {
            let steps = times.finetune.or(times.joint).or(times.contrastive)?.steps;
            let trains = settings.routes.iter().any(|route| route.varies_with_seed());
            let fewer = shortened(settings.finetune.max_steps, steps, share).filter(|_| trains)?;
            each(settings, |one| one.finetune.max_steps = Some(fewer));
            Some((format!("fine-tuning after {fewer} of {steps} optimizer steps"), Vec::new()))
        }
        Step::Everything => {
            let over_encoders =
                |route: &Route| route.has_encoder() || route.is_joint() || needs_encoder(*route);
            let routes: Vec<Route> = settings.routes.iter().copied().filter(over_encoders).collect();
            remove(settings, &routes)
        }
    }
}

fn needs_encoder(route: Route) -> bool {
    matches!(route, Route::Zeroshot | Route::TableAsText | Route::LateAverage | Route::Stacked)
}

/// Fewer steps, where there are more.
fn shortened(now: Option<u64>, asked: u64, share: f64) -> Option<u64> {
    let fewer = ((asked as f64 * share).ceil() as u64).max(1);
    (fewer < now.unwrap_or(asked)).then_some(fewer)
}

/// Changes the comparison of each encoder.
fn each(settings: &mut CompareSettings, mut change: impl FnMut(&mut CompareSettings)) {
    settings.further.iter_mut().for_each(&mut change);
    change(settings);
}

fn remove(settings: &mut CompareSettings, routes: &[Route]) -> Option<(String, Vec<String>)> {
    let present: Vec<Route> =
        settings.routes.iter().copied().filter(|route| routes.contains(route)).collect();
    let first = present.first()?;
    each(settings, |one| one.routes.retain(|route| !routes.contains(route)));
    Some((
        format!("the route `{}`", first.name()),
        present.iter().map(|route| route.name().to_owned()).collect(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{CompareFacts, CompareRequest, Estimate, Facts, List};

    fn settings() -> CompareSettings {
        let mut request = CompareRequest {
            model_name_or_path: Some("model".into()),
            labelled_file: Some("rows.csv".into()),
            unlabelled_file: Some("texts.txt".into()),
            output_dir: Some("out".into()),
            seeds: Some(List(vec![1, 2, 3])),
            ..CompareRequest::default()
        };
        let facts = CompareFacts {
            name: "model".into(),
            model: "model".into(),
            labelled: Facts {
                rows: 2000,
                hidden_size: 384,
                num_hidden_layers: 6,
                max_seq_length: 128,
                new_rows: None,
            },
            unlabelled_rows: 3000,
            usual_objective: Some("mlm"),
            zeroshot_model: None,
        };
        request.resolve(&facts).unwrap()
    }

    fn times() -> StageTimes {
        let estimate = |seconds: f64, steps: u64| {
            let (tokens, peak_bytes) = (1000, 0);
            Some(Estimate { tokens, tokens_per_second: 100.0, steps, seconds, peak_bytes })
        };
        StageTimes {
            zeroshot: 90.0,
            vocabulary: 3.0,
            adapt: estimate(600.0, 300),
            finetune: estimate(200.0, 100),
            contrastive: None,
            joint: None,
            embed: estimate(20.0, 0),
            fit: 5.0,
            tfidf: 8.0,
        }
    }

    #[test]
    fn shared_stages_cost_once_and_trained_ones_a_seed() {
        let plain = CompareSettings { adaptation_curve: false, ..settings() };
        let (seconds, stages) = cost(&plain, &times());
        // Adapted once for two routes and once a seed for the third; fine-tuned twice a seed; vectors of frozen, adapted
        // and three routes a seed, each with a classifier, two of them with a head beside it.
        let expected = 4.0 * 600.0 + 6.0 * 200.0 + 11.0 * 20.0 + 17.0 * 5.0 + 8.0;
        assert!((seconds - expected).abs() < 1e-6, "{seconds} {expected}");
        assert_eq!(stages.len(), 5);
        let folded = CompareSettings { out_of_fold: Some(5), ..plain };
        assert!((cost(&folded, &times()).0 - 5.0 * expected).abs() < 1e-6);
    }

    #[test]
    fn new_tokens_cost_their_choice_an_adaptation_and_fine_tuning_of_their_own() {
        let plain = CompareSettings { adaptation_curve: false, ..settings() };
        let with = |route: Route| {
            let routes = plain.routes.iter().copied().chain([route]).collect();
            CompareSettings { routes, ..plain.clone() }
        };
        let more = |route: Route| cost(&with(route), &times()).0 - cost(&plain, &times()).0;
        assert!((more(Route::VocabAdapted) - (3.0 + 600.0 + 20.0 + 5.0)).abs() < 1e-6);
        let tuned = 3.0 + 600.0 + 3.0 * (200.0 + 20.0 + 2.0 * 5.0);
        assert!((more(Route::VocabAdaptedFinetuned) - tuned).abs() < 1e-6);
        let planned = within(&with(Route::VocabAdapted), &times(), 2900.0, 0.0).unwrap();
        let left_out = planned.plan.unwrap().left_out;
        assert!(left_out.iter().any(|left| left.route.as_deref() == Some("vocab+adapted")), "{left_out:?}");
    }

    #[test]
    fn a_roomy_budget_leaves_nothing_out() {
        let planned = within(&settings(), &times(), 1e6, 0.0).unwrap();
        let plan = planned.plan.as_ref().unwrap();
        assert!(plan.left_out.is_empty() && plan.asked_seconds == plan.planned_seconds);
        assert_eq!(CompareSettings { plan: None, ..planned }, settings());
    }

    #[test]
    fn smaller_budgets_give_up_more_in_the_documented_order_and_keep_within() {
        let mut before: Vec<String> = Vec::new();
        for budget in [4000.0, 2000.0, 1200.0, 700.0, 350.0, 120.0, 50.0, 15.0] {
            let planned = within(&settings(), &times(), budget, 0.0).unwrap();
            let plan = planned.plan.unwrap();
            assert!(plan.planned_seconds <= budget * (1.0 - RESERVE) + 1e-9, "{budget}: {plan:?}");
            let saved: f64 = plan.left_out.iter().map(|left| left.seconds).sum();
            assert!((plan.asked_seconds - saved - plan.planned_seconds).abs() < 1e-6);
            let now: Vec<String> = plan.left_out.iter().map(|left| left.what.clone()).collect();
            assert!(now.starts_with(&before), "{budget}: {now:?} after {before:?}");
            before = now;
        }
        assert!(
            before[0].contains("finetuned+adapted") && before[1].contains("the last of 3 seeds"),
            "{before:?}"
        );
        assert!(before.last().unwrap().contains("frozen"), "{before:?}");
    }

    #[test]
    fn what_was_spent_before_counts() {
        let all = cost(&settings(), &times()).0 / (1.0 - RESERVE);
        assert!(within(&settings(), &times(), all + 1.0, 0.0).unwrap().plan.unwrap().left_out.is_empty());
        let late = within(&settings(), &times(), all + 1.0, 600.0).unwrap().plan.unwrap();
        assert!(!late.left_out.is_empty() && late.spent_seconds == 600.0);
    }

    #[test]
    fn a_budget_for_nothing_says_how_much_is_needed() {
        let error = within(&settings(), &times(), 5.0, 0.0).unwrap_err();
        assert!(error.to_string().contains("1 min") && error.hint().unwrap().contains("1m"), "{error}");
    }

    #[test]
    fn the_slower_of_two_encoders_counts_by_its_speed() {
        let ranking = crate::report::sample::ranking();
        let name = ranking.models[2].name.clone();
        let further = CompareSettings { model_name: name, ..settings() };
        let both = CompareSettings {
            model_name: ranking.models[0].name.clone(),
            ranking: Some(ranking),
            further: vec![further],
            ..settings()
        };
        let alone = cost(&settings(), &times()).0;
        let ratio = 4_100.0 / 2_120.0;
        assert!((cost(&both, &times()).0 - alone * (1.0 + ratio)).abs() < 1e-6);
    }
}
