//! A preparation as a whole.

use super::{
    Block, CategoricalEncoding, Preparation, PreparationInputs, PreparationSettings, RawRows, ScalerKind,
    Target, Targets,
};
use crate::data::{ReadOptions, open};
use crate::features::columns::{ColumnKind, ColumnPlan, Table};
use crate::features::engineered::EngineeredSettings;
use crate::features::matrix::DenseMatrix;
use std::fmt::Write;

const ROWS: usize = 60;

fn plans() -> Vec<ColumnPlan> {
    let plan = |(name, kind): (&str, ColumnKind)| ColumnPlan {
        name: name.to_owned(),
        kind,
        reason: "given".to_owned(),
    };
    let kinds = [
        ("price", ColumnKind::Numerical),
        ("new", ColumnKind::Boolean),
        ("made", ColumnKind::Datetime { day_first: false }),
        ("colour", ColumnKind::Categorical),
        ("tags", ColumnKind::Tags),
    ];
    kinds.map(plan).to_vec()
}

fn csv(first: usize, rows: usize) -> String {
    let mut csv = "price,new,made,colour,tags\n".to_owned();
    for row in first..first + rows {
        let price = if row % 7 == 0 { String::new() } else { format!("{}", row * row % 101) };
        let colour = ["red", "green", "blue", "", "rare"][if row % 31 == 0 { 4 } else { row % 4 }];
        let day = row % 28 + 1;
        writeln!(
            csv,
            "{price},{},2024-03-{day:02}T{:02}:00:00,{colour},a|b{}",
            row % 3 == 0,
            row % 24,
            row % 5
        )
        .unwrap();
    }
    csv
}

fn raw(csv: &str) -> RawRows {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    std::fs::write(&path, csv).unwrap();
    let mut table = Table::new(&plans());
    for chunk in open(path.to_str().unwrap(), &ReadOptions::default()).unwrap() {
        table.push(&chunk.unwrap()).unwrap();
    }
    let rows = table.rows();
    let vectors = (0..rows * 8).map(|at| ((at * 37 % 91) as f32).sin() * (1.0 + (at % 8) as f32)).collect();
    RawRows {
        table,
        vectors: Some(DenseMatrix::new(rows, 8, vectors).unwrap()),
        texts: (0..rows).map(|row| format!("Text number {row}{}", "!".repeat(row % 3))).collect(),
    }
}

fn inputs() -> PreparationInputs {
    PreparationInputs {
        columns: plans(),
        vector_columns: vec!["embedding".to_owned()],
        vector_names: (0..8).map(|at| format!("embedding_{at}")).collect(),
        text_columns: vec!["text".to_owned()],
        text_column_delimiter: " ".to_owned(),
    }
}

fn targets(rows: &[u32]) -> Targets {
    Targets {
        target: Target::Classes {
            ids: rows.iter().map(|row| u32::from(row % 4 == 0)).collect(),
            names: vec!["no".to_owned(), "yes".to_owned()],
        },
        folds: rows.iter().map(|row| row % 5).collect(),
    }
}

fn fit(raw: &RawRows, train: &[u32], settings: &PreparationSettings) -> (Preparation, DenseMatrix) {
    let engineered = EngineeredSettings::default();
    Preparation::fit(inputs(), raw, train, Some(&targets(train)), Some(&engineered), settings, None).unwrap()
}

fn every_setting() -> Vec<PreparationSettings> {
    let mut all = Vec::new();
    for (_, encoding) in CategoricalEncoding::ALL {
        for (_, scaler) in ScalerKind::ALL {
            all.push(PreparationSettings {
                categorical_encoding: encoding,
                scalers: vec![scaler],
                ..PreparationSettings::default()
            });
        }
    }
    all.push(PreparationSettings {
        pca_components: Some(3),
        select_k_best: Some(12),
        variance_threshold: Some(0.0),
        scalers: vec![ScalerKind::Log1p, ScalerKind::Standard],
        ..PreparationSettings::default()
    });
    all.push(PreparationSettings {
        scalers: Vec::new(),
        block_scaling: false,
        ..PreparationSettings::default()
    });
    all
}

#[test]
fn a_preparation_survives_its_folder_and_does_the_same_to_rows_in_pieces() {
    let all = raw(&csv(0, ROWS));
    let train: Vec<u32> = (0..40).collect();
    for settings in every_setting() {
        let (preparation, matrix) = fit(&all, &train, &settings);
        assert_eq!(matrix.columns(), preparation.names().len());
        assert!(matrix.values().iter().all(|value| value.is_finite()), "{settings:?}");
        let folder = tempfile::tempdir().unwrap();
        preparation.save(folder.path()).unwrap();
        let loaded = Preparation::load(folder.path()).unwrap();
        assert_eq!(loaded, preparation);
        for first in [40, 50] {
            let mut piece = raw(&csv(first, 10));
            let rows: Vec<u32> = (first as u32..first as u32 + 10).collect();
            piece.vectors = all.vectors.as_ref().map(|vectors| vectors.select_rows(&rows));
            piece.texts = all.texts[first..first + 10].to_vec();
            let found = loaded.transform(&piece, None).unwrap();
            let expected = &matrix.values()[first * matrix.columns()..(first + 10) * matrix.columns()];
            assert_eq!(found.values(), expected, "{settings:?}");
        }
    }
}

