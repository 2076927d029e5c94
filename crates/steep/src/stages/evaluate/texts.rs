//! What do vectors say of texts, one by one?

use super::rows::{strings, texts};
use super::{EvaluationReport, EvaluationTask, VECTORS, named};
use crate::error::Result;
use crate::evaluation::embeddings::clustering::{cluster_agreement, k_means};
use crate::evaluation::embeddings::drift::drift;
use crate::features::matrix::DenseMatrix;
use crate::progress::Context;
use crate::stages::embed_texts::TextEmbedder;
use crate::stages::{CorpusInput, ExtractSettings, ModelFolder};
use std::collections::BTreeMap;

/// An encoder with its way of making vectors.
pub struct EvaluatedModel<'a> {
    /// The encoder.
    pub model: &'a ModelFolder,
    /// How vectors are made.
    pub settings: ExtractSettings,
}

impl EvaluatedModel<'_> {
    fn embed(&self, texts: &[String], ctx: &Context) -> Result<DenseMatrix> {
        TextEmbedder::load(self.model, &self.settings)?.embed(texts, None, ctx)
    }
}

fn read(input: &CorpusInput) -> Result<Vec<String>> {
    texts(input.source, &input.text_columns, &input.text_column_delimiter, input.limit)
}

/// How differently an encoder and another one, such as the one it was trained from, see the same texts. Equal texts count once.
///
/// # Errors
/// What reading and embedding give; not more texts than `neighbours`; a stop on request.
pub fn evaluate_drift(
    input: &CorpusInput,
    models: [&EvaluatedModel; 2],
    neighbours: usize,
    ctx: &Context,
) -> Result<EvaluationReport> {
    let mut texts = read(input)?;
    texts.sort_unstable();
    texts.dedup();
    let [first, second] = models.map(|model| model.embed(&texts, ctx));
    let found = drift(&first?, &second?, neighbours, ctx)?;
    let overlap = format!("neighbour_overlap@{neighbours}");
    let scores = named([
        ("cka", found.cka),
        (&overlap, Some(found.neighbour_overlap)),
        ("procrustes_cosine", found.procrustes_cosine),
    ]);
    let digest = Some(models[0].model.digest.as_str());
    let report = EvaluationReport::new(EvaluationTask::Drift, digest, [("texts", texts.len())]);
    Ok(report.with(VECTORS, scores))
}

/// Texts with a label each.
pub struct LabelledTexts<'a> {
    /// The texts.
    pub texts: CorpusInput<'a>,
    /// The column of the labels.
    pub label_column: String,
}

/// How well clusters of vectors follow the labels: k-means with as many clusters as labels, if not asked otherwise.
///
/// # Errors
/// What reading and embedding give; a missing label; fewer texts than clusters; a stop on request.
pub fn evaluate_clustering(
    input: &LabelledTexts,
    model: &EvaluatedModel,
    clusters: Option<usize>,
    seed: u64,
    ctx: &Context,
) -> Result<EvaluationReport> {
    let labels = strings(input.texts.source, &input.label_column, input.texts.limit)?;
    let vectors = model.embed(&read(&input.texts)?, ctx)?;
    let mut numbers: BTreeMap<&str, u32> = labels.iter().map(|label| (label.as_str(), 0)).collect();
    numbers.values_mut().zip(0..).for_each(|(number, next)| *number = next);
    let classes: Vec<u32> = labels.iter().map(|label| numbers[label.as_str()]).collect();
    let clusters = clusters.unwrap_or(numbers.len());
    let found = cluster_agreement(&classes, &k_means(&vectors, clusters, seed, ctx)?)?;
    let counts = [("texts", labels.len()), ("labels", numbers.len()), ("clusters", clusters)];
    let report = EvaluationReport::new(EvaluationTask::Clustering, Some(&model.model.digest), counts);
    let scores = [
        ("homogeneity", Some(found.homogeneity)),
        ("completeness", Some(found.completeness)),
        ("v_measure", Some(found.v_measure)),
        ("adjusted_rand", Some(found.adjusted_rand)),
    ];
    Ok(report.with(VECTORS, named(scores)))
}
