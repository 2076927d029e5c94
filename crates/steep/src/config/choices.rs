//! The names of choices, as transformers and scikit-learn spell them.

use super::check::one_of;
use super::values::List;
use crate::data::Task;
use crate::error::{Error, Result};
use crate::evaluation::metrics::Metric;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as ValueError, StrDeserializer};

/// transformers' names of the tasks.
const TASKS: [(&str, Task); 3] = [
    ("single_label_classification", Task::SingleLabel),
    ("multi_label_classification", Task::MultiLabel),
    ("regression", Task::Regression),
];

/// The task of this name; none leaves it to the labels.
pub(super) fn task(name: Option<&String>) -> Result<Option<Task>> {
    name.map(|name| one_of("problem_type", name, &TASKS)).transpose()
}

/// The metric of this name.
pub(super) fn metric(key: &str, name: &str) -> Result<Metric> {
    let deserializer: StrDeserializer<'_, ValueError> = name.into_deserializer();
    Metric::deserialize(deserializer).map_err(|_| {
        let hint = "choose one of accuracy, balanced_accuracy, macro_f1, micro_f1, weighted_f1, mcc, log_loss, \
                    roc_auc, mean_squared_error, mean_absolute_error, r_squared, pearson, spearman";
        Error::config(key, format!("'{name}' is not known"), hint)
    })
}

/// A list, or nothing where it is absent.
pub(super) fn items<T: Clone>(list: Option<&List<T>>) -> Vec<T> {
    list.map(|list| list.0.clone()).unwrap_or_default()
}

/// Candidates for the classifier's `C`: sorted, each above 0, none twice.
pub(super) fn c_grid(list: &mut Option<List<f64>>) -> Result<Vec<f64>> {
    let mut grid = super::check::fill(list, || List(DEFAULT_C_GRID.to_vec())).0;
    for &c in &grid {
        super::check::positive("c_grid", c)?;
    }
    grid.sort_by(f64::total_cmp);
    grid.dedup();
    if grid.is_empty() {
        return Err(Error::config("c_grid", "is empty", "give at least one C"));
    }
    Ok(grid)
}

/// Two thirds of a decade apart: the best C differs with the scale of the embeddings, and with it by the model.
const DEFAULT_C_GRID: [f64; 7] = [0.01, 0.046, 0.22, 1.0, 4.6, 22.0, 100.0];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_or_refused_with_the_list() {
        assert_eq!(metric("metric", "macro_f1").unwrap(), Metric::MacroF1);
        assert!(metric("metric", "f-one").unwrap_err().hint().unwrap().contains("macro_f1"));
        assert_eq!(task(None).unwrap(), None);
        assert_eq!(task(Some(&"regression".to_owned())).unwrap(), Some(Task::Regression));
        let hint = task(Some(&"regresion".to_owned())).unwrap_err().hint().unwrap().to_owned();
        assert!(hint.starts_with("did you mean regression?"), "{hint}");
    }

    #[test]
    fn the_grid_is_sorted_and_positive() {
        let mut list = Some(List(vec![10.0, 0.1, 10.0]));
        assert_eq!(c_grid(&mut list).unwrap(), [0.1, 10.0]);
        assert!(c_grid(&mut Some(List(vec![-1.0]))).is_err());
        assert_eq!(c_grid(&mut None).unwrap().len(), 7);
    }
}
