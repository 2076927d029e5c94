//! Predictions from raw columns, by a classifier with a preparation.

use super::columns::PredictionColumns;
use super::predictor::{Predictor, labels_of};
use super::text::text_columns;
use super::{Job, PredictInput, PredictReport, PredictSettings, STAGE, files_digest};
use crate::error::{Error, Result};
use crate::features::matrix::Features;
use crate::features::preparation::{
    PREPARATION_FILE, PREPARATION_TENSORS, Preparation, PreparationInputs, RawRows,
};
use crate::learners::head::Head;
use crate::progress::Context;
use crate::stages::output::{Emit, PreparedTexts, RowBuffer, RowCounts, TextPreparation};
use crate::stages::prepared::{RawReader, VectorSource};
use crate::text::EncodeOptions;
use std::path::Path;

/// Predicts from the columns of a source alone.
pub(super) fn predict_columns(
    input: &PredictInput,
    settings: &PredictSettings,
    output: &Path,
    ctx: &Context,
) -> Result<PredictReport> {
    let head = Head::load(input.model)?;
    let preparation = Preparation::load(input.model)?;
    check_width(input.model, &preparation, head.feature_count())?;
    if preparation.needs_tokenizer() {
        let problem = "holds engineered columns of a tokenizer and no tokenizer";
        return Err(Error::model(input.model.display().to_string(), problem, "run classify again"));
    }
    let reader = RawReader::open(input.source, &inputs(&preparation, input), VectorSource::Columns)?;
    let columns = PredictionColumns::of(input.model, head.task(), labels_of(&head), settings)?;
    let files = ["head.json", "head.safetensors", PREPARATION_FILE, PREPARATION_TENSORS];
    let digest = files_digest(input.model, &files)?;
    let compute = |(): &(), raw: RawRows, emit: &mut Emit<'_>| {
        ctx.cancel.check()?;
        let rows = raw.table.rows();
        let features = Features::Dense(preparation.transform(&raw, None)?);
        emit(0..rows, &columns.arrays(&head.predict(&features)?)?)?;
        ctx.progress.advance(rows as u64);
        Ok(RowCounts::default())
    };
    let read = reader.source_columns();
    let job = Job { stage: STAGE, input, settings, digest: &digest, columns: &columns, read };
    job.run(&read.join("\u{1f}"), |rows| raw_rows(&reader, rows), compute, output, ctx)
}

/// Predicts from texts and the columns beside them.
pub(super) fn predict_texts_and_columns(
    predictor: &Predictor,
    preparation: &Preparation,
    options: EncodeOptions,
    input: &PredictInput,
    settings: &PredictSettings,
    output: &Path,
    ctx: &Context,
) -> Result<PredictReport> {
    let inputs = inputs(preparation, input);
    let reader = RawReader::open(input.source, &inputs, VectorSource::Encoder)?;
    let texts = text_columns(input, predictor.text_recipe().as_ref())?;
    let labels = predictor.labels().to_vec();
    let columns = PredictionColumns::of(input.model, predictor.task(), labels, settings)?;
    let mut read = reader.source_columns().to_vec();
    read.extend(texts.names().iter().filter(|name| !reader.source_columns().contains(name)).cloned());
    let preparation = TextPreparation {
        tokenizer: predictor.tokenizer(),
        columns: &texts,
        options,
        max_tokens: settings.max_tokens,
    };
    let prepare = |rows: &RowBuffer| Ok((preparation.prepare(rows)?, raw_rows(&reader, rows)?));
    let compute = |(): &(), (texts, raw): (PreparedTexts, RawRows), emit: &mut Emit<'_>| {
        let predicted = predictor.predict_prepared(&texts.encodings, &texts.plan, raw, ctx)?;
        emit(0..texts.encodings.len(), &columns.arrays(&predicted)?)?;
        Ok(RowCounts { repeated_texts: texts.plan.repeated() as u64, ..texts.counts() })
    };
    let key = format!("{} {}", texts.key(), read.join("\u{1f}"));
    let digest = predictor.digest();
    let job = Job { stage: STAGE, input, settings, digest, columns: &columns, read: &read };
    job.run(&key, prepare, compute, output, ctx)
}

/// What is read: as in training, but for text columns that are named anew.
fn inputs(preparation: &Preparation, input: &PredictInput) -> PreparationInputs {
    let mut inputs = preparation.inputs().clone();
    if preparation.needs_texts() && !input.text_columns.is_empty() {
        inputs.text_columns.clone_from(&input.text_columns);
    }
    if let Some(delimiter) = &input.text_column_delimiter {
        inputs.text_column_delimiter.clone_from(delimiter);
    }
    inputs
}

/// The preparation must make the features that the classifier takes.
pub(super) fn check_width(folder: &Path, preparation: &Preparation, expected: usize) -> Result<()> {
    let width = preparation.names().len();
    if width == expected {
        return Ok(());
    }
    let problem = format!("the preparation makes {width} features, the classifier takes {expected}");
    Err(Error::model(folder.display().to_string(), problem, "run classify again"))
}

/// The raw rows of a buffer.
pub(super) fn raw_rows(reader: &RawReader, rows: &RowBuffer) -> Result<RawRows> {
    let mut reader = reader.clone();
    rows.chunks.iter().try_for_each(|chunk| reader.push(chunk))?;
    Ok(reader.finish()?.0)
}

#[cfg(test)]
mod tests;
