//! How are rows and a weight multiplied in 8 bits?
//!
//! The weight has a scale for every output channel and is symmetric: `w ≈ scale · q`, `q` in -127 … 127. A row is
//! quantised when it comes, with a scale and a zero point of its own: `x ≈ scale · (q - zero_point)`, `q` in 0 … 255.
//! Sums of products of bytes are exact in 32 bits, so they are the same on every instruction set.

use super::driver::{Panels, Sink, multiply};
#[cfg(target_arch = "x86_64")]
use super::driver::{on_avx2, on_avx512_vnni};
use super::packed::Words;
use super::step::PlainInt8;
use super::tile::LeftRows;
#[cfg(target_arch = "x86_64")]
use super::x86::{Int8On256, Int8On512};
use super::{Element, Epilogue, TILE_COLUMNS};
#[cfg(target_arch = "x86_64")]
use crate::dispatch::Level;
use crate::dispatch::{Path, per_path};
use rayon::prelude::*;
use std::ops::Range;

/// Bytes in a word.
const PER_WORD: usize = 4;

/// The largest inner dimension whose sums fit into 32 bits.
const MAX_INNER: usize = i32::MAX as usize / (255 * 127);

/// A weight in 8 bits, in the order in which the tiles read it.
pub struct QuantizedWeight {
    words: Words,
    inner: usize,
    columns: usize,
    /// What one step of a channel is worth.
    scales: Vec<f32>,
    /// Sums of the channels' bytes, which a row's zero point is multiplied with.
    sums: Vec<i32>,
}

impl QuantizedWeight {
    /// Quantises a weight, the forward pass's right operand. A channel with a number that is not finite gives NaN.
    ///
    /// # Shapes
    /// `weight` `[out_features, in_features]`; `in_features` at most 66,311, or sums could overflow.
    pub fn new(weight: &[f32], out_features: usize, in_features: usize) -> Self {
        assert_eq!(
            weight.len(),
            out_features * in_features,
            "the weight must be [out_features, in_features]"
        );
        assert!(
            in_features <= MAX_INNER,
            "sums over {in_features} products of bytes do not fit into 32 bits"
        );
        let rows: Vec<&[f32]> =
            (0..out_features).map(|row| &weight[row * in_features..][..in_features]).collect();
        let scales: Vec<f32> = rows.par_iter().map(|row| channel_scale(row)).collect();
        let depth = in_features.div_ceil(PER_WORD);
        let mut words = Words::default();
        words.resize(out_features.div_ceil(TILE_COLUMNS) * depth * TILE_COLUMNS);
        let mut sums = vec![0; out_features];
        words
            .as_mut_slice()
            .par_chunks_mut((depth * TILE_COLUMNS).max(1))
            .zip(sums.par_chunks_mut(TILE_COLUMNS))
            .enumerate()
            .for_each(|(panel, (words, sums))| {
                let first = panel * TILE_COLUMNS;
                words.fill(0);
                for (lane, sum) in sums.iter_mut().enumerate() {
                    *sum = pack_channel(rows[first + lane], scales[first + lane], &mut words[lane..]);
                }
            });
        Self { words, inner: in_features, columns: out_features, scales, sums }
    }

    /// Length of the dimension that is summed over.
    pub fn inner(&self) -> usize {
        self.inner
    }

    /// Columns of the product.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Bytes that hold the weight.
    pub fn bytes(&self) -> usize {
        size_of_val(self.words.as_slice()) + size_of_val(&*self.scales) + size_of_val(&*self.sums)
    }
}

/// The step with which 127 reaches the largest magnitude; NaN unless all is finite.
fn channel_scale(row: &[f32]) -> f32 {
    if row.iter().all(|value| value.is_finite()) {
        row.iter().fold(0.0, |largest: f32, value| largest.max(value.abs())) / 127.0
    } else {
        f32::NAN
    }
}

/// Writes one channel into the first lane of a panel and returns the sum of its bytes.
fn pack_channel(row: &[f32], scale: f32, words: &mut [u32]) -> i32 {
    let mut sum = 0;
    for (word, values) in words.iter_mut().step_by(TILE_COLUMNS).zip(row.chunks(PER_WORD)) {
        let mut bytes = [0; PER_WORD];
        for (byte, value) in bytes.iter_mut().zip(values) {
            // In a channel of zeros this is NaN, which becomes 0; where the scale is too small for f32, the clamp counts.
            let quantized = (value / scale).round_ties_even().clamp(-127.0, 127.0) as i8;
            sum += i32::from(quantized);
            *byte = quantized.cast_unsigned();
        }
        *word = u32::from_le_bytes(bytes);
    }
    sum
}

/// Rows in 8 bits. Quantising again uses the same memory.
#[derive(Default)]
pub struct QuantizedRows {
    words: Words,
    rows: usize,
    inner: usize,
    scales: Vec<f32>,
    zero_points: Vec<i32>,
}

