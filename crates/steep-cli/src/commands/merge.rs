//! `steep merge`: an adapter added to the weights that it belongs to.

use crate::arguments::Asked;
use crate::session::Session;
use steep::Error;
use steep::config::MergeRequest;
use steep::encoder::{Adapter, LoraSettings};
use steep::stages::merge;

pub(crate) fn run(asked: Asked<MergeRequest>, session: &Session) -> anyhow::Result<()> {
    let request = session.request(asked)?;
    let sources = request.sources()?;
    let adapter = Adapter::load(&sources.adapter)?;
    let named = sources.model_name_or_path.as_deref().or(adapter.base_model());
    let name = named.ok_or_else(|| {
        let problem = "the adapter does not name its model";
        Error::config("model_name_or_path", problem, "give --model_name_or_path FOLDER_OR_NAME")
    })?;
    let model = session.model(name, sources.model_revision.as_ref())?;
    if session.is_dry_run() {
        return session.say_plan(&request, &[format!("the adapter is merged into {name}")]);
    }
    let report = merge(&model, &sources.adapter, &sources.output_dir)?;
    let LoraSettings { rank, alpha, targets, .. } = &report.lora;
    let head =
        report.num_labels.map_or_else(String::new, |labels| format!(", and a head of {labels} outputs"));
    session.say(&[
        format!("merged into {name}: rank {rank}, alpha {alpha}, {} layers{head}", targets.len()),
        format!("model: {}", sources.output_dir.display()),
    ])
}
