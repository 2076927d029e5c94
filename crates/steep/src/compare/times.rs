//! What one run of each kind of stage takes on this machine, from a few seconds of real work.

use super::data::vocabulary_texts;
use super::learning::LearnerPlan;
use super::matrix_store::report_or;
use super::runner::{Runner, embed_rows};
use super::settings::{CompareSettings, FeatureSet, Route};
use crate::config::{Estimate, TrainingAmount, apply_dtype, estimate_embedding, estimate_training};
use crate::data::{LabelBudget, label_budget};
use crate::error::Result;
use crate::features::embed::Embedder;
use crate::features::matrix::Features;
use crate::features::tfidf::{TfidfFeatures, TfidfOptions};
use crate::progress::{Context, Silent};
use crate::stages::{adapt, estimate_contrastive, estimate_joint, finetune, stage_key};
use crate::text::vocabulary::WordCounts;
use serde::{Deserialize, Serialize};
use std::time::Instant;
use steep_encoder::{HeadKind, Model};

/// Training rows on which learners are timed.
const SAMPLE_ROWS: usize = 600;

/// Unlabelled texts whose words are counted for the time.
const SAMPLE_TEXTS: usize = 5_000;

/// One run of each kind of stage; none of what the routes do not need.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct StageTimes {
    /// Seconds of labelling without training.
    pub(super) zeroshot: f64,
    /// Seconds of choosing new tokens. Nearly all of it is counting words.
    pub(super) vocabulary: f64,
    /// Adapting to all unlabelled texts.
    pub(super) adapt: Option<Estimate>,
    /// Fine-tuning on all training rows.
    pub(super) finetune: Option<Estimate>,
    /// Training vectors on all training rows.
    pub(super) contrastive: Option<Estimate>,
    /// Training one network over texts and columns on all training rows; adapting before it changes nothing of that.
    pub(super) joint: Option<Estimate>,
    /// Vectors of all labelled rows in use.
    pub(super) embed: Option<Estimate>,
    /// Seconds of choosing and fitting a learner on vectors.
    pub(super) fit: f64,
    /// Seconds of n-grams with their learner.
    pub(super) tfidf: f64,
}

impl StageTimes {
    /// Measures each kind of stage. Learners are timed on some rows, and the time is taken to grow with the rows.
    pub(super) fn measure(runner: &Runner) -> Result<Self> {
        let routes = &runner.settings.routes;
        let needs = |is_wanted: fn(Route) -> bool| routes.iter().any(|route| is_wanted(*route));
        let has_texts = runner.prepared.unlabelled.is_some();
        let encodes = needs(|route| route.has_encoder() || route == Route::TableAsText);
        let adds_tokens = has_texts && needs(Route::extends_vocabulary);
        Ok(Self {
            zeroshot: if needs(|route| route == Route::Zeroshot) { runner.time_zeroshot()? } else { 0.0 },
            vocabulary: if adds_tokens { time_counting(runner)? } else { 0.0 },
            adapt: (has_texts && needs(Route::adapts)).then(|| estimate_adapting(runner)).transpose()?,
            finetune: needs(Route::trains_head).then(|| estimate_fine_tuning(runner)).transpose()?,
            contrastive: needs(Route::trains_vectors).then(|| estimate_vectors(runner)).transpose()?,
            joint: needs(Route::is_joint).then(|| estimate_network(runner)).transpose()?,
            embed: encodes.then(|| estimate_embeddings(runner)).transpose()?,
            fit: if encodes { time_learner(runner)? } else { 0.0 },
            tfidf: if needs(|route| route == Route::Tfidf) { time_tfidf(runner)? } else { 0.0 },
        })
    }

    /// The same, measured once: a comparison that goes on after a stop must plan as it did before.
    pub(super) fn stored_or_measured(runner: &Runner) -> Result<Self> {
        let labelled = &runner.prepared.labelled;
        let corpus = runner.prepared.unlabelled.as_ref().map_or("", |unlabelled| unlabelled.key.as_str());
        // Another budget changes no time.
        let settings = CompareSettings { budget: None, ..runner.settings.clone() };
        let key = stage_key("times", &[&runner.model.digest, &labelled.key, corpus], &settings);
        report_or(&runner.stage_folder("times"), &key, || Self::measure(runner))
    }
}

/// The seconds of counting the words of some texts, as many times as all are more.
fn time_counting(runner: &Runner) -> Result<f64> {
    let (mut counts, started) = (WordCounts::default(), Instant::now());
    let mut counted = 0;
    for texts in vocabulary_texts(runner.settings, runner.prepared)? {
        let texts = texts?;
        counted += texts.len();
        counts.add(&runner.model.tokenizer, &texts)?;
        if counted >= SAMPLE_TEXTS {
            break;
        }
    }
    let all = runner.prepared.unlabelled.as_ref().map_or(0, |unlabelled| unlabelled.corpus.len());
    Ok(started.elapsed().as_secs_f64() * all as f64 / counted.max(1) as f64)
}

