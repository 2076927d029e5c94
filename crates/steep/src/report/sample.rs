//! Made-up results for tests: a small comparison, one with 58 classes, regression, nothing at all.

pub(crate) use super::sample_hostile::{hostile, hostile_strings};
pub(crate) use super::sample_planning::{plan, planned, ranking};
use super::*;
use std::collections::BTreeMap;

/// Every sample under its name.
pub(crate) fn all() -> Vec<(&'static str, Results)> {
    vec![
        ("small", small()),
        ("large", large()),
        ("planned", planned()),
        ("hostile", hostile()),
        ("regression", regression()),
        ("empty", empty("nothing")),
    ]
}

/// Numbers that only look random.
struct Noise(u64);

impl Noise {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    fn around(&mut self, middle: f64, reach: f64) -> f64 {
        middle + (self.unit() - 0.5) * 2.0 * reach
    }
}

/// Results with a title and nothing else.
pub(crate) fn empty(title: &str) -> Results {
    Results {
        schema_version: SCHEMA_VERSION,
        title: title.to_owned(),
        created: "2025-06-12T14:03:00Z".to_owned(),
        task: Task::SingleLabel,
        metric: "accuracy".to_owned(),
        data: DataFacts::default(),
        model: ModelFacts::default(),
        machine: Machine::default(),
        seeds: vec![],
        routes: vec![],
        comparisons: vec![],
        verdict: Verdict::default(),
        curves: vec![],
        label_curves: vec![],
        checks: vec![],
        maps: vec![],
        mistakes: None,
        rules: vec![],
        equivalence_margin: None,
        detectable_difference: None,
        winner: None,
        warnings: vec![],
        manifest: Manifest::default(),
        ranking: None,
        pilot: None,
        plan: None,
        text_curve: vec![],
        adapt_objective: "mlm".to_owned(),
    }
}

/// A score with the same values around its mean for each seed.
pub(crate) fn score(mean: f64, reach: f64, seeds: usize) -> Score {
    let per_seed =
        (0..seeds).map(|seed| mean + reach * 0.3 * (seed as f64 - (seeds as f64 - 1.0) / 2.0)).collect();
    Score { mean, low: mean - reach, high: mean + reach, per_seed }
}

/// A done route with one accuracy and one total time.
pub(crate) fn route(name: &str, scored_by: ScoredBy, accuracy: f64, reach: f64, seconds: f64) -> RouteResult {
    let mut route = RouteResult::new(name, scored_by, description(name));
    route.scores.insert("accuracy".to_owned(), score(accuracy, reach, 3));
    route.scores.insert("macro_f1".to_owned(), score(accuracy * 0.97, reach, 3));
    let has = |stage: &str| if name.contains(stage) { 1.0 } else { 0.0 };
    let encodes = if scored_by == ScoredBy::Baseline { 0.0 } else { 1.0 };
    let weights = [3.0 * has("adapted"), 4.0 * has("finetuned"), 0.6 * encodes, 0.4, 0.02];
    let unit = seconds / weights.iter().sum::<f64>();
    let [adapt, finetune, extract, fit, predict] = weights.map(|weight| weight * unit);
    route.seconds = StageSeconds { adapt, finetune, extract, fit, predict };
    if scored_by == ScoredBy::Classifier || name == "tfidf" {
        route.chosen_c = vec![1.0, 1.0, 10.0];
    }
    route
}

fn description(name: &str) -> &'static str {
    match name {
        "majority" => "Always the most frequent class.",
        "tfidf" => "Word and character n-grams, logistic regression.",
        "frozen" => "The encoder as it is.",
        "adapted" => "Masked-LM training on the unlabelled texts.",
        "finetuned" => "Trained on the labels.",
        "adapted+finetuned" => "Adapted first, then trained on the labels.",
        "finetuned+adapted" => "Trained on the labels first, then adapted.",
        _ => "",
    }
}

