//! How good are the vectors of an encoder, for the work that they are to do?
//!
//! Each file is one question: does search find what it should ([`retrieval`]), do cosines order pairs as people do
//! ([`similarity`]), how far did training move the vectors ([`drift`]), do they keep near what belongs together and spread over
//! the sphere ([`alignment`]), do their clusters follow the labels ([`clustering`]).

pub mod alignment;
pub mod clustering;
pub mod drift;
pub mod retrieval;
pub mod similarity;
mod vectors;

#[cfg(test)]
mod golden_tests;
