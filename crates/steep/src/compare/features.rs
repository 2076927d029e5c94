//! What a route's learner is given: vectors of the text, the person's columns, columns engineered from the text.

use super::learning::folds_of;
use super::runner::Runner;
use super::settings::FeatureSet;
use super::table::text_columns;
use crate::error::{Error, Result};
use crate::features::columns::Table;
use crate::features::matrix::{DenseMatrix, Features};
use crate::features::preparation::{
    Preparation, PreparationInputs, PreparationSettings, RawRows, Target, Targets,
};
use crate::stages::EMBEDDING_COLUMN;

/// Folds of target encoding, as scikit-learn has them by default.
const TARGET_FOLDS: u32 = 5;

/// Features of training, validation and test rows.
pub(super) struct PartedFeatures {
    pub(super) train: Features,
    pub(super) validation: Features,
    pub(super) test: Features,
    /// What made them of raw columns, fitted on the training rows; none where they are vectors as they are.
    pub(super) preparation: Option<Preparation>,
    /// The columns' names, where they have some.
    pub(super) names: Vec<String>,
}

/// Which columns join the vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beside {
    /// Those of a feature set.
    Set(FeatureSet),
    /// The person's columns without any vector.
    ColumnsAlone,
}

impl Runner<'_> {
    /// Training, validation and test rows, in this order: that of all matrices here.
    pub(super) fn all_rows(&self) -> Vec<u32> {
        let split = &self.prepared.labelled.split;
        split.train.iter().chain(&split.validation).chain(&split.test).copied().collect()
    }

    /// Parts a matrix of [`Self::all_rows`].
    pub(super) fn part(&self, features: &Features) -> PartedFeatures {
        let split = &self.prepared.labelled.split;
        let (train, validation) = (split.train.len() as u32, split.validation.len() as u32);
        let rows = |range: std::ops::Range<u32>| features.select_rows(&range.collect::<Vec<_>>());
        PartedFeatures {
            train: rows(0..train),
            validation: rows(train..train + validation),
            test: rows(train + validation..features.rows() as u32),
            preparation: None,
            names: Vec::new(),
        }
    }

    /// The features that join vectors of [`Self::all_rows`] with columns; fitted on the training rows only.
    pub(super) fn features(&self, vectors: Option<DenseMatrix>, beside: Beside) -> Result<PartedFeatures> {
        match (vectors, beside) {
            (Some(vectors), Beside::Set(FeatureSet::Text)) => Ok(self.part(&Features::Dense(vectors))),
            (vectors, beside) => self.prepared_features(vectors, beside, &self.settings.preparation),
        }
    }

    /// The same with another way of preparing.
    pub(super) fn prepared_features(
        &self,
        vectors: Option<DenseMatrix>,
        beside: Beside,
        how: &PreparationSettings,
    ) -> Result<PartedFeatures> {
        let (settings, labelled) = (self.settings, &self.prepared.labelled);
        let rows = self.all_rows();
        let (with_columns, with_engineered) = match beside {
            Beside::ColumnsAlone => (true, false),
            Beside::Set(set) => (set.has_columns(), set.has_engineered()),
        };
        let (table, columns) = if with_columns {
            let data = self.prepared.table.as_ref().ok_or_else(no_columns)?;
            (data.table.select_rows(&rows), data.plans.clone())
        } else {
            (Table::new(&[]).select_rows(&rows), Vec::new())
        };
        let width = vectors.as_ref().map_or(0, DenseMatrix::columns);
        let inputs = PreparationInputs {
            columns,
            vector_columns: vectors.iter().map(|_| EMBEDDING_COLUMN.to_owned()).collect(),
            vector_names: (0..width).map(|at| format!("{EMBEDDING_COLUMN}_{at}")).collect(),
            text_columns: if with_engineered { text_columns(settings)? } else { Vec::new() },
            text_column_delimiter: settings.labelled.text_column_delimiter.clone(),
        };
        let texts = if with_engineered {
            rows.iter().map(|&row| labelled.rows.texts[row as usize].clone()).collect()
        } else {
            Vec::new()
        };
        let train = &labelled.split.train;
        let targets = Targets {
            target: Target::of(&labelled.rows.labels, train),
            folds: folds_of(labelled, train, TARGET_FOLDS.min(settings.folds), settings.seeds[0])?,
        };
        let places: Vec<u32> = (0..train.len() as u32).collect();
        let (preparation, matrix) = Preparation::fit(
            inputs,
            &RawRows { table, vectors, texts },
            &places,
            Some(&targets),
            with_engineered.then_some(&settings.engineered),
            how,
            Some(&self.model.tokenizer),
        )?;
        let names = preparation.names();
        let parted = self.part(&Features::Dense(matrix));
        Ok(PartedFeatures { preparation: Some(preparation), names, ..parted })
    }
}

pub(super) fn no_columns() -> Error {
    let hint = "name columns, '*' for all, or leave these routes and features out";
    Error::config("columns", "no column is named", hint)
}
