//! How fast are the hot loops at the sizes of a small encoder? Throughputs are floating-point operations or bytes per
//! second; `RAYON_NUM_THREADS` sets the threads. After criterion's report, a line says which share that is of what the
//! machine does at most: of a loop over registers, or of a copy of memory that fits no cache (which loops over data that
//! do fit can exceed).

#![allow(missing_docs, reason = "criterion's macros make public functions")]
#![allow(clippy::print_stdout, reason = "the shares are the purpose")]

#[path = "share/peak.rs"]
mod peak;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rayon::prelude::*;
use std::sync::OnceLock;
use std::time::Instant;
use steep_kernels::activation::{self, Activation};
use steep_kernels::dropout::{self, Dropout};
use steep_kernels::embedding;
use steep_kernels::linear::{self, LinearShape};
use steep_kernels::loss::{cross_entropy_backward, cross_entropy_forward};
use steep_kernels::norm::{NormShape, add_norm_backward, add_norm_forward};
use steep_kernels::optimizer::{AdamWStep, adamw, sum_of_squares};

const TOKENS: usize = 2048;
const HIDDEN: usize = 384;

fn numbers(length: usize) -> Vec<f32> {
    (0..length).map(|i| ((i * 7919) % 2003) as f32 / 1001.0 - 1.0).collect()
}

/// One measurement whose rate is shown per second: `amount` is operations or bytes.
fn measure(criterion: &mut Criterion, name: &str, amount: &Throughput, mut work: impl FnMut()) {
    let mut group = criterion.benchmark_group(name);
    group.throughput(amount.clone());
    let mut fastest = f64::INFINITY;
    group.bench_function("f32", |bencher| {
        bencher.iter_custom(|count| {
            let start = Instant::now();
            for _ in 0..count {
                work();
            }
            let time = start.elapsed();
            fastest = fastest.min(time.as_secs_f64() / count as f64);
            time
        });
    });
    group.finish();
    let (limit, done, of) = match *amount {
        Throughput::Elements(done) => (peak(), done, "the f32 peak"),
        Throughput::Bytes(done) => (Some(copied_bytes_per_second()), done, "a copy of memory"),
        _ => return,
    };
    if let Some(limit) = limit.filter(|_| fastest.is_finite()) {
        println!("  {name}: {:.0} % of {of}", 100.0 * done as f64 / fastest / limit);
    }
}

/// Operations per second of a loop over registers; the best of some times, as the kernel's is.
fn peak() -> Option<f64> {
    (0..9).filter_map(|_| peak::operations_per_second(peak::Kind::F32)).reduce(f64::max)
}

/// Bytes read and written by all threads that copy more than the caches hold; the best of some times.
fn copied_bytes_per_second() -> f64 {
    static RATE: OnceLock<f64> = OnceLock::new();
    *RATE.get_or_init(|| {
        let from = vec![1.0f32; 64 << 20];
        let mut to = vec![0.0f32; from.len()];
        let rates = (0..5).map(|_| {
            let start = Instant::now();
            to.par_chunks_mut(1 << 16)
                .zip(from.par_chunks(1 << 16))
                .for_each(|(to, from)| to.copy_from_slice(from));
            (2 * size_of_val(from.as_slice())) as f64 / start.elapsed().as_secs_f64()
        });
        rates.fold(0.0, f64::max)
    })
}

fn operations(count: usize) -> Throughput {
    Throughput::Elements(count as u64)
}

fn floats(count: usize) -> Throughput {
    Throughput::Bytes(4 * count as u64)
}

fn linear_layers(criterion: &mut Criterion) {
    for (in_features, out_features) in [(HIDDEN, 4 * HIDDEN), (4 * HIDDEN, HIDDEN), (HIDDEN, HIDDEN)] {
        let shape = LinearShape { tokens: TOKENS, in_features, out_features };
        let (x, dy) = (numbers(TOKENS * in_features), numbers(TOKENS * out_features));
        let (weight, bias) = (numbers(in_features * out_features), numbers(out_features));
        let (mut y, mut dx) = (dy.clone(), x.clone());
        let (mut dweight, mut dbias) = (weight.clone(), bias.clone());
        let flops = &operations(2 * TOKENS * in_features * out_features);
        let name = |what: &str| format!("linear {what} {TOKENS}x{in_features}x{out_features}");
        measure(criterion, &name("forward"), flops, || {
            linear::forward(&x, &weight, Some(&bias), &mut y, shape);
        });
        measure(criterion, &name("backward_input"), flops, || {
            linear::backward_input(&dy, &weight, &mut dx, shape);
        });
        measure(criterion, &name("backward_weight"), flops, || {
            linear::backward_weight(&dy, &x, &mut dweight, shape);
        });
        measure(criterion, &name("backward_bias"), &floats(dy.len()), || {
            linear::backward_bias(&dy, &mut dbias, shape);
        });
    }
}

