//! How fast is attention at the sizes of a small and a base encoder, by itself and on two threads?
//!
//! Beside criterion's report, a line per case gives the fastest time, tokens and operations per second; operations
//! count what the definition needs, 4 n² per feature forward and 10 n² backward.

#![allow(missing_docs, reason = "criterion's macros make public functions")]
#![allow(clippy::print_stdout, reason = "the figures are the purpose")]

use criterion::{Criterion, criterion_group, criterion_main};
use half::bf16;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::time::{Duration, Instant};
use steep_kernels::attention::{
    AttentionShape, View, ViewMut, Visibility, attention_backward, attention_forward,
};
use steep_kernels::dropout::Dropout;
use steep_kernels::gemm::Element;

const NUM_HEADS: usize = 12;

/// Lengths of the sequences of a batch of some 2048 tokens.
fn batches() -> [(&'static str, Vec<u32>); 3] {
    // From 3 to 127, half of them of at most 10: what short texts look like.
    let mixed = (0..73).map(|i| {
        let position = f64::from((i * 37) % 73) / 72.0;
        3 + (position.powi(4) * 124.0) as u32
    });
    [("16x128", vec![128; 16]), ("128x16", vec![16; 128]), ("73x3..127", mixed.collect())]
}

fn numbers<E: Element>(length: usize) -> Vec<E> {
    (0..length).map(|i| E::from_f32(((i * 7919) % 2003) as f32 / 1001.0 - 1.0)).collect()
}

struct Batch<'a> {
    name: String,
    lengths: &'a [u32],
    hidden: usize,
    dropout: Dropout,
    pool: &'a ThreadPool,
}

impl Batch<'_> {
    fn measure(
        &self,
        criterion: &mut Criterion,
        what: &str,
        operations: usize,
        mut work: impl FnMut() + Send,
    ) {
        let mut fastest = Duration::MAX;
        criterion.bench_function(&format!("attention {what} {}", self.name), |bencher| {
            bencher.iter_custom(|count| {
                let time = self.pool.install(|| {
                    let start = Instant::now();
                    for _ in 0..count {
                        work();
                    }
                    start.elapsed()
                });
                fastest = fastest.min(time / count as u32);
                time
            });
        });
        if fastest == Duration::MAX {
            return;
        }
        let seconds = fastest.as_secs_f64();
        let tokens: u32 = self.lengths.iter().sum();
        let squares: usize = self.lengths.iter().map(|length| (*length as usize).pow(2)).sum();
        println!(
            "  {what:8} {}: {:.3} ms, {:.2} Mtokens/s, {:.0} GFLOP/s",
            self.name,
            seconds * 1e3,
            f64::from(tokens) / seconds / 1e6,
            (operations * squares * self.hidden) as f64 / seconds / 1e9
        );
    }

    fn run<E: Element>(&self, criterion: &mut Criterion) {
        let mut offsets = vec![0];
        offsets.extend(self.lengths.iter().scan(0, |end, length| {
            *end += length;
            Some(*end)
        }));
        let hidden = self.hidden;
        let tokens = offsets[self.lengths.len()] as usize;
        let shape = AttentionShape {
            offsets: &offsets,
            key_offsets: None,
            num_heads: NUM_HEADS,
            head_dim: hidden / NUM_HEADS,
            visibility: Visibility::Bidirectional,
        };
        let scale = 1.0 / (shape.head_dim as f32).sqrt();
        let inputs = numbers::<E>(tokens * 3 * hidden);
        let dcontext = numbers::<E>(tokens * hidden);
        let mut context = dcontext.clone();
        let mut log_sum_exp = vec![0.0; tokens * NUM_HEADS];
        let [query, key, value] = View::split(&inputs, [hidden; 3]);
        self.measure(criterion, "forward", 4, || {
            let context = ViewMut::new(&mut context, hidden);
            attention_forward(query, key, value, None, scale, self.dropout, context, &mut log_sum_exp, shape);
        });
        let mut gradients = inputs.clone();
        self.measure(criterion, "backward", 10, || {
            let [dquery, dkey, dvalue] = ViewMut::split(&mut gradients, [hidden; 3]);
            attention_backward(
                query,
                key,
                value,
                None,
                scale,
                self.dropout,
                View { values: &context, stride: hidden },
                &log_sum_exp,
                View { values: &dcontext, stride: hidden },
                dquery,
                dkey,
                dvalue,
                None,
                shape,
            );
        });
    }
}

fn attention(criterion: &mut Criterion) {
    for threads in [1, 2] {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().expect("a small pool");
        for hidden in [384, 768] {
            for (name, lengths) in &batches() {
                for probability in [0.0, 0.1] {
                    let batch = |element: &str| Batch {
                        name: format!("{element} {name} {hidden} dropout {probability} on {threads}"),
                        lengths,
                        hidden,
                        dropout: Dropout { probability, seed: 1 },
                        pool: &pool,
                    };
                    batch("bf16").run::<bf16>(criterion);
                    batch("f32").run::<f32>(criterion);
                }
            }
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(50))
        .measurement_time(Duration::from_millis(200))
        .without_plots();
    targets = attention
}
criterion_main!(benches);
