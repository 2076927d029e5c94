//! Runs the stages that make encoders and their vectors: each once, whatever the number of routes that share it.

use super::data::Prepared;
use super::features::{Beside, PartedFeatures};
use super::learning::{LearnerChosen, LearnerPlan};
use super::matrix_store::{MatrixReport, stored_or};
use super::settings::{CompareSettings, FeatureSet, Route};
use super::vocabulary::Extended;
use crate::config::apply_dtype;
use crate::error::Result;
use crate::features::embed::{EmbedSettings, Embedder};
use crate::features::matrix::DenseMatrix;
use crate::features::preparation::{PREPARATION_FILE, Preparation};
use crate::features::scaling::Scaling;
use crate::learners::head::Head;
use crate::progress::Context;
use crate::report::StageSeconds;
use crate::stages::{
    ContrastiveSettings, FinetuneInput, FinetuneReport, FinetuneSettings, ModelFolder, Predictor,
    contrastive, finetune, stage_key,
};
use crate::storage::{Artefact, ArtefactWriter};
use crate::text::Encodings;
use crate::training::{LogEntry, TrainingSettings};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Instant;
use steep_encoder::{HeadKind, Model};

/// What one run of a route predicted, one way.
#[derive(Debug, Clone)]
pub(super) struct Prediction {
    /// Probabilities of classes or labels, or the numbers: [validation rows, outputs].
    pub(super) validation: DenseMatrix,
    /// The same: [test rows, outputs].
    pub(super) test: DenseMatrix,
    /// The learner, where one was chosen.
    pub(super) learner: Option<LearnerChosen>,
    pub(super) seconds: StageSeconds,
}

/// An encoder that some stages made.
#[derive(Clone)]
pub(super) struct MadeEncoder {
    pub(super) folder: PathBuf,
    /// Seconds of the stages that led to it.
    pub(super) seconds: StageSeconds,
    /// Whether a stage has trained it on the labels of the training rows.
    pub(super) has_seen_labels: bool,
    /// The trainings that it went through.
    pub(super) logs: Vec<TrainingLog>,
}

/// A training that an encoder went through.
#[derive(Clone)]
pub(super) struct TrainingLog {
    pub(super) stage: String,
    pub(super) seed: u64,
    pub(super) seconds: f64,
    pub(super) log: Vec<LogEntry>,
}

/// Texts that an encoder reads, and what names them.
#[derive(Clone, Copy)]
pub(super) struct Texts<'a> {
    pub(super) encodings: &'a Encodings,
    pub(super) key: &'a str,
    /// Distinguishes the folders of stages; empty for the texts as they are.
    pub(super) name: &'a str,
}

/// Runs the stages of one encoder on one split.
#[derive(Clone, Copy)]
pub(super) struct Runner<'a> {
    pub(super) settings: &'a CompareSettings,
    /// The folder of its stages under `stages`; empty where there is one encoder and one split.
    pub(super) place: &'a str,
    pub(super) model: &'a ModelFolder,
    pub(super) prepared: &'a Prepared,
    pub(super) general: Option<&'a Encodings>,
    /// Where the encoder with new tokens is kept once it is made.
    pub(super) extended: &'a OnceLock<Extended>,
    /// What this encoder's new tokens are, where it has some.
    pub(super) vocabulary: Option<&'a Extended>,
    pub(super) ctx: &'a Context<'a>,
}

