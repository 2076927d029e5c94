//! How fast can this machine multiply and add at all? Loops over registers, on all cores: no memory, no dependence that
//! an instruction would wait for. What a kernel reaches is held against these rates.

#![allow(missing_docs, reason = "criterion's macros make public functions")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

/// Independent sums: enough to hide an instruction's latency, few enough for the registers.
const SUMS: usize = 12;

/// Rounds of a loop; one round is an instruction for every sum.
const ROUNDS: usize = 1 << 20;

/// Runs `work` on every core at once and shows operations a second.
fn measure(criterion: &mut Criterion, name: &str, lanes: usize, work: fn()) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let operations = threads * ROUNDS * SUMS * lanes * 2;
    let mut group = criterion.benchmark_group("peak");
    group.throughput(Throughput::Elements(operations as u64));
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            std::thread::scope(|scope| {
                for _ in 0..threads {
                    scope.spawn(work);
                }
            });
        });
    });
    group.finish();
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    #![expect(
        unsafe_code,
        reason = "the instructions are not reachable otherwise, and calls are behind their detection"
    )]

    use super::{ROUNDS, SUMS, black_box};
    use std::arch::x86_64::{
        _mm256_fmadd_ps, _mm256_setzero_ps, _mm512_cvtne2ps_pbh, _mm512_dpbf16_ps, _mm512_dpbusd_epi32,
        _mm512_fmadd_ps, _mm512_setzero_ps, _mm512_setzero_si512,
    };

    /// A loop of `SUMS` independent instructions; the operands are opaque, so that nothing is folded.
    macro_rules! loop_of {
        ($name:ident, $features:literal, $zero:expr, $operand:expr, $instruction:ident) => {
            pub(super) fn $name() {
                #[target_feature(enable = $features)]
                fn sums() {
                    let (mut sums, operand) = ([$zero; SUMS], black_box($operand));
                    for _ in 0..ROUNDS {
                        for sum in &mut sums {
                            *sum = loop_of!(@$instruction, sum, operand);
                        }
                        // The compiler may not merge rounds: it does not know what happens to the sums.
                        // SAFETY: an empty sequence of instructions that touches nothing.
                        unsafe { std::arch::asm!("", options(nomem, nostack, preserves_flags)) };
                    }
                    black_box(sums);
                }
                // SAFETY: only called where these features were detected.
                unsafe { sums() }
            }
        };
        (@_mm512_fmadd_ps, $sum:ident, $operand:ident) => { _mm512_fmadd_ps($operand, $operand, *$sum) };
        (@_mm256_fmadd_ps, $sum:ident, $operand:ident) => { _mm256_fmadd_ps($operand, $operand, *$sum) };
        (@_mm512_dpbf16_ps, $sum:ident, $operand:ident) => { _mm512_dpbf16_ps(*$sum, $operand, $operand) };
        (@_mm512_dpbusd_epi32, $sum:ident, $operand:ident) => { _mm512_dpbusd_epi32(*$sum, $operand, $operand) };
    }

    loop_of!(float32_avx2, "avx2,fma", _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_fmadd_ps);
    loop_of!(float32_avx512, "avx512f", _mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_fmadd_ps);
    loop_of!(
        bfloat16_avx512,
        "avx512f,avx512bf16",
        _mm512_setzero_ps(),
        _mm512_cvtne2ps_pbh(_mm512_setzero_ps(), _mm512_setzero_ps()),
        _mm512_dpbf16_ps
    );
    loop_of!(
        int8_avx512,
        "avx512f,avx512vnni",
        _mm512_setzero_si512(),
        _mm512_setzero_si512(),
        _mm512_dpbusd_epi32
    );
}

#[cfg(target_arch = "x86_64")]
fn peaks(criterion: &mut Criterion) {
    if is_x86_feature_detected!("avx512f") {
        measure(criterion, "float32", 16, x86::float32_avx512);
    } else if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        measure(criterion, "float32", 8, x86::float32_avx2);
    }
    if is_x86_feature_detected!("avx512bf16") {
        measure(criterion, "bfloat16", 32, x86::bfloat16_avx512);
    }
    if is_x86_feature_detected!("avx512vnni") {
        measure(criterion, "int8", 64, x86::int8_avx512);
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn peaks(_: &mut Criterion) {}

criterion_group! {
    name = peak;
    config = Criterion::default().sample_size(15).warm_up_time(std::time::Duration::from_millis(300))
        .measurement_time(std::time::Duration::from_millis(1500));
    targets = peaks
}
criterion_main!(peak);
