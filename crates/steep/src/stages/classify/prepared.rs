//! The features of a classifier, prepared from raw columns.

use super::features::NamedFeatures;
use super::folder::embedding_width;
use super::rows::Rows;
use super::{ClassifyInput, ClassifySettings};
use crate::data::{Labels, ReadOptions, k_folds, open};
use crate::error::{Error, Result};
use crate::features::preparation::{Preparation, Target, Targets};
use crate::stages::extract::{EMBEDDING_COLUMN, ExtractSettings, OutputValue};
use crate::stages::model_folder::ModelFolder;
use crate::stages::prepared::{PreparedFeatures, RawReader, VectorSource, plan};

/// Folds of target encoding, as scikit-learn has them by default.
const TARGET_FOLDS: u32 = 5;

/// Prepared features, the preparation, and what was decided about the columns.
pub(super) struct Prepared {
    pub(super) features: NamedFeatures,
    pub(super) preparation: Preparation,
    pub(super) notes: Vec<String>,
}

/// Reads the raw columns and fits the preparation on the training rows.
pub(super) fn prepare(
    input: &ClassifyInput,
    asked: &PreparedFeatures,
    settings: &ClassifySettings,
    rows: &Rows,
) -> Result<Prepared> {
    let reserved: Vec<&str> =
        [Some(&settings.label_column), settings.group_column.as_ref(), settings.split_column.as_ref()]
            .into_iter()
            .flatten()
            .map(String::as_str)
            .collect();
    let mut plan = plan(input.features, &settings.feature_columns, &reserved, asked)?;
    let mut reader = RawReader::open(input.features, &plan.inputs, VectorSource::Columns)?;
    let columns = Some(reader.source_columns().to_vec());
    for chunk in open(input.features, &ReadOptions { columns, limit: input.limit, ..ReadOptions::default() })?
    {
        reader.push(&chunk?)?;
    }
    let (raw, vector_names) = reader.finish()?;
    let count = raw.table.rows();
    if count != rows.labels.len() {
        let problem = format!("holds {count} rows of features, there are {} labels", rows.labels.len());
        return Err(Error::data(input.features, problem, "give labels of the same rows in the same order"));
    }
    plan.inputs.vector_names = vector_names;
    if let Some((model, extract)) = input.encoder {
        check_encoder(model, extract, &plan.inputs.vector_columns, plan.inputs.vector_names.len())?;
    }
    let targets = targets(rows, settings)?;
    let (preparation, matrix) = Preparation::fit(
        plan.inputs,
        &raw,
        &rows.train,
        Some(&targets),
        asked.engineered.as_ref(),
        &asked.preparation,
        input.encoder.map(|(model, _)| &model.tokenizer),
    )?;
    let names = preparation.names();
    let mut notes = plan.notes;
    let widths = preparation.block_widths();
    let widths = widths.iter().map(|(block, width)| format!("{} {width}", block.name()));
    notes.push(format!("prepared features: {}", widths.collect::<Vec<_>>().join(", ")));
    Ok(Prepared { features: NamedFeatures { matrix, names }, preparation, notes })
}

fn targets(rows: &Rows, settings: &ClassifySettings) -> Result<Targets> {
    let target = Target::of(&rows.labels, &rows.train);
    let picked = |row: &u32| *row as usize;
    let labels = match &rows.labels {
        Labels::Single { names, ids } => Labels::Single {
            names: names.clone(),
            ids: rows.train.iter().map(|row| ids[picked(row)]).collect(),
        },
        Labels::Multi { names, sets } => Labels::Multi {
            names: names.clone(),
            sets: rows.train.iter().map(|row| sets[picked(row)].clone()).collect(),
        },
        Labels::Numbers(values) => {
            Labels::Numbers(rows.train.iter().map(|row| values[picked(row)]).collect())
        }
    };
    let groups: Option<Vec<String>> =
        rows.groups.as_ref().map(|groups| rows.train.iter().map(|row| groups[picked(row)].clone()).collect());
    let folds = k_folds(&labels, groups.as_deref(), TARGET_FOLDS.min(settings.folds), settings.seed)?;
    Ok(Targets { target, folds })
}

/// The vectors must be the encoder's sentence embeddings, or texts could not be classified.
fn check_encoder(
    model: &ModelFolder,
    extract: &ExtractSettings,
    vector_columns: &[String],
    dimensions: usize,
) -> Result<()> {
    let hint = "leave the encoder out: the classifier then takes feature files";
    if extract.output_value != OutputValue::SentenceEmbedding
        || vector_columns != [EMBEDDING_COLUMN.to_owned()]
    {
        return Err(Error::config("encoder", "the vectors are not its sentence embeddings alone", hint));
    }
    let width = embedding_width(model, &extract.embed);
    if width != dimensions {
        let problem = format!("it makes {width} dimensions, the features have {dimensions}");
        return Err(Error::config(
            "encoder",
            problem,
            "name the encoder and settings that made the features",
        ));
    }
    Ok(())
}
