use super::*;
use crate::learners::labels::Labels;
use crate::learners::targets::Targets;
use crate::progress::{Cancel, Silent};
use crate::random::Stream;

fn quietly<R>(work: impl FnOnce(&Context<'_>) -> R) -> R {
    work(&Context { progress: &Silent, cancel: &Cancel::default() })
}

fn options() -> TreeOptions {
    TreeOptions { n_estimators: 40, min_child_samples: 5, ..TreeOptions::default() }
}

/// Rows whose class depends on a product of two columns, with missing values in a third that tells as well.
fn rows(count: usize, classes: u32) -> (DenseMatrix, Labels) {
    let mut stream = Stream::new(5, &[]);
    let (mut values, mut indices) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let row: [f32; 3] = std::array::from_fn(|_| stream.normal() as f32);
        let sign = u32::from(row[0] * row[1] > 0.0);
        let missing = stream.next_f32() < 0.3;
        let class = if missing { classes - 1 } else { (sign + 2 * u32::from(row[2] > 0.0)) % classes };
        values.extend([row[0], row[1], if missing { f32::NAN } else { row[2] }]);
        indices.push(class);
    }
    (DenseMatrix::new(count, 3, values).unwrap(), Labels::single_label(indices, classes as usize).unwrap())
}

fn accuracy(model: &BoostedTrees, features: &DenseMatrix, labels: &Labels) -> f64 {
    let Labels::SingleLabel { indices, .. } = labels else { unreachable!("one label a row") };
    let outputs = model.outputs_of(features).unwrap();
    let hit = |(row, class): (usize, &u32)| {
        let values = outputs.row(row);
        (0..values.len()).all(|other| values[other] <= values[*class as usize])
    };
    indices.iter().enumerate().filter(|pair| hit(*pair)).count() as f64 / indices.len() as f64
}

#[test]
fn interactions_and_missing_values_are_learned() {
    for classes in [2, 3, 5, 9] {
        let (features, labels) = rows(1200, classes);
        let model =
            quietly(|context| BoostedTrees::fit(&options(), &features, Targets::Classes(&labels), context))
                .unwrap();
        let accuracy = accuracy(&model, &features, &labels);
        assert!(accuracy > 0.95, "{classes} classes: {accuracy}");
    }
}

#[test]
fn every_tree_lowers_the_loss_of_its_rows() {
    let (features, labels) = rows(600, 4);
    let all = TreeOptions { validation_fraction: 0.0, ..options() };
    let (model, losses) =
        quietly(|context| BoostedTrees::fit_with_losses(&all, &features, Targets::Classes(&labels), context))
            .unwrap();
    assert_eq!((model.tree_count(), losses.len()), (40, 40));
    assert!(losses.windows(2).all(|pair| pair[1][0] < pair[0][0]), "{losses:?}");
}

#[test]
fn held_out_rows_end_the_boosting_at_their_best_tree() {
    let mut stream = Stream::new(9, &[]);
    let noise: Vec<f32> = (0..400 * 3).map(|_| stream.normal() as f32).collect();
    let features = DenseMatrix::new(400, 3, noise).unwrap();
    let labels = Labels::single_label((0..400).map(|row| row % 2).collect(), 2).unwrap();
    let (model, losses) = quietly(|context| {
        BoostedTrees::fit_with_losses(&options(), &features, Targets::Classes(&labels), context)
    })
    .unwrap();
    assert!(losses.len() < 40, "noise cannot be learned: {}", losses.len());
    let best = losses.iter().map(|loss| loss[1]).fold(f64::INFINITY, f64::min);
    assert_eq!(losses[model.tree_count().max(1) - 1][1], best);
}

#[test]
fn any_number_of_threads_grows_the_same_trees() {
    let (features, labels) = rows(700, 9);
    let fit = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            quietly(|context| BoostedTrees::fit(&options(), &features, Targets::Classes(&labels), context))
                .unwrap()
        })
    };
    assert_eq!(fit(1), fit(3));
}

#[test]
fn rows_go_the_same_way_by_values_and_by_bins() {
    let (features, labels) = rows(500, 3);
    let all = TreeOptions { validation_fraction: 0.0, n_estimators: 5, ..options() };
    let model =
        quietly(|context| BoostedTrees::fit(&all, &features, Targets::Classes(&labels), context)).unwrap();
    let columns = BinnedColumns::new(&features);
    for tree in &model.trees() {
        for row in 0..500 {
            assert_eq!(tree.leaf_of_row(features.row(row)), tree.leaf_of_bins(&columns, row as u32));
        }
    }
}

#[test]
fn leaves_hold_as_many_rows_as_asked() {
    let (features, labels) = rows(300, 2);
    let few = TreeOptions { validation_fraction: 0.0, n_estimators: 3, min_child_samples: 40, ..options() };
    let model =
        quietly(|context| BoostedTrees::fit(&few, &features, Targets::Classes(&labels), context)).unwrap();
    for tree in &model.trees() {
        let mut counts = vec![0; tree.leaves.len()];
        (0..300).for_each(|row| counts[tree.leaf_of_row(features.row(row))] += 1);
        assert!(counts.iter().all(|count| *count >= 40), "{counts:?}");
    }
}

