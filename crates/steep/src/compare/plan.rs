//! What a comparison would cost: each stage once, measured on a few seconds of real work.

use super::checks::checks;
use super::data::prepare;
use super::general_text;
use super::runner::Runner;
use super::settings::{CompareSettings, Route};
use crate::config::{Estimate, TrainingAmount, apply_dtype, estimate_embedding, estimate_training};
use crate::error::Result;
use crate::features::embed::Embedder;
use crate::progress::Context;
use crate::stages::{ModelFolder, adapt, estimate_contrastive, estimate_joint, finetune};
use steep_encoder::{HeadKind, Model};

/// The plan in lines for a person: rows, then each stage with its estimate, then the sum.
pub fn plan(settings: &CompareSettings, ctx: &Context) -> Result<Vec<String>> {
    let model = ModelFolder::open(&settings.model)?;
    let prepared = prepare(settings, &model, ctx)?;
    let general = general_text(&model, prepared.max_seq_length)?;
    let runner = Runner { settings, model: &model, prepared: &prepared, general: Some(&general), ctx };
    let split = &prepared.labelled.split;
    let unlabelled = prepared.unlabelled.as_ref().map_or(0, |unlabelled| unlabelled.texts);
    let mut lines = vec![format!(
        "{} rows to train on, {} to validate, {} to test; {unlabelled} unlabelled texts",
        split.train.len(),
        split.validation.len(),
        split.test.len()
    )];
    lines.extend(checks(&prepared).iter().map(crate::report::Check::line));
    let mut seconds = 0.0;
    let mut add = |name: &str, times: usize, estimate: Estimate| {
        seconds += estimate.seconds * times as f64;
        lines.push(format!("{name}, {times} times: {estimate}"));
    };
    let (trainings, adaptations) = trained(settings);
    if adaptations > 0 && prepared.unlabelled.is_some() {
        add("adapt", adaptations, estimate_adapting(&runner, ctx)?);
    }
    if trainings > 0 {
        add("finetune", trainings, estimate_fine_tuning(&runner, ctx)?);
    }
    let contrastive = settings.routes.iter().filter(|route| route.trains_vectors()).count();
    if contrastive > 0 {
        let (first, input) = (settings.seeds[0], runner.finetune_input(runner.model));
        let estimate = estimate_contrastive(&input, &runner.contrastive_settings(first), ctx.cancel)?;
        add("contrastive", contrastive * settings.seeds.len(), estimate);
    }
    let networks = settings.routes.iter().filter(|route| route.is_joint()).count();
    if networks > 0 {
        add("joint", networks * settings.seeds.len(), estimate_network(&runner, ctx)?);
    }
    add("embed", embeddings(settings), estimate_embeddings(&runner, ctx)?);
    lines.push(format!(
        "in all about {:.0} min, fitting the classifiers not counted",
        (seconds / 60.0).ceil()
    ));
    Ok(lines)
}

/// How often fine-tuning and adapting run, shared stages once.
fn trained(settings: &CompareSettings) -> (usize, usize) {
    let has = |route: Route| usize::from(settings.routes.contains(&route));
    let seeds = settings.seeds.len();
    let finetuned = has(Route::Finetuned).max(has(Route::FinetunedAdapted));
    let adapting = [Route::Adapted, Route::AdaptedFinetuned, Route::AdaptedJoint, Route::AdaptedContrastive];
    let adapted = usize::from(adapting.iter().any(|route| settings.routes.contains(route)));
    ((finetuned + has(Route::AdaptedFinetuned)) * seeds, adapted + has(Route::FinetunedAdapted) * seeds)
}

/// How many encoders' embeddings are made.
fn embeddings(settings: &CompareSettings) -> usize {
    let count = |route: &Route| match route {
        Route::TableAsText => 1,
        route if route.is_joint() => 0,
        route if route.finetunes() => settings.seeds.len(),
        route => usize::from(route.has_encoder()),
    };
    settings.routes.iter().map(count).sum()
}

fn estimate_adapting(runner: &Runner, ctx: &Context) -> Result<Estimate> {
    let settings = runner.adapt_settings(runner.settings.seeds[0]);
    let input = runner.adapt_input(runner.model, None);
    let (mut model, _) = adapt::load(&input, &settings)?;
    let objective = adapt::objective(&input, &settings)?;
    let general = input.general.map_or(0, crate::text::Encodings::len);
    let amount = TrainingAmount {
        rows: input.train_rows.len() as u64,
        evaluation_rows: (input.held_out_rows.len() + general) as u64,
    };
    estimate_training(&mut model, &objective, &settings.training, amount, ctx.cancel)
}

fn estimate_fine_tuning(runner: &Runner, ctx: &Context) -> Result<Estimate> {
    let settings = runner.finetune_settings(runner.settings.seeds[0]);
    let input = runner.finetune_input(runner.model);
    let mut model = finetune::load(&input, &settings)?;
    let objective = finetune::objective(&input, &settings);
    let amount = TrainingAmount {
        rows: input.train_rows.len() as u64,
        evaluation_rows: input.validation_rows.len() as u64,
    };
    estimate_training(&mut model, &objective, &settings.training, amount, ctx.cancel)
}

/// Training one network over texts and columns; adapting before it changes nothing of what it costs.
fn estimate_network(runner: &Runner, ctx: &Context) -> Result<Estimate> {
    let settings = runner.joint_settings(runner.settings.seeds[0])?;
    let columns = runner.joint_columns()?;
    estimate_joint(&runner.joint_input(runner.model, &columns)?, &settings, ctx.cancel)
}

fn estimate_embeddings(runner: &Runner, ctx: &Context) -> Result<Estimate> {
    let (mut weights, _) = Model::load(&runner.model.path, HeadKind::None, 0)?;
    let dtype = runner.settings.finetune.dtype;
    apply_dtype(dtype, &mut weights);
    let dense = runner.model.modules.as_ref().map_or(&[][..], |modules| &modules.dense);
    let embedder = Embedder::new(&weights, dense, runner.model.embed_settings(dtype))?;
    let split = &runner.prepared.labelled.split;
    let rows = (split.train.len() + split.test.len()) as u64;
    estimate_embedding(&embedder, &runner.prepared.labelled.encodings, rows, ctx.cancel)
}
