//! Learners on the features of a route: chosen on folds of the training rows, fitted on all of them.

use super::data::LabelledData;
use super::features::PartedFeatures;
use super::settings::CompareSettings;
use crate::data::{Labels, Task, k_folds};
use crate::error::Result;
use crate::evaluation::metrics::Metric;
use crate::features::matrix::{DenseMatrix, Features};
use crate::features::scaling::{Scaler, Scaling};
use crate::learners::boosted_trees::TreeOptions;
use crate::learners::choice::{ChosenModel, LearnerChoice, LearnerScore};
use crate::learners::cross_validation::{CandidateScore, Selection};
use crate::learners::head::{Head, HeadNames};
use crate::learners::labels::Labels as Classes;
use crate::learners::learner::{LearnerName, LearnerOptions};
use crate::learners::network::NetworkOptions;
use crate::learners::targets::{GroupedTargets, Targets, group_numbers};
use crate::progress::Context;
use crate::random::Stream;
use crate::stages::Learners;
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// Rows on which learner and parameter are chosen at most: more change the choice little and cost much.
const MAX_SELECTION_ROWS: usize = 10_000;

/// Candidates for n-grams, whose unit-length rows need weak penalties, and the effort of choosing: a sparse fit
/// over many classes is slow, and the choice is coarse.
const SPARSE_C_GRID: [f64; 3] = [1.0, 10.0, 100.0];
const SPARSE_FOLDS: u32 = 3;
const SPARSE_SELECTION_ROWS: usize = 5_000;
const SPARSE_TOLERANCE: f64 = 1e-3;

/// Name of the random stream.
const SELECTION: u64 = 0x5345_4c43;

/// How learner and parameter are chosen: the same effort for every route.
#[derive(Debug, Clone)]
pub(super) struct LearnerPlan {
    choice: LearnerChoice,
    folds: u32,
    /// Rows looked at.
    rows: usize,
}

/// Which learner was taken, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct LearnerChosen {
    /// All learners that were tried.
    pub(super) scores: Vec<LearnerScore>,
    /// The place of the taken one.
    pub(super) best: usize,
    /// The weight of the vectors beside columns, where that was chosen.
    #[serde(default)]
    pub(super) vector_weight: Option<f64>,
}

impl LearnerChosen {
    pub(super) fn taken(&self) -> &LearnerScore {
        &self.scores[self.best]
    }
}

/// A fitted learner.
pub(super) struct Learned {
    pub(super) head: Head,
    pub(super) chosen: LearnerChosen,
    pub(super) seconds: f64,
}

impl LearnerPlan {
    /// For dense features. Those of a preparation are scaled already.
    pub(super) fn dense(settings: &CompareSettings, task: Task, scaling: Scaling) -> Self {
        let learners = learners(settings, task, false);
        let options = LearnerOptions { c_grid: settings.c_grid.clone(), ..options(settings) };
        let choice = LearnerChoice { learners, options, metric: metric(task), scaling };
        Self { choice, folds: settings.folds, rows: MAX_SELECTION_ROWS }
    }

    /// For n-grams.
    pub(super) fn sparse(settings: &CompareSettings, task: Task) -> Self {
        let options = LearnerOptions {
            c_grid: SPARSE_C_GRID.to_vec(),
            tolerance: SPARSE_TOLERANCE,
            ..options(settings)
        };
        let learners = learners(settings, task, true);
        let choice = LearnerChoice { learners, options, metric: metric(task), scaling: Scaling::None };
        Self { choice, folds: SPARSE_FOLDS, rows: SPARSE_SELECTION_ROWS }
    }

    /// The same with one learner, such as for the probabilities of others.
    pub(super) fn with_usual_learner(mut self, task: Task) -> Self {
        self.choice.learners = vec![usual(task)];
        self
    }

    /// What the choice depends on, for keys of stages.
    pub(super) fn key(&self) -> (Vec<LearnerName>, LearnerOptions, Scaling, u32, usize) {
        let choice = &self.choice;
        (choice.learners.clone(), choice.options.clone(), choice.scaling, self.folds, self.rows)
    }

    /// How much work choosing and fitting on so many rows is, in rows fitted.
    pub(super) fn work(&self, rows: usize) -> Result<f64> {
        let learners = self.choice.learners.iter();
        let counts = learners.map(|learner| Ok(self.choice.options.candidates(*learner)?.len().max(1)));
        let candidates: usize = counts.sum::<Result<usize>>()?;
        let looked_at = rows.min(self.rows) as f64;
        Ok(rows as f64 + looked_at * candidates as f64 * f64::from(self.folds - 1))
    }

