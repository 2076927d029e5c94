//! Products against their definition, on every path, in every precision and at awkward sizes.

use super::driver::product_rows_on;
use super::{Element, Epilogue, Packed, Precision, TILE_COLUMNS, transposed_product};
use crate::dispatch::Path;
use crate::testing::{assert_close, bits, numbers, same_for_any_thread_count};
use half::bf16;
use proptest::prelude::*;

/// How far a sum of `inner` products of numbers in [-1, 1) may be off. Both operands are rounded in the reference as
/// well, so that only the rounding of additions counts: half a unit in the last place of a partial sum (√(inner / 9)
/// large) each, as a random walk over `inner` of them. Eight such deviations; 3.7e-5 was measured at 3073.
fn tolerance(inner: usize) -> f64 {
    let inner = inner.max(16) as f64;
    8.0 * f64::from(f32::EPSILON) / 4.0 * (inner / 9.0).sqrt() * inner.sqrt()
}

/// Copies the sums, and fails on a run that comes twice, is cut elsewhere or lies outside.
struct Keep {
    values: Vec<f32>,
    columns: usize,
}

impl Keep {
    fn new(rows: usize, columns: usize) -> Self {
        Self { values: vec![f32::NAN; rows * columns], columns }
    }
}

impl Epilogue for Keep {
    #[inline(always)]
    fn store(&mut self, row: usize, column: usize, values: &mut [f32]) {
        assert!(
            column.is_multiple_of(TILE_COLUMNS) && values.len() == TILE_COLUMNS.min(self.columns - column)
        );
        let run = &mut self.values[row * self.columns + column..][..values.len()];
        assert!(run.iter().all(|value| value.is_nan()), "a run of sums came twice");
        run.copy_from_slice(values);
    }
}

fn elements<E: Element>(values: &[f32]) -> Vec<E> {
    values.iter().map(|value| E::from_f32(*value)).collect()
}

fn wide<E: Element>(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(E::from_f32(*value).to_f32())).collect()
}

/// `a · b` in f64 of operands rounded to `E`; `at` finds the element (k, column) of b.
fn reference<E: Element>(
    a: &[f32],
    b: &[f32],
    [rows, inner, columns]: [usize; 3],
    at: impl Fn(usize, usize) -> usize,
) -> Vec<f64> {
    let (a, b) = (wide::<E>(a), wide::<E>(b));
    (0..rows * columns)
        .map(|i| (0..inner).map(|k| a[i / columns * inner + k] * b[at(k, i % columns)]).sum())
        .collect()
}

/// The product of the first `rows` rows on `path`; rows lie `gap` elements apart.
fn product<E: Element>(path: Path, a: &[f32], gap: usize, rows: usize, right: &Packed) -> Vec<f32> {
    let inner = right.inner();
    let mut spread = Vec::new();
    for row in 0..rows {
        spread.extend(elements::<E>(&a[row * inner..][..inner]));
        if row + 1 < rows {
            spread.extend(vec![E::from_f32(f32::NAN); gap]);
        }
    }
    let mut keep = Keep::new(rows, right.columns());
    product_rows_on(path, &spread, inner + gap, rows, right, &mut keep);
    keep.values
}

/// Both layouts of the right operand on every path against the definition.
fn check_product<E: Element>(rows: usize, inner: usize, columns: usize, gap: usize) {
    let (a, b) = (numbers(rows * inner, 1), numbers(inner * columns, 2));
    let mut right = Packed::default();
    for transposed in [false, true] {
        let expected = if transposed {
            right.pack_transposed(&b, columns, inner, E::PRECISION);
            reference::<E>(&a, &b, [rows, inner, columns], |k, column| column * inner + k)
        } else {
            right.pack(&b, inner, columns, E::PRECISION);
            reference::<E>(&a, &b, [rows, inner, columns], |k, column| k * columns + column)
        };
        for path in Path::available() {
            assert_close(&product::<E>(path, &a, gap, rows, &right), &expected, tolerance(inner));
        }
    }
}