impl Runner<'_> {
    pub(super) fn stage_folder(&self, name: &str) -> PathBuf {
        self.settings.output_dir.join("stages").join(self.place).join(name)
    }

    /// The texts of the labelled rows as they are.
    pub(super) fn texts(&self) -> Texts<'_> {
        let labelled = &self.prepared.labelled;
        Texts { encodings: &labelled.encodings, key: &labelled.key, name: "" }
    }

    /// The encoder as it was given, or with new tokens.
    pub(super) fn untouched(&self) -> MadeEncoder {
        let made = MadeEncoder {
            folder: self.model.path.clone(),
            seconds: StageSeconds::default(),
            has_seen_labels: false,
            logs: Vec::new(),
        };
        match self.vocabulary {
            None => made,
            Some(extended) => extended.counted_in(made, self.settings.seeds[0]),
        }
    }

    /// The encoder of a route, by the runner [`Self::of_route`]. Adapting draws from the first seed, so that it runs once.
    pub(super) fn encoder(&self, route: Route, seed: u64) -> Result<MadeEncoder> {
        let (base, first) = (self.untouched(), self.settings.seeds[0]);
        match route {
            Route::Adapted => self.adapted(base, "adapted", first),
            Route::Finetuned => self.finetuned(base, "finetuned", seed),
            Route::AdaptedFinetuned => {
                let adapted = self.adapted(base, "adapted", first)?;
                self.finetuned(adapted, "adapted+finetuned", seed)
            }
            Route::VocabAdapted => self.adapted(base, "vocab+adapted", first),
            Route::VocabAdaptedFinetuned => {
                let adapted = self.adapted(base, "vocab+adapted", first)?;
                self.finetuned(adapted, "vocab+adapted+finetuned", seed)
            }
            Route::Contrastive => self.contrastive(base, "contrastive", seed),
            Route::AdaptedContrastive => {
                let adapted = self.adapted(base, "adapted", first)?;
                self.contrastive(adapted, "adapted+contrastive", seed)
            }
            Route::FinetunedAdapted => {
                let finetuned = self.finetuned(base, "finetuned", seed)?;
                self.adapted(finetuned, "finetuned+adapted", seed)
            }
            _ => Ok(base),
        }
    }

    pub(super) fn finetune_settings(&self, seed: u64) -> FinetuneSettings {
        FinetuneSettings {
            head_init: self.settings.head_init,
            classification: self.settings.classification.clone(),
            mlm: None,
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
            text: None,
            train_rows: labelled.split.train.clone(),
            validation_rows: labelled.split.validation.clone(),
        }
    }

    fn finetuned(&self, from: MadeEncoder, name: &str, seed: u64) -> Result<MadeEncoder> {
        let model = ModelFolder::open(&from.folder)?;
        let folder = self.stage_folder(&stage_name(name, seed, self.settings));
        let input = self.finetune_input(&model);
        let report: FinetuneReport = finetune(&input, &self.finetune_settings(seed), &folder, self.ctx)?;
        let mut made = MadeEncoder { folder, has_seen_labels: true, ..from };
        made.seconds.finetune += report.seconds;
        let (stage, seconds, log) = (name.to_owned(), report.seconds, report.log_history);
        made.logs.push(TrainingLog { stage, seed, seconds, log });
        Ok(made)
    }

    pub(super) fn contrastive_settings(&self, seed: u64) -> ContrastiveSettings {
        ContrastiveSettings {
            embedding: self.settings.contrastive.clone(),
            training: TrainingSettings { seed, ..self.settings.finetune.clone() },
            max_seq_length: self.prepared.max_seq_length,
        }
    }

    fn contrastive(&self, from: MadeEncoder, name: &str, seed: u64) -> Result<MadeEncoder> {
        let model = ModelFolder::open(&from.folder)?;
        let folder = self.stage_folder(&stage_name(name, seed, self.settings));
        let input = self.finetune_input(&model);
        let report = contrastive(&input, &self.contrastive_settings(seed), &folder, self.ctx)?;
        let mut made = MadeEncoder { folder, has_seen_labels: true, ..from };
        made.seconds.finetune += report.seconds;
        let (stage, seconds, log) = (name.to_owned(), report.seconds, report.log_history);
        made.logs.push(TrainingLog { stage, seed, seconds, log });
        Ok(made)
    }

    /// Predictions of the fine-tuned network's own head.
    pub(super) fn own_head(&self, encoder: &MadeEncoder) -> Result<Prediction> {
        let labelled = &self.prepared.labelled;
        let model = ModelFolder::open(&encoder.folder)?;
        let rows: Vec<u32> = labelled.split.validation.iter().chain(&labelled.split.test).copied().collect();
        let key = stage_key("own head", &[&model.digest, &labelled.key], &rows);
        let folder = self.companion(encoder, "own-head");
        let (values, report) = stored_or(&folder, &key, || {
            let started = Instant::now();
            let predictor = Predictor::open(&encoder.folder, Some(self.settings.finetune.dtype))?;
            self.ctx.progress.start("predicting", Some(rows.len() as u64), "texts");
            let values = predictor.predict(&labelled.encodings, &rows, self.ctx)?;
            self.ctx.progress.finish();
            let seconds = started.elapsed().as_secs_f64();
            Ok((values, MatrixReport { seconds, ..MatrixReport::default() }))
        })?;
        let seconds = StageSeconds { predict: report.seconds, ..encoder.seconds };
        Ok(self.prediction(&values, None, seconds))
    }

    /// Parts stored predictions of validation and test rows.
    pub(super) fn prediction(
        &self,
        values: &DenseMatrix,
        learner: Option<LearnerChosen>,
        seconds: StageSeconds,
    ) -> Prediction {
        let validation = self.prepared.labelled.split.validation.len() as u32;
        let rows = |range: std::ops::Range<u32>| values.select_rows(&range.collect::<Vec<_>>());
        let (validation, test) = (rows(0..validation), rows(validation..values.rows() as u32));
        Prediction { validation, test, learner, seconds }
    }

    /// A folder beside the encoder's stage, or for the untouched encoder one of its own.
    pub(super) fn companion(&self, encoder: &MadeEncoder, suffix: &str) -> PathBuf {
        let name = if encoder.folder == self.model.path && self.vocabulary.is_none() {
            "frozen".to_owned()
        } else {
            encoder.folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
        };
        self.stage_folder(&format!("{name}.{suffix}"))
    }

    /// Embeddings of all labelled rows in use, in the order of [`Self::all_rows`].
    pub(super) fn embeddings(
        &self,
        encoder: &MadeEncoder,
        texts: Texts<'_>,
    ) -> Result<(DenseMatrix, MatrixReport)> {
        let model = ModelFolder::open(&encoder.folder)?;
        let settings = model.embed_settings(self.settings.finetune.dtype);
        let rows = self.all_rows();
        let key = stage_key("embeddings", &[&model.digest, texts.key], &(&settings, &rows));
        stored_or(&self.companion(encoder, &format!("{}embeddings", texts.name)), &key, || {
            let started = Instant::now();
            let matrix = embed_rows(&model, &settings, texts.encodings, &rows, self.ctx)?;
            Ok((matrix, MatrixReport { seconds: started.elapsed().as_secs_f64(), ..MatrixReport::default() }))
        })
    }

    /// Predictions of a learner on an encoder's embeddings and the columns of a feature set; the fitted head stays
    /// beside them.
    pub(super) fn classifier(
        &self,
        encoder: &MadeEncoder,
        texts: Texts<'_>,
        set: FeatureSet,
    ) -> Result<Prediction> {
        let digest = ModelFolder::open(&encoder.folder)?.digest;
        let (matrix, embedded) = self.embeddings(encoder, texts)?;
        let name = format!("{}{}", texts.name, set.folder_part());
        let is_beside_seen =
            set != FeatureSet::Text && encoder.has_seen_labels && self.can_choose_on_validation_rows();
        let stage =
            format!("classifier {}{}", set.name(), if is_beside_seen { " beside seen vectors" } else { "" });
        let key = self.fit_key(&stage, &[&digest, texts.key], &self.plan(set));
        let (values, report) =
            stored_or(&self.companion(encoder, &format!("{name}classifier")), &key, || {
                let started = Instant::now();
                let head_folder = self.companion(encoder, &format!("{name}head"));
                if is_beside_seen {
                    return self.learn_beside_seen(&matrix, set, (&head_folder, &key));
                }
                let features = self.features(Some(matrix), Beside::Set(set))?;
                let preparing = started.elapsed().as_secs_f64();
                let (values, mut report) =
                    self.learn(&features, &self.plan(set), Some((&head_folder, &key)))?;
                report.seconds += preparing;
                Ok((values, report))
            })?;
        let seconds = StageSeconds {
            extract: embedded.seconds,
            fit: report.seconds,
            predict: report.predict_seconds,
            ..encoder.seconds
        };
        Ok(self.prediction(&values, report.learner, seconds))
    }

    /// The learner on the dense features of a set; vectors as they are still want scaling.
    pub(super) fn plan(&self, set: FeatureSet) -> LearnerPlan {
        let scaling = if set == FeatureSet::Text { Scaling::Standard } else { Scaling::None };
        LearnerPlan::dense(self.settings, self.prepared.labelled.task(), scaling)
    }

    /// Fits a learner and predicts validation and test rows; the head goes into a folder of its own.
    pub(super) fn learn(
        &self,
        features: &PartedFeatures,
        plan: &LearnerPlan,
        head_folder: Option<(&Path, &str)>,
    ) -> Result<(DenseMatrix, MatrixReport)> {
        let labelled = &self.prepared.labelled;
        let seed = self.settings.seeds[0];
        let train = &labelled.split.train;
        let learned = plan.fit(&features.train, labelled, train, features.names.clone(), seed, self.ctx)?;
        if let Some((folder, key)) = head_folder {
            self.keep(&learned.head, features, folder, key)?;
        }
        let report = MatrixReport {
            seconds: learned.seconds,
            learner: Some(learned.chosen),
            ..MatrixReport::default()
        };
        self.outputs(&learned.head, features, report)
    }

    /// Stores a head with what prepares its features.
    pub(super) fn keep(
        &self,
        head: &Head,
        features: &PartedFeatures,
        folder: &Path,
        key: &str,
    ) -> Result<()> {
        self.ctx.cancel.check()?;
        let writer = ArtefactWriter::create(folder)?;
        head.save(writer.path())?;
        features.preparation.as_ref().map_or(Ok(()), |preparation| preparation.save(writer.path()))?;
        writer.commit(&key)?;
        Ok(())
    }

    /// What a head says of validation and test rows; how long that took goes into the report.
    pub(super) fn outputs(
        &self,
        head: &Head,
        features: &PartedFeatures,
        report: MatrixReport,
    ) -> Result<(DenseMatrix, MatrixReport)> {
        let started = Instant::now();
        let mut values = if self.prepared.labelled.split.validation.is_empty() {
            Vec::new()
        } else {
            head.predict(&features.validation)?.into_values()
        };
        let test = head.predict(&features.test)?;
        let columns = test.columns();
        values.extend(test.into_values());
        let rows = values.len() / columns.max(1);
        let report = MatrixReport { predict_seconds: started.elapsed().as_secs_f64(), ..report };
        Ok((DenseMatrix::new(rows, columns, values)?, report))
    }

    /// What a fit depends on.
    pub(super) fn fit_key(&self, stage: &str, inputs: &[&str], plan: &LearnerPlan) -> String {
        let (settings, labelled) = (self.settings, &self.prepared.labelled);
        let inputs: Vec<&str> = inputs.iter().copied().chain([labelled.key.as_str()]).collect();
        let split = &labelled.split;
        let preparing = (&settings.table, &settings.preparation, &settings.engineered);
        stage_key(
            stage,
            &inputs,
            &((&split.train, &split.validation, &split.test), plan.key(), preparing, settings.seeds[0]),
        )
    }
}