    /// Chooses on some of the training rows and fits on all; `rows` are the rows' numbers in the labelled data.
    pub(super) fn fit(
        &self,
        features: &Features,
        labelled: &LabelledData,
        rows: &[u32],
        names: Vec<String>,
        seed: u64,
        ctx: &Context,
    ) -> Result<Learned> {
        let started = Instant::now();
        let targets = OwnedTargets::of(labelled, rows)?;
        let places = self.looked_at(rows.len(), seed);
        let picked: Vec<u32> = places.iter().map(|&place| rows[place as usize]).collect();
        let folds = folds_of(labelled, &picked, self.folds, seed)?;
        let chosen = if picked.len() == rows.len() {
            self.choice.fit(features, targets.view(), &folds, ctx)?
        } else {
            let some = OwnedTargets::of(labelled, &picked)?;
            let chosen = self.choice.fit(&features.select_rows(&places), some.view(), &folds, ctx)?;
            self.refit(chosen, features, targets.view(), ctx)?
        };
        let learner = LearnerChosen { scores: chosen.scores.clone(), best: chosen.best, vector_weight: None };
        let head = Head::new(chosen, head_names(labelled, names))?;
        Ok(Learned { head, chosen: learner, seconds: started.elapsed().as_secs_f64() })
    }

    /// The chosen learner on all rows; its calibration stays as the rows looked at gave it.
    fn refit(
        &self,
        chosen: ChosenModel,
        features: &Features,
        targets: GroupedTargets<'_>,
        ctx: &Context,
    ) -> Result<ChosenModel> {
        let score = &chosen.scores[chosen.best];
        ctx.progress.start(&format!("fit {}", score.learner.name()), None, "");
        let (scaler, scaled) = self.scaled(features)?;
        let mut model = None;
        let candidates = [score.selection.c];
        self.choice.options.fit_each(score.learner, &candidates, &scaled, targets, ctx, |fitted| {
            model = Some(fitted.model);
            Ok(())
        })?;
        ctx.progress.finish();
        Ok(ChosenModel { scaler, model: model.expect("a candidate gives a model"), ..chosen })
    }

    fn scaled(&self, features: &Features) -> Result<(Scaler, Features)> {
        let scaler = Scaler::fit(self.choice.scaling, features)?;
        let mut scaled = features.clone();
        scaler.transform(&mut scaled)?;
        Ok((scaler, scaled))
    }

    /// A learner with a known parameter on rows; used where the choice was made before, as on subsets and folds.
    pub(super) fn fit_known(
        &self,
        known: &LearnerScore,
        features: &Features,
        labelled: &LabelledData,
        rows: &[u32],
        seed: u64,
        ctx: &Context,
    ) -> Result<Head> {
        let targets = OwnedTargets::of(labelled, rows)?;
        let only = LearnerChoice {
            learners: vec![known.learner],
            options: LearnerOptions {
                c_grid: vec![known.selection.c],
                n_neighbors: vec![known.selection.c.max(1.0) as usize],
                ..self.choice.options.clone()
            },
            ..self.choice.clone()
        };
        let chosen = if known.learner.needs_calibration(targets.view().targets) {
            let folds = folds_of(labelled, rows, SPARSE_FOLDS, seed)?;
            only.fit(features, targets.view(), &folds, ctx)?
        } else {
            let (scaler, scaled) = self.scaled(features)?;
            let candidates = only.options.candidates(known.learner)?;
            let mut model = None;
            only.options.fit_each(known.learner, &candidates, &scaled, targets.view(), ctx, |fitted| {
                model = Some(fitted.model);
                Ok(())
            })?;
            let model = model.expect("a candidate gives a model");
            let scores = vec![known.clone()];
            ChosenModel { scores, best: 0, scaler, model, calibration: None, report: None, fit_seconds: 0.0 }
        };
        Head::new(chosen, head_names(labelled, Vec::new()))
    }

