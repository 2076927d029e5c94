//! A part of the columns that holds numbers: filled, flagged, scaled.

use super::arrays::Visit;
use super::imputation::{Imputation, Imputer};
use super::scalers::{ColumnScaler, ScalerKind};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Columns of numbers with what was learned for them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NumberPart {
    names: Vec<String>,
    imputer: Imputer,
    scalers: Vec<ColumnScaler>,
}

/// What to learn.
pub(super) struct NumberPlan<'a> {
    pub(super) imputation: Imputation,
    pub(super) scalers: &'a [ScalerKind],
    /// For each column, whether it gets a flag where values of it are missing.
    pub(super) flags: &'a [bool],
}

impl NumberPart {
    /// Learns from the training rows of columns.
    pub(super) fn fit(names: Vec<String>, mut training: Vec<Vec<f64>>, plan: &NumberPlan<'_>) -> Self {
        let imputer = Imputer::fit(plan.imputation, &training, |column| plan.flags[column]);
        imputer.apply(&mut training);
        let mut scalers = Vec::new();
        for kind in plan.scalers {
            let scaler = ColumnScaler::fit(*kind, &training);
            scale(&scaler, &mut training);
            scalers.push(scaler);
        }
        Self { names, imputer, scalers }
    }

    /// The names of the columns, then those of the flags.
    pub(super) fn names(&self) -> impl Iterator<Item = String> {
        let flags = self.imputer.flagged().iter().map(|&column| format!("{}_missing", self.names[column]));
        self.names.iter().cloned().chain(flags)
    }

    /// The prepared columns and flags.
    pub(super) fn apply(&self, mut columns: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
        let flags = self.imputer.apply(&mut columns);
        self.scalers.iter().for_each(|scaler| scale(scaler, &mut columns));
        columns.extend(flags);
        columns
    }

    pub(super) fn is_whole(&self) -> bool {
        let columns = self.names.len();
        self.imputer.columns() == columns
            && self.imputer.is_whole()
            && self.scalers.iter().all(|scaler| scaler.is_whole(columns))
    }

    /// The number of columns that [`Self::apply`] takes.
    pub(super) fn columns(&self) -> usize {
        self.names.len()
    }

    pub(super) fn visit(&mut self, name: &str, visit: &mut Visit<'_>) {
        for (at, scaler) in self.scalers.iter_mut().enumerate() {
            scaler.visit(&format!("{name}.scaler_{at}"), visit);
        }
    }
}

fn scale(scaler: &ColumnScaler, columns: &mut [Vec<f64>]) {
    columns.par_iter_mut().enumerate().for_each(|(column, values)| scaler.apply(column, values));
}
