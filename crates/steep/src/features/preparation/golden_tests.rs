//! Every transform against scikit-learn: `goldens/preparation.py`.

use super::categories::{Categories, Frequency};
use super::hashing::hashed;
use super::imputation::{Imputation, Imputer};
use super::one_hot::one_hot;
use super::ordinal::ordinal;
use super::pca::Pca;
use super::scalers::{ColumnScaler, ScalerKind};
use super::selection::{Wanted, f_score, kept};
use super::target::{Target, TargetTable};
use crate::features::matrix::DenseMatrix;
use serde_json::Value;

type Columns = Vec<Vec<f64>>;

fn golden() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../goldens/preparation/preparation.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Columns in which null stands for a missing number.
fn columns(value: &Value) -> Columns {
    let read: Vec<Vec<Option<f64>>> = list(value);
    read.into_iter()
        .map(|column| column.into_iter().map(|value| value.unwrap_or(f64::NAN)).collect())
        .collect()
}

fn list<T: serde::de::DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap()
}

/// The largest difference, relative where the numbers are larger than 1.
fn difference(found: &Columns, expected: &Value) -> f64 {
    let expected = columns(expected);
    let shape = |columns: &Columns| (columns.len(), columns.first().map_or(0, Vec::len));
    assert_eq!(shape(found), shape(&expected));
    let pairs = found.iter().flatten().zip(expected.iter().flatten());
    pairs.map(|(found, expected)| (found - expected).abs() / expected.abs().max(1.0)).fold(0.0, f64::max)
}

fn scaled(scaler: &ColumnScaler, mut columns: Columns) -> Columns {
    columns.iter_mut().enumerate().for_each(|(at, column)| scaler.apply(at, column));
    columns
}

/// Standard, robust, min-max and quantiles to 1e-9, Yeo-Johnson, whose power both search for, to 1e-6.
#[test]
fn scalers_equal_scikit_learn() {
    let golden = golden();
    let numbers = &golden["numbers"];
    for (name, kind) in ScalerKind::ALL.iter().filter(|(_, kind)| *kind != ScalerKind::Log1p) {
        let tolerance = if *kind == ScalerKind::YeoJohnson { 1e-6 } else { 1e-9 };
        let scaler = ColumnScaler::fit(*kind, &columns(&numbers["train"]));
        for part in ["train", "new"] {
            let difference =
                difference(&scaled(&scaler, columns(&numbers[part])), &golden["scalers"][name][part]);
            println!("{name} {part}: {difference:e}");
            assert!(difference < tolerance, "{name} {part}: {difference:e}");
        }
    }
}

#[test]
fn quantiles_of_many_rows_equal_scikit_learn() {
    let golden = &golden()["many_quantiles"];
    let scaler = ColumnScaler::fit(ScalerKind::QuantileNormal, &columns(&golden["train"]));
    let difference = difference(&scaled(&scaler, columns(&golden["new"])), &golden["transformed"]);
    assert!(difference < 1e-9, "{difference:e}");
}

#[test]
fn log1p_is_numpys_and_odd() {
    let mut values = vec![0.0, 1e-12, 3.0, 1e6, -3.0];
    ColumnScaler::Log1p.apply(0, &mut values);
    assert_eq!(values, [0.0, 1e-12_f64.ln_1p(), 4.0_f64.ln(), 1e6_f64.ln_1p(), -(4.0_f64.ln())]);
}

#[test]
fn imputation_equals_scikit_learn() {
    let golden = &golden()["imputation"];
    for (name, strategy) in [
        ("mean", Imputation::Mean),
        ("median", Imputation::Median),
        ("most_frequent", Imputation::MostFrequent),
        ("constant", Imputation::Constant(-7.5)),
    ] {
        let mut filled = columns(&golden["train"]);
        let flags = Imputer::fit(strategy, &filled, |_| true).apply(&mut filled);
        filled.extend(flags);
        let difference = difference(&filled, &golden[name]);
        assert!(difference < 1e-12, "{name}: {difference:e}");
    }
}

fn words(value: &Value) -> Vec<Vec<Option<String>>> {
    list(value)
}

#[test]
fn one_hot_with_rare_and_unseen_categories_equals_scikit_learn() {
    let golden = golden();
    let [train, new] = ["train", "new"].map(|part| words(&golden["categories"][part]));
    for case in golden["one_hot"].as_array().unwrap() {
        let frequency = Frequency {
            min_count: case["min_frequency"].as_u64().unwrap_or(1),
            max_categories: case["max_categories"].as_u64().map_or(usize::MAX, |most| most as usize),
        };
        let fitted: Vec<Categories> =
            train.iter().map(|column| Categories::fit("c", column, frequency)).collect();
        for (part, values) in [("train", &train), ("new", &new)] {
            let found: Columns =
                fitted.iter().zip(values).flat_map(|(of, values)| one_hot(of, values)).collect();
            assert_eq!(difference(&found, &case[part]), 0.0, "{frequency:?} {part}");
        }
    }
    let missing: Vec<Option<String>> = list(&golden["one_hot_missing"]["values"]);
    let fitted = Categories::fit("c", &missing, Frequency::ANY);
    assert_eq!(difference(&one_hot(&fitted, &missing), &golden["one_hot_missing"]["encoded"]), 0.0);
}

