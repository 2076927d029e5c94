//! Which tokens of its own sequence, or of another one, does a token listen to?
//!
//! Softmax attention over packed sequences. A task is one head of one sequence; of its scores only a block of query
//! rows exists at a time, and nothing the size of a squared sequence is kept for the backward pass, which computes the
//! probabilities again from the log-sum-exp of each row.
//!
//! Every function comes twice: for a whole batch, in parallel, and for a range of its sequences on the calling thread,
//! for callers whose own tasks are groups of sequences. The bits are the same.
//!
//! # Dropout
//! The probability of (query `i`, key `j`), both counted within their sequences, of which the one of the queries starts
//! at token `s` of the batch and the one of the keys has `n` tokens, in head `h` of `H`, has dropout index
//! `(s · H + h) · 2^32 + i · n + j`.
//!
//! # No visible key
//! A query that sees no key (in cross-attention with an empty sequence, or outside the window) gets a context of zeros,
//! a log-sum-exp of -∞, and gives no gradient.

mod backward;
mod distances;
mod forward;
mod kernel;
mod pack;
mod product;
mod route;
mod scratch;
mod shape;
mod softmax;
mod vector;
mod view;

pub use backward::{attention_backward, attention_backward_sequences};
pub use forward::{attention_forward, attention_forward_sequences};
pub use shape::{AttentionShape, PositionBias, Visibility};
pub use view::{View, ViewMut};

#[cfg(test)]
mod case;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
