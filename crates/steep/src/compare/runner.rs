//! Runs the stages of the routes: each once, whatever the number of routes that share it.

use super::data::Prepared;
use super::matrix_store::{MatrixReport, stored_or};
use super::settings::{CompareSettings, Route};
use crate::config::apply_dtype;
use crate::data::{Task, k_folds};
use crate::error::Result;
use crate::features::embed::Embedder;
use crate::features::matrix::{DenseMatrix, Features};
use crate::features::scaling::{Scaler, Scaling};
use crate::features::tfidf::{TfidfFeatures, TfidfOptions};
use crate::learners::cross_validation::LogisticRegressionCv;
use crate::learners::labels::SampleWeights;
use crate::learners::linear_head::{HeadParts, LinearHead};
use crate::learners::logistic_regression::{LogisticRegression, TrainingRows};
use crate::learners::majority::{MajorityClassifier, MeanRegression};
use crate::learners::ridge::RidgeRegression;
use crate::objectives::AdaptObjective;
use crate::progress::Context;
use crate::report::StageSeconds;
use crate::stages::{
    AdaptInput, AdaptReport, AdaptSettings, FinetuneInput, FinetuneReport, FinetuneSettings, ModelFolder,
    Predictor, adapt, finetune, stage_key,
};
use crate::storage::{Artefact, ArtefactWriter};
use crate::text::Encodings;
use crate::training::{LogEntry, TrainingSettings};
use std::path::{Path, PathBuf};
use std::time::Instant;
use steep_encoder::{HeadKind, Model};

/// Rows on which the penalty is chosen at most: more change the choice little and cost much.
const MAX_SELECTION_ROWS: usize = 10_000;

/// Inverse penalty of ridge regression, as 1 / alpha.
const RIDGE_C: f64 = 1.0;

/// Candidates for n-grams, whose unit-length rows need weak penalties, and the effort of choosing: a sparse fit
/// over many classes is slow, and the choice is coarse.
const TFIDF_C_GRID: [f64; 3] = [1.0, 10.0, 100.0];
const TFIDF_FOLDS: u32 = 3;
const TFIDF_SELECTION_ROWS: usize = 5_000;
const TFIDF_TOLERANCE: f64 = 1e-3;

/// How the penalty of the common learner is chosen.
struct Choice {
    cv: LogisticRegressionCv,
    folds: u32,
    /// Rows looked at.
    rows: usize,
}

/// What one route predicted for the test rows, one way.
#[derive(Debug, Clone)]
pub(super) struct Prediction {
    /// Probabilities of classes or labels, or the numbers: [test rows, outputs].
    pub(super) values: DenseMatrix,
    pub(super) c: Option<f64>,
    pub(super) seconds: StageSeconds,
}

/// An encoder that some stages made.
pub(super) struct MadeEncoder {
    pub(super) folder: PathBuf,
    /// Seconds of the stages that led to it.
    pub(super) seconds: StageSeconds,
    /// Stage name, seed and log of each training it went through.
    pub(super) logs: Vec<(String, u64, Vec<LogEntry>)>,
}

pub(super) struct Runner<'a> {
    pub(super) settings: &'a CompareSettings,
    pub(super) model: &'a ModelFolder,
    pub(super) prepared: &'a Prepared,
    pub(super) general: Option<&'a Encodings>,
    pub(super) ctx: &'a Context<'a>,
}

