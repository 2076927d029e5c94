//! Labels without training, by another model that reads what the labels are called.

use crate::compare::matrix_store::{MatrixReport, stored_or};
use crate::compare::runner::{Prediction, Runner};
use crate::data::Task;
use crate::error::Result;
use crate::features::matrix::DenseMatrix;
use crate::report::StageSeconds;
use crate::stages::{ModelFolder, OutputFormat, PredictSettings, ZeroShot, ZeroShotSettings, stage_key};
use std::time::Instant;

/// Texts between two looks at the progress.
const TEXTS_AT_ONCE: usize = 64;

impl Runner<'_> {
    pub(super) fn zeroshot(&self) -> Result<Prediction> {
        let labelled = &self.prepared.labelled;
        let settings = self.zeroshot_settings()?;
        let model = &self.settings.zeroshot.as_ref().expect("the route comes with settings").model;
        let rows: Vec<u32> = labelled.split.validation.iter().chain(&labelled.split.test).copied().collect();
        let digest = ModelFolder::open(model)?.digest;
        let key = stage_key("zeroshot", &[&digest, &labelled.key], &(&settings, &rows));
        let (values, report) = stored_or(&self.stage_folder("zeroshot.predictions"), &key, || {
            let started = Instant::now();
            let model = ZeroShot::open(model, &settings)?;
            self.ctx.progress.start("labelling without training", Some(rows.len() as u64), "texts");
            let mut values = Vec::with_capacity(rows.len() * labelled.names.len());
            for rows in rows.chunks(TEXTS_AT_ONCE) {
                values.extend(model.scores(&self.texts_of(rows), self.ctx)?.into_values());
                self.ctx.progress.advance(rows.len() as u64);
            }
            self.ctx.progress.finish();
            let values = DenseMatrix::new(rows.len(), labelled.names.len(), values)?;
            let seconds = started.elapsed().as_secs_f64();
            Ok((values, MatrixReport { seconds, ..MatrixReport::default() }))
        })?;
        let seconds = StageSeconds { predict: report.seconds, ..StageSeconds::default() };
        Ok(self.prediction(&values, None, seconds))
    }

    /// The texts of some labelled rows.
    fn texts_of(&self, rows: &[u32]) -> Vec<&str> {
        let texts = &self.prepared.labelled.rows.texts;
        rows.iter().map(|&row| texts[row as usize].as_str()).collect()
    }

    fn zeroshot_settings(&self) -> Result<ZeroShotSettings> {
        let (labelled, training) = (&self.prepared.labelled, &self.settings.finetune);
        let asked = self.settings.zeroshot.as_ref().expect("the route comes with settings");
        Ok(ZeroShotSettings {
            predict: PredictSettings {
                max_seq_length: None,
                dtype: Some(training.dtype),
                max_tokens: training.max_tokens_per_micro_batch,
                keep_columns: false,
                format: OutputFormat::Jsonl,
                all_probabilities: true,
                calibrated: false,
                shard_rows: TEXTS_AT_ONCE,
            },
            candidate_labels: asked.candidates(&labelled.names)?,
            hypothesis_template: asked.hypothesis_template.clone(),
            multi_label: labelled.task() == Task::MultiLabel,
        })
    }

    /// Seconds of labelling all rows, from some of them.
    pub(in crate::compare) fn time_zeroshot(&self) -> Result<f64> {
        let split = &self.prepared.labelled.split;
        let model = &self.settings.zeroshot.as_ref().expect("the route comes with settings").model;
        let model = ZeroShot::open(model, &self.zeroshot_settings()?)?;
        let (mut timed, started) = (0, Instant::now());
        for rows in split.test.chunks(TIMED_AT_ONCE) {
            model.scores(&self.texts_of(rows), self.ctx)?;
            timed += rows.len();
            if started.elapsed().as_secs_f64() > TIMED_SECONDS {
                break;
            }
        }
        let all = split.validation.len() + split.test.len();
        Ok(started.elapsed().as_secs_f64() * all as f64 / timed.max(1) as f64)
    }
}

/// Texts between two looks at the clock, and when to stop.
const TIMED_AT_ONCE: usize = 8;
const TIMED_SECONDS: f64 = 2.0;