/// A comparison with its outcome by the usual rule.
pub(crate) fn comparison(
    route: &str,
    over: &str,
    difference: f64,
    reach: f64,
    extra_seconds: f64,
) -> Comparison {
    let margin = 0.0025;
    let (low, high) = (difference - reach, difference + reach);
    let verdict = if low > 0.0 {
        Outcome::Better
    } else if high < 0.0 {
        Outcome::Worse
    } else if low > -margin && high < margin {
        Outcome::PracticallyEqual
    } else {
        Outcome::Undecided
    };
    let probability_better = 1.0 / (1.0 + (-3.3 * difference / reach).exp());
    Comparison {
        route: route.into(),
        over: over.into(),
        difference,
        low,
        high,
        probability_better,
        probability_above_margin: if low > margin { 0.99 } else { 0.5 },
        verdict,
        extra_seconds,
        disagreement: None,
    }
}

/// Comparisons of results by id, differences taken from their means.
fn compare(results: &mut Results, pairs: &[(&str, &str)], reach: f64) {
    for (route, over) in pairs {
        let mean = |id: &str| results.route(id).unwrap().scores["accuracy"].mean;
        let seconds = |id: &str| results.route(id).unwrap().seconds.total();
        let found = comparison(route, over, mean(route) - mean(over), reach, seconds(route) - seconds(over));
        results.comparisons.push(found);
    }
}

const PAIRS: [(&str, &str); 10] = [
    ("frozen", "tfidf"),
    ("adapted", "frozen"),
    ("finetuned", "frozen"),
    ("finetuned", "tfidf"),
    ("adapted+finetuned", "adapted"),
    ("adapted+finetuned", "finetuned"),
    ("adapted+finetuned", "finetuned+adapted"),
    ("adapted+finetuned", "tfidf"),
    ("adapted+finetuned", "frozen"),
    ("finetuned+adapted", "finetuned"),
];

/// Counts of a confusion matrix and the class scores that follow from it.
fn mistakes(classes: &[(&str, u64)], accuracy: f64, noise: &mut Noise) -> (Confusion, Vec<ClassScore>) {
    let size = classes.len();
    let mut counts = vec![vec![0u64; size]; size];
    for (truth, (_, rows)) in classes.iter().enumerate() {
        for _ in 0..*rows {
            let is_right =
                noise.unit() < accuracy + 0.15 * (noise.unit() - 0.5) - 0.3 / (*rows as f64).sqrt();
            // Mistakes prefer frequent classes and a few favourite neighbours.
            let favourite = if noise.unit() < 0.4 {
                (truth * 7 + 3) % size
            } else {
                (noise.unit().powi(2) * size as f64) as usize
            };
            counts[truth][if is_right { truth } else { favourite.min(size - 1) }] += 1;
        }
    }
    let scores = (0..size).map(|class| {
        let hits = counts[class][class] as f64;
        let predicted: u64 = counts.iter().map(|row| row[class]).sum();
        let (precision, recall) = (hits / predicted.max(1) as f64, hits / classes[class].1.max(1) as f64);
        let f1 = if hits > 0.0 { 2.0 * precision * recall / (precision + recall) } else { 0.0 };
        ClassScore { name: classes[class].0.to_owned(), support: classes[class].1, precision, recall, f1 }
    });
    let scores = scores.collect();
    (Confusion { classes: classes.iter().map(|(name, _)| (*name).to_owned()).collect(), counts }, scores)
}

fn falling(from: f64, to: f64, steps: u64, every: u64, wobble: f64, noise: &mut Noise) -> Vec<(u64, f64)> {
    (0..=steps / every)
        .map(|index| {
            let step = index * every;
            let share = step as f64 / steps as f64;
            (step, to + (from - to) * (-4.0 * share).exp() + noise.around(0.0, wobble))
        })
        .collect()
}

fn curves(results: &mut Results, steps: u64, noise: &mut Noise) {
    let mut push = |stage: &str, kind, seed, points| {
        results.curves.push(Curve { stage: stage.to_owned(), kind, seed, points });
    };
    push("adapt", CurveKind::TrainLoss, Some(1), falling(3.4, 2.05, steps, steps / 300, 0.09, noise));
    push("adapt", CurveKind::ValidationLoss, Some(1), falling(3.3, 2.0, steps, steps / 12, 0.01, noise));
    push("adapt", CurveKind::Forgetting, Some(1), falling(2.2, 2.75, steps, steps / 12, 0.01, noise));
    for (stage, end) in [("finetuned", 0.735), ("adapted+finetuned", 0.748), ("finetuned+adapted", 0.735)] {
        push(stage, CurveKind::TrainLoss, Some(1), falling(3.1, 0.35, steps / 2, steps / 400, 0.12, noise));
        let held_out = falling(2.9, 0.8, steps / 2, steps / 20, 0.02, noise);
        let held_out = held_out
            .into_iter()
            .map(|(step, loss)| (step, loss + 0.35 * (step as f64 / steps as f64 * 2.0).powi(3)));
        push(stage, CurveKind::ValidationLoss, Some(1), held_out.collect());
        for seed in 1..=3 {
            push(
                stage,
                CurveKind::ValidationScore,
                Some(seed),
                falling(0.42, end, steps / 2, steps / 20, 0.006, noise),
            );
        }
    }
}