#[test]
fn values_and_labels_are_learned_too() {
    let (features, _) = rows(900, 2);
    let values: Vec<f64> =
        (0..900).map(|row| f64::from(features.row(row)[0]).powi(2) * 10.0 + 100.0).collect();
    let model =
        quietly(|context| BoostedTrees::fit(&options(), &features, Targets::Values(&values), context))
            .unwrap();
    let fitted = model.outputs_of(&features).unwrap();
    let error: f64 =
        fitted.values().iter().zip(&values).map(|(a, b)| (f64::from(*a) - b).powi(2)).sum::<f64>() / 900.0;
    let mean = values.iter().sum::<f64>() / 900.0;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 900.0;
    assert!(error < 0.1 * variance, "{error} of {variance}");
    let members: Vec<bool> =
        (0..900).flat_map(|row| [features.row(row)[0] > 0.5, features.row(row)[1] < 0.0]).collect();
    let labels = Labels::multi_label(members.clone(), 2).unwrap();
    let model =
        quietly(|context| BoostedTrees::fit(&options(), &features, Targets::Classes(&labels), context))
            .unwrap();
    let outputs = model.outputs_of(&features).unwrap();
    let right =
        outputs.values().iter().zip(&members).filter(|(value, member)| (**value > 0.5) == **member).count();
    assert!(right > 1780, "{right}");
}

#[test]
fn infinite_values_are_refused_by_row_and_column() {
    let features = DenseMatrix::new(2, 2, vec![0.0, 1.0, f32::INFINITY, 0.0]).unwrap();
    let error =
        quietly(|context| BoostedTrees::fit(&options(), &features, Targets::Values(&[1.0, 2.0]), context));
    assert!(error.unwrap_err().to_string().contains("row 2, column 1"));
}

/// The rows of `goldens/learners.py`: `interactions`.
fn interactions(rows: usize) -> (DenseMatrix, Vec<u32>, Vec<f64>) {
    let mut state = 12345u64;
    let (mut features, mut classes, mut numbers) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rows {
        let row: [f64; 9] = std::array::from_fn(|_| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 40) as f64 / f64::from(1 << 24) - 0.5
        });
        let class = 2 * u32::from(row[0] * row[1] > 0.0) + u32::from(row[2] + row[3] * row[3] > 0.05);
        classes.push(if row[8] > 0.4 { (class + 1) % 4 } else { class });
        numbers.push(10.0 * row[0] * row[1] + (6.0 * row[2]).sin() + row[8]);
        features.extend(row[..8].iter().map(|&value| value as f32));
    }
    (DenseMatrix::new(rows, 8, features).unwrap(), classes, numbers)
}

/// As good as scikit-learn's `HistGradientBoosting` on unseen rows: accuracy to 0.02 (two standard errors of a
/// difference), log-loss to 0.05, the share of variance to 0.03.
#[test]
fn trees_are_as_good_as_those_of_scikit_learn() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../goldens/learners/learners.json");
    let golden: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let expected = |name: &str| golden["others"]["trees"][name].as_f64().unwrap();
    let (features, classes, numbers) = interactions(3000);
    let (train, test) = ((0..2000).collect::<Vec<_>>(), (2000..3000).collect::<Vec<_>>());
    let (train, test) = (features.select_rows(&train), features.select_rows(&test));
    let options = TreeOptions { n_estimators: 200, ..TreeOptions::default() };
    let labels = Labels::single_label(classes[..2000].to_vec(), 4).unwrap();
    let model =
        quietly(|context| BoostedTrees::fit(&options, &train, Targets::Classes(&labels), context)).unwrap();
    let unseen = Labels::single_label(classes[2000..].to_vec(), 4).unwrap();
    let accuracy = accuracy(&model, &test, &unseen);
    let loss =
        crate::evaluation::probabilities::log_loss(&classes[2000..], &model.outputs_of(&test).unwrap())
            .unwrap();
    let values = Targets::Values(&numbers[..2000]);
    let model = quietly(|context| BoostedTrees::fit(&options, &train, values, context)).unwrap();
    let fitted = model.outputs_of(&test).unwrap();
    let mean = numbers[2000..].iter().sum::<f64>() / 1000.0;
    let variance: f64 = numbers[2000..].iter().map(|value| (value - mean).powi(2)).sum();
    let error: f64 =
        fitted.values().iter().zip(&numbers[2000..]).map(|(a, b)| (f64::from(*a) - b).powi(2)).sum();
    let r_squared = 1.0 - error / variance;
    let found = format!("{accuracy} {loss} {r_squared}");
    assert!(accuracy > expected("accuracy") - 0.02, "{found}");
    assert!(loss < expected("log_loss") + 0.05 && r_squared > expected("r_squared") - 0.03, "{found}");
}