    /// The best candidate of each learner by its loss on the validation rows.
    pub(super) fn choose_on_validation(
        &self,
        features: &PartedFeatures,
        labelled: &LabelledData,
        seed: u64,
        ctx: &Context,
    ) -> Result<Vec<LearnerScore>> {
        let places = self.looked_at(labelled.split.train.len(), seed);
        let rows: Vec<u32> = places.iter().map(|&place| labelled.split.train[place as usize]).collect();
        let train = features.train.select_rows(&places);
        let (scaler, scaled) = self.scaled(&train)?;
        let mut validation = features.validation.clone();
        scaler.transform(&mut validation)?;
        let targets = OwnedTargets::of(labelled, &rows)?;
        let truth = OwnedTargets::of(labelled, &labelled.split.validation)?;
        let options = &self.choice.options;
        let silent = Context { progress: &crate::progress::Silent, cancel: ctx.cancel };
        let mut scores = Vec::new();
        for &learner in &self.choice.learners {
            let (started, candidates) = (Instant::now(), options.candidates(learner)?);
            let mut losses = Vec::with_capacity(candidates.len());
            if learner.needs_calibration(targets.view().targets) {
                for &c in &candidates {
                    let selection = Selection { candidates: Vec::new(), c };
                    let known = LearnerScore { learner, parameter: None, selection, seconds: 0.0 };
                    let head = self.fit_known(&known, &train, labelled, &rows, seed, &silent)?;
                    losses.push(truth.loss(&head.predict(&features.validation)?, self.choice.metric)?);
                }
            } else {
                options.fit_each(learner, &candidates, &scaled, targets.view(), ctx, |fitted| {
                    losses.push(truth.loss(&fitted.model.outputs(&validation)?, self.choice.metric)?);
                    ctx.cancel.check()
                })?;
            }
            let scored = candidates.iter().zip(&losses);
            let scored: Vec<CandidateScore> =
                scored.map(|(&c, &loss)| CandidateScore { c, fold_scores: vec![loss], mean: loss }).collect();
            let best = scored.iter().min_by(|a, b| a.mean.total_cmp(&b.mean)).map_or(1.0, |best| best.c);
            let parameter = learner.parameter().map(str::to_owned);
            let selection = Selection { candidates: scored, c: best };
            let seconds = started.elapsed().as_secs_f64();
            scores.push(LearnerScore { learner, parameter, selection, seconds });
        }
        Ok(scores)
    }

    /// The places of the rows on which is chosen, ascending: all, or a sample.
    fn looked_at(&self, rows: usize, seed: u64) -> Vec<u32> {
        let mut places: Vec<u32> = (0..rows as u32).collect();
        if places.len() > self.rows {
            Stream::new(seed, &[SELECTION]).shuffle(&mut places);
            places.truncate(self.rows);
            places.sort_unstable();
        }
        places
    }

    /// Outputs of every training row by a model that has not seen it: `[rows, outputs]`.
    pub(super) fn out_of_fold(
        &self,
        known: &LearnerScore,
        features: &Features,
        labelled: &LabelledData,
        rows: &[u32],
        seed: u64,
        ctx: &Context,
    ) -> Result<DenseMatrix> {
        let folds = folds_of(labelled, rows, self.folds, seed)?;
        let mut outputs: Vec<Option<Vec<f32>>> = vec![None; rows.len()];
        let mut width = 0;
        ctx.progress.start("out-of-fold", Some(u64::from(self.folds)), "fits");
        for fold in 0..self.folds {
            let (held_out, others): (Vec<u32>, Vec<u32>) =
                (0..rows.len() as u32).partition(|&place| folds[place as usize] == fold);
            if held_out.is_empty() {
                continue;
            }
            let training: Vec<u32> = others.iter().map(|&place| rows[place as usize]).collect();
            let silent = Context { progress: &crate::progress::Silent, cancel: ctx.cancel };
            let head =
                self.fit_known(known, &features.select_rows(&others), labelled, &training, seed, &silent)?;
            let predicted = head.predict(&features.select_rows(&held_out))?;
            width = predicted.columns();
            for (from, &place) in held_out.iter().enumerate() {
                outputs[place as usize] = Some(predicted.row(from).to_vec());
            }
            ctx.progress.advance(1);
        }
        ctx.progress.finish();
        let values = outputs.into_iter().flat_map(|row| row.unwrap_or_else(|| vec![0.0; width])).collect();
        DenseMatrix::new(rows.len(), width, values)
    }
}