fn manifest() -> Manifest {
    let versions = [("steep", "0.1.0"), ("burn", "0.22.1"), ("tokenizers", "0.23.2")];
    Manifest {
        versions: versions.map(|(name, version)| (name.to_owned(), version.to_owned())).into(),
        configuration: "[compare]\nmodel = \"all-MiniLM-L6-v2\"\nseeds = [1, 2, 3]\n\n[adapt]\nlearning_rate = 5e-5\nmlm_probability = 0.15\nmax_steps = 6000\n\n[finetune]\nlearning_rate = 2e-5\nnum_train_epochs = 3.0\nwarmup_ratio = 0.06\n".to_owned(),
        inputs: vec![
            InputDigest { name: "labelled.parquet".into(), bytes: 3_871_202, blake3: "af1349b9f5f9a1a6a0404dea36dcc949".repeat(2) },
            InputDigest { name: "unlabelled.parquet".into(), bytes: 41_220_987, blake3: "c9adc112b7cc9a93cae41f3262ed1a2b".repeat(2) },
        ],
    }
}

fn duplicates() -> Vec<Duplicates> {
    let pair = |kept: &str, removed: &str| DuplicatePair { kept: kept.into(), removed: removed.into() };
    vec![
        Duplicates {
            kind: DuplicateKind::Exact,
            kept_in: "test".into(),
            removed_from: "unlabelled".into(),
            removed: 1204,
            examples: vec![pair("a small tool that folds long lines", "A small tool that folds long lines")],
        },
        Duplicates {
            kind: DuplicateKind::Near,
            kept_in: "test".into(),
            removed_from: "train".into(),
            removed: 37,
            examples: vec![
                pair(
                    "plays chess against you, with an opening book",
                    "plays chess against you with a larger opening book",
                ),
                pair("fonts for signs seen from far away", "fonts for signs that are seen from far away"),
            ],
        },
    ]
}

fn facts(classes: &[(&str, u64)], rows: RowCounts) -> DataFacts {
    let class = |(name, test): &(&str, u64)| ClassCount {
        name: (*name).to_owned(),
        train: test * rows.train / rows.test.max(1),
        validation: *test,
        test: *test,
    };
    DataFacts {
        labelled: vec!["labelled.parquet".into()],
        unlabelled: vec!["unlabelled.parquet".into()],
        rows,
        classes: classes.iter().map(class).collect(),
        split: "the given column `split`; no group is on both sides".into(),
        columns: vec![],
        duplicates: duplicates(),
        truncation: Truncation { texts: 311, of: 981_376, max_length: 64 },
        mean_tokens: 14.8,
    }
}

fn model() -> ModelFacts {
    ModelFacts {
        name: "all-MiniLM-L6-v2".into(),
        model_type: "bert".into(),
        parameters: 22_713_216,
        hidden_size: 384,
        layers: 6,
    }
}

fn machine() -> Machine {
    Machine { cpu: "AMD EPYC 9B45".into(), threads: 2, os: "Linux x86_64".into() }
}

