//! Labels that a model which has not seen them confidently contradicts: "confident learning" (Northcutt, Jiang & Chuang
//! 2021, definition 1).

use super::{MOST_ROWS, checked_row};
use crate::compare::features::Beside;
use crate::compare::matrix_store::{MatrixReport, stored_or};
use crate::compare::routes::MeasuredRoute;
use crate::compare::runner::Runner;
use crate::compare::settings::FeatureSet;
use crate::error::Result;
use crate::features::matrix::DenseMatrix;
use crate::objectives::Targets;
use crate::report::{Check, CheckKind};
use crate::stages::ModelFolder;

/// Fewer training rows leave the folds too small to speak of confidence.
const FEWEST_ROWS: usize = 100;

/// Training rows whose label is doubtful, by the learner of a route whose encoder saw no label.
pub(in crate::compare) fn label_noise(runner: &Runner, route: &MeasuredRoute) -> Result<Option<Check>> {
    let labelled = &runner.prepared.labelled;
    let train = &labelled.split.train;
    let known = route.predictions[0].learner.as_ref();
    let (Targets::Classes(classes), Some(known)) = (&labelled.targets, known) else { return Ok(None) };
    if train.len() < FEWEST_ROWS {
        return Ok(None);
    }
    let seed = runner.settings.seeds[0];
    let encoder = runner.encoder(route.route, seed)?;
    let (vectors, _) = runner.embeddings(&encoder, runner.texts())?;
    let plan = runner.plan(FeatureSet::Text);
    let digest = ModelFolder::open(&encoder.folder)?.digest;
    let key = runner.fit_key("label noise", &[&digest], &plan);
    let (unseen, _) = stored_or(&runner.companion(&encoder, "label-noise"), &key, || {
        let features = runner.features(Some(vectors), Beside::Set(FeatureSet::Text))?;
        let learner = known.taken();
        let unseen = plan.out_of_fold(learner, &features.train, labelled, train, seed, runner.ctx)?;
        Ok((unseen, MatrixReport::default()))
    })?;
    let given: Vec<u32> = train.iter().map(|&row| classes[row as usize]).collect();
    let doubtful = doubtful(&unseen, &given);
    let count = doubtful.len() as u64;
    let name = |class: u32| &labelled.names[class as usize];
    let rows = doubtful.iter().take(MOST_ROWS).map(|found| {
        let note = format!(
            "labelled {}; {} with a probability of {:.2}",
            name(given[found.place]),
            name(found.instead),
            found.probability
        );
        checked_row(runner.prepared, train[found.place], note)
    });
    Ok((count > 0).then(|| Check {
        kind: CheckKind::LabelNoise,
        sentence: format!(
            "{count} of {} training labels ({:.1} %) are contradicted by a model that has not seen them, as surely as it \
             knows rows of the other class. Look at some: they are wrong, or hard.",
            train.len(),
            100.0 * count as f64 / train.len() as f64
        ),
        count,
        rows: rows.collect(),
    }))
}

/// A training row with another class than it should have.
struct Doubt {
    place: usize,
    instead: u32,
    probability: f32,
}

/// Rows that belong, more surely than the class's own rows do on average, to another class; the surest first.
fn doubtful(unseen: &DenseMatrix, given: &[u32]) -> Vec<Doubt> {
    let classes = unseen.columns();
    let (mut sums, mut counts) = (vec![0.0f64; classes], vec![0.0f64; classes]);
    for (row, &class) in given.iter().enumerate() {
        sums[class as usize] += f64::from(unseen.row(row)[class as usize]);
        counts[class as usize] += 1.0;
    }
    let threshold =
        |class: usize| if counts[class] > 0.0 { sums[class] / counts[class] } else { f64::INFINITY };
    let mut found: Vec<Doubt> = (0..given.len())
        .filter_map(|place| {
            let row = unseen.row(place);
            let instead = (0..classes).max_by(|&a, &b| row[a].total_cmp(&row[b]))?;
            let is_sure = f64::from(row[instead]) >= threshold(instead);
            (instead as u32 != given[place] && is_sure).then(|| Doubt {
                place,
                instead: instead as u32,
                probability: row[instead],
            })
        })
        .collect();
    let margin = |doubt: &Doubt| doubt.probability - unseen.row(doubt.place)[given[doubt.place] as usize];
    found.sort_by(|a, b| margin(b).total_cmp(&margin(a)).then(a.place.cmp(&b.place)));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_swapped_label_is_found_and_an_unsure_row_is_not() {
        let rows = vec![0.9, 0.1, 0.8, 0.2, 0.1, 0.9, 0.3, 0.7, 0.05, 0.95, 0.45, 0.55];
        let unseen = DenseMatrix::new(6, 2, rows).unwrap();
        // The fifth row is labelled 0 against a probability of 0.95; the sixth is on the fence.
        let found = doubtful(&unseen, &[0, 0, 1, 1, 0, 0]);
        assert_eq!(found.iter().map(|doubt| (doubt.place, doubt.instead)).collect::<Vec<_>>(), [(4, 1)]);
    }
}