#[test]
fn ordinal_codes_equal_scikit_learn() {
    let golden = golden();
    let [train, new] = ["train", "new"].map(|part| words(&golden["categories"][part]));
    let of = |(train, new): (&Vec<Option<String>>, &Vec<Option<String>>)| {
        ordinal(&Categories::fit("c", train, Frequency::ANY), new)
    };
    let found = train.iter().zip(&new).map(of).collect();
    assert_eq!(difference(&found, &golden["ordinal"]["new"]), 0.0);
}

/// To 1e-12, cross-fitted rows as well as new ones.
#[test]
fn target_encoding_equals_scikit_learn() {
    let golden = golden();
    let [train, new] = ["train", "new"].map(|part| words(&golden["categories"][part]));
    for kind in ["binary", "multiclass", "continuous"] {
        let case = &golden["target"][kind];
        let target = match kind {
            "continuous" => Target::Numbers(list(&case["labels"])),
            _ => {
                let ids: Vec<u32> = list(&case["labels"]);
                let count = ids.iter().max().unwrap() + 1;
                Target::Classes { ids, names: (0..count).map(|class| class.to_string()).collect() }
            }
        };
        let folds: Vec<u32> = list(&case["folds"]);
        let (mut crossed, mut applied) = (Columns::new(), Columns::new());
        for (train, new) in train.iter().zip(&new) {
            let categories = Categories::fit("c", train, Frequency::ANY);
            let (table, rows) =
                TargetTable::cross_fitted(&categories, train, &target.columns(), &folds).unwrap();
            crossed.extend(rows);
            applied.extend(table.apply(&categories, new));
        }
        let differences = [difference(&crossed, &case["train"]), difference(&applied, &case["new"])];
        assert!(differences.iter().all(|difference| *difference < 1e-12), "{kind}: {differences:?}");
    }
}

#[test]
fn hashing_equals_scikit_learn() {
    let golden = golden();
    let train = words(&golden["categories"]["train"]);
    let names = ["first".to_owned(), "second".to_owned()];
    let values: Vec<&[Option<String>]> = train.iter().map(Vec::as_slice).collect();
    let width = list(&golden["hashing"]["width"]);
    assert_eq!(difference(&hashed(&names, &values, width), &golden["hashing"]["train"]), 0.0);
}

/// To 1e-6 in 32-bit floats, signs included: both turn each component the same way.
#[test]
fn principal_components_equal_scikit_learn() {
    let golden = &golden()["pca"];
    let [train, new] = ["train", "new"].map(|part| {
        let columns = columns(&golden[part]);
        let rows = columns[0].len();
        let values = (0..rows).flat_map(|row| columns.iter().map(move |column| column[row] as f32)).collect();
        DenseMatrix::new(rows, columns.len(), values).unwrap()
    });
    let pca = Pca::fit(&train, 5).unwrap();
    assert!((pca.explained_variance_ratio - golden["ratio"].as_f64().unwrap()).abs() < 1e-12);
    let values = pca.apply(&new);
    let found =
        (0..5).map(|at| values.iter().skip(at).step_by(5).map(|value| f64::from(*value)).collect()).collect();
    let difference = difference(&found, &golden["transformed"]);
    assert!(difference < 1e-6, "{difference:e}");
}

/// Scores to 1e-9 relative, the chosen columns exactly, ties and constant columns included.
#[test]
fn selection_equals_scikit_learn() {
    let golden = &golden()["selection"];
    let train = columns(&golden["train"]);
    let classes =
        Target::Classes { ids: list(&golden["classes"]), names: ["a", "b", "c"].map(str::to_owned).to_vec() };
    let expected: Vec<Option<f64>> = list(&golden["f_classif"]);
    for (column, expected) in train.iter().zip(expected) {
        let score = f_score(column, &classes);
        match expected {
            Some(expected) => assert!((score / expected - 1.0).abs() < 1e-9, "{score} {expected}"),
            None => assert!(score.is_nan()),
        }
    }
    let values = Target::Numbers(list(&golden["values"]));
    let expected: Vec<f64> = list(&golden["f_regression"]);
    for (column, expected) in train.iter().zip(expected) {
        assert!((f_score(column, &values) / expected - 1.0).abs() < 1e-9);
    }
    for (k, expected) in golden["best"].as_object().unwrap() {
        let wanted = Wanted { variance_threshold: None, k_best: Some(k.parse().unwrap()) };
        let found = kept(wanted, train.len(), |column| train[column].clone(), Some(&classes));
        assert_eq!(found, list::<Vec<u32>>(expected), "{k} best");
    }
    let wanted = Wanted { variance_threshold: golden["threshold"].as_f64(), k_best: None };
    let found = kept(wanted, train.len(), |column| train[column].clone(), None);
    assert_eq!(found, list::<Vec<u32>>(&golden["varied"]));
}