/// The vectors of some texts by the encoder of a folder: [rows, width].
pub(super) fn embed_rows(
    model: &ModelFolder,
    settings: &EmbedSettings,
    encodings: &Encodings,
    rows: &[u32],
    ctx: &Context,
) -> Result<DenseMatrix> {
    let (mut weights, _) = Model::load(&model.path, HeadKind::None, 0)?;
    apply_dtype(settings.dtype, &mut weights);
    let dense = model.modules.as_ref().map_or(&[][..], |modules| &modules.dense);
    let embedder = Embedder::new(&weights, dense, settings.clone())?;
    ctx.progress.start("embedding", Some(rows.len() as u64), "texts");
    let matrix = embedder.embed(encodings, rows, 0, ctx)?;
    ctx.progress.finish();
    Ok(matrix)
}

/// A head that [`Runner::learn`] wrote, and its preparation.
pub(super) fn stored_head(folder: &Path) -> Result<(Head, Option<Preparation>)> {
    if let Some(artefact) = Artefact::open(folder)? {
        artefact.verify()?;
    }
    let head = Head::load(folder)?;
    let has_preparation = folder.join(PREPARATION_FILE).is_file();
    let preparation = has_preparation.then(|| Preparation::load(folder)).transpose()?;
    Ok((head, preparation))
}

/// The name of a training stage's folder; the shared adaptation has no seed in it.
pub(super) fn stage_name(name: &str, seed: u64, settings: &CompareSettings) -> String {
    if matches!(name, "adapted" | "vocab+adapted") && seed == settings.seeds[0] {
        return name.to_owned();
    }
    format!("{name}-seed{seed}")
}
