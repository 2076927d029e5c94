//! How close do the matrix products come to what the processor can do? Every measurement stands beside the rate of a
//! loop over registers that ran just before it, because the clock of a shared machine moves.
//!
//! `cargo bench -p steep-kernels --bench gemm -- [word…]` prints one table for 1 and for all threads; words select the
//! lines whose names contain them all (`threads=1` is part of a name).

#![allow(missing_docs, clippy::print_stdout, reason = "a program that prints a table")]
#![allow(
    clippy::inline_always,
    reason = "epilogues are compiled into the function that enables an instruction set"
)]

mod peer;
#[path = "../share/mod.rs"]
mod share;

use half::bf16;
use peer::Matrix;
use rayon::prelude::*;
use share::{Kind, Table};
use steep_kernels::gemm::{
    Element, Epilogue, Packed, Precision, QuantizedRows, QuantizedWeight, TILE_COLUMNS, convert_rows, fetch,
    product_rows, product_rows_int8, quantize_rows, transposed_product,
};
use steep_kernels::linear::{self, LinearShape};

const TOKENS: usize = 2048;
/// [out, in] of the weights of an encoder layer, hidden size 384 and 768.
const WEIGHTS: [[usize; 2]; 8] =
    [[1536, 384], [384, 1536], [1152, 384], [384, 384], [3072, 768], [768, 3072], [2304, 768], [768, 768]];
const CHUNK: usize = 258;

fn numbers(length: usize) -> Vec<f32> {
    (0..length).map(|i| ((i * 7919) % 2003) as f32 / 1001.0 - 1.0).collect()
}

fn elements<E: Element>(values: &[f32]) -> Vec<E> {
    values.iter().map(|value| E::from_f32(*value)).collect()
}

/// Writes rows of sums as elements.
struct Write<'a, E> {
    out: &'a mut [E],
    stride: usize,
}

impl<E: Element> Epilogue for Write<'_, E> {
    #[inline(always)]
    fn store(&mut self, row: usize, column: usize, values: &mut [f32]) {
        let out = &mut self.out[row * self.stride + column..][..values.len()];
        for (out, value) in out.iter_mut().zip(values) {
            *out = E::from_f32(*value);
        }
    }

    #[inline(always)]
    fn prepare(&mut self, row: usize, column: usize) {
        fetch(&self.out[row * self.stride + column..][..TILE_COLUMNS.min(self.stride - column)]);
    }
}

/// `y = left · packed`, in chunks of rows.
fn product<E: Element, O: Element>(left: &[E], right: &Packed, y: &mut [O]) {
    let (inner, columns) = (right.inner(), right.columns());
    y.par_chunks_mut(CHUNK * columns).zip(left.par_chunks(CHUNK * inner)).for_each(|(y, left)| {
        product_rows(left, inner, y.len() / columns, right, &mut Write { out: y, stride: columns });
    });
}

/// The three products of a layer whose operands are packed or held in `E`.
fn prepacked<E: Element>(table: &Table, kind: Kind, [out, inner]: [usize; 2]) {
    let name = |what: &str| format!("{:?} {what} {TOKENS} x {inner} x {out}", E::PRECISION);
    let operations = 2 * TOKENS * inner * out;
    let weight = numbers(out * inner);
    let (x, dy) = (elements::<E>(&numbers(TOKENS * inner)), elements::<E>(&numbers(TOKENS * out)));
    let (mut y, mut dx) = (dy.clone(), x.clone());
    let mut packed = Packed::default();
    packed.pack_transposed(&weight, out, inner, E::PRECISION);
    table.line(&name("forward, packed"), kind, operations, || product(&x, &packed, &mut y));
    packed.pack(&weight, out, inner, E::PRECISION);
    table.line(&name("input gradient, packed"), kind, operations, || product(&dy, &packed, &mut dx));
    let mut dweight = weight.clone();
    table.line(&name("weight gradient"), kind, operations, || {
        transposed_product(&dy, out, out, &x, inner, inner, TOKENS, &mut dweight, false);
    });
}

