//! Which of several encoders is worth the time? Frozen vectors of a sample, judged on validation rows.

use super::data::{LabelledData, load_rows, part, targets};
use super::learning::LearnerPlan;
use super::matrix_store::{MatrixReport, stored_or};
use super::runner::embed_rows;
use super::score::{Scorer, metric_name};
use super::settings::CompareSettings;
use crate::data::{LabelBudget, Labels, Split, label_budget};
use crate::error::{Error, Result};
use crate::evaluation::bootstrap::{BootstrapOptions, Direction, Resampled, compare_resampled};
use crate::features::matrix::{DenseMatrix, Features};
use crate::features::scaling::Scaling;
use crate::progress::Context;
use crate::report::{RankedModel, Ranking};
use crate::stages::{ModelFolder, stage_key};
use crate::text::Encodings;
use std::path::Path;
use std::time::Instant;
use steep_encoder::{HeadKind, Model};

/// How candidates are ranked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RankingOptions {
    /// Training rows at most, and as many validation rows.
    pub max_samples: usize,
    /// So many encoders are kept, the best first.
    pub kept: usize,
}

/// Texts embedded before the clock starts, so that the first candidate does not pay for a cold machine.
const WARM_UP_ROWS: usize = 64;
/// Share of the resamples inside the intervals.
const CONFIDENCE: f64 = 0.95;

/// Ranks the encoders of some comparisons that differ in nothing else: the best score on validation rows first, the
/// quicker of equals. Gives the ranking and the places of the kept ones, the best first. Test rows are not looked at.
///
/// Vectors are kept in the output folder, so that a second call reads them.
///
/// # Errors
/// No candidates; a split without validation rows; an encoder that cannot be read.
pub fn rank(
    candidates: &[CompareSettings],
    options: &RankingOptions,
    ctx: &Context,
) -> Result<(Ranking, Vec<usize>)> {
    let first = candidates.first().ok_or_else(|| Error::config("models", "is empty", "name an encoder"))?;
    let labelled = sample(first, options.max_samples)?;
    let scorer = Scorer::new(first, &labelled, &labelled.split, Vec::new())?;
    let mut measured = Vec::with_capacity(candidates.len());
    for candidate in candidates {
        ctx.cancel.check()?;
        measured.push(measure(candidate, &labelled, &scorer, ctx)?);
    }
    let sign = if scorer.metric.is_greater_better() { 1.0 } else { -1.0 };
    let mut order: Vec<usize> = (0..measured.len()).collect();
    let rank = |at: &usize| (sign * measured[*at].0.score, measured[*at].0.tokens_per_second);
    order.sort_by(|a, b| {
        let (one, other) = (rank(a), rank(b));
        other.0.total_cmp(&one.0).then(other.1.total_cmp(&one.1))
    });
    let kept: Vec<usize> = order.iter().copied().take(options.kept.max(1)).collect();
    let best = &measured[order[0]].1;
    let direction = if sign > 0.0 { Direction::GreaterIsBetter } else { Direction::LesserIsBetter };
    let models = order.iter().map(|&at| {
        let (model, resampled) = &measured[at];
        let difference = compare_resampled(resampled, best, direction, first.rope)?.difference;
        Ok(RankedModel {
            difference: difference.estimate,
            difference_low: difference.low,
            difference_high: difference.high,
            is_kept: kept.contains(&at),
            ..model.clone()
        })
    });
    let ranking = Ranking {
        metric: metric_name(scorer.metric),
        train_rows: labelled.split.train.len() as u64,
        validation_rows: labelled.split.validation.len() as u64,
        models: models.collect::<Result<_>>()?,
    };
    for model in &ranking.models {
        ctx.progress.line(&line(model, &ranking.metric));
    }
    Ok((ranking, kept))
}

/// One line while candidates are ranked.
fn line(model: &RankedModel, metric: &str) -> String {
    format!(
        "{:<40} {metric} {:.4} [{:.4}, {:.4}]  {:>8.0} tokens/s  {:.0} M parameters{}",
        model.name,
        model.score,
        model.low,
        model.high,
        model.tokens_per_second,
        model.parameters as f64 / 1e6,
        if model.is_kept { "  kept" } else { "" }
    )
}

