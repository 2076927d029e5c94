//! Which test rows a route gets wrong.

use super::checks::shown;
use super::data::LabelledData;
use super::routes::MeasuredRoute;
use crate::evaluation::probabilities::predicted_classes;
use crate::objectives::Targets;
use crate::report::{MistakenRow, MistakenRows};

/// Mistakes that are kept at most.
const MOST_ROWS: usize = 200;

/// The mistakes of a route with its first seed, the surest first; none where rows have no single class.
pub(super) fn mistakes(route: &MeasuredRoute, labelled: &LabelledData, test: &[u32]) -> Option<MistakenRows> {
    let Targets::Classes(classes) = &labelled.targets else { return None };
    let values = &route.predictions[0].test;
    let mut wrong: Vec<(usize, u32, u32)> = test
        .iter()
        .zip(predicted_classes(values))
        .enumerate()
        .map(|(place, (&row, predicted))| (place, classes[row as usize], predicted))
        .filter(|(_, truth, predicted)| truth != predicted)
        .collect();
    let probability = |place: usize, class: u32| values.row(place)[class as usize];
    wrong.sort_by(|a, b| probability(b.0, b.2).total_cmp(&probability(a.0, a.2)).then(a.0.cmp(&b.0)));
    let total = wrong.len() as u64;
    let name = |class: u32| labelled.names[class as usize].clone();
    let rows = wrong.into_iter().take(MOST_ROWS).map(|(place, truth, predicted)| {
        let row = test[place];
        let (file, number) = labelled.rows.origins.locate(u64::from(row));
        MistakenRow {
            file: file.display().to_string(),
            row: number,
            text: shown(&labelled.rows.texts[row as usize]),
            truth: name(truth),
            predicted: name(predicted),
            probability: f64::from(probability(place, predicted)),
            truth_probability: f64::from(probability(place, truth)),
        }
    });
    Some(MistakenRows { route: route.result.id.clone(), total, rows: rows.collect() })
}