/// Every row of a product has the bits of that row computed alone or in other company.
fn check_company<E: Element>(rows: usize, inner: usize, columns: usize) {
    let (a, b) = (numbers(rows * inner, 3), numbers(inner * columns, 4));
    let mut right = Packed::default();
    right.pack_transposed(&b, columns, inner, E::PRECISION);
    for path in Path::available() {
        let all = product::<E>(path, &a, 0, rows, &right);
        for count in [1, 2, 5, 7, rows / 2 + 1] {
            let count = count.min(rows);
            for first in [0, (rows - count) / 2, rows - count] {
                let part = product::<E>(path, &a[first * inner..], 0, count, &right);
                let expected = &all[first * columns..][..count * columns];
                assert_eq!(bits(&part), bits(expected), "{count} rows from {first}, {path:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn products_match_the_reference(
        rows in 0usize..20, inner in 0usize..70, columns in 0usize..150, gap in 0usize..3,
    ) {
        check_product::<f32>(rows, inner, columns, gap);
        check_product::<bf16>(rows, inner, columns, gap);
    }

    #[test]
    fn a_row_does_not_know_its_neighbours(rows in 1usize..40, inner in 0usize..70, columns in 1usize..150) {
        check_company::<f32>(rows, inner, columns);
        check_company::<bf16>(rows, inner, columns);
    }

    #[test]
    fn transposed_products_match_the_reference(
        tokens in 0usize..70, m in 0usize..40, n in 0usize..90, gap in 0usize..3, add in any::<bool>(),
    ) {
        check_transposed::<f32>(tokens, m, n, gap, add);
        check_transposed::<bf16>(tokens, m, n, gap, add);
    }

    #[test]
    fn stacked_weights_are_packed_as_one(
        first in 0usize..70, second in 0usize..70, third in 0usize..7, length in 0usize..40,
    ) {
        let each = [first, second, third];
        let all = numbers((first + second + third) * length, 5);
        let (a, rest) = all.split_at(first * length);
        let (b, c) = rest.split_at(second * length);
        for precision in [Precision::F32, Precision::Bf16] {
            let (mut one, mut stacked) = (Packed::default(), Packed::default());
            one.pack_transposed(&all, first + second + third, length, precision);
            stacked.pack_transposed_stacked(&[a, b, c], &each, length, precision);
            prop_assert_eq!(one.words(), stacked.words());
            one.pack(&all, first + second + third, length, precision);
            stacked.pack_stacked(&[a, b, c], &each, length, precision);
            prop_assert_eq!(one.words(), stacked.words());
        }
    }
}

fn check_transposed<E: Element>(tokens: usize, m: usize, n: usize, gap: usize, add: bool) {
    let (a, b) = (numbers(tokens * (m + gap), 6), numbers(tokens * (n + gap), 7));
    let before = if add { 0.5 } else { 0.0 };
    let mut out = vec![if add { 0.5 } else { f32::NAN }; m * n];
    transposed_product::<E>(&elements(&a), m + gap, m, &elements(&b), n + gap, n, tokens, &mut out, add);
    let (a, b) = (wide::<E>(&a), wide::<E>(&b));
    let expected: Vec<f64> = (0..m * n)
        .map(|i| {
            let sum = |t: usize| a[t * (m + gap) + i / n] * b[t * (n + gap) + i % n];
            before + (0..tokens).map(sum).sum::<f64>()
        })
        .collect();
    assert_close(&out, &expected, tolerance(tokens));
}

#[test]
fn packing_gives_the_same_words_on_every_path() {
    for (inner, columns) in [(1, 1), (33, 65), (64, 64), (95, 130), (128, 192)] {
        let source = numbers(inner * columns, 10);
        let by_column: Vec<&[f32]> = source.chunks(inner).collect();
        let by_row: Vec<&[f32]> = source.chunks(columns).collect();
        for precision in [Precision::F32, Precision::Bf16] {
            let pack = |path| {
                let (mut transposed, mut straight) = (Packed::default(), Packed::default());
                transposed.pack_columns(path, &by_column, inner, precision);
                straight.pack_rows(path, &by_row, columns, precision);
                (transposed.words().to_vec(), straight.words().to_vec())
            };
            let words: Vec<_> = Path::available().into_iter().map(pack).collect();
            assert!(words.iter().all(|other| *other == words[0]));
        }
    }
}

#[test]
fn long_inner_dimensions_match_the_reference() {
    check_product::<f32>(13, 3073, 65, 1);
    check_product::<bf16>(13, 3073, 65, 1);
    check_transposed::<f32>(3001, 13, 65, 1, true);
    check_transposed::<bf16>(3001, 13, 65, 1, true);
}

#[test]
fn a_row_does_not_know_its_neighbours_when_the_left_rows_exceed_the_cache() {
    check_company::<f32>(130, 3073, 70);
    check_company::<bf16>(230, 3073, 70);
}

#[test]
fn threads_do_not_change_the_bits_of_a_transposed_product() {
    fn check<E: Element>() {
        let (tokens, m, n) = (2501, 201, 133);
        let (a, b) = (elements::<E>(&numbers(tokens * m, 8)), elements::<E>(&numbers(tokens * n, 9)));
        same_for_any_thread_count(|| {
            let mut out = vec![0.25; m * n];
            transposed_product(&a, m, m, &b, n, n, tokens, &mut out, true);
            out
        });
    }
    check::<f32>();
    check::<bf16>();
}

#[test]
#[should_panic(expected = "one precision")]
fn operands_of_two_precisions_are_refused() {
    let mut right = Packed::default();
    right.pack(&[1.0; 4], 2, 2, Precision::Bf16);
    super::product_rows(&[1.0f32; 4], 2, 2, &right, &mut Keep::new(2, 2));
}

#[test]
#[should_panic(expected = "too short")]
fn a_short_left_operand_is_refused() {
    let mut right = Packed::default();
    right.pack(&[1.0; 4], 2, 2, Precision::F32);
    super::product_rows(&[1.0f32; 3], 2, 2, &right, &mut Keep::new(2, 2));
}