fn estimate_adapting(runner: &Runner) -> Result<Estimate> {
    let settings = runner.adapt_settings(runner.settings.seeds[0]);
    let input = runner.adapt_input(runner.model, None);
    let (mut model, _) = adapt::load(&input, &settings)?;
    let objective = adapt::objective(&input, &settings)?;
    let general = input.general.map_or(0, crate::text::Encodings::len);
    let amount = TrainingAmount {
        rows: input.train_rows.len() as u64,
        evaluation_rows: (input.held_out_rows.len() + general) as u64,
    };
    estimate_training(&mut model, &objective, &settings.training, amount, runner.ctx.cancel)
}

fn estimate_fine_tuning(runner: &Runner) -> Result<Estimate> {
    let settings = runner.finetune_settings(runner.settings.seeds[0]);
    let input = runner.finetune_input(runner.model);
    let mut model = finetune::load(&input, &settings)?;
    let objective = finetune::objective(&input, &settings);
    let amount = TrainingAmount {
        rows: input.train_rows.len() as u64,
        evaluation_rows: input.validation_rows.len() as u64,
    };
    estimate_training(&mut model, &objective, &settings.training, amount, runner.ctx.cancel)
}

fn estimate_vectors(runner: &Runner) -> Result<Estimate> {
    let settings = runner.contrastive_settings(runner.settings.seeds[0]);
    estimate_contrastive(&runner.finetune_input(runner.model), &settings, runner.ctx.cancel)
}

fn estimate_network(runner: &Runner) -> Result<Estimate> {
    let settings = runner.joint_settings(runner.settings.seeds[0])?;
    let columns = runner.joint_columns()?;
    estimate_joint(&runner.joint_input(runner.model, &columns)?, &settings, runner.ctx.cancel)
}

fn estimate_embeddings(runner: &Runner) -> Result<Estimate> {
    let (mut weights, _) = Model::load(&runner.model.path, HeadKind::None, 0)?;
    let dtype = runner.settings.finetune.dtype;
    apply_dtype(dtype, &mut weights);
    let dense = runner.model.modules.as_ref().map_or(&[][..], |modules| &modules.dense);
    let embedder = Embedder::new(&weights, dense, runner.model.embed_settings(dtype))?;
    let rows = runner.all_rows().len() as u64;
    estimate_embedding(&embedder, &runner.prepared.labelled.encodings, rows, runner.ctx.cancel)
}

/// Some training rows, classes in proportion.
fn sample(runner: &Runner) -> Result<Vec<u32>> {
    let labelled = &runner.prepared.labelled;
    let budget = LabelBudget::Rows(SAMPLE_ROWS);
    label_budget(&labelled.rows.labels, &labelled.split.train, budget, runner.settings.seeds[0])
}

/// The seconds of `fit` on some rows, as many times as all training rows are more work.
fn scaled(runner: &Runner, plan: &LearnerPlan, sampled: &[u32], features: &Features) -> Result<f64> {
    let labelled = &runner.prepared.labelled;
    let silent = Context { progress: &Silent, cancel: runner.ctx.cancel };
    let started = Instant::now();
    plan.fit(features, labelled, sampled, Vec::new(), runner.settings.seeds[0], &silent)?;
    let work = plan.work(labelled.split.train.len())? / plan.work(sampled.len())?;
    Ok(started.elapsed().as_secs_f64() * work)
}

fn time_learner(runner: &Runner) -> Result<f64> {
    let (sampled, silent) = (sample(runner)?, Context { progress: &Silent, cancel: runner.ctx.cancel });
    let settings = runner.model.embed_settings(runner.settings.finetune.dtype);
    let encodings = &runner.prepared.labelled.encodings;
    let vectors = embed_rows(runner.model, &settings, encodings, &sampled, &silent)?;
    scaled(runner, &runner.plan(FeatureSet::Text), &sampled, &Features::Dense(vectors))
}

fn time_tfidf(runner: &Runner) -> Result<f64> {
    let (sampled, labelled) = (sample(runner)?, &runner.prepared.labelled);
    let silent = Context { progress: &Silent, cancel: runner.ctx.cancel };
    let texts: Vec<&str> = sampled.iter().map(|&row| labelled.rows.texts[row as usize].as_str()).collect();
    let started = Instant::now();
    let vectorizer =
        TfidfFeatures::fit(&texts, &[TfidfOptions::words(), TfidfOptions::characters()], &silent)?;
    let matrix = vectorizer.transform(&texts, &silent)?;
    let vectorising = started.elapsed().as_secs_f64();
    let vectorising = vectorising * runner.all_rows().len() as f64 / sampled.len() as f64;
    let plan = LearnerPlan::sparse(runner.settings, labelled.task());
    Ok(vectorising + scaled(runner, &plan, &sampled, &Features::Sparse(matrix))?)
}
