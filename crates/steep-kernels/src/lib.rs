//! How is each hot loop of a transformer encoder computed on the CPU?
//!
//! Plain `f32` slices in, plain slices out. A batch is packed: its token features are one flat row-major
//! `[T, features]` slice without padding, and `offsets` (length `B + 1`, from 0 to `T`) tells where each
//! sequence starts. Outputs are the caller's slices; every function overwrites them unless its name says `add`.
//!
//! # Invariants
//! * The numbers of a token never depend on the other tokens of the batch, nor on how many there are.
//! * Results have the same bits for any number of threads.
//! * Element-wise loops, norms, losses and the optimizer have the same bits on every instruction set of one
//!   architecture; matrix products differ between machines with and without fused multiply-add.
//!
//! A slice of the wrong length or an index out of range is a programmer's error and panics with a message.

#![allow(
    unsafe_code,
    reason = "run-time choice of the instruction set, register-blocked products and disjoint writes from several threads"
)]
#![allow(
    clippy::inline_always,
    reason = "a body must be inlined into the function that enables an instruction set, or it is compiled without it"
)]
#![allow(clippy::needless_range_loop, reason = "loops over lanes are written for the vectoriser")]
#![allow(clippy::excessive_precision, reason = "coefficients are quoted as published")]

pub mod activation;
pub mod attention;
pub mod block;
pub mod dropout;
pub mod embedding;
pub mod gemm;
pub mod linear;
pub mod linear_loss;
pub mod loss;
pub mod norm;
pub mod optimizer;
pub mod small_product;

mod disjoint;
mod dispatch;
mod math;
mod parallel;

pub use parallel::in_pool;
#[cfg(test)]
mod testing;
