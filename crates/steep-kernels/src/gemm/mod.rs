//! How are a batch of rows and a weight multiplied, and at which precision?
//!
//! The right operand is packed once into panels of 64 columns ([`Packed`]); the left one is read where it lies. A tile
//! of a few rows and one panel keeps its sums in registers over the whole inner dimension and hands them to an
//! [`Epilogue`], row by row, while they are warm. Rows are the unit of parallel work: the caller cuts them into chunks.
//!
//! Every output is one chain of multiply-adds in the order of the inner dimension, so that the bits of a row depend
//! neither on the number of rows nor on that of threads. They do depend on the instruction set: bf16 products are
//! added two at a time where the processor has an instruction for it, and subnormal numbers count as zero there.

mod driver;
mod element;
mod int8;
mod packed;
mod packing;
#[cfg(target_arch = "x86_64")]
mod packing_x86;
mod step;
mod tile;
mod transposed;
#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(test)]
mod tests;

pub use driver::{Epilogue, product_rows};
pub use element::{Element, Precision, convert_rows};
pub use int8::{QuantizedRows, QuantizedWeight, product_rows_int8, quantize_rows};
pub use packed::Packed;
pub(crate) use packed::with_scratch;
pub use tile::fetch;
pub use transposed::transposed_product;
pub(crate) use transposed::{rows, transposed_product_on, weight_gradient};

/// Columns in a panel, and in every run of sums that an [`Epilogue`] receives but the last one of a row.
pub const TILE_COLUMNS: usize = 64;
