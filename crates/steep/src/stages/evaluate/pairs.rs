//! What do vectors say of pairs of texts?

use super::rows::{column_name, strings, values};
use super::{EvaluationReport, EvaluationTask, VECTORS, named};
use crate::error::{Error, Result};
use crate::evaluation::embeddings::alignment::{alignment, uniformity};
use crate::evaluation::embeddings::similarity::similarity_correlations;
use crate::features::matrix::DenseMatrix;
use crate::progress::Context;
use crate::stages::embed_texts::TextEmbedder;
use crate::stages::{ExtractSettings, ModelFolder};
use std::collections::{BTreeMap, BTreeSet};

/// Pairs of texts.
pub struct PairInput<'a> {
    /// The encoder.
    pub model: &'a ModelFolder,
    /// The rows, each with two texts.
    pub source: &'a str,
    /// The column of the first texts; none for `sentence1`.
    pub first_column: Option<String>,
    /// The column of the second texts; none for `sentence2`.
    pub second_column: Option<String>,
    /// The column of the scores; none for `score`.
    pub score_column: Option<String>,
    /// Only so many rows.
    pub limit: Option<u64>,
}

impl PairInput<'_> {
    fn scores(&self) -> Result<Vec<f64>> {
        let column =
            found(self.source, self.score_column.as_ref(), &["score", "label"], "score_column_name")?;
        values(self.source, &column, self.limit)
    }

    /// First and second texts.
    fn texts(&self) -> Result<[Vec<String>; 2]> {
        let columns = [
            (&self.first_column, "sentence1", "sentence1_column_name"),
            (&self.second_column, "sentence2", "sentence2_column_name"),
        ];
        let [first, second] = columns.map(|(asked, usual, key)| {
            strings(self.source, &found(self.source, asked.as_ref(), &[usual], key)?, self.limit)
        });
        Ok([first?, second?])
    }
}

fn found(source: &str, asked: Option<&String>, usual: &[&str], key: &str) -> Result<String> {
    column_name(source, asked, usual)?.ok_or_else(|| {
        let problem = format!("there is no column {}", usual[0]);
        Error::data(source, problem, format!("name the column with --{key}"))
    })
}

/// How vectors' similarities of pairs go with scores that people gave: correlations, by similarity.
///
/// # Errors
/// Missing columns, texts or scores; what embedding gives; a stop on request.
pub fn evaluate_sts(
    input: &PairInput,
    settings: &ExtractSettings,
    ctx: &Context,
) -> Result<EvaluationReport> {
    let (scores, texts) = (input.scores()?, input.texts()?);
    let pairs = Embedded::of(input.model, settings, &texts, ctx)?;
    let correlations = similarity_correlations(&pairs.side(&texts[0])?, &pairs.side(&texts[1])?, &scores)?;
    let digest = Some(input.model.digest.as_str());
    let report = EvaluationReport::new(EvaluationTask::Sts, digest, [("pairs", scores.len())]);
    Ok(correlations.into_iter().fold(report, |report, (name, of)| {
        report.with(name, named([("spearman", of.spearman), ("pearson", of.pearson)]))
    }))
}

/// Whether vectors keep near the texts of pairs that belong together (those with a score of at least `positive_score`, all if
/// there is none) and spread all different texts over the sphere.
///
/// # Errors
/// As of [`evaluate_sts`]; no pairs that belong together.
pub fn evaluate_alignment(
    input: &PairInput,
    positive_score: Option<f64>,
    settings: &ExtractSettings,
    ctx: &Context,
) -> Result<EvaluationReport> {
    let texts = input.texts()?;
    let is_positive: Vec<bool> = match positive_score {
        Some(least) => input.scores()?.into_iter().map(|score| score >= least).collect(),
        None => vec![true; texts[0].len()],
    };
    let embedded = Embedded::of(input.model, settings, &texts, ctx)?;
    let positive = |side: &[String]| -> Vec<String> {
        side.iter().zip(&is_positive).filter(|(_, keep)| **keep).map(|(text, _)| text.clone()).collect()
    };
    let sides = [positive(&texts[0]), positive(&texts[1])];
    let near = alignment(&embedded.side(&sides[0])?, &embedded.side(&sides[1])?)?;
    let spread = uniformity(&embedded.vectors)?;
    let counts =
        [("pairs", texts[0].len()), ("positive_pairs", sides[0].len()), ("texts", embedded.vectors.rows())];
    let report = EvaluationReport::new(EvaluationTask::Alignment, Some(&input.model.digest), counts);
    Ok(report.with(VECTORS, named([("alignment", Some(near)), ("uniformity", Some(spread))])))
}

/// The vectors of the different texts of pairs.
struct Embedded<'a> {
    rows: BTreeMap<&'a str, usize>,
    vectors: DenseMatrix,
}

impl<'a> Embedded<'a> {
    fn of(
        model: &ModelFolder,
        settings: &ExtractSettings,
        texts: &'a [Vec<String>; 2],
        ctx: &Context,
    ) -> Result<Self> {
        let distinct: BTreeSet<&str> = texts.iter().flatten().map(String::as_str).collect();
        let distinct: Vec<&str> = distinct.into_iter().collect();
        let vectors = TextEmbedder::load(model, settings)?.embed(&distinct, None, ctx)?;
        Ok(Self { rows: distinct.into_iter().zip(0..).collect(), vectors })
    }

    /// The vectors of texts that are among these.
    fn side(&self, texts: &[String]) -> Result<DenseMatrix> {
        let values = texts.iter().flat_map(|text| self.vectors.row(self.rows[text.as_str()])).copied();
        DenseMatrix::new(texts.len(), self.vectors.columns(), values.collect())
    }
}