impl QuantizedRows {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Numbers in a row.
    pub fn inner(&self) -> usize {
        self.inner
    }

    /// Words from row to row: whole cache lines.
    fn stride(&self) -> usize {
        stride(self.inner)
    }
}

fn stride(inner: usize) -> usize {
    inner.div_ceil(PER_WORD).next_multiple_of(16)
}

/// Quantises rows, each by its own range, on the calling thread. The range always contains zero, which is represented
/// exactly. A row with a number that is not finite, or of a range beyond f32, gives NaN.
///
/// # Shapes
/// `source` `[rows, inner]`, row-major.
pub fn quantize_rows<E: Element>(source: &[E], rows: usize, inner: usize, target: &mut QuantizedRows) {
    assert_eq!(source.len(), rows * inner, "the rows to quantise must be [rows, inner]");
    quantize_on(Path::best(), source, rows, inner, target);
}

per_path!(fn quantize_on<E: Element>(
    source: &[E], rows: usize, inner: usize, target: &mut QuantizedRows,
) = quantize_body);

#[inline(always)]
fn quantize_body<E: Element>(source: &[E], rows: usize, inner: usize, target: &mut QuantizedRows) {
    (target.rows, target.inner) = (rows, inner);
    let stride = stride(inner);
    target.words.resize(rows * stride);
    target.scales.clear();
    target.zero_points.clear();
    if inner == 0 {
        target.scales.resize(rows, 0.0);
        target.zero_points.resize(rows, 0);
        return;
    }
    let bytes = target.words.as_mut_bytes().chunks_exact_mut(stride * PER_WORD);
    for (bytes, row) in bytes.zip(source.chunks_exact(inner)) {
        let (scale, zero_point) = quantize_row(row, &mut bytes[..inner]);
        bytes[inner..].fill(0);
        target.scales.push(scale);
        target.zero_points.push(zero_point);
    }
}

/// Added to a number below 2²² it leaves the nearest integer, ties to even, in the low bits of the sum.
const ROUND: f32 = 12_582_912.0;

#[inline(always)]
fn nearest(value: f32) -> i32 {
    (value + ROUND).to_bits().wrapping_sub(ROUND.to_bits()).cast_signed()
}

/// Numbers that the search for the range looks at side by side.
const LANES: usize = 64;

/// Returns the scale and the zero point of a row.
#[inline(always)]
fn quantize_row<E: Element>(row: &[E], bytes: &mut [u8]) -> (f32, i32) {
    let Some((low, high)) = range(row) else {
        bytes.fill(0);
        return (f32::NAN, 0);
    };
    let steps = 255.0 / (high - low);
    if !steps.is_finite() {
        // All zero, or so near to it that the bytes could not tell.
        bytes.fill(0);
        return (0.0, 0);
    }
    let zero_point = nearest(-low * steps);
    for (byte, value) in bytes.iter_mut().zip(row) {
        *byte = (nearest(value.to_f32() * steps) + zero_point).clamp(0, 255) as u8;
    }
    ((high - low) / 255.0, zero_point)
}

/// The smallest and the largest of the numbers and zero, or nothing where one is not finite or their distance is not.
#[inline(always)]
fn range<E: Element>(row: &[E]) -> Option<(f32, f32)> {
    let (mut low, mut high, mut broken) = ([0.0f32; LANES], [0.0f32; LANES], [0.0f32; LANES]);
    let blocks = row.chunks_exact(LANES);
    let rest = blocks.remainder();
    for block in blocks {
        for lane in 0..LANES {
            let value = block[lane].to_f32();
            low[lane] = if value < low[lane] { value } else { low[lane] };
            high[lane] = if value > high[lane] { value } else { high[lane] };
            // NaN and infinity times zero are NaN, which stays.
            broken[lane] += value * 0.0;
        }
    }
    for (lane, value) in rest.iter().enumerate() {
        let value = value.to_f32();
        low[lane] = low[lane].min(value);
        high[lane] = high[lane].max(value);
        broken[lane] += value * 0.0;
    }
    let low = low.iter().fold(0.0, |low: f32, value| low.min(*value));
    let high = high.iter().fold(0.0, |high: f32, value| high.max(*value));
    let whole = broken.iter().all(|value| *value == 0.0) && (high - low).is_finite();
    whole.then_some((low, high))
}

/// `epilogue(left · right)` for some of the rows, on the calling thread; sums arrive in f32, scales and zero point
/// applied, and rows are counted from `rows.start`.
pub fn product_rows_int8(
    left: &QuantizedRows,
    rows: Range<usize>,
    right: &QuantizedWeight,
    epilogue: &mut impl Epilogue,
) {
    let first = rows.start;
    let mut sink = Scaled { left, first, right, epilogue };
    product_rows_int8_on(Path::best(), left, rows, right, &mut sink);
}