/// What is found beside the scores.
fn findings(results: &mut Results, noise: &mut Noise) {
    let names: Vec<String> = results.data.classes.iter().map(|class| class.name.clone()).collect();
    let point = |labels: u64, middle: f64, noise: &mut Noise| LabelPoint {
        labels,
        scores: (0..3).map(|_| noise.around(middle, 0.01)).collect(),
    };
    let train = results.data.rows.train;
    let points = [(0.1, 0.62), (0.2, 0.80), (0.4, 0.90), (0.7, 0.93), (1.0, 0.951)];
    for (route, lift) in [("frozen", 0.0), ("adapted (+columns)", 0.02)] {
        let points = points.map(|(share, score)| point((share * train as f64) as u64, score + lift, noise));
        results.label_curves.push(LabelCurve { route: route.to_owned(), points: points.into() });
    }
    let row = |row: u64, text: &str, note: &str| CheckedRow {
        file: "labelled.parquet".into(),
        row,
        text: text.into(),
        note: note.into(),
    };
    results.checks = vec![
        Check {
            kind: CheckKind::LabelNoise,
            sentence: "3 of 222 training labels (1.4 %) are contradicted by a model that has not seen them."
                .into(),
            count: 3,
            rows: vec![row(
                17,
                "shares fell after the goal",
                "labelled sport; business with a probability of 0.97",
            )],
        },
        Check {
            kind: CheckKind::ConstantColumns,
            sentence: "1 column with a single value, of no use.".into(),
            count: 1,
            rows: vec![row(0, "country", "one value in all training rows")],
        },
    ];
    for (encoder, spread) in [("frozen", 0.2), ("adapted", 0.09)] {
        let points = (0..300).map(|at| {
            let class = (at * 7 % names.len()) as u32;
            let turn = f64::from(class) / names.len() as f64 * std::f64::consts::TAU;
            MapPoint {
                x: (0.5 + 0.35 * turn.cos() + noise.around(0.0, spread)).clamp(0.0, 1.0),
                y: (0.5 + 0.35 * turn.sin() + noise.around(0.0, spread)).clamp(0.0, 1.0),
                class,
            }
        });
        let points = points.collect();
        let classes = names.clone();
        results.maps.push(EmbeddingMap { encoder: encoder.into(), classes, points, neighbour_share: 0.91 });
    }
    let mistaken = |row: u64, truth: usize, predicted: usize| MistakenRow {
        file: "labelled.parquet".into(),
        row,
        text: "The minister opened a new games studio, where analysts expect record sales this season".into(),
        truth: names[truth].clone(),
        predicted: names[predicted].clone(),
        probability: 0.93,
        truth_probability: 0.05,
    };
    let rows = (0..12).map(|at| mistaken(100 + 7 * at as u64, at % names.len(), (at + 1) % names.len()));
    let route = results.routes.last().map_or_else(String::new, |route| route.id.clone());
    results.mistakes = Some(MistakenRows { route, total: 40, rows: rows.collect() });
    for route in results.routes.iter_mut().filter(|route| route.status == Status::Done) {
        let mean = route.scores["accuracy"].mean;
        let slice = |slice: &str, value: &str, rows: u64, change: f64| SliceScore {
            slice: slice.into(),
            value: value.into(),
            rows,
            mean: mean + change,
            low: mean + change - 0.02,
            high: mean + change + 0.02,
        };
        route.slices = vec![
            slice("length in tokens", "8 to 60", 140, 0.01),
            slice("length in tokens", "61 to 199", 276, 0.004),
            slice("length in tokens", "200 to 256", 140, -0.05),
            slice("emoji", "without emoji", 550, 0.0),
            slice("emoji", "with emoji", 6, -0.3),
        ];
        let bin = |at: usize, gap: f64| CalibrationBin {
            rows: (at * at) as u64,
            confidence: (at as f64 + 0.5) / 15.0,
            accuracy: ((at as f64 + 0.5) / 15.0 - gap).clamp(0.0, 1.0),
        };
        route.calibration = Some(Calibration {
            error: 0.052,
            bins: (0..15).map(|at| bin(at, 0.06)).collect(),
            temperature: Some(1.42),
            scaled_error: Some(0.013),
            scaled_bins: (0..15).map(|at| bin(at, 0.01)).collect(),
            log_loss: 0.31,
            scaled_log_loss: Some(0.28),
        });
        if route.scored_by == ScoredBy::Classifier {
            route.learner = Some("logistic_regression".into());
        }
    }
}

