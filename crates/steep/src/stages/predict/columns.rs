//! Predictions as columns of an output file.

use super::PredictSettings;
use super::temperature::SavedTemperature;
use crate::data::Task;
use crate::error::Result;
use crate::evaluation::probabilities::predicted_classes;
use crate::evaluation::temperature::at_temperature;
use crate::features::matrix::DenseMatrix;
use crate::stages::output::{Spread, taken, vector_column, vector_field};
use arrow::array::{ArrayRef, Float32Array, Float32Builder, ListBuilder, StringArray, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema};
use std::path::Path;
use std::sync::Arc;

/// Put before the names of all columns where the input has one of them.
const PREFIX: &str = "predicted_";

/// Which columns are written.
pub(in crate::stages) struct PredictionColumns {
    pub(in crate::stages) task: Task,
    pub(in crate::stages) labels: Vec<String>,
    pub(in crate::stages) all_probabilities: bool,
    /// Applied to probabilities of classes.
    pub(in crate::stages) temperature: Option<f64>,
}

impl PredictionColumns {
    /// Those of a trained folder, with the temperature that lies in it.
    pub(super) fn of(
        folder: &Path,
        task: Task,
        labels: Vec<String>,
        settings: &PredictSettings,
    ) -> Result<Self> {
        let saved = if settings.calibrated { SavedTemperature::load(folder)? } else { None };
        let temperature = saved.filter(|_| task == Task::SingleLabel).map(|saved| saved.temperature);
        Ok(Self { task, labels, all_probabilities: settings.all_probabilities, temperature })
    }

    /// The columns, and how text formats show those of vectors.
    pub(super) fn fields(&self, input: &Schema) -> (Vec<Field>, Vec<Spread>) {
        let (fields, spreads) = self.fields_with("");
        let names = fields.iter().map(Field::name).chain(spreads.iter().flat_map(|spread| &spread.columns));
        if taken(input, names).is_some() { self.fields_with(PREFIX) } else { (fields, spreads) }
    }

    fn fields_with(&self, prefix: &str) -> (Vec<Field>, Vec<Spread>) {
        let name = |name: &str| format!("{prefix}{name}");
        let list = |kind: DataType| DataType::List(Arc::new(Field::new_list_field(kind, false)));
        let (label, probability) = match self.task {
            Task::SingleLabel => (DataType::Utf8, DataType::Float32),
            Task::MultiLabel => (list(DataType::Utf8), list(DataType::Float32)),
            Task::Regression => return self.regression_fields(&name("prediction")),
        };
        let mut fields = vec![
            Field::new(name("label"), label, false),
            Field::new(name("probability"), probability, false),
        ];
        let mut spreads = Vec::new();
        if self.all_probabilities {
            fields.push(vector_field(&name("probabilities"), self.labels.len()));
            spreads.push(Spread {
                column: name("probabilities"),
                columns: self.labels.iter().map(|label| name(&format!("probability_{label}"))).collect(),
                keys: Some(self.labels.clone()),
            });
        }
        (fields, spreads)
    }

    /// One number a row, or a vector where the network was trained on several.
    fn regression_fields(&self, name: &str) -> (Vec<Field>, Vec<Spread>) {
        let width = self.labels.len();
        if width <= 1 {
            return (vec![Field::new(name, DataType::Float32, false)], Vec::new());
        }
        let columns = self.labels.iter().map(|label| format!("{name}_{label}")).collect();
        let spread = Spread { column: name.to_owned(), columns, keys: Some(self.labels.clone()) };
        (vec![vector_field(name, width)], vec![spread])
    }

    /// The columns of some rows, from probabilities or values `[rows, labels]`.
    pub(in crate::stages) fn arrays(&self, values: &DenseMatrix) -> Result<Vec<ArrayRef>> {
        let scaled = self.temperature.map(|temperature| at_temperature(values, temperature)).transpose()?;
        let values = scaled.as_ref().unwrap_or(values);
        let mut arrays = match self.task {
            Task::SingleLabel => self.single_label(values),
            Task::MultiLabel => self.multi_label(values),
            Task::Regression if self.labels.len() <= 1 => {
                return Ok(vec![Arc::new(Float32Array::from(values.values().to_vec()))]);
            }
            Task::Regression => return Ok(vec![vector_column(values)?]),
        };
        if self.all_probabilities {
            arrays.push(vector_column(values)?);
        }
        Ok(arrays)
    }

    fn single_label(&self, values: &DenseMatrix) -> Vec<ArrayRef> {
        let classes = predicted_classes(values);
        let labels = classes.iter().map(|&class| self.labels[class as usize].as_str());
        let of_row = |(row, &class): (usize, &u32)| values.row(row)[class as usize];
        let probabilities = classes.iter().enumerate().map(of_row);
        vec![
            Arc::new(StringArray::from_iter_values(labels)),
            Arc::new(Float32Array::from_iter_values(probabilities)),
        ]
    }

    fn multi_label(&self, values: &DenseMatrix) -> Vec<ArrayRef> {
        let item = |kind: DataType| Arc::new(Field::new_list_field(kind, false));
        let mut labels = ListBuilder::new(StringBuilder::new()).with_field(item(DataType::Utf8));
        let mut probabilities = ListBuilder::new(Float32Builder::new()).with_field(item(DataType::Float32));
        for row in 0..values.rows() {
            for (label, &probability) in self.labels.iter().zip(values.row(row)) {
                if probability > 0.5 {
                    labels.values().append_value(label);
                    probabilities.values().append_value(probability);
                }
            }
            labels.append(true);
            probabilities.append(true);
        }
        vec![Arc::new(labels.finish()), Arc::new(probabilities.finish())]
    }
}