pub(super) fn product_rows_int8_on(
    path: Path,
    left: &QuantizedRows,
    rows: Range<usize>,
    right: &QuantizedWeight,
    sink: &mut impl Sink<i32>,
) {
    assert_eq!(left.inner, right.inner, "inner dimensions of the product differ");
    assert!(rows.start <= rows.end && rows.end <= left.rows, "rows outside the left operand");
    let words = left.inner.div_ceil(PER_WORD);
    let stride = left.stride();
    let all = LeftRows {
        first: left.words.as_slice().as_ptr().cast(),
        stride: 4 * stride,
        count: left.rows,
        words,
        half: false,
    };
    let panels = Panels { words: right.words.as_slice(), columns: right.columns };
    // SAFETY: `left` holds that many rows of that many words, `right` as many words as the inner dimension needs, and
    // a `Path` says that the processor has the instructions.
    unsafe {
        let left = all.part(rows.start, rows.len());
        #[cfg(target_arch = "x86_64")]
        match path.level() {
            Level::Avx512 if path.has_vnni() => return on_avx512_vnni::<Int8On512, _>(left, panels, sink),
            Level::Avx512 | Level::Avx2 => return on_avx2::<Int8On256, _>(left, panels, sink),
            Level::Baseline => {}
        }
        let _ = path;
        multiply::<PlainInt8, _>(left, panels, sink);
    }
}

/// Turns sums of bytes into numbers.
struct Scaled<'a, P> {
    left: &'a QuantizedRows,
    first: usize,
    right: &'a QuantizedWeight,
    epilogue: &'a mut P,
}

impl<P: Epilogue> Scaled<'_, P> {
    #[inline(always)]
    fn scale(&self, row: usize, column: usize, sums: &[i32], values: &mut [f32]) {
        let scale = self.left.scales[self.first + row];
        let zero_point = self.left.zero_points[self.first + row];
        let scales = &self.right.scales[column..][..sums.len()];
        let channels = &self.right.sums[column..][..sums.len()];
        for lane in 0..sums.len() {
            let sum = sums[lane].wrapping_sub(zero_point.wrapping_mul(channels[lane]));
            values[lane] = sum as f32 * scales[lane] * scale;
        }
    }
}

