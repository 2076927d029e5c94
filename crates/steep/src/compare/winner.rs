//! The recommended route as a folder that `predict` runs on raw rows.

use super::features::no_columns;
use super::routes::{Measured, MeasuredRoute};
use super::runner::{MadeEncoder, Runner, stored_head};
use super::score::Scorer;
use super::settings::{FeatureSet, Route};
use super::table::text_columns;
use super::trial::Measurement;
use crate::error::{Error, Result};
use crate::features::columns::ColumnPlan;
use crate::progress::Context;
use crate::report::{RouteResult, ScoredBy, Winner};
use crate::stages::{
    Combination, CombinationMember, CombinationMethod, EmbeddingRecipe, ModelFolder, SavedTemperature,
    TextRecipe, copy_trained_folder, write_classifier_folder, write_terms_folder,
};
use crate::storage::{ArtefactWriter, remove_artefact};
use std::path::{Path, PathBuf};

/// A temperature is applied from so many validation rows on.
const FEWEST_ROWS: usize = 100;
/// And within these bounds: beyond them hardly a validation row was mistaken, or hardly one was not.
const TEMPERATURES: std::ops::RangeInclusive<f64> = 0.2..=5.0;

/// Folders of members.
const COLUMNS: &str = "columns";
const TEXTS: &str = "texts";
const VECTORS: &str = "vectors";
/// That of a learner on top of them.
const HEAD: &str = "head";

/// Writes the models of the first seed of a measured route, in folds those of the first one, into `winner/`; none for what
/// needs no model, or is another command's: `steep zeroshot`.
pub(super) fn write_winner(
    recommended: &MeasuredRoute,
    measurement: &Measurement,
    ctx: &Context,
) -> Result<Option<Winner>> {
    let (trial, measured) = (&measurement.trial, measurement.on_trial());
    let has_model = |route: &&MeasuredRoute| !matches!(route.route, Route::Majority | Route::Zeroshot);
    let is_it =
        |route: &&MeasuredRoute| route.route == recommended.route && route.variant == recommended.variant;
    let (runner, scorer) = (&trial.runner(ctx), &trial.scorer(&trial.prepared.labelled.split)?);
    let folder = runner.settings.output_dir.join("winner");
    let Some(route) = measured.routes.iter().find(is_it).filter(has_model) else {
        // What an earlier run recommended is not what the report recommends now.
        remove_artefact(&folder)?;
        return Ok(None);
    };
    let writer = ArtefactWriter::create(&folder)?;
    let winner = Writing { measured, runner, scorer };
    winner.route(route, writer.path())?;
    let temperature = reliable_temperature(&route.result, runner.prepared.labelled.split.validation.len());
    if let Some(saved) = temperature {
        saved.save(writer.path())?;
    }
    writer.commit(&serde_json::json!({ "route": recommended.result.id }))?;
    Ok(Some(Winner {
        folder: folder.display().to_string(),
        columns: winner.columns(route)?,
        temperature: temperature.map(|saved| saved.temperature),
    }))
}

/// The route's temperature, if it may be believed.
fn reliable_temperature(result: &RouteResult, rows: usize) -> Option<SavedTemperature> {
    let temperature = result.calibration.as_ref()?.temperature?;
    let is_reliable = rows >= FEWEST_ROWS && TEMPERATURES.contains(&temperature);
    is_reliable.then_some(SavedTemperature { temperature, rows: rows as u64 })
}

struct Writing<'a> {
    measured: &'a Measured,
    runner: &'a Runner<'a>,
    scorer: &'a Scorer<'a>,
}

