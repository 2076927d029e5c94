use super::*;
use crate::evaluation::metrics::Metric;
use crate::learners::choice::LearnerChoice;
use crate::learners::labels::Labels;
use crate::learners::learner::LearnerOptions;
use crate::learners::targets::Targets;
use crate::progress::{Cancel, Context, Silent};
use crate::random::Stream;

const ROWS: usize = 120;

fn features() -> Features {
    let mut stream = Stream::new(1, &[]);
    let row = |row: usize| {
        let class = (row % 3) as f64;
        [class + 0.3 * stream.normal(), (class - 1.0).powi(2) + 0.3 * stream.normal(), stream.normal()]
    };
    let values = (0..ROWS).flat_map(row).map(|value| value as f32).collect();
    Features::Dense(DenseMatrix::new(ROWS, 3, values).unwrap())
}

fn options() -> LearnerOptions {
    let mut options =
        LearnerOptions { c_grid: vec![0.1, 10.0], n_neighbors: vec![3, 7], ..LearnerOptions::default() };
    options.boosted_trees.n_estimators = 10;
    options.mlp.max_epochs = 30;
    options.mlp.learning_rate = 1e-2;
    options
}

fn fit(learners: &[LearnerName], targets: Targets<'_>, metric: Metric) -> Result<ChosenModel> {
    let choice =
        LearnerChoice { learners: learners.to_vec(), options: options(), metric, scaling: Scaling::Standard };
    let folds: Vec<u32> = (0..ROWS as u32).map(|row| row / 3 % 4).collect();
    choice.fit(&features(), targets, &folds, &Context { progress: &Silent, cancel: &Cancel::default() })
}

fn names(task: Task, classes: &[&str]) -> HeadNames {
    HeadNames { task, classes: classes.iter().map(|&name| name.to_owned()).collect(), features: Vec::new() }
}

/// Every learner on each task it is for.
fn heads() -> Vec<Head> {
    let three = Labels::single_label((0..ROWS as u32).map(|row| row % 3).collect(), 3).unwrap();
    let two = Labels::single_label((0..ROWS as u32).map(|row| u32::from(row % 3 == 0)).collect(), 2).unwrap();
    let several =
        Labels::multi_label((0..ROWS).flat_map(|row| [row % 3 == 0, row % 3 < 2]).collect(), 2).unwrap();
    let values: Vec<f64> = (0..ROWS).map(|row| (row % 3) as f64 * 2.0 + 5.0).collect();
    let mut heads = Vec::new();
    for (_, learner) in LearnerName::ALL {
        for (labels, task, classes) in [
            (&three, Task::SingleLabel, &["a", "b", "c"][..]),
            (&two, Task::SingleLabel, &["a", "b"]),
            (&several, Task::MultiLabel, &["a", "b"]),
        ] {
            let chosen = fit(&[learner], Targets::Classes(labels), Metric::LogLoss).unwrap();
            heads.push(Head::new(chosen, names(task, classes)).unwrap());
        }
        if learner.is_for_values() {
            let chosen = fit(&[learner], Targets::Values(&values), Metric::MeanSquaredError).unwrap();
            heads.push(Head::new(chosen, names(Task::Regression, &[])).unwrap());
        }
    }
    heads
}

#[test]
fn every_learner_survives_its_folder_bit_for_bit() {
    let features = features();
    for head in heads() {
        let folder = tempfile::tempdir().unwrap();
        head.save(folder.path()).unwrap();
        let loaded = Head::load(folder.path()).unwrap();
        let [before, after] = [&head, &loaded].map(|head| head.predict(&features).unwrap());
        assert_eq!(before, after, "{:?} {:?}", head.learner(), head.task());
        assert_eq!((loaded.learner(), loaded.task()), (head.learner(), head.task()));
        let tail = features.select_rows(&[100, 3]);
        assert_eq!(
            loaded.predict(&tail).unwrap().row(0),
            before.row(100),
            "{:?}: alone as among others",
            head.learner()
        );
    }
}

