//! New tokens for the encoder before it is adapted, and everything tokenised anew.
//!
//! They are chosen on the texts that adaptation sees, never on those of validation and test rows.

use super::data::{Prepared, retokenised, vocabulary_texts};
use super::general_text;
use super::matrix_store::report_or;
use super::runner::{MadeEncoder, Runner, TrainingLog};
use super::settings::{CompareSettings, Route};
use crate::config::apply_dtype;
use crate::error::Result;
use crate::features::embed::Embedder;
use crate::progress::{Context, Silent};
use crate::report::VocabularyChange;
use crate::stages::{
    ModelFolder, StageAbout, VocabularyExtension, extend_vocabulary_as, finished, stage_key,
};
use crate::text::Encodings;
use crate::text::vocabulary::WordCounts;
use crate::training::{NewRows, Sequences, VocabularyWarmup};
use std::path::PathBuf;
use std::time::Instant;
use steep_encoder::{HeadKind, Model};

/// The encoder with new tokens, and the data in its tokens.
pub(super) struct Extended {
    model: ModelFolder,
    prepared: Prepared,
    general: Encodings,
    new_rows: NewRows,
    /// Seconds of choosing the tokens and writing the folder.
    seconds: f64,
    /// What they did to the texts.
    pub(super) change: VocabularyChange,
}

/// Rows whose vectors are timed, and how often; the quickest counts.
const TIMED_ROWS: usize = 128;
const TIMED: usize = 5;

impl<'a> Runner<'a> {
    /// What runs the stages of a route: this, or for a route with new tokens the same over the encoder that has them.
    pub(super) fn of_route(&self, route: Route) -> Result<Runner<'a>> {
        if !route.extends_vocabulary() {
            return Ok(*self);
        }
        let extended = match self.extended.get() {
            Some(made) => made,
            None => {
                let made = self.extend()?;
                self.extended.get_or_init(|| made)
            }
        };
        Ok(Runner {
            model: &extended.model,
            prepared: &extended.prepared,
            general: Some(&extended.general),
            vocabulary: Some(extended),
            ..*self
        })
    }

    fn extend(&self) -> Result<Extended> {
        let (folder, seconds) = self.extended_folder()?;
        let model = ModelFolder::open(&folder)?;
        let prepared = retokenised(self.settings, self.prepared, &model, self.ctx)?;
        let general = general_text(&model, prepared.max_seq_length)?;
        let extension = VocabularyExtension::of(&folder)?.expect("the stage writes what it added");
        let new_rows = extension.new_rows();
        let digests = [self.model.digest.as_str(), &model.digest, &prepared.labelled.key];
        let key = stage_key("vocab speed", &digests, &self.all_rows());
        let change = report_or(&self.stage_folder("vocab.speed"), &key, || {
            let [texts_per_second_before, texts_per_second] =
                self.speeds(&model, &prepared.labelled.encodings)?;
            Ok(VocabularyChange {
                new_tokens: extension.new_tokens.len() as u64,
                tokens_per_text_before: self.tokens_per_text(&self.prepared.labelled.encodings),
                tokens_per_text: self.tokens_per_text(&prepared.labelled.encodings),
                texts_per_second_before,
                texts_per_second,
            })
        })?;
        self.ctx.progress.line(&change.words());
        Ok(Extended { model, prepared, general, new_rows, seconds, change })
    }

    /// The model folder with new tokens, and the seconds that making it took.
    fn extended_folder(&self) -> Result<(PathBuf, f64)> {
        let settings = self.settings.vocabulary.as_ref().expect("routes with new tokens come with settings");
        let unlabelled = self.prepared.unlabelled.as_ref().expect("adapting routes run with texts only");
        let key = stage_key("vocab", &[&self.model.digest, &unlabelled.key], &settings.choose);
        let folder = self.stage_folder("vocab");
        if let Some(seconds) = finished(&folder, &key)? {
            return Ok((folder, seconds));
        }
        let (started, made) = (Instant::now(), key.clone());
        let mut counts = WordCounts::default();
        self.ctx.progress.start("counting words", None, "texts");
        for texts in vocabulary_texts(self.settings, self.prepared)? {
            self.ctx.cancel.check()?;
            let texts = texts?;
            counts.add(&self.model.tokenizer, &texts)?;
            self.ctx.progress.advance(texts.len() as u64);
        }
        self.ctx.progress.finish();
        let about = || StageAbout {
            stage: "vocab".into(),
            key,
            settings: serde_json::to_value(settings.choose).expect("resolved settings are plain data"),
            report: started.elapsed().as_secs_f64().into(),
        };
        extend_vocabulary_as(about, self.model, &counts, &settings.choose, &folder, self.ctx)?;
        // As a later start will read it.
        let seconds = finished(&folder, &made)?.unwrap_or_default();
        Ok((folder, seconds))
    }

    /// The labelled rows in use, as the encoder reads them.
    fn tokens_per_text(&self, encodings: &Encodings) -> f64 {
        let rows = self.all_rows();
        let tokens: usize = rows.iter().map(|&row| encodings.length(row as usize)).sum();
        tokens as f64 / rows.len().max(1) as f64
    }

    /// Texts a second that become vectors, before and with the new tokens. Taken in turn, so that both see the same
    /// machine.
    fn speeds(&self, model: &ModelFolder, encodings: &Encodings) -> Result<[f64; 2]> {
        let all = self.all_rows();
        let rows: Vec<u32> = all.iter().step_by(all.len().div_ceil(TIMED_ROWS)).copied().collect();
        let silent = Context { progress: &Silent, cancel: self.ctx.cancel };
        let dtype = self.settings.finetune.dtype;
        let weights = |folder: &ModelFolder| -> Result<Model> {
            let (mut weights, _) = Model::load(&folder.path, HeadKind::None, 0)?;
            apply_dtype(dtype, &mut weights);
            Ok(weights)
        };
        let weights = [weights(self.model)?, weights(model)?];
        let tokens = [&self.prepared.labelled.encodings, encodings];
        let mut quickest = [f64::INFINITY; 2];
        for _ in 0..TIMED {
            for (at, folder) in [self.model, model].into_iter().enumerate() {
                let dense = folder.modules.as_ref().map_or(&[][..], |modules| &modules.dense);
                let embedder = Embedder::new(&weights[at], dense, folder.embed_settings(dtype))?;
                let started = Instant::now();
                embedder.embed(tokens[at], &rows, 0, &silent)?;
                quickest[at] = quickest[at].min(started.elapsed().as_secs_f64());
            }
        }
        Ok(quickest.map(|seconds| rows.len() as f64 / seconds.max(1e-9)))
    }
}

impl Extended {
    /// An encoder made with these tokens, at the cost of choosing them.
    pub(super) fn counted_in(&self, mut made: MadeEncoder, seed: u64) -> MadeEncoder {
        made.seconds.adapt += self.seconds;
        let (stage, log) = ("vocab".to_owned(), Vec::new());
        made.logs.push(TrainingLog { stage, seed, seconds: self.seconds, log });
        made
    }

    /// The steps, of so many, in which the new rows learn alone.
    pub(super) fn warmup(&self, settings: &CompareSettings, total_steps: u64) -> Option<VocabularyWarmup> {
        let asked = settings.vocabulary.as_ref().map_or(0.0, |vocabulary| vocabulary.warmup_steps);
        let steps = VocabularyWarmup::steps_of(asked, total_steps).min(total_steps);
        (steps > 0).then_some(VocabularyWarmup { steps, rows: self.new_rows })
    }
}
