use super::*;
use crate::features::matrix::DenseMatrix;
use crate::progress::{Cancel, Context, Silent};
use crate::random::Stream;
use crate::storage::atomic_file;
use std::io::Write;
use std::path::Path;
use steep_encoder::pooling::normalize;

fn quietly<T>(work: impl FnOnce(&Context) -> T) -> T {
    work(&Context { progress: &Silent, cancel: &Cancel::default() })
}

/// Unit vectors around some centres.
fn clustered(rows: usize, width: usize, seed: u64) -> Vec<f32> {
    let mut random = Stream::new(seed, &[1]);
    let centres: Vec<f32> = (0..20 * width).map(|_| random.normal() as f32).collect();
    let mut values = Vec::new();
    for row in 0..rows {
        let centre = &centres[row % 20 * width..][..width];
        values.extend(centre.iter().map(|x| x + 0.6 * random.normal() as f32));
    }
    values.chunks_exact_mut(width).for_each(normalize);
    values
}

fn written(folder: &Path, values: &[f32], width: usize) -> Vectors {
    let rows = values.len() / width;
    let path = folder.join("vectors.npy");
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {width}), }}");
    atomic_file(&path, |file| {
        let mut bytes = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
        bytes.extend(format!("{header:<117}\n").into_bytes());
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        file.write_all(&bytes).map_err(crate::error::Error::io("write", &path))
    })
    .unwrap();
    Vectors::open(&path, rows, width).unwrap()
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

#[test]
fn exact_hits_are_those_of_sorting_all_cosines() {
    let place = tempfile::tempdir().unwrap();
    let (width, values) = (16, clustered(5_000, 16, 1));
    let vectors = written(place.path(), &values, width);
    let queries = clustered(140, width, 2);
    let found =
        quietly(|ctx| nearest(&vectors, &DenseMatrix::new(140, width, queries.clone()).unwrap(), 7, ctx))
            .unwrap();
    for (query, hits) in queries.chunks_exact(width).zip(&found) {
        let mut all: Vec<f64> = values.chunks_exact(width).map(|row| dot(query, row)).collect();
        for hit in hits {
            assert!((f64::from(hit.score) - all[hit.row as usize]).abs() < 1e-6);
        }
        all.sort_by(|a, b| b.total_cmp(a));
        assert_eq!(hits.len(), 7);
        for (hit, expected) in hits.iter().zip(&all) {
            assert!((f64::from(hit.score) - expected).abs() < 1e-6);
        }
    }
    let few = written(place.path(), &values[..3 * width], width);
    let query = DenseMatrix::new(1, width, values[width..2 * width].to_vec()).unwrap();
    let hits = quietly(|ctx| nearest(&few, &query, 7, ctx)).unwrap();
    assert_eq!((hits[0].len(), hits[0][0].row), (3, 1));
}

#[test]
fn lists_find_nearly_all_and_all_of_them_find_all() {
    let place = tempfile::tempdir().unwrap();
    let (width, values) = (24, clustered(3_000, 24, 3));
    let vectors = written(place.path(), &values, width);
    let settings = ListSettings { n_lists: None, seed: 5 };
    let lists = quietly(|ctx| lists::Lists::build(&vectors, settings, ctx)).unwrap();
    assert_eq!(lists.len(), 55);
    assert_eq!(quietly(|ctx| lists::Lists::build(&vectors, settings, ctx)).unwrap(), lists);
    let queries = DenseMatrix::new(200, width, clustered(200, width, 4)).unwrap();
    let exact = quietly(|ctx| nearest(&vectors, &queries, 10, ctx)).unwrap();
    let found =
        |n_probe: usize| quietly(|ctx| lists.nearest(&vectors, &queries, [10, n_probe], ctx)).unwrap();
    let [one, few, all] = [1, 8, 55].map(|n_probe| recall(&found(n_probe), &exact));
    assert!(one < few && few > 0.9, "{one}, {few}");
    assert_eq!((all, &found(55)), (1.0, &exact), "the scores have the same bits too");

    lists.save(place.path()).unwrap();
    assert_eq!(lists::Lists::load(place.path(), 3_000, width).unwrap(), lists);
    assert!(lists::Lists::load(place.path(), 2_999, width).is_err());
    let path = place.path().join(lists::LISTS_FILE);
    let mut bytes = std::fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last - 4000] = 255;
    std::fs::write(&path, bytes).unwrap();
    let error = lists::Lists::load(place.path(), 3_000, width).unwrap_err();
    assert!(error.hint().unwrap().contains("anew"), "{error}");
}

#[test]
fn near_pairs_are_all_pairs_above_the_threshold() {
    let place = tempfile::tempdir().unwrap();
    let (width, mut values) = (8, clustered(1_300, 8, 5));
    let copy = values[..width].to_vec();
    values[1_299 * width..].copy_from_slice(&copy);
    let vectors = written(place.path(), &values, width);
    let pairs = quietly(|ctx| near_pairs(&vectors, 0.995, ctx)).unwrap();
    assert_eq!((pairs[0].first, pairs[0].second), (0, 1_299));
    let row = |at: usize| &values[at * width..][..width];
    let count = (0..1_300)
        .flat_map(|a| (a + 1..1_300).map(move |b| (a, b)))
        .filter(|&(a, b)| dot(row(a), row(b)) >= 0.995)
        .count();
    assert!(pairs.len().abs_diff(count) <= 1, "{} and {count}: rounding at the threshold", pairs.len());
    assert!(pairs.iter().all(|pair| pair.first < pair.second));
    assert!(pairs.windows(2).all(|two| two[0].score >= two[1].score));
}

#[test]
fn files_of_another_size_are_refused() {
    let place = tempfile::tempdir().unwrap();
    written(place.path(), &clustered(10, 8, 6), 8);
    assert!(Vectors::open(&place.path().join("vectors.npy"), 10, 9).is_err());
    assert!(Vectors::open(&place.path().join("vectors.npy"), usize::MAX, 8).is_err());
}
