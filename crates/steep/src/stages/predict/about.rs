//! What does a trained folder predict, and from what?

use super::combination::{COMBINATION_FILE, Combination, CombinationMember, CombinationMethod};
use super::predictor::{OnTop, Predictor, labels_of, on_top};
use super::temperature::SavedTemperature;
use super::text::TextRecipe;
use super::{feature_columns, is_head_only, terms};
use crate::error::Result;
use crate::features::columns::ColumnPlan;
use crate::features::preparation::{PREPARATION_FILE, Preparation};
use crate::learners::head::Head;
use crate::stages::classify::HEAD_FOLDER;
use crate::stages::model_folder::ModelFolder;
use crate::storage::read_json;
use serde::Serialize;
use std::path::Path;

/// What a trained folder predicts, and from what.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct TrainedAbout {
    /// What predicts: `network`, `joint network`, `average`, `stacked` or the name of a learner.
    pub predictor: String,
    /// What a learner takes, in words; none for a network.
    pub takes: Option<String>,
    /// The labels, or the outputs of a regression.
    pub labels: Vec<String>,
    /// The columns of the text; none where the folder does not say.
    pub text_columns: Vec<String>,
    /// The columns beside the text, or in place of it.
    pub columns: Vec<String>,
    /// The temperature at which probabilities are given.
    pub temperature: Option<f64>,
    /// The models that are put together, by their folders.
    pub members: Vec<(String, TrainedAbout)>,
}

/// What [`super::predict()`] would use of a folder; none where nothing in it was trained to predict.
///
/// # Errors
/// Files that cannot be read, or do not fit together.
pub fn about_trained(folder: &Path) -> Result<Option<TrainedAbout>> {
    let about = if folder.join(COMBINATION_FILE).is_file() {
        about_combination(folder)?
    } else if is_head_only(folder) {
        about_learner(folder)?
    } else {
        let Some(on_top) = on_top(&ModelFolder::open(folder)?) else { return Ok(None) };
        about_encoder(folder, on_top)?
    };
    let temperature = SavedTemperature::load(folder)?.map(|saved| saved.temperature);
    Ok(Some(TrainedAbout { temperature, ..about }))
}

fn about_combination(folder: &Path) -> Result<TrainedAbout> {
    let combination: Combination = read_json(&folder.join(COMBINATION_FILE))?;
    let mut about = TrainedAbout::default();
    for member in &combination.members {
        let name = member.folder();
        let Some(mut of_member) = about_trained(&folder.join(name))? else { continue };
        if let CombinationMember::Vectors { .. } = member {
            of_member.takes = Some("columns and the vectors of the text".to_owned());
        }
        if about.text_columns.is_empty() {
            about.text_columns.clone_from(&of_member.text_columns);
        }
        if about.columns.is_empty() {
            about.columns.clone_from(&of_member.columns);
        }
        about.labels.clone_from(&of_member.labels);
        about.members.push((name.to_owned(), of_member));
    }
    about.predictor = match combination.method {
        CombinationMethod::Average => "average".to_owned(),
        CombinationMethod::Stacked => {
            let head = Head::load(&folder.join(HEAD_FOLDER))?;
            about.labels = labels_of(&head);
            about.takes = Some(format!("outputs of the members, by {}", head.learner().name()));
            "stacked".to_owned()
        }
    };
    Ok(about)
}

/// A learner without an encoder.
fn about_learner(folder: &Path) -> Result<TrainedAbout> {
    let head = Head::load(folder)?;
    let text_columns = TextRecipe::load(folder)?.map_or_else(Vec::new, |text| text.text_columns);
    let (takes, columns) = if folder.join(terms::VECTORIZER_FILE).is_file() {
        ("n-grams of words and characters", Vec::new())
    } else if folder.join(PREPARATION_FILE).is_file() {
        ("columns", column_names(&Preparation::load(folder)?.inputs().columns))
    } else {
        ("columns of a feature file", feature_columns(folder)?)
    };
    Ok(TrainedAbout {
        predictor: head.learner().name().to_owned(),
        takes: Some(format!("{} {takes}", head.feature_count())),
        labels: labels_of(&head),
        text_columns,
        columns,
        ..TrainedAbout::default()
    })
}

/// An encoder with what was trained on top of it.
fn about_encoder(folder: &Path, on_top: OnTop) -> Result<TrainedAbout> {
    let predictor = Predictor::open(folder, None)?;
    let (name, takes) = match on_top {
        OnTop::Network => ("network".to_owned(), None),
        OnTop::JointNetwork => ("joint network".to_owned(), None),
        OnTop::Learner => {
            let head = Head::load(&folder.join(HEAD_FOLDER))?;
            let takes = match predictor.preparation() {
                Some(_) => "dimensions of the vectors of the text and of columns",
                None => "dimensions of the vectors of the text",
            };
            (head.learner().name().to_owned(), Some(format!("{} {takes}", head.feature_count())))
        }
    };
    let text = predictor.text_recipe().unwrap_or_default();
    let columns = match predictor.preparation() {
        Some(preparation) => column_names(&preparation.inputs().columns),
        None => column_names(&text.written_columns),
    };
    let labels = predictor.labels().to_vec();
    Ok(TrainedAbout {
        predictor: name,
        takes,
        labels,
        text_columns: text.text_columns,
        columns,
        ..TrainedAbout::default()
    })
}

fn column_names(plans: &[ColumnPlan]) -> Vec<String> {
    plans.iter().map(|plan| plan.name.clone()).collect()
}