/// The learners for the task; n-grams are for those that take sparse rows.
fn learners(settings: &CompareSettings, task: Task, is_sparse: bool) -> Vec<LearnerName> {
    let sparse =
        [LearnerName::LogisticRegression, LearnerName::LinearSvm, LearnerName::Ridge, LearnerName::Majority];
    let named = match &settings.learner.learners {
        Learners::Usual => Vec::new(),
        Learners::All => LearnerName::ALL.map(|(_, learner)| learner).to_vec(),
        Learners::Named(names) => names.clone(),
    };
    let is_able = |learner: &LearnerName| {
        (task != Task::Regression || learner.is_for_values()) && (!is_sparse || sparse.contains(learner))
    };
    let mut able: Vec<LearnerName> = named.into_iter().filter(is_able).collect();
    if able.is_empty() {
        able.push(usual(task));
    }
    able
}

fn usual(task: Task) -> LearnerName {
    if task == Task::Regression { LearnerName::Ridge } else { LearnerName::LogisticRegression }
}

/// What decides between learners and parameters: log-loss uses more of each prediction than a count of hits does.
fn metric(task: Task) -> Metric {
    if task == Task::Regression { Metric::MeanSquaredError } else { Metric::LogLoss }
}

fn options(settings: &CompareSettings) -> LearnerOptions {
    let (own, seed) = (&settings.learner, settings.seeds[0]);
    LearnerOptions {
        l1_ratio: own.l1_ratio,
        n_neighbors: own.n_neighbors.clone(),
        metric: own.distance,
        weights: own.neighbor_weights,
        shrinkage: own.shrinkage,
        boosted_trees: TreeOptions { seed, ..own.boosted_trees.clone() },
        mlp: NetworkOptions { seed, ..own.mlp.clone() },
        calibration: own.calibration,
        ..LearnerOptions::default()
    }
}

fn head_names(labelled: &LabelledData, features: Vec<String>) -> HeadNames {
    let task = labelled.task();
    let classes = if task == Task::Regression { Vec::new() } else { labelled.names.clone() };
    HeadNames { task, classes, features }
}

/// Folds of some rows of the labelled data, stratified; groups stay together.
pub(super) fn folds_of(labelled: &LabelledData, rows: &[u32], folds: u32, seed: u64) -> Result<Vec<u32>> {
    let groups = labelled.rows.groups.as_ref();
    let groups: Option<Vec<String>> =
        groups.map(|groups| rows.iter().map(|&row| groups[row as usize].clone()).collect());
    k_folds(&picked_labels(&labelled.rows.labels, rows), groups.as_deref(), folds, seed)
}

/// The labels of some rows.
pub(super) fn picked_labels(labels: &Labels, rows: &[u32]) -> Labels {
    let picked = || rows.iter().map(|&row| row as usize);
    match labels {
        Labels::Single { names, ids } => {
            Labels::Single { names: names.clone(), ids: picked().map(|row| ids[row]).collect() }
        }
        Labels::Multi { names, sets } => {
            Labels::Multi { names: names.clone(), sets: picked().map(|row| sets[row].clone()).collect() }
        }
        Labels::Numbers(values) => Labels::Numbers(picked().map(|row| values[row]).collect()),
    }
}

/// The targets and groups of some rows.
struct OwnedTargets {
    targets: OwnedValues,
    groups: Option<Vec<u32>>,
}

enum OwnedValues {
    Classes(Classes),
    Values(Vec<f64>),
}

impl OwnedTargets {
    fn of(labelled: &LabelledData, rows: &[u32]) -> Result<Self> {
        let targets = match labelled.classes(rows)? {
            Some(classes) => OwnedValues::Classes(classes),
            None => OwnedValues::Values(labelled.numbers(rows)),
        };
        let groups = labelled.rows.groups.as_ref();
        let groups = groups.map(|of| group_numbers(rows.iter().map(|&row| of[row as usize].as_str())));
        Ok(Self { targets, groups })
    }

    /// How far outputs are from these targets; smaller is better.
    fn loss(&self, outputs: &DenseMatrix, metric: Metric) -> Result<f64> {
        match &self.targets {
            OwnedValues::Classes(Classes::SingleLabel { indices, .. }) => metric.of_classes(indices, outputs),
            OwnedValues::Classes(Classes::MultiLabel { members, .. }) => metric.of_labels(members, outputs),
            OwnedValues::Values(values) => {
                let found: Vec<f64> = outputs.values().iter().map(|value| f64::from(*value)).collect();
                metric.of_values(values, &found)
            }
        }
    }

    fn view(&self) -> GroupedTargets<'_> {
        let targets = match &self.targets {
            OwnedValues::Classes(classes) => Targets::Classes(classes),
            OwnedValues::Values(values) => Targets::Values(values),
        };
        GroupedTargets { targets, groups: self.groups.as_deref() }
    }
}