/// Five classes, small differences.
pub(crate) fn small() -> Results {
    use ScoredBy::{Baseline, Classifier, OwnHead};
    let mut noise = Noise(7);
    let classes = [("business", 128), ("entertainment", 97), ("politics", 104), ("sport", 128), ("tech", 99)];
    let mut results = empty("News articles by desk");
    results.seeds = vec![1, 2, 3];
    results.data = facts(&classes, RowCounts { train: 222, validation: 111, test: 556, unlabelled: 1336 });
    (results.model, results.machine, results.manifest) = (model(), machine(), manifest());
    results.routes = vec![
        route("majority", Baseline, 0.230, 0.034, 0.01),
        route("tfidf", Baseline, 0.934, 0.021, 3.2),
        route("frozen", Classifier, 0.951, 0.018, 24.0),
        route("adapted", Classifier, 0.956, 0.017, 402.0),
        route("finetuned", Classifier, 0.964, 0.016, 154.0),
        route("finetuned", OwnHead, 0.9655, 0.015, 148.0),
        route("adapted+finetuned", Classifier, 0.970, 0.014, 531.0),
        route("adapted+finetuned", OwnHead, 0.968, 0.015, 525.0),
        route("finetuned+adapted", Classifier, 0.958, 0.017, 531.0),
    ];
    for route in &mut results.routes {
        let (confusion, scores) = mistakes(&classes, route.scores["accuracy"].mean, &mut noise);
        (route.confusion, route.classes) = (Some(confusion), scores);
    }
    compare(&mut results, &PAIRS, 0.0105);
    curves(&mut results, 1200, &mut noise);
    results.equivalence_margin = Some(0.0025);
    results.detectable_difference = Some(0.0177);
    results.winner = Some(Winner {
        folder: "comparison/winner".to_owned(),
        columns: vec!["text".to_owned()],
        temperature: Some(1.31),
    });
    results.warnings = vec![
        "556 test rows with 3 seeds: use 10 seeds or more test rows for differences under two points.".into(),
    ];
    findings(&mut results, &mut noise);
    results.verdict = conclude(&results);
    results.rules = rules(&results);
    results
}

const SECTIONS: [(&str, u64); 58] = [
    ("libs", 689),
    ("libdevel", 573),
    ("python", 467),
    ("doc", 459),
    ("perl", 434),
    ("devel", 366),
    ("utils", 241),
    ("haskell", 226),
    ("net", 209),
    ("rust", 200),
    ("golang", 199),
    ("javascript", 192),
    ("java", 184),
    ("science", 170),
    ("admin", 152),
    ("ruby", 151),
    ("gnu-r", 133),
    ("games", 114),
    ("x11", 106),
    ("text", 100),
    ("misc", 86),
    ("sound", 86),
    ("php", 77),
    ("graphics", 70),
    ("fonts", 63),
    ("ocaml", 61),
    ("lisp", 55),
    ("web", 48),
    ("gnome", 45),
    ("math", 45),
    ("mail", 38),
    ("localization", 37),
    ("interpreters", 37),
    ("metapackages", 36),
    ("editors", 35),
    ("cli-mono", 30),
    ("kde", 29),
    ("introspection", 28),
    ("database", 25),
    ("video", 24),
    ("kernel", 23),
    ("tasks", 23),
    ("debug", 22),
    ("electronics", 20),
    ("otherosfs", 18),
    ("httpd", 16),
    ("tex", 15),
    ("hamradio", 14),
    ("comm", 14),
    ("oldlibs", 13),
    ("vcs", 13),
    ("xfce", 8),
    ("gnustep", 7),
    ("shells", 4),
    ("embedded", 2),
    ("education", 2),
    ("news", 2),
    ("zope", 2),
];

