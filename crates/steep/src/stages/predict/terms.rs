//! Predictions of a learner over n-grams, which needs no encoder.

use super::columns::PredictionColumns;
use super::predictor::labels_of;
use super::text::{TextRecipe, text_columns};
use super::{Job, PredictInput, PredictReport, PredictSettings, STAGE, files_digest};
use crate::error::{Error, Result};
use crate::features::matrix::Features;
use crate::features::tfidf::TfidfFeatures;
use crate::learners::head::Head;
use crate::progress::{Context, Silent};
use crate::stages::output::{Emit, RowBuffer, RowCounts};
use crate::storage::{read_json, write_json};
use std::path::Path;

/// The vocabularies with their weights.
pub(super) const VECTORIZER_FILE: &str = "vectorizer.json";

/// Writes a learner over n-grams into an existing folder, from which [`super::predict()`] classifies texts.
///
/// # Errors
/// A learner over other columns.
pub fn write_terms_folder(head: &Head, vectorizer: &TfidfFeatures, folder: &Path) -> Result<()> {
    check_width(folder, head, vectorizer)?;
    head.save(folder)?;
    write_json(&folder.join(VECTORIZER_FILE), vectorizer)
}

fn check_width(folder: &Path, head: &Head, vectorizer: &TfidfFeatures) -> Result<()> {
    let width: usize = vectorizer.vectorizers.iter().map(|one| one.vocabulary().len()).sum();
    if width == head.feature_count() {
        return Ok(());
    }
    let problem =
        format!("the classifier takes {} features, the vocabulary has {width}", head.feature_count());
    Err(Error::model(folder.display().to_string(), problem, "compare again"))
}

/// Predicts from texts.
pub(super) fn predict_terms(
    input: &PredictInput,
    settings: &PredictSettings,
    output: &Path,
    ctx: &Context,
) -> Result<PredictReport> {
    let head = Head::load(input.model)?;
    let vectorizer: TfidfFeatures = read_json(&input.model.join(VECTORIZER_FILE))?;
    check_width(input.model, &head, &vectorizer)?;
    let texts = text_columns(input, TextRecipe::load(input.model)?.as_ref())?;
    let columns = PredictionColumns::of(input.model, head.task(), labels_of(&head), settings)?;
    let digest = files_digest(input.model, &["head.json", "head.safetensors", VECTORIZER_FILE])?;
    let prepare = |rows: &RowBuffer| texts.of(rows);
    let compute = |(): &(), (texts, empty_texts): (Vec<String>, u64), emit: &mut Emit<'_>| {
        ctx.cancel.check()?;
        let silent = Context { progress: &Silent, cancel: ctx.cancel };
        let terms = Features::Sparse(vectorizer.transform(&texts, &silent)?);
        emit(0..texts.len(), &columns.arrays(&head.predict(&terms)?)?)?;
        ctx.progress.advance(texts.len() as u64);
        Ok(RowCounts { empty_texts, ..RowCounts::default() })
    };
    let job = Job { stage: STAGE, input, settings, digest: &digest, columns: &columns, read: texts.names() };
    job.run(&texts.key(), prepare, compute, output, ctx)
}