impl<P: Epilogue> Sink<i32> for Scaled<'_, P> {
    #[inline(always)]
    fn take(&mut self, row: usize, column: usize, sums: &mut [i32]) {
        let mut values = [0.0; TILE_COLUMNS];
        if let Ok(sums) = <&[i32; TILE_COLUMNS]>::try_from(&*sums) {
            self.scale(row, column, sums, &mut values);
            self.epilogue.store(row, column, &mut values);
        } else {
            let values = &mut values[..sums.len()];
            self.scale(row, column, sums, values);
            self.epilogue.store(row, column, values);
        }
    }

    #[inline(always)]
    fn prepare(&mut self, row: usize, column: usize) {
        self.epilogue.prepare(row, column);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{bits, numbers};
    use half::bf16;
    use proptest::prelude::*;

    /// Keeps sums of bytes.
    struct Exact {
        values: Vec<i32>,
        columns: usize,
    }

    impl Sink<i32> for Exact {
        fn take(&mut self, row: usize, column: usize, sums: &mut [i32]) {
            self.values[row * self.columns + column..][..sums.len()].copy_from_slice(sums);
        }
        fn prepare(&mut self, _: usize, _: usize) {}
    }

    struct Keep {
        values: Vec<f32>,
        columns: usize,
    }

    impl Epilogue for Keep {
        fn store(&mut self, row: usize, column: usize, values: &mut [f32]) {
            self.values[row * self.columns + column..][..values.len()].copy_from_slice(values);
        }
    }

    fn exact(path: Path, left: &QuantizedRows, rows: Range<usize>, right: &QuantizedWeight) -> Vec<i32> {
        let mut sink = Exact { values: vec![i32::MIN; rows.len() * right.columns], columns: right.columns };
        product_rows_int8_on(path, left, rows, right, &mut sink);
        sink.values
    }

    fn product(left: &QuantizedRows, right: &QuantizedWeight) -> Vec<f32> {
        let mut keep = Keep { values: vec![9.0; left.rows * right.columns], columns: right.columns };
        product_rows_int8(left, 0..left.rows, right, &mut keep);
        keep.values
    }

    fn byte(left: &QuantizedRows, row: usize, position: usize) -> i32 {
        let word = left.words.as_slice()[row * left.stride() + position / 4];
        i32::from(word.to_le_bytes()[position % 4])
    }

    fn weight_byte(right: &QuantizedWeight, column: usize, position: usize) -> i32 {
        let depth = right.inner.div_ceil(4);
        let panel = column / TILE_COLUMNS * depth * TILE_COLUMNS;
        let word = right.words.as_slice()[panel + position / 4 * TILE_COLUMNS + column % TILE_COLUMNS];
        i32::from(word.to_le_bytes()[position % 4].cast_signed())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]

        #[test]
        fn sums_of_bytes_are_exact_on_every_path(
            rows in 0usize..20, inner in 0usize..70, columns in 0usize..150, first in 0usize..20,
        ) {
            let mut left = QuantizedRows::default();
            quantize_rows(&numbers(rows * inner, 1), rows, inner, &mut left);
            let right = QuantizedWeight::new(&numbers(columns * inner, 2), columns, inner);
            let range = first.min(rows)..rows;
            let expected: Vec<i32> = range.clone().flat_map(|row| {
                let (left, right) = (&left, &right);
                (0..columns).map(move |column| {
                    (0..inner).map(|k| byte(left, row, k) * weight_byte(right, column, k)).sum()
                })
            }).collect();
            for path in Path::available() {
                prop_assert_eq!(&exact(path, &left, range.clone(), &right), &expected);
            }
        }

        #[test]
        fn quantised_products_are_near_to_the_product(rows in 1usize..9, inner in 1usize..300, columns in 1usize..70) {
            let (x, weight) = (numbers(rows * inner, 3), numbers(columns * inner, 4));
            let mut left = QuantizedRows::default();
            quantize_rows(&x, rows, inner, &mut left);
            let values = product(&left, &QuantizedWeight::new(&weight, columns, inner));
            for (i, value) in values.iter().enumerate() {
                let (x, weight) = (&x[i / columns * inner..][..inner], &weight[i % columns * inner..][..inner]);
                let expected: f64 = x.iter().zip(weight).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum();
                // x is off by one step at most (its own half and the zero point's), w by half a step.
                let bound: f64 = x.iter().zip(weight).map(|(x, w)| {
                    f64::from(w.abs()) * 2.0 / 255.0 + (f64::from(x.abs()) + 2.0 / 255.0) * 0.5 / 127.0
                }).sum();
                let difference = (f64::from(*value) - expected).abs();
                prop_assert!(difference <= bound + 1e-5, "{} instead of {}", value, expected);
            }
        }
    }

    #[test]
    fn the_largest_sums_do_not_overflow() {
        let inner = MAX_INNER;
        let mut left = QuantizedRows::default();
        quantize_rows(&vec![1.0; inner], 1, inner, &mut left);
        let right = QuantizedWeight::new(&vec![-1.0; inner], 1, inner);
        for path in Path::available() {
            assert_eq!(exact(path, &left, 0..1, &right), vec![-255 * 127 * inner as i32]);
        }
    }

    #[test]
    fn quantising_has_the_same_bits_on_every_path_and_for_bf16() {
        let (rows, inner) = (7, 131);
        let halves: Vec<bf16> =
            numbers(rows * inner, 5).into_iter().map(<bf16 as Element>::from_f32).collect();
        let source: Vec<f32> = halves.iter().map(|value| value.to_f32()).collect();
        let mut first = QuantizedRows::default();
        quantize_on(Path::best(), &halves, rows, inner, &mut first);
        for path in Path::available() {
            let mut left = QuantizedRows::default();
            quantize_on(path, &source, rows, inner, &mut left);
            assert_eq!(left.words.as_slice(), first.words.as_slice());
            assert_eq!(bits(&left.scales), bits(&first.scales));
            assert_eq!(left.zero_points, first.zero_points);
        }
    }

    #[test]
    fn what_is_not_finite_becomes_nan_and_only_there() {
        let mut x = numbers(4 * 70, 6);
        x[0] = f32::NAN;
        x[70 + 69] = f32::INFINITY;
        (x[140], x[141]) = (f32::MAX, f32::MIN);
        let mut left = QuantizedRows::default();
        quantize_rows(&x, 4, 70, &mut left);
        let mut weight = numbers(2 * 70, 7);
        weight[3] = f32::NAN;
        let values = product(&left, &QuantizedWeight::new(&weight, 2, 70));
        let finite: Vec<bool> = values.iter().map(|value| value.is_finite()).collect();
        assert_eq!(finite, [false, false, false, false, false, false, false, true]);
    }

    #[test]
    fn zeros_give_zeros() {
        let mut left = QuantizedRows::default();
        quantize_rows(&[0.0; 10], 2, 5, &mut left);
        assert_eq!(product(&left, &QuantizedWeight::new(&numbers(15, 8), 3, 5)), vec![0.0; 6]);
        quantize_rows(&numbers(10, 9), 2, 5, &mut left);
        assert_eq!(product(&left, &QuantizedWeight::new(&[0.0; 15], 3, 5)), vec![0.0; 6]);
    }
}
