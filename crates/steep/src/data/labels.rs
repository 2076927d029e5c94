//! The labels of a labelled set: one class a row, several, or a number.

use super::columns::{column, is_string, numbers, row_number, text};
use super::fault::{cell_fault, column_fault};
use super::lists::{is_json_list, is_list, lists};
use super::readers::Chunk;
use crate::error::{Error, Result};
use arrow::array::Array;
use std::collections::HashMap;

/// What is to be predicted; in files by transformers' names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Task {
    /// Exactly one class a row.
    #[serde(rename = "single_label_classification")]
    SingleLabel,
    /// Any number of classes a row.
    #[serde(rename = "multi_label_classification")]
    MultiLabel,
    /// A number a row.
    #[serde(rename = "regression")]
    Regression,
}

/// The labels of all rows.
#[derive(Debug, Clone, PartialEq)]
pub enum Labels {
    /// One class a row.
    Single {
        /// The classes in order: by value where all are numbers, alphabetically otherwise.
        names: Vec<String>,
        /// For each row the place of its class in `names`.
        ids: Vec<u32>,
    },
    /// Several classes a row.
    Multi {
        /// The classes in order, as for single labels.
        names: Vec<String>,
        /// For each row the places of its classes in `names`, ascending, none twice.
        sets: Vec<Vec<u32>>,
    },
    /// A number a row.
    Numbers(Vec<f32>),
}

impl Labels {
    /// The number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Single { ids, .. } => ids.len(),
            Self::Multi { sets, .. } => sets.len(),
            Self::Numbers(values) => values.len(),
        }
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is to be predicted.
    pub fn task(&self) -> Task {
        match self {
            Self::Single { .. } => Task::SingleLabel,
            Self::Multi { .. } => Task::MultiLabel,
            Self::Numbers(_) => Task::Regression,
        }
    }

    /// A stratum for each row, and how many there are: the class; of several classes the rarest (rows without
    /// any are a stratum of their own); of numbers the tenth of the range of ranks they lie in.
    pub(super) fn strata(&self) -> (Vec<u32>, usize) {
        match self {
            Self::Single { names, ids } => (ids.clone(), names.len()),
            Self::Multi { names, sets } => (rarest(sets, names.len()), names.len() + 1),
            Self::Numbers(values) => (tenths(values), 10),
        }
    }
}

fn rarest(sets: &[Vec<u32>], classes: usize) -> Vec<u32> {
    let mut counts = vec![0_u32; classes];
    for class in sets.iter().flatten() {
        counts[*class as usize] += 1;
    }
    let of = |set: &Vec<u32>| set.iter().copied().min_by_key(|class| (counts[*class as usize], *class));
    sets.iter().map(|set| of(set).unwrap_or(classes as u32)).collect()
}

/// Equal numbers share a stratum: each gets the tenth in which the first of them lies.
fn tenths(values: &[f32]) -> Vec<u32> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut strata = vec![0; values.len()];
    let mut stratum = 0;
    for (rank, at) in order.iter().enumerate() {
        if rank == 0 || values[*at] != values[order[rank - 1]] {
            stratum = (rank * 10 / values.len()) as u32;
        }
        strata[*at] = stratum;
    }
    strata
}

/// Collects the label column chunk by chunk.
#[derive(Debug)]
pub(super) struct LabelColumn {
    name: String,
    classes: Classes,
    /// Whether the task was told by the user or follows from the values.
    inferred: bool,
    rows: Rows,
}

#[derive(Debug)]
enum Rows {
    Single(Vec<u32>),
    Multi(Vec<Vec<u32>>),
    Numbers(Vec<f32>),
}

impl LabelColumn {
    /// Begins a column; where no task is told, lists (also JSON lists in strings) mean several labels.
    pub(super) fn new(first: &Chunk, name: &str, task: Option<Task>) -> Result<Self> {
        let rows = match task.map_or_else(|| infer(first, name), Ok)? {
            Task::SingleLabel => Rows::Single(Vec::new()),
            Task::MultiLabel => Rows::Multi(Vec::new()),
            Task::Regression => Rows::Numbers(Vec::new()),
        };
        Ok(Self { name: name.to_owned(), classes: Classes::default(), inferred: task.is_none(), rows })
    }

    /// Appends the labels of a chunk; a missing label is an error.
    pub(super) fn push(&mut self, chunk: &Chunk) -> Result<()> {
        let (name, classes) = (self.name.as_str(), &mut self.classes);
        match &mut self.rows {
            Rows::Single(ids) => {
                for (at, label) in text(chunk, name)?.iter().enumerate() {
                    let label = label.filter(|label| !label.trim().is_empty());
                    ids.push(classes.id(label.ok_or_else(|| missing(chunk, name, at, SINGLE_HINT))?));
                }
            }
            Rows::Multi(sets) => {
                for (at, labels) in lists(chunk, name)?.into_iter().enumerate() {
                    let labels = labels.ok_or_else(|| missing(chunk, name, at, MULTI_HINT))?;
                    sets.push(labels.iter().map(|label| classes.id(label)).collect());
                }
            }
            Rows::Numbers(values) => {
                for (at, value) in numbers(chunk, name)?.iter().enumerate() {
                    values.push(value.ok_or_else(|| missing(chunk, name, at, SINGLE_HINT))? as f32);
                }
            }
        }
        Ok(())
    }