/// Copies of operands.
fn packing(table: &Table, [out, inner]: [usize; 2]) {
    let weight = numbers(out * inner);
    let mut packed = Packed::default();
    for precision in [Precision::F32, Precision::Bf16] {
        let name = |what: &str| format!("{precision:?} {what} {out} x {inner} (G numbers/s)");
        table.line(&name("pack_transposed"), Kind::F32, weight.len(), || {
            packed.pack_transposed(&weight, out, inner, precision);
        });
        table.line(&name("pack"), Kind::F32, weight.len(), || packed.pack(&weight, out, inner, precision));
    }
    let mut converted = vec![bf16::ZERO; weight.len()];
    table.line(&format!("convert_rows {out} x {inner} (G numbers/s)"), Kind::F32, weight.len(), || {
        convert_rows(&weight, &mut converted);
    });
}

/// The products as a linear layer runs them: operands in f32, rounded and packed on the fly.
fn layers(table: &Table, kind: Kind, precision: Precision, [out, inner]: [usize; 2]) {
    let shape = LinearShape { tokens: TOKENS, in_features: inner, out_features: out };
    let name = |what: &str| format!("linear {precision:?} {what} {TOKENS} x {inner} x {out}");
    let operations = 2 * TOKENS * inner * out;
    let weight = numbers(out * inner);
    let (x, dy) = (numbers(TOKENS * inner), numbers(TOKENS * out));
    let (mut y, mut dx, mut dweight) = (dy.clone(), x.clone(), weight.clone());
    table.line(&name("forward"), kind, operations, || {
        linear::forward_with(precision, &x, &weight, None, &mut y, shape);
    });
    table.line(&name("input gradient"), kind, operations, || {
        linear::backward_input_with(precision, &dy, &weight, &mut dx, shape);
    });
    table.line(&name("weight gradient"), kind, operations, || {
        linear::backward_weight_with(precision, &dy, &x, &mut dweight, shape);
    });
    if precision == Precision::F32 {
        let name = |what: &str| format!("gemm crate F32 {what} {TOKENS} x {inner} x {out}");
        let shape = [TOKENS, inner, out];
        table.line(&name("forward"), kind, operations, || {
            peer::product(&mut y, Matrix::rows(&x, inner), Matrix::columns(&weight, inner), shape);
        });
        let shape = [TOKENS, out, inner];
        table.line(&name("input gradient"), kind, operations, || {
            peer::product(&mut dx, Matrix::rows(&dy, out), Matrix::rows(&weight, inner), shape);
        });
        let shape = [out, TOKENS, inner];
        table.line(&name("weight gradient"), kind, operations, || {
            peer::product(&mut dweight, Matrix::columns(&dy, out), Matrix::rows(&x, inner), shape);
        });
    }
}

/// Products in 8 bits of rows that are quantised already, and with quantising them.
fn bytes(table: &Table, [out, inner]: [usize; 2]) {
    let name = |what: &str| format!("Int8 {what} {TOKENS} x {inner} x {out}");
    let operations = 2 * TOKENS * inner * out;
    let weight = QuantizedWeight::new(&numbers(out * inner), out, inner);
    let x = numbers(TOKENS * inner);
    let mut rows = QuantizedRows::default();
    quantize_rows(&x, TOKENS, inner, &mut rows);
    let mut y = vec![0.0; TOKENS * out];
    table.line(&name("forward, packed"), Kind::Int8, operations, || {
        y.par_chunks_mut(CHUNK * out).enumerate().for_each(|(chunk, y)| {
            let first = chunk * CHUNK;
            let range = first..first + y.len() / out;
            product_rows_int8(&rows, range, &weight, &mut Write { out: y, stride: out });
        });
    });
    table.line(&name("forward from f32"), Kind::Int8, operations, || {
        y.par_chunks_mut(CHUNK * out).zip(x.par_chunks(CHUNK * inner)).for_each_init(
            QuantizedRows::default,
            |quantized, (y, x)| {
                let rows = y.len() / out;
                quantize_rows(x, rows, inner, quantized);
                product_rows_int8(quantized, 0..rows, &weight, &mut Write { out: y, stride: out });
            },
        );
    });
}

fn main() {
    share::tables("product", |table| {
        for weight in WEIGHTS {
            prepacked::<bf16>(table, Kind::Bf16, weight);
        }
        for weight in WEIGHTS {
            prepacked::<f32>(table, Kind::F32, weight);
        }
        for weight in WEIGHTS {
            layers(table, Kind::Bf16, Precision::Bf16, weight);
        }
        for weight in WEIGHTS {
            layers(table, Kind::F32, Precision::F32, weight);
        }
        for weight in WEIGHTS {
            bytes(table, weight);
        }
        for weight in WEIGHTS {
            packing(table, weight);
        }
    });
}