#[test]
fn every_learner_learns_and_its_probabilities_add_up() {
    let features = features();
    for head in heads() {
        let outputs = head.predict(&features).unwrap();
        if head.learner() == LearnerName::Majority {
            continue;
        }
        let hits = (0..ROWS).filter(|row| {
            let values = outputs.row(*row);
            match (head.task(), head.classes().len()) {
                (Task::Regression, _) => (f64::from(values[0]) - ((row % 3) as f64 * 2.0 + 5.0)).abs() < 1.0,
                (Task::MultiLabel, _) => {
                    (values[0] > 0.5) == (row % 3 == 0) && (values[1] > 0.5) == (row % 3 < 2)
                }
                (_, 2) => (values[1] > 0.5) == (row % 3 == 0),
                _ => (0..3).all(|class| values[class] <= values[row % 3]),
            }
        });
        let share = hits.count() as f64 / ROWS as f64;
        // What no line parts, linear learners get wrong.
        let least = if head.task() == Task::SingleLabel && head.classes().len() == 3 { 0.9 } else { 0.55 };
        assert!(share > least, "{:?} {:?}: {share}", head.learner(), head.task());
        if head.task() == Task::SingleLabel {
            let sum = |row: usize| outputs.row(row).iter().sum::<f32>();
            assert!((0..ROWS).all(|row| (sum(row) - 1.0).abs() < 1e-5), "{:?}", head.learner());
        }
    }
}

#[test]
fn the_best_of_several_learners_is_kept() {
    let labels = Labels::single_label((0..ROWS as u32).map(|row| row % 3).collect(), 3).unwrap();
    let learners = [LearnerName::Majority, LearnerName::LogisticRegression, LearnerName::NearestCentroid];
    let chosen = fit(&learners, Targets::Classes(&labels), Metric::LogLoss).unwrap();
    assert_eq!((chosen.best, chosen.scores.len()), (1, 3));
    let best =
        chosen.scores.iter().map(crate::learners::choice::LearnerScore::mean).fold(f64::INFINITY, f64::min);
    assert_eq!(chosen.scores[1].mean(), best);
}

#[test]
fn learners_of_classes_refuse_numbers() {
    let values = vec![1.0; ROWS];
    let error = fit(&[LearnerName::Lda], Targets::Values(&values), Metric::MeanSquaredError).unwrap_err();
    assert!(error.hint().unwrap().contains("boosted_trees"), "{error}");
}

#[test]
fn damaged_folders_are_refused() {
    for head in heads().into_iter().filter(|head| matches!(head, Head::Learned(_))) {
        let folder = tempfile::tempdir().unwrap();
        head.save(folder.path()).unwrap();
        let path = folder.path().join(DESCRIPTION_FILE);
        let original = std::fs::read(&path).unwrap();
        let after = |change: &dyn Fn(&mut serde_json::Value)| {
            let mut json = serde_json::from_slice(&original).unwrap();
            change(&mut json);
            std::fs::write(&path, json.to_string()).unwrap();
            Head::load(folder.path())
        };
        assert!(after(&|_| ()).is_ok());
        assert!(after(&|json| json["format_version"] = 9.into()).is_err());
        assert!(after(&|json| json["classes"] = serde_json::json!(["a", "b", "c", "d", "e"])).is_err());
        assert!(after(&|json| json["feature_names"] = serde_json::json!(["a"])).is_err());
        assert!(after(&|json| json["unknown"] = 1.into()).is_err());
        std::fs::write(&path, &original).unwrap();
        let path = folder.path().join(TENSOR_FILE);
        let bytes = std::fs::read(&path).unwrap();
        for length in [0, 4, bytes.len() - 1] {
            std::fs::write(&path, &bytes[..length]).unwrap();
            assert!(Head::load(folder.path()).is_err(), "{:?} {length}", head.learner());
        }
    }
}