/// The rows that candidates are ranked on: some training and some validation rows, the same for all.
fn sample(settings: &CompareSettings, max_samples: usize) -> Result<LabelledData> {
    let rows = load_rows(settings)?;
    let (split, split_words) = part(settings, &rows, 0)?;
    let seed = settings.seeds[0];
    let split = Split {
        train: some_of(&rows.labels, &split.train, max_samples, seed)?,
        validation: some_of(&rows.labels, &split.validation, max_samples, seed)?,
        test: Vec::new(),
    };
    let (targets, names) = targets(&rows.labels);
    let fingerprint = crate::data::fingerprint(&settings.labelled.source)?;
    let key = stage_key("ranking sample", &[&fingerprint], &settings.labelled);
    let (encodings, digests) = (Encodings::default(), Vec::new());
    Ok(LabelledData { rows, split, split_words, targets, names, encodings, key, digests })
}

fn some_of(labels: &Labels, rows: &[u32], most: usize, seed: u64) -> Result<Vec<u32>> {
    if rows.is_empty() {
        let hint = "give validation_fraction above 0, or validation rows in split_column";
        return Err(Error::config(
            "models",
            "encoders are ranked on validation rows, and there are none",
            hint,
        ));
    }
    label_budget(labels, rows, LabelBudget::Rows(most), seed)
}

/// One candidate, with its score in every resample of the validation rows.
fn measure(
    settings: &CompareSettings,
    labelled: &LabelledData,
    scorer: &Scorer,
    ctx: &Context,
) -> Result<(RankedModel, Resampled)> {
    let model = ModelFolder::open(&settings.model)?;
    let (vectors, tokens, seconds) = vectors(settings, &model, labelled, ctx)?;
    let split = &labelled.split;
    let train = split.train.len() as u32;
    let rows = |range: std::ops::Range<u32>| vectors.select_rows(&range.collect::<Vec<_>>());
    let features = Features::Dense(rows(0..train));
    let plan = LearnerPlan::dense(settings, labelled.task(), Scaling::Standard);
    let learned = plan.fit(&features, labelled, &split.train, Vec::new(), settings.seeds[0], ctx)?;
    let predicted = learned.head.predict(&Features::Dense(rows(train..vectors.rows() as u32)))?;
    let metric = scorer.by_row(scorer.metric, &split.validation, &predicted)?;
    let options =
        BootstrapOptions { resamples: settings.resamples, confidence: CONFIDENCE, seed: settings.seeds[0] };
    let resampled = Resampled::new(&[&*metric], &options)?;
    let interval = resampled.interval();
    let (weights, _) = Model::load(&model.path, HeadKind::None, 0)?;
    let ranked = RankedModel {
        name: settings.model_name.clone(),
        score: interval.estimate,
        low: interval.low,
        high: interval.high,
        difference: 0.0,
        difference_low: 0.0,
        difference_high: 0.0,
        tokens_per_second: tokens as f64 / seconds.max(1e-9),
        tokens,
        parameters: weights.parameters.num_values() as u64,
        bytes: weight_bytes(&model.path),
        hidden_size: model.config.hidden_size as u64,
        layers: model.config.num_hidden_layers as u64,
        is_kept: false,
    };
    Ok((ranked, resampled))
}

/// Vectors of the training rows, then of the validation rows; the tokens they took, and the seconds.
fn vectors(
    settings: &CompareSettings,
    model: &ModelFolder,
    labelled: &LabelledData,
    ctx: &Context,
) -> Result<(DenseMatrix, u64, f64)> {
    let split = &labelled.split;
    let length = model.max_seq_length(settings.max_seq_length)?;
    let chosen: Vec<u32> = split.train.iter().chain(&split.validation).copied().collect();
    let texts: Vec<&str> = chosen.iter().map(|&row| labelled.rows.texts[row as usize].as_str()).collect();
    let encodings = model.tokenizer.encode(&texts, &model.encode_options(length))?;
    let embed = model.embed_settings(settings.finetune.dtype);
    let key = stage_key("ranking", &[&model.digest, &labelled.key], &(&embed, &chosen, length));
    let folder = settings.output_dir.join("stages").join("ranking").join(&key[..16]);
    let (vectors, report) = stored_or(&folder, &key, || {
        let all: Vec<u32> = (0..chosen.len() as u32).collect();
        embed_rows(model, &embed, &encodings, &all[..all.len().min(WARM_UP_ROWS)], ctx)?;
        let started = Instant::now();
        let vectors = embed_rows(model, &embed, &encodings, &all, ctx)?;
        Ok((vectors, MatrixReport { seconds: started.elapsed().as_secs_f64(), ..MatrixReport::default() }))
    })?;
    Ok((vectors, encodings.input_ids.len() as u64, report.seconds))
}

fn weight_bytes(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder).into_iter().flatten().filter_map(std::result::Result::ok);
    let weights = files.filter(|file| file.path().extension().is_some_and(|kind| kind == "safetensors"));
    weights.filter_map(|file| file.metadata().ok()).map(|about| about.len()).sum()
}
