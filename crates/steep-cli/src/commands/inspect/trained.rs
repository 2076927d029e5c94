//! What a trained folder predicts, in lines.

use crate::figures::listed;
use std::fmt::Write;
use steep::stages::TrainedAbout;

/// Labels and columns that are named.
const NAMED: usize = 20;

/// What is trained, for people.
pub(super) fn text(trained: &TrainedAbout) -> String {
    let mut text = String::new();
    write(trained, &mut text).expect("writing to a string does not fail");
    text.trim_end().to_owned()
}

fn write(trained: &TrainedAbout, text: &mut String) -> std::fmt::Result {
    writeln!(text, "trained      {}", predictor(trained))?;
    writeln!(text, "  {} labels: {}", trained.labels.len(), listed(&trained.labels, NAMED))?;
    if !trained.text_columns.is_empty() {
        writeln!(text, "  text from: {}", listed(&trained.text_columns, NAMED))?;
    }
    if !trained.columns.is_empty() {
        writeln!(text, "  {} columns: {}", trained.columns.len(), listed(&trained.columns, NAMED))?;
    }
    if let Some(temperature) = trained.temperature {
        writeln!(text, "  probabilities at temperature {temperature:.3}")?;
    }
    for (folder, member) in &trained.members {
        writeln!(text, "  {folder}/: {}", predictor(member))?;
    }
    Ok(())
}

/// What predicts, and what it takes.
fn predictor(trained: &TrainedAbout) -> String {
    match &trained.takes {
        Some(takes) => format!("{}, of {takes}", trained.predictor),
        None => trained.predictor.clone(),
    }
}