fn norm(criterion: &mut Criterion) {
    let shape = NormShape { tokens: TOKENS, features: HIDDEN };
    let (x, residual, dy) = (numbers(TOKENS * HIDDEN), numbers(TOKENS * HIDDEN), numbers(TOKENS * HIDDEN));
    let (gamma, beta) = (numbers(HIDDEN), numbers(HIDDEN));
    let (mut y, mut dx, mut dresidual) = (x.clone(), x.clone(), x.clone());
    let (mut mean, mut inverse) = (vec![0.0; TOKENS], vec![0.0; TOKENS]);
    let (mut dgamma, mut dbeta) = (gamma.clone(), beta.clone());
    for probability in [0.0, 0.1] {
        let dropout = Dropout { probability, seed: 1 };
        measure(criterion, &format!("add_norm forward dropout {probability}"), &floats(3 * x.len()), || {
            add_norm_forward(
                &x,
                Some(&residual),
                &gamma,
                &beta,
                1e-12,
                dropout,
                &mut y,
                &mut mean,
                &mut inverse,
                shape,
            );
        });
        measure(criterion, &format!("add_norm backward dropout {probability}"), &floats(5 * x.len()), || {
            add_norm_backward(
                &x,
                Some(&residual),
                &gamma,
                &mean,
                &inverse,
                dropout,
                &dy,
                &mut dx,
                Some(&mut dresidual),
                &mut dgamma,
                &mut dbeta,
                shape,
            );
        });
    }
}

fn elements(criterion: &mut Criterion) {
    let x = numbers(TOKENS * 4 * HIDDEN);
    let (dy, mut y, mut dx) = (x.clone(), x.clone(), x.clone());
    measure(criterion, "gelu forward 2048x1536", &floats(2 * x.len()), || {
        activation::forward(Activation::Gelu, &x, &mut y);
    });
    measure(criterion, "gelu backward 2048x1536", &floats(3 * x.len()), || {
        activation::backward(Activation::Gelu, &x, &dy, &mut dx);
    });
    measure(criterion, "dropout 2048x1536", &floats(2 * x.len()), || {
        dropout::apply(Dropout { probability: 0.1, seed: 1 }, &x, &mut y);
    });
}

fn embeddings(criterion: &mut Criterion) {
    let (tokens, vocabulary) = (4096, 30522);
    let mut weight = numbers(vocabulary * HIDDEN);
    let ids: Vec<u32> = (0..tokens).map(|t| (t * t * 7919 % vocabulary) as u32).collect();
    let mut out = numbers(tokens * HIDDEN);
    measure(criterion, "embedding gather 4096x384", &floats(2 * out.len()), || {
        embedding::gather(&weight, &ids, &mut out, HIDDEN);
    });
    measure(criterion, "embedding scatter_add 4096x384", &floats(3 * out.len()), || {
        embedding::scatter_add(&out, &ids, &mut weight, HIDDEN);
    });
    let mut types = numbers(2 * HIDDEN);
    measure(criterion, "embedding scatter_add to one row 4096x384", &floats(out.len()), || {
        embedding::scatter_add(&out, &vec![0; tokens], &mut types, HIDDEN);
    });
}

fn cross_entropy(criterion: &mut Criterion) {
    let (rows, classes) = (512, 30522);
    let logits = numbers(rows * classes);
    let labels: Vec<u32> = (0..rows as u32).collect();
    let (mut losses, mut log_sum_exp, dlosses) = (vec![0.0; rows], vec![0.0; rows], vec![1.0; rows]);
    let mut dlogits = logits.clone();
    measure(criterion, "cross_entropy forward 512x30522", &floats(logits.len()), || {
        cross_entropy_forward(&logits, &labels, 0.0, &mut losses, &mut log_sum_exp);
    });
    measure(criterion, "cross_entropy backward 512x30522", &floats(2 * logits.len()), || {
        cross_entropy_backward(&logits, &labels, 0.0, &log_sum_exp, &dlosses, &mut dlogits);
    });
}

fn optimizer(criterion: &mut Criterion) {
    let length = 4_000_000;
    let gradient = numbers(length);
    let (mut parameter, mut first, mut second) = (gradient.clone(), vec![0.0; length], vec![0.0; length]);
    let step = AdamWStep {
        learning_rate: 1e-4,
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        weight_decay: 0.01,
        step: 10,
        gradient_scale: 0.5,
    };
    measure(criterion, "adamw 4M parameters", &floats(7 * length), || {
        adamw(&mut parameter, &gradient, &mut first, &mut second, &step);
    });
    measure(criterion, "sum_of_squares 4M", &floats(length), || {
        std::hint::black_box(sum_of_squares(&gradient));
    });
}

criterion_group! {
    name = kernels;
    config = Criterion::default().sample_size(15).warm_up_time(std::time::Duration::from_millis(300))
        .measurement_time(std::time::Duration::from_millis(900));
    targets = linear_layers, norm, elements, embeddings, cross_entropy, optimizer
}
criterion_main!(kernels);