impl Runner<'_> {
    fn stage_folder(&self, name: &str) -> PathBuf {
        self.settings.output_dir.join("stages").join(name)
    }

    /// The encoder of a route. Adapting draws from the first seed, so that it runs once.
    pub(super) fn encoder(&self, route: Route, seed: u64) -> Result<MadeEncoder> {
        let base = MadeEncoder {
            folder: self.model.path.clone(),
            seconds: StageSeconds::default(),
            logs: Vec::new(),
        };
        let first = self.settings.seeds[0];
        match route {
            Route::Majority | Route::Tfidf | Route::Frozen => Ok(base),
            Route::Adapted => self.adapted(base, "adapted", first),
            Route::Finetuned => self.finetuned(base, "finetuned", seed),
            Route::AdaptedFinetuned => {
                let adapted = self.adapted(base, "adapted", first)?;
                self.finetuned(adapted, "adapted+finetuned", seed)
            }
            Route::FinetunedAdapted => {
                let finetuned = self.finetuned(base, "finetuned", seed)?;
                self.adapted(finetuned, "finetuned+adapted", seed)
            }
        }
    }

    pub(super) fn adapt_settings(&self, seed: u64) -> AdaptSettings {
        AdaptSettings {
            objective: AdaptObjective::Mlm,
            masking: self.settings.masking,
            training: TrainingSettings { seed, ..self.settings.adapt.clone() },
            max_seq_length: self.prepared.max_seq_length,
        }
    }

    /// What `model` adapts to; called where there are unlabelled texts.
    pub(super) fn adapt_input<'b>(
        &'b self,
        model: &'b ModelFolder,
        head_source: Option<&'b Path>,
    ) -> AdaptInput<'b> {
        let unlabelled = self.prepared.unlabelled.as_ref().expect("adapting routes run with texts only");
        AdaptInput {
            model,
            head_source,
            sequences: &unlabelled.corpus,
            corpus_key: &unlabelled.key,
            train_rows: unlabelled.train_rows.clone(),
            held_out_rows: unlabelled.held_out_rows.clone(),
            general: self.general,
        }
    }

    fn adapted(&self, from: MadeEncoder, name: &str, seed: u64) -> Result<MadeEncoder> {
        let model = ModelFolder::open(&from.folder)?;
        let head_source = (from.folder != self.model.path).then_some(self.model.path.as_path());
        let input = self.adapt_input(&model, head_source);
        let folder = self.stage_folder(&stage_name(name, seed, self.settings));
        let report: AdaptReport = adapt(&input, &self.adapt_settings(seed), &folder, self.ctx)?;
        let mut made = MadeEncoder { folder, ..from };
        made.seconds.adapt += report.seconds;
        made.logs.push((name.to_owned(), seed, report.log_history));
        Ok(made)
    }

    pub(super) fn finetune_settings(&self, seed: u64) -> FinetuneSettings {
        FinetuneSettings {
            classification: self.settings.classification.clone(),
            training: TrainingSettings { seed, ..self.settings.finetune.clone() },
            max_seq_length: self.prepared.max_seq_length,
        }
    }

    pub(super) fn finetune_input<'b>(&'b self, model: &'b ModelFolder) -> FinetuneInput<'b> {
        let labelled = &self.prepared.labelled;
        FinetuneInput {
            model,
            sequences: &labelled.encodings,
            data_key: &labelled.key,
            targets: &labelled.targets,
            labels: labelled.names.clone(),
            train_rows: labelled.split.train.clone(),
            validation_rows: labelled.split.validation.clone(),
        }
    }

    fn finetuned(&self, from: MadeEncoder, name: &str, seed: u64) -> Result<MadeEncoder> {
        let model = ModelFolder::open(&from.folder)?;
        let folder = self.stage_folder(&stage_name(name, seed, self.settings));
        let input = self.finetune_input(&model);
        let report: FinetuneReport = finetune(&input, &self.finetune_settings(seed), &folder, self.ctx)?;
        let mut made = MadeEncoder { folder, ..from };
        made.seconds.finetune += report.seconds;
        made.logs.push((name.to_owned(), seed, report.log_history));
        Ok(made)
    }

    /// Predictions of the fine-tuned network's own head.
    pub(super) fn own_head(&self, encoder: &MadeEncoder) -> Result<Prediction> {
        let labelled = &self.prepared.labelled;
        let model = ModelFolder::open(&encoder.folder)?;
        let key = stage_key("own head", &[&model.digest, &labelled.key], &labelled.split.test);
        let folder = self.companion(encoder, "own-head");
        let (values, report) = stored_or(&folder, &key, || {
            let started = Instant::now();
            let predictor = Predictor::open(&encoder.folder, Some(self.settings.finetune.dtype))?;
            self.ctx.progress.start("predicting", Some(labelled.split.test.len() as u64), "texts");
            let values = predictor.predict(&labelled.encodings, &labelled.split.test, self.ctx)?;
            self.ctx.progress.finish();
            let seconds = started.elapsed().as_secs_f64();
            Ok((values, MatrixReport { seconds, ..MatrixReport::default() }))
        })?;
        let seconds = StageSeconds { predict: report.seconds, ..encoder.seconds };
        Ok(Prediction { values, c: None, seconds })
    }

    /// A folder beside the encoder's stage, or for the untouched encoder one of its own.
    fn companion(&self, encoder: &MadeEncoder, suffix: &str) -> PathBuf {
        let name = if encoder.folder == self.model.path {
            "frozen".to_owned()
        } else {
            encoder.folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
        };
        self.stage_folder(&format!("{name}.{suffix}"))
    }

    /// Embeddings of training and test rows, in this order.
    fn embeddings(&self, encoder: &MadeEncoder) -> Result<(DenseMatrix, MatrixReport)> {
        let labelled = &self.prepared.labelled;
        let model = ModelFolder::open(&encoder.folder)?;
        let settings = model.embed_settings(self.settings.finetune.dtype);
        let rows: Vec<u32> = labelled.split.train.iter().chain(&labelled.split.test).copied().collect();
        let key = stage_key("embeddings", &[&model.digest, &labelled.key], &(&settings, &rows));
        stored_or(&self.companion(encoder, "embeddings"), &key, || {
            let started = Instant::now();
            let (mut weights, _) = Model::load(&model.path, HeadKind::None, 0)?;
            apply_dtype(settings.dtype, &mut weights);
            let dense = model.modules.as_ref().map_or(&[][..], |modules| &modules.dense);
            let embedder = Embedder::new(&weights, dense, settings.clone())?;
            self.ctx.progress.start("embedding", Some(rows.len() as u64), "texts");
            let matrix = embedder.embed(&labelled.encodings, &rows, 0, self.ctx)?;
            self.ctx.progress.finish();
            Ok((matrix, MatrixReport { seconds: started.elapsed().as_secs_f64(), ..MatrixReport::default() }))
        })
    }

    /// Predictions of the common classifier on the encoder's embeddings, and the fitted head.
    pub(super) fn classifier(&self, encoder: &MadeEncoder) -> Result<Prediction> {
        let model = ModelFolder::open(&encoder.folder)?;
        let (matrix, embedded) = self.embeddings(encoder)?;
        let key = self.fit_key("classifier", &model.digest);
        let (values, report) = stored_or(&self.companion(encoder, "classifier"), &key, || {
            let (train, test) = self.halves(&Features::Dense(matrix));
            let (values, report, head) = self.fit_and_predict(&train, &test, self.dense_choice())?;
            let writer = ArtefactWriter::create(&self.companion(encoder, "head"))?;
            head.save(writer.path())?;
            writer.commit(&key)?;
            Ok((values, report))
        })?;
        let seconds = StageSeconds {
            extract: embedded.seconds,
            fit: report.seconds,
            predict: report.predict_seconds,
            ..encoder.seconds
        };
        Ok(Prediction { values, c: report.c, seconds })
    }

    /// The head of the common classifier, for the winner's folder: the one that made the predictions.
    pub(super) fn classifier_head(&self, encoder: &MadeEncoder) -> Result<LinearHead> {
        let key = self.fit_key("classifier", &ModelFolder::open(&encoder.folder)?.digest);
        let folder = self.companion(encoder, "head");
        if let Some(artefact) = Artefact::open(&folder)?
            && artefact.about::<String>().is_ok_and(|about| about == key)
        {
            artefact.verify()?;
            return LinearHead::load(&folder);
        }
        let (matrix, _) = self.embeddings(encoder)?;
        let (train, test) = self.halves(&Features::Dense(matrix));
        self.fit_and_predict(&train, &test, self.dense_choice()).map(|(_, _, head)| head)
    }

    /// Predictions from word and character n-grams.
    pub(super) fn tfidf(&self) -> Result<Prediction> {
        let labelled = &self.prepared.labelled;
        let key = self.fit_key("tfidf", "");
        let (values, report) = stored_or(&self.stage_folder("tfidf.classifier"), &key, || {
            let started = Instant::now();
            let pick = |rows: &[u32]| -> Vec<&str> {
                rows.iter().map(|&row| labelled.rows.texts[row as usize].as_str()).collect()
            };
            let train = pick(&labelled.split.train);
            let options = [TfidfOptions::words(), TfidfOptions::characters()];
            let vectorizer = TfidfFeatures::fit(&train, &options, self.ctx)?;
            let transform = |texts: &[&str]| vectorizer.transform(texts, self.ctx).map(Features::Sparse);
            let (train, test) = (transform(&train)?, transform(&pick(&labelled.split.test))?);
            let vectorising = started.elapsed().as_secs_f64();
            let (values, mut report, _) = self.fit_and_predict(&train, &test, sparse_choice())?;
            report.seconds += vectorising;
            Ok((values, report))
        })?;
        let seconds =
            StageSeconds { fit: report.seconds, predict: report.predict_seconds, ..StageSeconds::default() };
        Ok(Prediction { values, c: report.c, seconds })
    }

    /// What knows nothing of the texts.
    pub(super) fn majority(&self) -> Result<Prediction> {
        let labelled = &self.prepared.labelled;
        let tests = labelled.split.test.len();
        let values = match labelled.classes(&labelled.split.train)? {
            Some(labels) => MajorityClassifier::fit(&labels)?.predict_proba(tests)?,
            None => {
                let mean = MeanRegression::fit(&labelled.numbers(&labelled.split.train))?.mean;
                DenseMatrix::new(tests, 1, vec![mean as f32; tests])?
            }
        };
        Ok(Prediction { values, c: None, seconds: StageSeconds::default() })
    }

    fn fit_key(&self, stage: &str, features: &str) -> String {
        let labelled = &self.prepared.labelled;
        let settings =
            (&labelled.split.train, &labelled.split.test, &self.settings.c_grid, self.settings.folds);
        stage_key(stage, &[features, &labelled.key], &settings)
    }

    fn halves(&self, features: &Features) -> (Features, Features) {
        let train = self.prepared.labelled.split.train.len() as u32;
        let all = features.rows() as u32;
        let rows = |range: std::ops::Range<u32>| features.select_rows(&range.collect::<Vec<_>>());
        (rows(0..train), rows(train..all))
    }

    /// The learner that serves every encoder and the n-grams alike.
    fn fit_and_predict(
        &self,
        train: &Features,
        test: &Features,
        choice: Choice,
    ) -> Result<(DenseMatrix, MatrixReport, LinearHead)> {
        let scaling = choice.cv.scaling;
        let labelled = &self.prepared.labelled;
        let started = Instant::now();
        let (scaler, model, c) = match labelled.classes(&labelled.split.train)? {
            Some(labels) => {
                let c = self.choose_c(&choice, train, &labels)?;
                let scaler = Scaler::fit(scaling, train)?;
                let mut scaled = train.clone();
                scaler.transform(&mut scaled)?;
                self.ctx.progress.start("classifier", None, "");
                let learner = LogisticRegression { c, ..choice.cv.learner };
                let rows =
                    TrainingRows { features: &scaled, labels: &labels, sample_weights: SampleWeights::Equal };
                let (model, _) = learner.fit(&rows, self.ctx)?;
                self.ctx.progress.finish();
                (scaler, model, c)
            }
            None => {
                let scaler = Scaler::fit(scaling, train)?;
                let mut scaled = train.clone();
                scaler.transform(&mut scaled)?;
                let values = labelled.numbers(&labelled.split.train);
                let ridge = RidgeRegression { alpha: 1.0 / RIDGE_C };
                (scaler, ridge.fit(&scaled, &values, self.ctx)?, RIDGE_C)
            }
        };
        let seconds = started.elapsed().as_secs_f64();
        let classes = if labelled.task() == Task::Regression { Vec::new() } else { labelled.names.clone() };
        let head = LinearHead::new(HeadParts { scaler, model, classes, feature_names: Vec::new(), c })?;
        let started = Instant::now();
        let values = match labelled.task() {
            Task::Regression => {
                let values = head.predict_values(test)?;
                DenseMatrix::new(values.len(), 1, values)?
            }
            _ => head.predict_proba(test)?,
        };
        let predict_seconds = started.elapsed().as_secs_f64();
        Ok((values, MatrixReport { seconds, predict_seconds, c: Some(c) }, head))
    }

    fn dense_choice(&self) -> Choice {
        let cv =
            LogisticRegressionCv { c_grid: self.settings.c_grid.clone(), ..LogisticRegressionCv::default() };
        Choice { cv, folds: self.settings.folds, rows: MAX_SELECTION_ROWS }
    }

    /// `C` by cross-validation on some of the training rows, stratified; groups stay together.
    fn choose_c(
        &self,
        choice: &Choice,
        train: &Features,
        labels: &crate::learners::labels::Labels,
    ) -> Result<f64> {
        let labelled = &self.prepared.labelled;
        let rows = &labelled.split.train;
        let seed = self.settings.seeds[0];
        let mut chosen: Vec<u32> = (0..rows.len() as u32).collect();
        if chosen.len() > choice.rows {
            crate::random::Stream::new(seed, &[SELECTION]).shuffle(&mut chosen);
            chosen.truncate(choice.rows);
            chosen.sort_unstable();
        }
        let data_rows: Vec<u32> = chosen.iter().map(|&place| rows[place as usize]).collect();
        let groups = labelled
            .rows
            .groups
            .as_ref()
            .map(|groups| data_rows.iter().map(|&row| groups[row as usize].clone()).collect::<Vec<_>>());
        let picked = pick_labels(&labelled.rows.labels, &data_rows);
        let folds = k_folds(&picked, groups.as_deref(), choice.folds, seed)?;
        let (train, labels) = (train.select_rows(&chosen), labels.select_rows(&chosen));
        let selection = choice.cv.select(&train, &labels, &folds, self.ctx)?;
        Ok(selection.c)
    }
}