/// 58 classes, every kind of outcome, a failed and a skipped route.
pub(crate) fn large() -> Results {
    use ScoredBy::{Baseline, Classifier, OwnHead};
    let mut noise = Noise(58);
    let mut results = empty("Package descriptions by section");
    results.seeds = vec![1, 2, 3, 4, 5];
    results.data =
        facts(&SECTIONS, RowCounts { train: 50_490, validation: 6639, test: 6537, unlabelled: 917_710 });
    (results.model, results.machine, results.manifest) = (model(), machine(), manifest());
    results.routes = vec![
        route("majority", Baseline, 0.135, 0.008, 0.02),
        route("tfidf", Baseline, 0.717, 0.011, 74.0),
        route("frozen", Classifier, 0.630, 0.012, 118.0),
        route("adapted", Classifier, 0.668, 0.011, 3480.0),
        route("finetuned", Classifier, 0.735, 0.010, 1540.0),
        route("finetuned", OwnHead, 0.741, 0.010, 1490.0),
        route("adapted+finetuned", Classifier, 0.748, 0.010, 4890.0),
        route("adapted+finetuned", OwnHead, 0.752, 0.010, 4840.0),
        route("finetuned+adapted", Classifier, 0.7342, 0.010, 4905.0),
    ];
    for route in &mut results.routes {
        let (confusion, scores) = mistakes(&SECTIONS, route.scores["accuracy"].mean, &mut noise);
        (route.confusion, route.classes) = (Some(confusion), scores);
        route.scores.get_mut("macro_f1").unwrap().mean -= 0.14;
        for (name, offset) in [("mcc", -0.02), ("balanced_accuracy", -0.12)] {
            route.scores.insert(name.into(), score(route.scores["accuracy"].mean + offset, 0.01, 5));
        }
    }
    let mut failed =
        RouteResult::new("finetuned+adapted", OwnHead, "Trained on the labels first, then adapted.");
    failed.status =
        Status::Skipped { reason: "adapting the encoder afterwards leaves its head behind".into() };
    results.routes.push(failed);
    compare(&mut results, &PAIRS, 0.0032);
    let heads = [
        ("adapted+finetuned (own head)", "adapted+finetuned"),
        ("adapted+finetuned (own head)", "finetuned (own head)"),
        ("adapted+finetuned (own head)", "tfidf"),
    ];
    compare(&mut results, &heads, 0.0036);
    results.comparisons.last_mut().unwrap().verdict = Outcome::Better;
    let equal = &mut results.comparisons[9];
    (equal.difference, equal.low, equal.high, equal.verdict) =
        (-0.0008, -0.0022, 0.0007, Outcome::PracticallyEqual);
    curves(&mut results, 6000, &mut noise);
    results.equivalence_margin = Some(0.0025);
    results.detectable_difference = Some(0.0088);
    results.warnings = vec![
        "4 classes have fewer than 5 test rows; their F1 says little.".into(),
        "1,204 test texts were also in the unlabelled pool and were taken out of it.".into(),
    ];
    findings(&mut results, &mut noise);
    results.verdict = conclude(&results);
    results.rules = rules(&results);
    results
}

/// A metric in its own unit of which less is better, one seed, one failure.
pub(crate) fn regression() -> Results {
    use ScoredBy::{Baseline, Classifier, OwnHead};
    let mut results = empty("Ratings from reviews");
    (results.task, results.metric, results.seeds) = (Task::Regression, "rmse".into(), vec![1]);
    results.data.rows = RowCounts { train: 8000, validation: 1000, test: 2000, unlabelled: 120_000 };
    (results.model, results.machine) = (model(), machine());
    let mut add = |name: &str, by, rmse: f64, seconds: f64| {
        let mut result = route(name, by, 0.5, 0.1, seconds);
        let single = Score { per_seed: vec![rmse], ..score(rmse, 0.06, 1) };
        result.scores = BTreeMap::from([
            ("rmse".to_owned(), single),
            ("r2".to_owned(), score(1.0 - rmse / 3.0, 0.02, 1)),
        ]);
        results.routes.push(result);
    };
    add("majority", Baseline, 2.91, 0.01);
    add("tfidf", Baseline, 2.31, 20.0);
    add("frozen", Classifier, 2.24, 45.0);
    add("finetuned", OwnHead, 1.88, 900.0);
    let mut failed = RouteResult::new("adapted", Classifier, "Masked-LM training on the unlabelled texts.");
    failed.status = Status::Failed { reason: "the disk is full".into() };
    results.routes.push(failed);
    let found = |route: &str, over: &str, difference: f64, verdict, extra_seconds| Comparison {
        probability_better: if verdict == Outcome::Better { 1.0 } else { 0.8 },
        verdict,
        ..comparison(route, over, difference, 0.08, extra_seconds)
    };
    results.comparisons = vec![
        found("frozen", "tfidf", -0.07, Outcome::Undecided, 25.0),
        found("finetuned (own head)", "frozen", -0.36, Outcome::Better, 855.0),
        found("finetuned (own head)", "tfidf", -0.43, Outcome::Better, 880.0),
    ];
    results.verdict = conclude(&results);
    results
}
