//! Routes over an encoder: as it is, adapted, fine-tuned, in either order, and with the columns written into the text.

use super::{Measured, Variant};
use crate::compare::features::no_columns;
use crate::compare::runner::{Prediction, Runner, Texts};
use crate::compare::settings::{FeatureSet, Route};
use crate::error::Result;
use crate::features::columns::as_texts;
use crate::report::ScoredBy;

impl Measured {
    pub(super) fn encoder_predictions(
        &mut self,
        route: Route,
        variant: Variant,
        runner: &Runner,
    ) -> Result<Vec<Prediction>> {
        let runner = &runner.of_route(route)?;
        let seeds = &runner.settings.seeds;
        let seeds = if route.finetunes() { &seeds[..] } else { &seeds[..1] };
        let mut predictions = Vec::with_capacity(seeds.len());
        for &seed in seeds {
            let encoder = runner.encoder(route, seed)?;
            self.remember(&encoder);
            predictions.push(match variant.way {
                ScoredBy::OwnHead => runner.own_head(&encoder)?,
                _ => {
                    let set = variant.features.unwrap_or(FeatureSet::Text);
                    runner.classifier(&encoder, runner.texts(), set)?
                }
            });
        }
        Ok(predictions)
    }
}

impl Runner<'_> {
    /// The encoder as it is, reading texts with the columns written into them.
    pub(super) fn table_as_text(&self) -> Result<Prediction> {
        let table = self.prepared.table.as_ref().ok_or_else(no_columns)?;
        let texts = as_texts(&table.table, &self.prepared.labelled.rows.texts);
        let options = self.model.encode_options(self.prepared.max_seq_length);
        let encodings = self.model.tokenizer.encode(&texts, &options)?;
        let columns = serde_json::to_string(&table.plans).expect("a plan is plain data");
        let key = format!("{} with {columns}", self.prepared.labelled.key);
        let texts = Texts { encodings: &encodings, key: &key, name: "table_as_text." };
        self.classifier(&self.untouched(), texts, FeatureSet::Text)
    }
}