#[test]
fn nothing_is_learned_from_other_rows_than_training_rows() {
    let train: Vec<u32> = (0..40).collect();
    let mut other = csv(0, 40);
    other.push_str("9999,true,1999-12-31,violet,z\n");
    for settings in every_setting() {
        let (one, first) = fit(&raw(&csv(0, ROWS)), &train, &settings);
        let mut changed = raw(&other);
        let same: Vec<u32> = (0..40).collect();
        let vectors = raw(&csv(0, ROWS)).vectors.unwrap().select_rows(&same).into_values();
        changed.vectors =
            Some(DenseMatrix::new(41, 8, vectors.into_iter().chain([1e3; 8]).collect()).unwrap());
        let (two, second) = fit(&changed, &train, &settings);
        assert_eq!(one, two, "{settings:?}");
        let length = 40 * first.columns();
        assert_eq!(first.values()[..length], second.values()[..length]);
    }
}

#[test]
fn blocks_have_the_variance_of_their_weight() {
    let all = raw(&csv(0, ROWS));
    let train: Vec<u32> = (0..ROWS as u32).collect();
    let settings =
        PreparationSettings { block_weights: vec![(Block::Columns, 2.0)], ..PreparationSettings::default() };
    let (preparation, matrix) = fit(&all, &train, &settings);
    let mut start = 0;
    let mut totals = Vec::new();
    for (block, width) in preparation.block_widths() {
        let variance = |column: usize| {
            let values: Vec<f64> = (0..ROWS).map(|row| f64::from(matrix.row(row)[column])).collect();
            super::affine::moments(&values).1
        };
        totals.push((block, (start..start + width).map(variance).sum::<f64>()));
        start += width;
    }
    let [(Block::Vectors, vectors), (Block::Columns, columns), (Block::Engineered, engineered)] = totals[..]
    else {
        panic!("{totals:?}")
    };
    assert!(
        (columns / vectors - 4.0).abs() < 1e-4 && (engineered / vectors - 1.0).abs() < 1e-4,
        "{totals:?}"
    );
    assert_eq!(start, matrix.columns());
    assert!((vectors - start as f64 / 3.0).abs() < 1e-3);
}

#[test]
fn a_training_rows_own_label_does_not_reach_its_target_encoding() {
    let all = raw(&csv(0, 40));
    let train: Vec<u32> = (0..40).collect();
    let settings = PreparationSettings {
        categorical_encoding: CategoricalEncoding::Target,
        scalers: Vec::new(),
        block_scaling: false,
        ..PreparationSettings::default()
    };
    let encoded = |flipped: Option<usize>| {
        let mut targets = targets(&train);
        if let (Some(row), Target::Classes { ids, .. }) = (flipped, &mut targets.target) {
            ids[row] = 1 - ids[row];
        }
        let (preparation, matrix) =
            Preparation::fit(inputs(), &all, &train, Some(&targets), None, &settings, None).unwrap();
        let column = preparation.names().iter().position(|name| name == "colour_is_yes").unwrap();
        matrix.row(5)[column]
    };
    assert_eq!(encoded(None), encoded(Some(5)));
    assert_ne!(encoded(None), encoded(Some(1)), "another row's label does");
}

#[test]
fn damaged_folders_are_refused() {
    let all = raw(&csv(0, ROWS));
    let (preparation, _) = fit(&all, &(0..40).collect::<Vec<_>>(), &PreparationSettings::default());
    let damaged = |change: &dyn Fn(&mut serde_json::Value)| {
        let folder = tempfile::tempdir().unwrap();
        preparation.save(folder.path()).unwrap();
        let path = folder.path().join(super::PREPARATION_FILE);
        let mut json = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        change(&mut json);
        std::fs::write(&path, json.to_string()).unwrap();
        Preparation::load(folder.path())
    };
    assert!(damaged(&|_| ()).is_ok());
    assert!(damaged(&|json| json["format_version"] = 9.into()).is_err());
    assert!(damaged(&|json| json["numbers"]["imputer"]["flagged"] = serde_json::json!([77])).is_err());
    assert!(damaged(&|json| json["kept"] = serde_json::json!([100_000])).is_err());
    assert!(damaged(&|json| json["vectors"]["names"] = serde_json::json!(["a"])).is_err());
    assert!(damaged(&|json| json["inputs"]["columns"] = serde_json::json!([])).is_err());
    assert!(damaged(&|json| json["numbers"]["imputer"]["fill"] = serde_json::json!([1.0])).is_err());
    let folder = tempfile::tempdir().unwrap();
    preparation.save(folder.path()).unwrap();
    std::fs::write(folder.path().join(super::PREPARATION_TENSORS), [0; 4]).unwrap();
    assert!(Preparation::load(folder.path()).is_err());
}

#[test]
fn what_cannot_be_done_is_said_with_a_hint() {
    let all = raw(&csv(0, ROWS));
    let error = |settings: &PreparationSettings, train: &[u32]| {
        Preparation::fit(inputs(), &all, train, None, None, settings, None).unwrap_err()
    };
    let train: Vec<u32> = (0..40).collect();
    let usual = PreparationSettings::default;
    let many = PreparationSettings { pca_components: Some(9), ..usual() };
    let best = PreparationSettings { select_k_best: Some(2), ..usual() };
    let target = PreparationSettings { categorical_encoding: CategoricalEncoding::Target, ..usual() };
    let none = PreparationSettings { variance_threshold: Some(1e9), ..usual() };
    for (settings, rows) in
        [(&many, &train), (&best, &train), (&target, &train), (&none, &train), (&usual(), &vec![])]
    {
        assert!(error(settings, rows).hint().is_some());
    }
}