impl Writing<'_> {
    fn route(&self, route: &MeasuredRoute, folder: &Path) -> Result<()> {
        match route.route {
            Route::Majority | Route::TableOnly => Self::learner(&self.runner.table_only_head(), folder),
            Route::Tfidf => {
                let (head, _) = stored_head(&self.runner.tfidf_head())?;
                write_terms_folder(&head, &self.runner.terms()?, folder)?;
                self.text_recipe(Vec::new())?.save(folder)
            }
            Route::TableAsText => self.table_as_text(folder),
            Route::LateAverage => self.late_average(folder),
            Route::Stacked => self.stacked(folder),
            _ => self.encoder(route, folder),
        }
    }

    /// The columns that a row must have.
    fn columns(&self, route: &MeasuredRoute) -> Result<Vec<String>> {
        let mut names = Vec::new();
        if route.route != Route::TableOnly {
            names = text_columns(self.runner.settings)?;
        }
        let set = route.variant.features;
        if route.route.needs_columns() || set.is_some_and(FeatureSet::has_columns) {
            names.extend(self.plans()?.into_iter().map(|plan| plan.name));
        }
        Ok(names)
    }

    fn plans(&self) -> Result<Vec<ColumnPlan>> {
        Ok(self.runner.prepared.table.as_ref().ok_or_else(no_columns)?.plans.clone())
    }

    /// How a row becomes the text that was trained on.
    fn text_recipe(&self, written_columns: Vec<ColumnPlan>) -> Result<TextRecipe> {
        let settings = self.runner.settings;
        let text_column_delimiter = settings.labelled.text_column_delimiter.clone();
        Ok(TextRecipe {
            text_columns: text_columns(settings)?,
            text_column_delimiter,
            written_columns,
            max_seq_length: Some(self.runner.prepared.max_seq_length),
            dtype: Some(settings.finetune.dtype),
        })
    }

    fn recipe(&self, model: &ModelFolder) -> EmbeddingRecipe {
        EmbeddingRecipe {
            embed: model.embed_settings(self.runner.settings.finetune.dtype),
            max_seq_length: self.runner.prepared.max_seq_length,
            prompt: None,
        }
    }

    /// A learner without an encoder, with what prepares its features.
    fn learner(stored: &Path, folder: &Path) -> Result<()> {
        let (head, preparation) = stored_head(stored)?;
        head.save(folder)?;
        preparation.map_or(Ok(()), |preparation| preparation.save(folder))
    }

    /// A trained network, or an encoder and the learner on its vectors.
    fn encoder(&self, route: &MeasuredRoute, folder: &Path) -> Result<()> {
        let encoder = self.made(route)?;
        let model = ModelFolder::open(&encoder.folder)?;
        if route.variant.way == ScoredBy::OwnHead {
            copy_trained_folder(&model, folder)?;
        } else {
            let (head, preparation) = stored_head(&self.head_folder(route, &encoder))?;
            write_classifier_folder(&model, &head, preparation.as_ref(), &self.recipe(&model), folder)?;
        }
        self.text_recipe(Vec::new())?.save(folder)
    }

    fn made(&self, route: &MeasuredRoute) -> Result<MadeEncoder> {
        let seed = self.runner.settings.seeds[0];
        if route.route.is_joint() {
            return self.runner.joint_network(route.route, seed, &self.runner.joint_columns()?);
        }
        self.runner.of_route(route.route)?.encoder(route.route, seed)
    }

    fn head_folder(&self, route: &MeasuredRoute, encoder: &MadeEncoder) -> PathBuf {
        let set = route.variant.features.unwrap_or(FeatureSet::Text);
        self.runner.companion(encoder, &format!("{}head", set.folder_part()))
    }

    fn table_as_text(&self, folder: &Path) -> Result<()> {
        let encoder = self.runner.untouched();
        let (head, _) = stored_head(&self.runner.companion(&encoder, "table_as_text.head"))?;
        write_classifier_folder(self.runner.model, &head, None, &self.recipe(self.runner.model), folder)?;
        self.text_recipe(self.plans()?)?.save(folder)
    }

    fn late_average(&self, folder: &Path) -> Result<()> {
        let (_, text) = self.measured.averaged(self.scorer)?;
        Self::learner(&self.runner.table_only_head(), &member(folder, COLUMNS)?)?;
        self.encoder(text, &member(folder, TEXTS)?)?;
        let members = vec![
            CombinationMember::Columns { folder: COLUMNS.to_owned() },
            CombinationMember::Texts { folder: TEXTS.to_owned() },
        ];
        Combination { method: CombinationMethod::Average, members }.save(folder)
    }

    fn stacked(&self, folder: &Path) -> Result<()> {
        let (_, encoders) = self.measured.stacked_members(self.scorer)?;
        Self::learner(&self.runner.table_only_head(), &member(folder, COLUMNS)?)?;
        Self::learner(&self.runner.stacked_head(), &member(folder, HEAD)?)?;
        let mut members = vec![CombinationMember::Columns { folder: COLUMNS.to_owned() }];
        for route in encoders {
            if route.variant.features == Some(FeatureSet::Text) {
                self.encoder(route, &member(folder, TEXTS)?)?;
                members.push(CombinationMember::Texts { folder: TEXTS.to_owned() });
            } else {
                // The encoder is that of the texts, which makes the vectors once.
                let stored = self.head_folder(route, &self.made(route)?);
                Self::learner(&stored, &member(folder, VECTORS)?)?;
                members.push(CombinationMember::Vectors { folder: VECTORS.to_owned() });
            }
        }
        Combination { method: CombinationMethod::Stacked, members }.save(folder)
    }
}

/// The folder of a member, made.
fn member(folder: &Path, name: &str) -> Result<PathBuf> {
    let path = folder.join(name);
    std::fs::create_dir_all(&path).map_err(Error::io("create", &path))?;
    Ok(path)
}

#[cfg(test)]
#[path = "winner_tests.rs"]
mod tests;
