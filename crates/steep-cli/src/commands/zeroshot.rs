//! `steep zeroshot`: labels of texts by natural language inference.

use super::predict::summary;
use crate::arguments::Asked;
use crate::session::Session;
use steep::config::{ZeroshotRequest, default_dtype};
use steep::stages::{PredictInput, ZeroShot, zeroshot};

pub(crate) fn run(asked: Asked<ZeroshotRequest>, session: &Session) -> anyhow::Result<()> {
    let mut request = session.request(asked)?;
    let sources = request.sources()?;
    let settings = request.resolve()?;
    let model = session.model_path(&sources.model_name_or_path, sources.model_revision.as_ref())?;
    if session.is_dry_run() {
        let opened = ZeroShot::open(&model, &settings)?;
        let names = if opened.names_entailment() { "names" } else { "does not name" };
        let dtype = settings.predict.dtype.unwrap_or_else(default_dtype);
        let lines = [
            format!("the model is {}, which {names} entailment", model.display()),
            format!("each text is read {} times, computed in {dtype}", settings.candidate_labels.len()),
        ];
        return session.say_plan(&request, &lines);
    }
    let input = PredictInput {
        model: &model,
        source: &sources.input_file,
        text_columns: sources.text_column_names.clone(),
        text_column_delimiter: sources.text_column_delimiter.clone(),
        limit: sources.limit,
    };
    let report = zeroshot(&input, &settings, &sources.output_file, &session.context())?;
    session.say(&summary("labelled", &report, settings.predict.max_seq_length)?)
}
