//! Maps of the test rows' vectors, before and after training.

use super::routes::{Measured, MeasuredRoute};
use super::runner::Runner;
use super::settings::Route;
use super::tsne::tsne;
use crate::data::Task;
use crate::error::Result;
use crate::features::matrix::DenseMatrix;
use crate::objectives::Targets;
use crate::random::Stream;
use crate::report::{EmbeddingMap, MapPoint};
use rayon::prelude::*;

/// Points of a map at most.
const MOST_POINTS: usize = 500;
const SAMPLE: u64 = 0x4d41_5053;

/// A map for the encoder as it is, the adapted one, and the best of those that were fine-tuned; none where rows have no
/// single class.
pub(super) fn maps(measured: &Measured, runner: &Runner) -> Result<Vec<EmbeddingMap>> {
    let labelled = &runner.prepared.labelled;
    let (Targets::Classes(classes), Task::SingleLabel) = (&labelled.targets, labelled.task()) else {
        return Ok(Vec::new());
    };
    let test = &labelled.split.test;
    let mut places: Vec<u32> = (0..test.len() as u32).collect();
    if places.len() > MOST_POINTS {
        Stream::new(runner.settings.seeds[0], &[SAMPLE]).shuffle(&mut places);
        places.truncate(MOST_POINTS);
        places.sort_unstable();
    }
    let rows: Vec<u32> = places.iter().map(|&place| test[place as usize]).collect();
    let classes: Vec<u32> = rows.iter().map(|&row| classes[row as usize]).collect();
    let first_test = (labelled.split.train.len() + labelled.split.validation.len()) as u32;
    let places: Vec<u32> = places.into_iter().map(|place| first_test + place).collect();
    let mut maps = Vec::new();
    for route in chosen(measured) {
        runner.ctx.cancel.check()?;
        let runner = &runner.of_route(route)?;
        let encoder = runner.encoder(route, runner.settings.seeds[0])?;
        let (vectors, _) = runner.embeddings(&encoder, runner.texts())?;
        let vectors = vectors.select_rows(&places);
        maps.push(EmbeddingMap {
            encoder: route.name().to_owned(),
            classes: labelled.names.clone(),
            neighbour_share: neighbour_share(&vectors, &classes),
            points: points(&tsne(vectors.values(), vectors.columns()), &classes),
        });
    }
    Ok(maps)
}

/// The encoders worth a map.
fn chosen(measured: &Measured) -> Vec<Route> {
    let has = |route: Route| measured.routes.iter().any(|measured| measured.route == route);
    let trained = measured.routes.iter().filter(|measured| measured.route.finetunes());
    let score = |route: &&MeasuredRoute| route.result.validation_score.unwrap_or(f64::NEG_INFINITY);
    let best = trained.max_by(|a, b| score(a).total_cmp(&score(b))).map(|measured| measured.route);
    [Route::Frozen, Route::Adapted].into_iter().filter(|route| has(*route)).chain(best).collect()
}

/// Places from 0 to 1 in both directions, with one scale.
fn points(places: &[[f64; 2]], classes: &[u32]) -> Vec<MapPoint> {
    let ends = |axis: usize| {
        let values = places.iter().map(|place| place[axis]);
        let low = values.clone().fold(f64::INFINITY, f64::min);
        (low, values.fold(f64::NEG_INFINITY, f64::max))
    };
    let (across, down) = (ends(0), ends(1));
    let span = (across.1 - across.0).max(down.1 - down.0).max(f64::MIN_POSITIVE);
    let place = |value: f64, (low, high): (f64, f64)| {
        let share = 0.5 + (value - f64::midpoint(low, high)) / span;
        (share * 1e4).round() / 1e4
    };
    places
        .iter()
        .zip(classes)
        .map(|(at, &class)| MapPoint { x: place(at[0], across), y: place(at[1], down), class })
        .collect()
}

/// The share of rows whose nearest neighbour by cosine has their class.
fn neighbour_share(vectors: &DenseMatrix, classes: &[u32]) -> f64 {
    let length =
        |row: &[f32]| row.iter().map(|value| value * value).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    let lengths: Vec<f32> = (0..vectors.rows()).map(|row| length(vectors.row(row))).collect();
    let cosine = |from: usize, to: usize| {
        let product: f32 = vectors.row(from).iter().zip(vectors.row(to)).map(|(a, b)| a * b).sum();
        product / (lengths[from] * lengths[to])
    };
    let alike = (0..vectors.rows()).into_par_iter().filter(|&row| {
        let others = (0..vectors.rows()).filter(|&other| other != row);
        let nearest = others.max_by(|&a, &b| cosine(row, a).total_cmp(&cosine(row, b)));
        nearest.is_some_and(|nearest| classes[nearest] == classes[row])
    });
    alike.count() as f64 / vectors.rows().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_fill_the_square_and_keep_their_shape() {
        let points = points(&[[0.0, 0.0], [4.0, 1.0]], &[0, 1]);
        assert_eq!((points[0].x, points[1].x), (0.0, 1.0));
        assert_eq!((points[0].y, points[1].y), (0.375, 0.625));
    }

    #[test]
    fn neighbours_of_the_same_class_are_counted() {
        let vectors = DenseMatrix::new(4, 2, vec![1.0, 0.0, 0.9, 0.1, 0.0, 2.0, 0.1, 1.0]).unwrap();
        assert_eq!(neighbour_share(&vectors, &[0, 0, 1, 1]), 1.0);
        assert_eq!(neighbour_share(&vectors, &[0, 1, 1, 1]), 0.5);
    }
}
