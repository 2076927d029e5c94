//! What a comparison would cost, and what fits into the time that is allowed.

use super::budget::{cost, within};
use super::checks::checks;
use super::settings::CompareSettings;
use super::times::StageTimes;
use super::trial::Trial;
use crate::error::Result;
use crate::progress::Context;
use crate::report::{Check, Plan, budget_sentence, duration};

/// The plan in lines for a person: rows, then each stage with its estimate, then the sum, and what a budget leaves out.
pub fn plan(settings: &CompareSettings, ctx: &Context) -> Result<Vec<String>> {
    let trial = Trial::open(settings, String::new(), 0, ctx)?;
    let split = &trial.prepared.labelled.split;
    let unlabelled = trial.prepared.unlabelled.as_ref().map_or(0, |unlabelled| unlabelled.texts);
    let mut lines = vec![format!(
        "{} rows to train on, {} to validate, {} to test{}; {unlabelled} unlabelled texts",
        split.train.len(),
        split.validation.len(),
        split.test.len(),
        if settings.out_of_fold.is_some() { " in the first fold" } else { "" }
    )];
    lines.extend(checks(&trial.prepared).iter().map(Check::line));
    let times = StageTimes::measure(&trial.runner(ctx))?;
    let (seconds, stages) = cost(settings, &times);
    let estimate = |stage: &str| match stage {
        "adapt" => times.adapt,
        "finetune" => times.finetune,
        "contrastive" => times.contrastive,
        "joint" => times.joint,
        "embed" => times.embed,
        _ => None,
    };
    for stage in &stages {
        let words = match estimate(&stage.stage) {
            Some(found) => found.to_string(),
            None => format!("{} each", duration(stage.seconds)),
        };
        lines.push(format!("{}, {} times: {words}", stage.stage, rounded(stage.times)));
    }
    lines.push(format!("in all about {:.0} min", (seconds / 60.0).ceil()));
    if let Some(budget) = settings.budget {
        let planned = within(settings, &times, budget, 0.0)?;
        lines.extend(planned.plan.iter().flat_map(plan_lines));
    }
    Ok(lines)
}

fn rounded(times: f64) -> String {
    if times.fract() == 0.0 { format!("{times:.0}") } else { format!("{times:.1}") }
}

/// What a budget is spent on, a line each.
fn plan_lines(plan: &Plan) -> Vec<String> {
    let mut lines = vec![budget_sentence(plan)];
    lines.extend(plan.left_out.iter().map(|left| {
        format!("left out: {}, since {} (saves about {})", left.what, left.why, duration(left.seconds))
    }));
    lines
}

/// The same comparison within its budget, of which `spent` seconds are gone already; as it was where it has none.
///
/// What each kind of stage takes is measured on a few seconds of real work, once: a comparison that goes on after a stop
/// plans as it did before.
///
/// # Errors
/// Not even counting words fits.
pub fn plan_within_budget(settings: CompareSettings, spent: f64, ctx: &Context) -> Result<CompareSettings> {
    let Some(budget) = settings.budget else { return Ok(settings) };
    let times = {
        let trial = Trial::open(&settings, String::new(), 0, ctx)?;
        StageTimes::stored_or_measured(&trial.runner(ctx))?
    };
    let planned = within(&settings, &times, budget, spent)?;
    for line in planned.plan.iter().flat_map(plan_lines) {
        ctx.progress.line(&line);
    }
    Ok(planned)
}