const SELECTION: u64 = 0x5345_4c43;

fn sparse_choice() -> Choice {
    let learner = LogisticRegression { tolerance: TFIDF_TOLERANCE, ..LogisticRegression::default() };
    let cv = LogisticRegressionCv {
        c_grid: TFIDF_C_GRID.to_vec(),
        scaling: Scaling::None,
        learner,
        ..LogisticRegressionCv::default()
    };
    Choice { cv, folds: TFIDF_FOLDS, rows: TFIDF_SELECTION_ROWS }
}

fn pick_labels(labels: &crate::data::Labels, rows: &[u32]) -> crate::data::Labels {
    use crate::data::Labels;
    match labels {
        Labels::Single { names, ids } => {
            Labels::Single { names: names.clone(), ids: rows.iter().map(|&row| ids[row as usize]).collect() }
        }
        Labels::Multi { names, sets } => Labels::Multi {
            names: names.clone(),
            sets: rows.iter().map(|&row| sets[row as usize].clone()).collect(),
        },
        Labels::Numbers(values) => Labels::Numbers(rows.iter().map(|&row| values[row as usize]).collect()),
    }
}

/// The name of a training stage's folder; the shared adaptation has no seed in it.
fn stage_name(name: &str, seed: u64, settings: &CompareSettings) -> String {
    if name == "adapted" && seed == settings.seeds[0] {
        return name.to_owned();
    }
    format!("{name}-seed{seed}")
}