    /// The labels, their classes in order.
    pub(super) fn finish(self, file: &std::path::Path) -> Result<Labels> {
        let inferred = self.inferred;
        let (names, places) = self.classes.in_order();
        let place = |id: u32| places[id as usize];
        Ok(match self.rows {
            Rows::Single(_) if inferred && are_measurements(&names) => {
                let problem = "the labels are numbers with fractions, which could be classes or measurements";
                let hint = "set the task: regression or single label";
                return Err(column_fault(file, &self.name, problem, hint));
            }
            Rows::Single(ids) => Labels::Single { names, ids: ids.into_iter().map(place).collect() },
            Rows::Multi(sets) => {
                let sorted = |set: Vec<u32>| {
                    let mut set: Vec<u32> = set.into_iter().map(place).collect();
                    set.sort_unstable();
                    set.dedup();
                    set
                };
                Labels::Multi { names, sets: sets.into_iter().map(sorted).collect() }
            }
            Rows::Numbers(values) => Labels::Numbers(values),
        })
    }
}

const SINGLE_HINT: &str = "give every row a label, or move the rows without one to the unlabelled texts";
const MULTI_HINT: &str =
    "write an empty list, [], where a row has none of the labels; move unlabelled rows elsewhere";

fn missing(chunk: &Chunk, name: &str, at: usize, hint: &str) -> Error {
    cell_fault(&chunk.file, row_number(chunk, at), name, "the label is missing", hint)
}

fn infer(first: &Chunk, name: &str) -> Result<Task> {
    let array = column(first, name)?;
    let lists = if is_string(array.data_type()) {
        let values = text(first, name)?;
        values.iter().flatten().all(is_json_list) && values.null_count() < values.len()
    } else {
        is_list(array.data_type())
    };
    Ok(if lists { Task::MultiLabel } else { Task::SingleLabel })
}

fn are_measurements(names: &[String]) -> bool {
    let numbers: Option<Vec<f64>> = names.iter().map(|name| as_number(name)).collect();
    numbers.is_some_and(|numbers| numbers.iter().any(|number| number.fract() != 0.0))
}

fn as_number(name: &str) -> Option<f64> {
    name.trim().parse().ok().filter(|number: &f64| number.is_finite())
}

/// Classes numbered as they come.
#[derive(Debug, Default)]
struct Classes {
    ids: HashMap<String, u32>,
    names: Vec<String>,
}

impl Classes {
    fn id(&mut self, name: &str) -> u32 {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        let id = self.names.len() as u32;
        self.ids.insert(name.to_owned(), id);
        self.names.push(name.to_owned());
        id
    }

    /// The names in order, and for each number its place among them.
    fn in_order(self) -> (Vec<String>, Vec<u32>) {
        let numbers: Option<Vec<f64>> = self.names.iter().map(|name| as_number(name)).collect();
        let mut order: Vec<usize> = (0..self.names.len()).collect();
        order.sort_by(|a, b| {
            let by_value = numbers.as_ref().map(|numbers| numbers[*a].total_cmp(&numbers[*b]));
            by_value.unwrap_or(std::cmp::Ordering::Equal).then_with(|| self.names[*a].cmp(&self.names[*b]))
        });
        let mut places = vec![0; order.len()];
        for (place, id) in order.iter().enumerate() {
            places[*id] = place as u32;
        }
        (order.into_iter().map(|id| self.names[id].clone()).collect(), places)
    }
}

#[cfg(test)]
mod tests {
    use super::super::columns::tests::chunk;
    use super::*;
    use arrow::array::{Float64Array, StringArray};

    fn read(array: impl Array + 'static, task: Option<Task>) -> Result<Labels> {
        let chunk = chunk(array);
        let mut labels = LabelColumn::new(&chunk, "c", task)?;
        labels.push(&chunk)?;
        labels.finish(&chunk.file)
    }

    #[test]
    fn classes_that_are_numbers_are_in_the_order_of_numbers() {
        let labels = read(StringArray::from(vec!["10", "9", "-1", "9"]), None).unwrap();
        let names = ["-1", "9", "10"].map(str::to_owned).to_vec();
        assert_eq!(labels, Labels::Single { names, ids: vec![2, 1, 0, 1] });
        let Labels::Single { names, .. } = read(StringArray::from(vec!["10", "9", "x"]), None).unwrap()
        else {
            panic!()
        };
        assert_eq!(names, ["10", "9", "x"]);
    }

    #[test]
    fn json_lists_mean_several_labels() {
        let labels = read(StringArray::from(vec!["[\"b\",\"a\",\"b\"]", "[]"]), None).unwrap();
        let names = ["a", "b"].map(str::to_owned).to_vec();
        assert_eq!(labels, Labels::Multi { names, sets: vec![vec![0, 1], vec![]] });
        let labels = read(StringArray::from(vec!["b|a", "a"]), Some(Task::MultiLabel)).unwrap();
        assert_eq!(labels.strata(), (vec![1, 0], 3));
    }

    #[test]
    fn a_missing_label_is_named_with_its_row() {
        for task in [Task::SingleLabel, Task::MultiLabel, Task::Regression] {
            let error = read(StringArray::from(vec![Some("1"), None]), Some(task)).unwrap_err();
            assert_eq!(error.to_string(), "a.csv, row 12, column 'c': the label is missing");
        }
    }

    #[test]
    fn fractions_are_not_taken_for_classes_unasked() {
        let values = || Float64Array::from(vec![0.5, 1.0]);
        assert!(read(values(), None).unwrap_err().hint().unwrap().contains("regression"));
        assert_eq!(read(values(), Some(Task::Regression)).unwrap(), Labels::Numbers(vec![0.5, 1.0]));
        assert_eq!(read(values(), Some(Task::SingleLabel)).unwrap().len(), 2);
    }

    #[test]
    fn equal_numbers_share_a_stratum() {
        let (strata, _) =
            Labels::Numbers((0..100).map(|i| if i < 35 { 0.0 } else { i as f32 }).collect()).strata();
        assert!(strata[..35].iter().all(|stratum| *stratum == 0));
        assert_eq!(strata[99], 9);
    }
}
